"""A glance at a message: the few values that a listener needs of each, for a fraction of a view's work.

Nearly all messages are plain: the usual delimiters, nothing escaped, ASCII or declared UTF-8, each segment on a line of
its own. Of such a one a :class:`Glance` says what a :class:`hub.formats.hl7v2.message.Message` would; all others are
left to that.
"""

from __future__ import annotations

import re

from hub.formats.hl7v2.header import Header, codec_for
from hub.formats.hl7v2.path import Match, Path, parse_path

_NULL = '""'
_BEGINNING = b"MSH|^~\\&|"
_HEAD = 4  # a segment's name and the separator behind it
_HEADS = re.compile(r"MSH\|(?:[A-Z][A-Z0-9]{2}\|)*")
_LINE_BREAKS = b"\r\n\x1c"


def glance(raw: bytes, header: Header) -> Glance | None:
    """A glance at *raw*, whose MSH is *header*; None when it is not plain."""
    codec = codec_for(header.character_set)
    is_clear = codec == "utf-8" or (codec is None and raw.isascii())  # else all of it says what it is written in
    raw = raw.rstrip(_LINE_BREAKS)
    if not is_clear or not raw.startswith(_BEGINNING) or raw.count(b"\\") > 1 or b"\n" in raw:
        return None
    lines = raw.decode("utf-8", "replace").split("\r")
    heads = "".join([line[:_HEAD] for line in lines])
    # A line that begins otherwise goes on with the segment before it, and so does an ADD segment.
    if len(heads) != _HEAD * len(lines) or not _HEADS.fullmatch(heads) or "ADD|" in heads:
        return None
    return Glance({line[:3]: line for line in reversed(lines)})


class Glance:
    """The first values of a plain message, MSH apart. Paths name a field of the first segment of its name.

    Its first repetition is meant, or the first one that a match chooses.
    """

    __slots__ = ("_fields", "_lines")

    def __init__(self, lines: dict[str, str]) -> None:
        """*lines* are the first segments of each name."""
        self._lines = lines
        self._fields: dict[str, list[str]] = {}

    def __getitem__(self, path: str) -> str:
        """The text at *path*; ``""`` when it is absent, empty or null."""
        wanted = parse_path(path)
        field = self._field(wanted)
        if not field:
            return ""
        which = wanted.repetition
        first = _chosen(field, which) if isinstance(which, Match) else field.partition("~")[0]
        return _part(first, wanted.component, wanted.subcomponent)

    def identifier(self, path: str, *, type: str) -> str | None:  # noqa: A002
        """The first CX identifier of this *type* (component 5) in field *path*; None when there is none."""
        for repetition in self._field(parse_path(path)).split("~"):
            number = _part(repetition, 1, None)
            if number and _part(repetition, 5, None) == type:
                return number
        return None

    def _field(self, path: Path) -> str:
        fields = self._fields.get(path.segment)
        if fields is None:
            fields = self._fields[path.segment] = self._lines.get(path.segment, "").split("|")
        return fields[path.field] if path.field < len(fields) else ""


def _chosen(field: str, match: Match) -> str:
    """The first repetition of *field* that *match* chooses; ``""`` when none is."""
    for repetition in field.split("~"):
        if _part(repetition, match.component, match.subcomponent) == match.value:
            return repetition
    return ""


def _part(text: str, component: int | None, subcomponent: int | None) -> str:
    """A component or sub-component of *text*; ``""`` when it is absent or null, or the whole is null."""
    for separator, number in (("^", component), ("&", subcomponent)):
        if number is None or text == _NULL:
            break
        parts = text.split(separator, number)
        text = parts[number - 1] if number <= len(parts) else ""
    return "" if text == _NULL else text
