"""Batches: several messages in one file or block, with or without FHS/BHS/BTS/FTS around them.

Source: HL7 v2.5.1 chapter 2, section 2.10.3 (batch protocol). A batch is answered by a batch, in which one
acknowledgement stands for each message.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hub.formats.hl7v2.header import BLOCK_MARK, narrow

_BOUNDARY = re.compile(
    rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n\x0b]))[\t ]*(?=(MSH|FHS|BHS|BTS|FTS)(?:[^A-Za-z0-9\s]|[\r\n]|\Z))"
)
_ANOTHER = re.compile(rb"\r[\t ]*(?:MSH|[FB][HT]S)")
_EMPTY = ([b"BHS", b"BTS"], [b"FHS", b"BHS", b"BTS", b"FTS"])
_AROUND = b"\r\n\x0b\x1c"
_HEADER_FIELDS = 12


@dataclass(frozen=True, slots=True)
class Batch:
    """What one block or file holds. *messages* are as :func:`split_batch` gives them.

    *header* is the first BHS, *file_header* the FHS, each without its line end; empty when there is none.
    """

    messages: tuple[bytes, ...]
    header: bytes = b""
    file_header: bytes = b""
    wide: str = ""
    """``utf-16-le`` and the like when it was written in that; the headers are UTF-8 then."""
    is_empty: bool = False
    """Whether it is a sound envelope around nothing, which the standard allows."""

    @property
    def is_enveloped(self) -> bool:
        """Whether the sender called it a batch, and so expects one for an answer."""
        return bool(self.header or self.file_header)


def read_batch(raw: bytes) -> Batch:
    """The messages in *raw* with the envelope around them. Never raises."""
    if raw.startswith(b"MSH") and b"\n" not in raw and b"\x0b" not in raw and not _ANOTHER.search(raw):
        return Batch((raw,))  # what nearly every block is, told without the pattern below, which is slow
    narrowed, wide, _ = narrow(raw)
    boundaries = [(found.end(), found[1]) for found in _BOUNDARY.finditer(narrowed)]
    if len(boundaries) < 2 and not any(name != b"MSH" for _, name in boundaries):
        return Batch((raw,))
    ends = [start for start, _ in boundaries[1:]] + [len(narrowed)]
    pieces = [(name, narrowed[start:end].rstrip(_AROUND)) for (start, name), end in zip(boundaries, ends, strict=True)]
    messages = (piece + b"\r" for name, piece in pieces if name == b"MSH")
    return Batch(
        tuple(message.decode("utf-8", "replace").encode(wide) if wide else message for message in messages),
        next((piece for name, piece in pieces if name == b"BHS"), b""),
        next((piece for name, piece in pieces if name == b"FHS"), b""),
        wide,
        _is_empty(pieces),
    )


def _is_empty(pieces: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether *pieces*, by name, are a batch that says itself that it holds nothing."""
    if [name for name, _ in pieces] not in _EMPTY or any(len(piece.splitlines()) != 1 for _, piece in pieces):
        return False
    trailer = dict(pieces)[b"BTS"]
    return trailer[4:].split(trailer[3:4], 1)[0].strip() in {b"", b"0"} if trailer[3:4] else True


def split_batch(raw: bytes) -> list[bytes]:
    """The messages in *raw*, each from its MSH to the end of its last segment, byte for byte.

    Batch and file envelopes are left out. What holds at most one message and no envelope comes back as it is,
    so that bytes which are no message at all reach the parser, which says what is wrong with them. A batch in
    UTF-16 gives messages in the same.
    """
    return list(read_batch(raw).messages)


def answer_batch(batch: Batch, answers: Sequence[bytes], *, control_id: str, now: dt.datetime) -> bytes:
    """The batch that answers *batch*: its own envelope with sender and receiver exchanged around *answers*.

    *control_id* is ours (BHS-11) and BHS-12 repeats the sender's; *now* must have an offset. Several batches in one
    file are answered as one.
    """
    lines = [
        _exchanged(batch.file_header, control_id, now),
        _exchanged(batch.header or b"BHS" + batch.file_header[3:], control_id, now),
        *(narrow(answer).raw.rstrip(b"\r") for answer in answers),
        _trailer(b"BTS", batch.header or batch.file_header, len(answers)),
        _trailer(b"FTS", batch.file_header, 1),
    ]
    answer = b"".join(line + b"\r" for line in lines if line)
    wide = answer.decode("utf-8", "replace").encode(batch.wide) if batch.wide else answer
    return answer if BLOCK_MARK.search(wide) else wide


def _exchanged(header: bytes, control_id: str, now: dt.datetime) -> bytes:
    """A BHS or FHS (their fields are the same) for the way back."""
    header = BLOCK_MARK.sub(b"", header)  # the answer must fit into a block
    separator = header[3:4]
    if not separator:
        return b""
    fields = [*header.splitlines()[0].split(separator)[:_HEADER_FIELDS], *[b""] * _HEADER_FIELDS]
    name, characters, *route = fields[:6]
    sent = now.strftime("%Y%m%d%H%M%S%z").encode("ascii")
    own = control_id.encode("ascii")
    line = [name, characters, route[2], route[3], route[0], route[1], sent, b"", b"", b"", own, fields[10]]
    return separator.join(line).rstrip(separator)


def _trailer(name: bytes, header: bytes, count: int) -> bytes:
    separator = BLOCK_MARK.sub(b"", header)[3:4]
    return name + separator + str(count).encode() if separator else b""
