"""Write an HL7 v2 message, with positions spelled as paths spell them.

::

    message = Builder(type="DFT^P03^DFT_P03", control_id="HUB000017", sent=now, sending=("CLAIMHUB", "HUB"))
    message.add("EVN", {"1": "P03", "2": now})
    message.add("PID", {"3.1": "90417", "3.4": "ALDER", "3.5": "MR", "5.1": "BRACKEN", "5.2": "WREN"})
    message.add("FT1", {"4": service_date, "6": "PY", "11.1": Decimal("-12.50"), "26": ["25", "59"]})
    raw = message.build()

A value is text (escaped here, never by the caller), a number, a date, a moment with its offset, ``NULL`` (the
wire's ``""``, "delete what you have") or ``None`` (nothing). A list gives the field's repetitions in order:
``{"19.1": ["E119", "I10"]}``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

from hub.core.errors import HubError
from hub.formats.hl7v2.escape import DEFAULT, escape

_POSITION = re.compile(r"([1-9]\d{0,2})(?:\.([1-9]\d{0,2})(?:\.([1-9]\d{0,2}))?)?", re.ASCII)
_NULL_TEXT = '""'
_TWO_QUOTES = "\\X2222\\"
"""Two quotation marks that are meant as text."""
_T = TypeVar("_T")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)


class BuildError(HubError):
    """A segment cannot be written as asked."""

    code = "H224"


class Null:
    """The type of :data:`NULL`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NULL"


NULL: Final = Null()
"""HL7's null: the receiver is asked to delete what it has."""

Scalar = str | int | Decimal | dt.date | dt.datetime | Null | None
Content = Scalar | Sequence[Scalar]


class Builder:
    """One message being written, with the default delimiters and in UTF-8.

    *type* is MSH-9 (``DFT^P03^DFT_P03``); *sent* must have an offset; *sending* and *receiving* are
    (application, facility).
    """

    def __init__(
        self,
        *,
        type: str,  # noqa: A002
        control_id: str,
        sent: dt.datetime,
        sending: tuple[str, str] = ("", ""),
        receiving: tuple[str, str] = ("", ""),
        processing_id: str = "P",
        version: str = "2.5.1",
    ) -> None:
        code, event, structure = (*type.split("^"), "", "")[:3]
        self._segments: list[str] = []
        self.add(
            "MSH",
            {
                "3": sending[0],
                "4": sending[1],
                "5": receiving[0],
                "6": receiving[1],
                "7": sent,
                "9.1": code,
                "9.2": event,
                "9.3": structure,
                "10": control_id,
                "11": processing_id,
                "12": version,
                "18": "UNICODE UTF-8",
            },
        )

    def add(self, segment: str, values: Mapping[str, Content]) -> Builder:
        """Append *segment* with *values* at positions (``"3"``, ``"3.4"``, ``"3.4.2"``); return the builder.

        Raises :class:`BuildError` for a segment name, position or value that cannot be written.
        """
        fields: dict[int, _Field] = {}
        for position, content in values.items():
            number, component, subcomponent = _place(segment, position)
            field = fields.setdefault(number, {})
            if isinstance(content, _SCALARS) or not isinstance(content, Sequence):
                field[0, component, subcomponent] = _text(content, segment, position)
            else:
                for repetition, scalar in enumerate(content):
                    field[repetition, component, subcomponent] = _text(scalar, segment, position)
        written = {number: _field(field, f"{segment}-{number}") for number, field in fields.items()}
        first, start = _beginning(segment)
        last = max((number for number, text in written.items() if text), default=start - 1)
        parts = [written.get(number, "") for number in range(start, last + 1)]
        self._segments.append(DEFAULT.field.join((first, *parts)))
        return self

    def build(self) -> bytes:
        """The message: UTF-8, each segment ended by CR. Raises :class:`BuildError` for text that is not Unicode."""
        try:
            return "".join(f"{segment}\r" for segment in self._segments).encode("utf-8")
        except UnicodeEncodeError:
            raise BuildError("A text holds half of a character (a lone surrogate).", expected="Unicode text") from None


