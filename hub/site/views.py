"""What a mapping sees of a message: an HL7 view that notes the line at hand, JSON events, FHIR resources, X12 files."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hub.core.errors import HubError, masked
from hub.core.reads import noted
from hub.formats.hl7v2.convert import CONVERTERS, ConversionError
from hub.formats.hl7v2.message import FieldMissing, Message, Segment
from hub.formats.hl7v2.path import PathError

_T = TypeVar("_T")
_STEP = re.compile(r"([A-Za-z_$][\w$-]*)|\[(\d+|\*)\]")


class EventError(HubError):
    """These bytes are not the JSON document that the channel's format promises."""

    code = "H225"


class Cursor:
    """Which line a mapping is at: the innermost loop over lines that is still running."""

    def __init__(self) -> None:
        self._places: list[str] = []

    @property
    def place(self) -> str:
        """The line's path (``FT1[2]``), or empty text between loops."""
        return self._places[-1] if self._places else ""

    def enter(self, place: str) -> None:
        """A loop has come to *place*."""
        self._places.append(place)

    def leave(self) -> None:
        """The loop goes on or ends."""
        self._places.pop()


class Lines(list[_T]):
    """Lines that tell the cursor where a loop over them stands. They leave it when the loop ends, breaks or raises."""

    def __init__(self, lines: list[_T], cursor: Cursor, place: Callable[[_T], str]) -> None:
        super().__init__(lines)
        self._cursor = cursor
        self._place = place

    def __iter__(self) -> Iterator[_T]:
        for line in super().__iter__():
            self._cursor.enter(self._place(line))
            try:
                yield line
            finally:
                self._cursor.leave()


def segment_place(segment: Segment) -> str:
    """``FT1[2]``."""
    return f"{segment.name}[{segment.ordinal}]"


class MappedMessage(Message):
    """An HL7 message whose loops over segments can be followed."""

    __slots__ = ("cursor",)

    def __init__(self, raw: bytes, zone: ZoneInfo | None = None, encoding: str | None = None) -> None:
        super().__init__(raw, encoding=encoding, zone=zone)
        self.cursor = Cursor()

    def each(self, name: str) -> list[Segment]:
        """The segments called *name*, in order; an empty list when there is none."""
        return Lines(super().each(name), self.cursor, segment_place)


class Event:
    """A view on a JSON document: a billing event, or a FHIR resource or Bundle.

    Paths are spelled ``result.lines[0].amount``; ``[*]`` means every item where a list of values is asked for.
    """

    def __init__(self, data: Any, place: str = "", cursor: Cursor | None = None) -> None:
        self.data = data
        self.place = place
        self.cursor = cursor or Cursor()
        self.received: dt.datetime | None = None
        """When the message came in, in the practice's zone. A mapping has no other time."""

    @classmethod
    def parse(cls, raw: bytes) -> Event:
        """The view on the JSON object *raw*, numbers kept exactly. Raises :class:`EventError`."""
        try:
            data = json.loads(raw, parse_float=Decimal)
        except ValueError as error:
            line = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its encoding"
            raise EventError("This message is not JSON.", where=line, expected="a JSON object in UTF-8") from None
        if not isinstance(data, dict):
            raise EventError("This message is not a JSON object.", expected="{", found=type(data).__name__)
        return cls(data)

    def __repr__(self) -> str:
        return f"<Event {self.place or self.kind}>"

    @property
    def kind(self) -> str:
        """What the document calls itself: ``event`` of billing's own, ``resourceType`` of FHIR."""
        return self["event"] or self["resourceType"]

    def __getitem__(self, path: str) -> str:
        """The text at *path*; ``""`` when it is absent."""
        return self.get(path)

    def get(self, path: str, default: str = "") -> str:
        """The text at *path*, numbers in plain notation; *default* when it is absent or no single value."""
        return next(iter(self.all(path)), default)

    def all(self, path: str) -> list[str]:
        """Every text at *path* that is present."""
        return [self._noted(text, path) for value in self._values(path) if (text := _text(value))]

    def flag(self, path: str) -> bool:
        """True when the value at *path* is ``true``."""
        return any(value is True for value in self._values(path))

    def required(self, path: str) -> str:
        """The text at *path*. Raises `FieldMissing` when it is absent."""
        text = self.get(path)
        if not text:
            raise FieldMissing(
                "This message lacks a value that the mapping requires.",
                where=self._where(path),
                expected="a value",
            )
        return text

    def each(self, path: str) -> list[Event]:
        """The objects of the list at *path*, in order."""
        items = [item for value in self._values(path) for item in (value if isinstance(value, list) else [value])]
        views = [
            Event(item, self._where(f"{path}[{number}]"), self.cursor)
            for number, item in enumerate(items)
            if isinstance(item, dict)
        ]
        return Lines(views, self.cursor, _place)

    def fields(self, table: Mapping[str, str]) -> dict[str, object]:
        """The values that *table* names, as an HL7 segment's: ``{"units": "quantity.value | number"}``.

        A path with ``[*]`` gives a list. The converters are those of HL7 field tables, except that dates are ISO
        8601. Raises `ConversionError` naming the place.
        """
        return {name: self._field(spec) for name, spec in table.items()}

    def resources(self, kind: str) -> list[Event]:
        """The FHIR resources of that type: the document itself, or the entries of a Bundle and of Bundles inside it."""
        found = [resource for resource in _unpacked(self.data) if resource.get("resourceType") == kind]
        views = [Event(resource, f"{kind}[{number}]", self.cursor) for number, resource in enumerate(found, 1)]
        return Lines(views, self.cursor, _place)

    def resource(self, kind: str) -> Event | None:
        """The first FHIR resource of that type."""
        return next(iter(list.__iter__(self.resources(kind))), None)

    def identifier(self, system: str, path: str = "identifier") -> str:
        """The value of the FHIR identifier of *system* among those at *path*; ``""`` when there is none."""
        return next((text for text in self._matching(path, system, "value")), "")

    def required_identifier(self, system: str, path: str = "identifier") -> str:
        """As :meth:`identifier`. Raises `FieldMissing` when there is none."""
        text = self.identifier(system, path)
        if not text:
            raise FieldMissing(
                "This resource lacks an identifier that the mapping requires.",
                where=self._where(path),
                expected=f"one of system {system}",
            )
        return text

    def focuses(self) -> list[str]:
        """The references that a FHIR notification is about (``Encounter/17``), in order.

        They stand in a Parameters resource in R4, in a SubscriptionStatus since R4B. Source: Subscriptions R5
        Backport guide.
        """
        parts = [
            part
            for status in list.__iter__(self.resources("Parameters"))
            for part in _flat(status._values("parameter.part"))
            if isinstance(part, dict) and part.get("name") == "focus"
        ]
        found = [text for part in parts for text in Event(part).all("valueReference.reference")]
        for status in list.__iter__(self.resources("SubscriptionStatus")):
            found += status.all("notificationEvent.focus.reference")
        return found

    def codes(self, path: str, system: str) -> list[str]:
        """Every code of *system* in the FHIR CodeableConcept (or concepts) at *path*, in order."""
        return [
            text
            for concept in _flat(self._values(path))
            if isinstance(concept, dict)
            for text in Event(concept)._matching("coding", system, "code")
        ]

    def _matching(self, path: str, system: str, part: str) -> list[str]:
        return [
            self._noted(_text(item.get(part)), path)
            for item in _flat(self._values(path))
            if isinstance(item, dict) and item.get("system") == system and _text(item.get(part))
        ]

    def _noted(self, read: _T, path: str) -> _T:
        noted(read, self._where(path))
        return read

    def _where(self, path: str) -> str:
        return f"{self.place}.{path}" if self.place else path

    def _values(self, path: str) -> list[Any]:
        """Every value at *path*; a list on the way that is not indexed is gone through."""
        values = [self.data]
        for name, index in _parsed(path):
            if name:
                values = [item[name] for item in _flat(values) if isinstance(item, dict) and name in item]
            elif index == "*":
                values = _flat(values)
            else:
                number = int(index)
                values = [item[number] for item in values if isinstance(item, list) and number < len(item)]
        return [value for value in values if value is not None]

    def _field(self, spec: str) -> object:
        path, *names = (part.strip() for part in spec.split("|"))
        unknown = next((name for name in names if name not in CONVERTERS), None)
        if unknown is not None:
            raise PathError(f'"{unknown}" is not a converter.', where=spec, expected=f"one of {', '.join(CONVERTERS)}")
        if "[*]" in path:
            return [self._noted(self._converted(text, names, path), path) for text in self.all(path)]
        text = self.get(path)
        if not text:
            return CONVERTERS[names[-1]].blank if names else ""
        return self._noted(self._converted(text, names, path), path)

    def _converted(self, text: str, names: list[str], path: str) -> object:
        result: object = text
        for name in names:
            try:
                convert = _ISO.get(name)
                result = convert(str(result)) if convert else CONVERTERS[name].convert(str(result), None)
            except ConversionError as error:
                error.where = self._where(path)
                raise
        return result


