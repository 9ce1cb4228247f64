"""Paths to values, in HL7's own spelling.

==================== ==========================================================================
``PID-3``            field 3 of the first PID (positions count from 1)
``PID-3.1``          its first component; ``PID-3.4.2`` a sub-component
``PID-3[2].1``       the second repetition
``PID-3[*].1``       every repetition
``PID-3[.5=MR].1``   the first repetition whose component 5 is ``MR`` (``[.4.2=...]`` for a sub-component)
``PID-3[MR].1``      short for ``[.5=MR]``, where CX identifiers carry their type
``FT1[2]-25.1``      the second FT1; ``FT1[*]-25.1`` every FT1
==================== ==========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hub.core.errors import HubError

ALL: Final = 0
"""Stands for ``*`` where an ordinal or a repetition is expected."""

_PATH = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<ordinal>[1-9]\d{0,5}|\*)\])?"
    r"-(?P<field>[1-9]\d{0,5})(?:\[(?P<which>[^\]]+)\])?"
    r"(?:\.(?P<component>[1-9]\d{0,5})(?:\.(?P<subcomponent>[1-9]\d{0,5}))?)?",
    re.ASCII,
)
_MATCH = re.compile(r"\.([1-9]\d{0,5})(?:\.([1-9]\d{0,5}))?=(.+)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_TYPE_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]*", re.ASCII)
_LOOSE = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9]{2})\s*[\[(]?(?:(?<=[\[(])(\d{1,6}|\*)[\])])?\s*[-_.:/ ]?\s*(\d{1,6})(.*)",
    re.ASCII | re.DOTALL,
)
_LOOSE_TAIL = re.compile(r"[\[(]\s*([^\])]+?)\s*[\])]|[-_.:/]\s*(\d{1,6})", re.ASCII)


class PathError(HubError):
    """A text that should be a path is not one, or asks the wrong place."""

    code = "H221"


@dataclass(frozen=True, slots=True)
class Match:
    """Chooses the first repetition whose component (or sub-component) has this value."""

    component: int
    subcomponent: int | None
    value: str

    def __str__(self) -> str:
        place = f".{self.component}" + (f".{self.subcomponent}" if self.subcomponent else "")
        return f"{place}={self.value}"


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path.

    *ordinal* and *repetition* are ``None`` where the text leaves them open and :data:`ALL` for ``*``.
    """

    segment: str
    ordinal: int | None
    field: int
    repetition: int | Match | None
    component: int | None
    subcomponent: int | None

    @classmethod
    def parse(cls, text: str) -> Path:
        """The path that *text* spells, parsed once and remembered.

        Raises :class:`PathError` with a suggestion for a typo.
        """
        return parse_path(text)

    @property
    def is_list(self) -> bool:
        """True when the text says ``*`` somewhere: the path means a list of values."""
        return ALL in (self.ordinal, self.repetition)

    def at(self, ordinal: int, repetition: int) -> str:
        """The canonical text of this place in a given segment and repetition: ``PID[1]-3[2].1``.

        Repetition 0 is one that a match did not find; it stays as the match.
        """
        part = "".join(f".{number}" for number in (self.component, self.subcomponent) if number)
        return f"{self.segment}[{ordinal}]-{self.field}[{repetition or self.repetition or 1}]{part}"

    def __str__(self) -> str:
        ordinal = "" if self.ordinal is None else f"[{self.ordinal or '*'}]"
        repetition = "" if self.repetition is None else f"[{self.repetition or '*'}]"
        rest = "".join(f".{number}" for number in (self.component, self.subcomponent) if number is not None)
        return f"{self.segment}{ordinal}-{self.field}{repetition}{rest}"


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """The path that *text* spells. Raises :class:`PathError` with a suggestion for a typo."""
    found = _PATH.fullmatch(text)
    if not found:
        raise _not_a_path(text)
    segment, ordinal, field, which, component, subcomponent = found.groups()
    return Path(
        segment=segment,
        ordinal=ALL if ordinal == "*" else int(ordinal) if ordinal else None,
        field=int(field),
        repetition=_repetition(text, which) if which else None,
        component=int(component) if component else None,
        subcomponent=int(subcomponent) if subcomponent else None,
    )


def _repetition(text: str, which: str) -> int | Match:
    if which == "*":
        return ALL
    if _NUMBER.fullmatch(which):
        return int(which)
    by_value = _MATCH.fullmatch(which)
    if by_value:
        component, subcomponent, value = by_value.groups()
        return Match(int(component), int(subcomponent) if subcomponent else None, value)
    if _TYPE_CODE.fullmatch(which):
        return Match(5, None, which)
    raise PathError(
        f'"{text}" chooses a repetition in a way that is not known.',
        where=text,
        expected="[2], [*], [.5=MR] or [MR]",
        found=f"[{which}]",
    )


def _not_a_path(text: str) -> PathError:
    suggestion = suggest(text)
    return PathError(
        f'"{text}" is not a path.',
        where=text,
        expected="a segment, a dash, a field and perhaps a component, such as PID-3.1",
        fix=f'Did you mean "{suggestion}"?' if suggestion else "",
    )


def suggest(text: str) -> str:
    """The path that *text* probably means (``PID.3.1`` means ``PID-3.1``), or ``""``."""
    loose = _LOOSE.fullmatch(text)
    if not loose:
        return ""
    segment, ordinal, field, tail = loose.groups()
    numbers: list[str] = []
    which = ""
    end = 0
    tail = tail.rstrip()
    for part in _LOOSE_TAIL.finditer(tail):
        if part.start() != end:
            return ""
        end = part.end()
        if part[1]:
            which = part[1]
        else:
            numbers.append(part[2])
    if end != len(tail):
        return ""
    candidate = f"{segment.upper()}{f'[{ordinal}]' if ordinal else ''}-{int(field)}{f'[{which}]' if which else ''}"
    candidate += "".join(f".{int(number)}" for number in numbers)
    return candidate if _PATH.fullmatch(candidate) else ""