_Field = dict[tuple[int, int, int], str]
"""The texts of one field by (repetition from 0, component, sub-component); 0 stands for the whole."""


_SCALARS = (str, int, Decimal, dt.date, Null, type(None))


@lru_cache(maxsize=256)
def _beginning(segment: str) -> tuple[str, int]:
    """What *segment* begins with, and the first field behind that. Raises :class:`BuildError` for no segment name."""
    if not _SEGMENT.fullmatch(segment):
        raise BuildError(f'"{segment}" is not a segment name.', where=segment, expected="three capitals or digits")
    return (f"MSH{DEFAULT.field}{DEFAULT.encoding_characters}", 3) if segment == "MSH" else (segment, 1)


@lru_cache(maxsize=4096)
def _place(segment: str, position: str) -> tuple[int, int, int]:
    """Field, component and sub-component of *position*; 0 stands for the whole. Raises :class:`BuildError`."""
    found = _POSITION.fullmatch(position)
    if not found or (segment == "MSH" and int(found[1]) < 3):
        place = f"{segment}-{position}"
        raise BuildError(f'"{place}" cannot be written.', where=place, expected="3, 3.4 or 3.4.2")
    return int(found[1]), int(found[2] or 0), int(found[3] or 0)


def _field(field: _Field, place: str) -> str:
    """The field's repetitions, components and sub-components, put together."""
    if len(field) == 1 and (0, 0, 0) in field:
        return field[0, 0, 0]
    if all(component and not repetition and not subcomponent for repetition, component, subcomponent in field):
        parts = [""] * max(component for _, component, _ in field)
        for (_, component, _), text in field.items():
            parts[component - 1] = text
        return _joined(DEFAULT.component, parts)
    for repetition, component, subcomponent in field:
        whole_and_part = (component and (repetition, 0, 0) in field) or (
            subcomponent and (repetition, component, 0) in field
        )
        if whole_and_part:
            raise BuildError("This place is given both as a whole and in parts.", where=place)
    repetitions: list[list[list[str]]] = []
    for (repetition, component, subcomponent), text in field.items():
        components = _at(repetitions, repetition, list)
        subcomponents = _at(components, max(component - 1, 0), list)
        _at(subcomponents, max(subcomponent - 1, 0), str)
        subcomponents[max(subcomponent - 1, 0)] = text
    return _joined(
        DEFAULT.repetition,
        (
            _joined(DEFAULT.component, (_joined(DEFAULT.subcomponent, parts) for parts in components))
            for components in repetitions
        ),
    )


def _at(items: list[_T], index: int, empty: Callable[[], _T]) -> _T:
    """The item at *index*, after filling *items* up to it."""
    while len(items) <= index:
        items.append(empty())
    return items[index]


def _joined(separator: str, parts: Iterable[str]) -> str:
    """*parts* with *separator* between them and none after the last one that says something."""
    return separator.join(parts).rstrip(separator)


def _text(scalar: Scalar, segment: str, position: str) -> str:
    """*scalar* as HL7 writes it."""
    if isinstance(scalar, str):
        return escape(scalar) if scalar != _NULL_TEXT else _TWO_QUOTES
    place = f"{segment}-{position}"
    match scalar:
        case None:
            return ""
        case Null():
            return _NULL_TEXT
        case dt.datetime():
            if scalar.tzinfo is None:
                raise BuildError("This time has no offset.", where=place, expected="an aware datetime")
            return scalar.strftime("%Y%m%d%H%M%S%z")
        case dt.date():
            return scalar.strftime("%Y%m%d")
        case Decimal():
            if not scalar.is_finite():
                raise BuildError("This number cannot be written.", where=place, expected="a finite number")
            return f"{scalar:f}"
        case bool():
            raise BuildError("HL7 has no true and false.", where=place, expected='"Y" or "N"')
        case int():
            return str(scalar)
        case _:
            raise BuildError(
                "This value cannot be written.",
                where=place,
                expected="text, a number, a date, a time, NULL or None",
                found=type(scalar).__name__,
            )
