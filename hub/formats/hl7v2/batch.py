"""Batches: several messages in one file or block, with or without FHS/BHS/BTS/FTS around them."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(
    rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n\x0b]))[\t ]*(?=(MSH|FHS|BHS|BTS|FTS)(?:[^A-Za-z0-9\s]|[\r\n]|\Z))"
)
_AROUND = b"\r\n\x0b\x1c"


def split_batch(raw: bytes) -> list[bytes]:
    """The messages in *raw*, each from its MSH to the end of its last segment, byte for byte.

    Batch and file envelopes are left out. What holds at most one message and no envelope comes back as it is,
    so that bytes which are no message at all reach the parser, which says what is wrong with them.
    """
    boundaries = [(found.end(), found[1]) for found in _BOUNDARY.finditer(raw)]
    if len(boundaries) < 2 and not any(name != b"MSH" for _, name in boundaries):
        return [raw]
    ends = [start for start, _ in boundaries[1:]] + [len(raw)]
    return [
        raw[start:end].rstrip(_AROUND) + b"\r"
        for (start, name), end in zip(boundaries, ends, strict=True)
        if name == b"MSH"
    ]
