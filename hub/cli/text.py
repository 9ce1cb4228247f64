"""How the commands write: aligned columns, times, ages, and message content with patient data masked."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from hub.core.clock import at
from hub.core.errors import masked
from hub.web.content import RawView, raw_view
from hub.web.masking import Piece

_AGES = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def printable(text: str) -> str:
    """*text* on one line, without anything that could steer a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def columns(headings: Sequence[str], rows: Iterable[Sequence[object]], right: frozenset[int] = frozenset()) -> str:
    """A table in plain text; the columns whose numbers are in *right* are aligned to the right.

    Nothing is cut or wrapped, so that it can be piped into other tools.
    """
    lines = [list(headings), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]

    def padded(number: int, cell: str) -> str:
        space = " " * (widths[number] - _width(cell))
        return space + cell if number in right else cell + space

    return "\n".join("  ".join(padded(n, cell) for n, cell in enumerate(line)).rstrip() for line in lines)


def moment(milliseconds: int, zone: ZoneInfo) -> str:
    """``2026-11-09 08:15:02.114``, in the practice's zone."""
    return at(milliseconds, zone).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def age(milliseconds: int) -> str:
    """``3 min``, ``2 d``: one unit is what people can use."""
    for unit, length in _AGES:
        if milliseconds >= length:
            return f"{milliseconds // length} {unit}"
    return "0 s"


def content_lines(body: bytes, *, show: bool) -> list[str]:
    """*body* line by line; patient data as its shape only, unless *show*."""
    view: RawView = raw_view(body)
    lines = ["".join(_piece(piece, show=show) for piece in line) for line in view.lines]
    return [*lines, f"… more; {view.size:,} bytes in all"] if view.cut else lines


def _piece(piece: Piece, *, show: bool) -> str:
    return printable(piece.text if show or not piece.what else masked(piece.text))


def _width(text: str) -> int:
    """How many cells of a terminal *text* takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