class X12File:
    """What a mapping may see of an X12 file: what is in it, from whom, for whom. Billing reads the rest."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.cursor = Cursor()

    def __repr__(self) -> str:
        return f"<X12File {' '.join(self.kinds)}, {len(self.raw)} bytes>"

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its transactions in order: ``("TA1", "999")``. Raises a `HubError` when it is not X12."""
        from hub.formats.x12.envelope import identify

        return identify(self.raw)

    @cached_property
    def _isa(self) -> Any:
        from hub.formats.x12.segments import read_segments

        return next(iter(read_segments(self.raw)))

    @property
    def sender(self) -> str:
        """ISA06."""
        return str(self._isa[6])

    @property
    def receiver(self) -> str:
        """ISA08."""
        return str(self._isa[8])

    @property
    def control_number(self) -> str:
        """ISA13."""
        return str(self._isa[13])

    @property
    def usage(self) -> str:
        """ISA15: ``T`` for test, ``P`` for production."""
        return str(self._isa[15])


View = MappedMessage | Event | X12File


def _place(event: Event) -> str:
    return event.place


def _parsed(path: str) -> list[tuple[str, str]]:
    steps = [(found[1] or "", found[2] or "") for found in _STEP.finditer(path)]
    spelled = "".join(f".{name}" if name else f"[{index}]" for name, index in steps).removeprefix(".")
    if spelled != path:
        raise PathError(f'"{path}" is not a path.', where=path, expected="a path such as lines[0].amount")
    return steps


def _flat(values: list[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    match value:
        case bool() | None | dict() | list():
            return ""
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _unpacked(resource: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(resource, dict):
        return
    if resource.get("resourceType") != "Bundle":
        yield resource
        return
    for entry in resource.get("entry") or ():
        yield from _unpacked(entry.get("resource") if isinstance(entry, dict) else None)


def _iso_date(text: str) -> dt.date:
    """The day of a FHIR date or dateTime, as it was written: a service date is never moved to another zone."""
    try:
        return dt.date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise ConversionError("This is not a date.", expected="YYYY-MM-DD", found=masked(text)) from None


def _iso_datetime(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConversionError("This is not a time.", expected="ISO 8601 with an offset", found=masked(text)) from None
    return moment


_ISO: dict[str, Callable[[str], object]] = {"date": _iso_date, "datetime": _iso_datetime}
