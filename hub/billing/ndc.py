"""National Drug Codes in the eleven digits that claims carry."""

from __future__ import annotations

_LENGTHS = (5, 4, 2)  # labeler, product, package


def eleven_digits(ndc: str) -> str:
    """*ndc* without hyphens, its short segment filled with a leading zero: 4-4-2, 5-3-2 and 5-4-1 become 5-4-2.

    What has no three segments keeps its digits; ten digits without hyphens do not say which segment is the short one.
    """
    segments = ndc.strip().split("-")
    if len(segments) != len(_LENGTHS):
        return "".join(segments)
    return "".join(part.zfill(length) for part, length in zip(segments, _LENGTHS, strict=True))
