"""A view on one HL7 v2 message: positional, lazy, the same for every version, and never lossy.

The bytes are the truth (``Message.raw``); everything else is split from them when asked for. Nothing here
knows which fields a version defines, so a sender may fill any field of any segment and it can be read.

An empty value and HL7's null (``""`` on the wire, which means "delete what you have") both read as ``""``;
:meth:`Message.value` tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from hub.core.errors import HubError
from hub.core.reads import is_recording, noted
from hub.formats.hl7v2.convert import CONVERTERS, ConversionError, Converter
from hub.formats.hl7v2.escape import Delimiters, unescape
from hub.formats.hl7v2.header import Header, content, decode, narrow, read_header
from hub.formats.hl7v2.path import ALL, Match, Path, PathError, parse_path

T = TypeVar("T")
State = Literal["absent", "empty", "null", "present"]
NULL_ON_THE_WIRE = '""'
_DELIMITER_SEGMENTS = frozenset({"MSH", "FHS", "BHS"})
_FIRST = (None, 1)
_NO_SEGMENT = re.compile(r"\r(?![A-Z][A-Z0-9]{2}\|)")
"""A line that does not begin as nearly all do."""


class FieldMissing(HubError):  # noqa: N818  (reads as a sentence: field missing at PID-18.1)
    """A value that the mapping requires is absent, empty or null."""

    code = "H222"


@dataclass(frozen=True, slots=True)
class Value:
    """What stands at one place.

    *path* is canonical (``PID[1]-3[2].1``), *text* is ``""`` unless *state* is ``present``.
    """

    state: State
    text: str
    path: str


class Segment:
    """One segment of a message.

    Paths given to it begin with its own name and mean this very line: ``line["FT1-6"]``.
    """

    __slots__ = ("_delimiters", "_fields", "_message", "index", "name", "ordinal", "text")

    def __init__(self, message: Message, text: str, name: str, ordinal: int, index: int) -> None:
        self._message = message
        self._delimiters = message.header.delimiters
        self._fields: list[str] | None = None
        self.text = text
        """The segment as decoded text, delimiters and escapes untouched."""
        self.name = name
        self.ordinal = ordinal
        """1 for the first segment of this name in the message."""
        self.index = index
        """0 for the first segment of the message."""

    def __repr__(self) -> str:
        return f"<Segment {self.name}[{self.ordinal}]>"

    def __getitem__(self, path: str) -> str:
        """The text at *path*; ``""`` when it is absent, empty or null."""
        return self.get(path) or ""

    def get(self, path: str) -> str | None:
        """The decoded text at *path*; ``None`` when absent, ``""`` when empty or null."""
        return self._text(self._own(path))

    def value(self, path: str) -> Value:
        """The value at *path* with its state and canonical path; the first one when *path* means several."""
        return self._first(self._own(path))

    def all(self, path: str) -> list[str]:
        """Every text that is present at *path*: what it leaves open (the repetition) means every one."""
        return [value.text for value in self._every(self._own(path)) if value.state == "present"]

    def required(self, path: str) -> str:
        """The text at *path*. Raises :class:`FieldMissing` when it is absent, empty or null."""
        return _required(self.value(path))

    def identifier(self, path: str, *, type: str, authority: str | None = None) -> str | None:  # noqa: A002
        """The first CX identifier in field *path* of this *type* (component 5).

        An *authority* is compared with component 4 and each of its parts. ``None`` when there is none.
        """
        return self._identifier(self._own(path), type, authority)

    def fields(self, table: Mapping[str, str]) -> dict[str, Any]:
        """The values that *table* names, converted.

        *table* maps a name to ``path`` or ``path | converter | ...`` (see
        :data:`hub.formats.hl7v2.convert.CONVERTERS`). A path with ``*`` gives a list of what is present. What
        is absent, empty or null gives ``""``, or ``None`` for converters that do not give text. Raises
        :class:`ConversionError` naming the place, and :class:`PathError` for a typo.
        """
        return {key: self._field(spec) for key, spec in table.items()}

    def following(self, name: str, *, until: str | Collection[str] = ()) -> list[Segment]:
        """The segments called *name* after this one, up to the next of its own name or one named in *until*.

        ``line.following("PR1")`` gives the procedures under an FT1, ``line.following("NTE", until="PR1")`` the
        notes before them.
        """
        stops = {self.name, *([until] if isinstance(until, str) else until)}
        segments = self._message.segments
        found = []
        for index in range(self.index + 1, len(segments)):
            if segments[index].name in stops:
                break
            if segments[index].name == name:
                found.append(segments[index])
        return found

    def repetitions(self, field: int) -> list[str]:
        """The repetitions of *field* as they are written (escapes not decoded).

        Empty when the segment ends before it.
        """
        fields = self._fields or self._split()
        if field >= len(fields):
            return []
        text = fields[field]
        separator = self._delimiters.repetition
        if separator not in text or self._is_delimiter_field(field):
            return [text]
        return text.split(separator)

    @property
    def path(self) -> str:
        """Where in the message this segment is: ``FT1[2]``."""
        return f"{self.name}[{self.ordinal}]"

    @property
    def last_field(self) -> int:
        """The position of the last field that the segment writes."""
        return len(self._split()) - 1

    def _own(self, text: str) -> Path:
        path = parse_path(text)
        if path.segment != self.name or path.ordinal not in {None, self.ordinal}:
            raise PathError(
                f'"{text}" asks the segment {self.name}[{self.ordinal}] for something outside it.',
                where=text,
                expected=f"a path that begins with {self.name}-",
                fix="Ask the message instead.",
            )
        return path

    def _split(self) -> list[str]:
        if self._fields is None:
            separator = self._delimiters.field
            self._fields = self.text.split(separator)
            if self.name in _DELIMITER_SEGMENTS:
                self._fields.insert(1, separator)
        return self._fields

    def _is_delimiter_field(self, field: int) -> bool:
        return field <= 2 and self.name in _DELIMITER_SEGMENTS

    def _text(self, path: Path) -> str | None:
        """The first text at *path*, without its place: the cheap way, because mappings ask it most."""
        written, number = self._written(path)
        if written is None:
            return None
        text = "" if written == NULL_ON_THE_WIRE else unescape(written, self._delimiters)
        return self._noted(text, path, number)

    def _noted(self, read: T, path: Path, number: int) -> T:
        """*read*, noted with its place while somebody records what is read."""
        if is_recording():
            noted(read, path.at(self.ordinal, number))
        return read

    def _first(self, path: Path) -> Value:
        written, number = self._written(path)
        return self._value(path, written, number)

    def _written(self, path: Path) -> tuple[str | None, int]:
        """The first value at *path* as it is written (``None`` when absent) and its repetition."""
        if path.repetition in _FIRST and self.name not in _DELIMITER_SEGMENTS:
            # What mappings ask most, without the list that the general case makes.
            fields = self._fields or self._split()
            if path.field >= len(fields):
                return None, 1
            first = fields[path.field].partition(self._delimiters.repetition)[0]
            return (first if path.component is None else self._part(first, path.component, path.subcomponent)), 1
        repetitions = self.repetitions(path.field)
        wanted = path.repetition
        number = self._matching(repetitions, wanted) if isinstance(wanted, Match) else wanted or 1
        if not 0 < number <= len(repetitions):
            return None, number
        return self._part_of(path, repetitions[number - 1]), number

    def _every(self, path: Path) -> list[Value]:
        """The values at *path*, where a repetition that is left open or ``*`` means every one."""
        if path.repetition:
            return [self._first(path)]
        return [
            self._value(path, self._part_of(path, repetition), number)
            for number, repetition in enumerate(self.repetitions(path.field), 1)
        ]

    def _value(self, path: Path, written: str | None, number: int) -> Value:
        place = path.at(self.ordinal, number)
        if written is None:
            return Value("absent", "", place)
        if written == NULL_ON_THE_WIRE:
            return Value("null", "", place)
        if not written:
            return Value("empty", "", place)
        text = unescape(written, self._delimiters)
        noted(text, place)
        return Value("present", text, place)

    def _part_of(self, path: Path, repetition: str) -> str | None:
        if path.component and self._is_delimiter_field(path.field):
            return None
        return self._part(repetition, path.component, path.subcomponent)

    def _part(self, text: str, component: int | None, subcomponent: int | None) -> str | None:
        """A component or sub-component of *text* as written; a null field is null in all its parts."""
        if component is None or text == NULL_ON_THE_WIRE:
            return text
        delimiters = self._delimiters
        part = _nth(text, delimiters.component, component)
        if subcomponent is None or part is None or part == NULL_ON_THE_WIRE:
            return part
        return _nth(part, delimiters.subcomponent, subcomponent)

    def _matching(self, repetitions: list[str], wanted: Match) -> int:
        for number, repetition in enumerate(repetitions, 1):
            part = self._part(repetition, wanted.component, wanted.subcomponent)
            if part is not None and unescape(part, self._delimiters) == wanted.value:
                return number
        return 0

    def _identifier(self, path: Path, kind: str, authority: str | None) -> str | None:
        delimiters = self._delimiters
        for place, repetition in enumerate(self.repetitions(path.field), 1):
            number, _, _, by, of_type = (*repetition.split(delimiters.component, 5)[:5], "", "", "", "")[:5]
            if number in {"", NULL_ON_THE_WIRE} or unescape(of_type, delimiters) != kind:
                continue
            parts = by.split(delimiters.subcomponent) if delimiters.subcomponent else []
            if authority is None or authority in {unescape(name, delimiters) for name in (by, *parts)}:
                return self._noted(unescape(number, delimiters), path, place)
        return None

    def _field(self, spec: str) -> object:
        path, converters = _compiled(spec)
        own = self._own(path)
        return self._converted_all(own, converters) if own.is_list else self._converted(own, converters)

    def _converted(self, path: Path, converters: tuple[Converter, ...]) -> object:
        """The first value at *path*, converted; the blank of its kind when none is present."""
        written, number = self._written(path)
        if not written or written == NULL_ON_THE_WIRE:
            return converters[-1].blank if converters else ""
        text = unescape(written, self._delimiters)
        return self._noted(self._convert(text, path, number, converters) if converters else text, path, number)

    def _converted_all(self, path: Path, converters: tuple[Converter, ...]) -> list[object]:
        """What is present at *path*, converted; of every repetition where it says ``*``."""
        if path.repetition == ALL:
            found = [(value.text, number) for number, value in enumerate(self._every(path), 1) if value.text]
        else:
            written, number = self._written(path)
            present = written and written != NULL_ON_THE_WIRE
            found = [(unescape(written, self._delimiters), number)] if written and present else []
        return [self._noted(self._convert(text, path, number, converters), path, number) for text, number in found]

    def _convert(self, text: str, path: Path, number: int, converters: tuple[Converter, ...]) -> object:
        result: object = text
        for converter in converters:
            try:
                result = converter.convert(str(result), self._message.zone)
            except ConversionError as error:
                error.where = path.at(self.ordinal, number)
                raise
        return result


class Message:
    """One HL7 v2 message, read where it is asked.

    *encoding* is a Python codec that overrides MSH-18, for senders that declare it wrongly or not at all.
    *zone* is the source's time zone, for times without an offset. Raises
    :class:`hub.formats.hl7v2.header.HL7ParseError` when MSH cannot be read; nothing after MSH can make it
    fail.
    """

    __slots__ = ("_by_name", "_lines", "_places", "_segments", "encoding", "header", "raw", "zone")

    def __init__(self, raw: bytes, encoding: str | None = None, zone: ZoneInfo | None = None) -> None:
        self.raw = raw
        self.header: Header = read_header(raw)
        self.encoding = encoding
        self.zone = zone
        self._lines: list[str] | None = None
        self._places: dict[str, list[int]] = {}
        """Where the lines of each name stand."""
        self._by_name: dict[str, list[Segment]] = {}
        """The segments that were asked for: most mappings look at few."""
        self._segments: list[Segment] | None = None

    def __repr__(self) -> str:
        return f"<Message {self.type} {self.version}, {len(self.raw)} bytes>"

    def __getitem__(self, path: str) -> str:
        """The text at *path*; ``""`` when it is absent, empty or null."""
        return self.get(path) or ""

    @property
    def delimiters(self) -> Delimiters:
        """The separators that MSH declares."""
        return self.header.delimiters

    @property
    def type(self) -> str:
        """``ADT^A04``, from MSH-9."""
        return self.header.type

    @property
    def structure(self) -> str:
        """MSH-9.3, such as ``ADT_A01``; often empty before version 2.3.1."""
        return self.header.structure

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self.header.control_id

    @property
    def sending_application(self) -> str:
        """MSH-3.1."""
        return self.header.sending_application

    @property
    def sending_facility(self) -> str:
        """MSH-4.1."""
        return self.header.sending_facility

    @property
    def version(self) -> str:
        """MSH-12.1, normalised: ``2.5.1``."""
        return self.header.version

    @property
    def processing_id(self) -> str:
        """MSH-11.1: ``P``, ``T`` or ``D``."""
        return self.header.processing_id

    @property
    def accept_ack(self) -> str:
        """MSH-15: when the sender wants a commit acknowledgement (table 0155)."""
        return self.header.accept_ack

    @property
    def application_ack(self) -> str:
        """MSH-16: when the sender wants an application acknowledgement (table 0155)."""
        return self.header.application_ack

    @property
    def segments(self) -> list[Segment]:
        """Every segment in order."""
        if self._segments is None:
            lines = self._read_lines()
            called = {name: iter(self._called(name)) for name in self._places}
            self._segments = [next(called[line[:3].upper()]) for line in lines]
        return self._segments

    def each(self, name: str) -> list[Segment]:
        """The segments called *name*, in order; an empty list when there is none."""
        return list(self._called(name))

    def get(self, path: str) -> str | None:
        """The decoded text of the first value at *path*; ``None`` when absent, ``""`` when empty or null.

        A path to a whole field or component gives its text with the separators inside it as they are on the
        wire, escapes decoded; name the part (``PID-5.1.1``) where the text may contain a separator itself.
        """
        parsed = parse_path(path)
        segments = self._named(parsed, every=False)
        return segments[0]._text(parsed) if segments else None

    def value(self, path: str) -> Value:
        """The first value at *path*, with its state and canonical path."""
        parsed = parse_path(path)
        segments = self._named(parsed, every=False)
        if segments:
            return segments[0]._first(parsed)
        number = parsed.repetition if isinstance(parsed.repetition, int) else 0
        return Value("absent", "", parsed.at(parsed.ordinal or 1, number))

    def all(self, path: str) -> list[str]:
        """Every text that is present at *path*.

        What *path* leaves open means every one: ``FT1-26.1`` is ``FT1[*]-26[*].1``.
        """
        parsed = parse_path(path)
        segments = self._named(parsed, every=parsed.ordinal is None)
        return [value.text for segment in segments for value in segment._every(parsed) if value.state == "present"]

    def required(self, path: str) -> str:
        """The text at *path*. Raises :class:`FieldMissing` when it is absent, empty or null."""
        return _required(self.value(path))

    def identifier(self, path: str, *, type: str, authority: str | None = None) -> str | None:  # noqa: A002
        """The first CX identifier of this *type* (and *authority*) in field *path*.

        For example ``identifier("PID-3", type="MR")``.
        """
        parsed = parse_path(path)
        for segment in self._named(parsed, every=False):
            return segment._identifier(parsed, type, authority)
        return None

    def fields(self, table: Mapping[str, str]) -> dict[str, Any]:
        """As :meth:`Segment.fields`, each path read in the first segment that it names."""
        return {key: self._field(spec) for key, spec in table.items()}

    def _field(self, spec: str) -> object:
        path, converters = _compiled(spec)
        parsed = parse_path(path)
        segments = self._named(parsed, every=False)
        if parsed.is_list:
            return [value for segment in segments for value in segment._converted_all(parsed, converters)]
        if not segments:
            return converters[-1].blank if converters else ""
        return segments[0]._converted(parsed, converters)

    def _named(self, path: Path, *, every: bool) -> list[Segment]:
        """The segments that *path* means.

        One, unless it says ``*`` (or *every* fills in what it leaves open).
        """
        segments = self._called(path.segment)
        if every or path.ordinal == ALL:
            return segments
        number = path.ordinal or 1
        return segments[number - 1 : number]

    def _called(self, name: str) -> list[Segment]:
        found = self._by_name.get(name)
        if found is None:
            lines = self._lines or self._read_lines()
            places = self._places.get(name, ())
            found = [Segment(self, lines[index], name, number, index) for number, index in enumerate(places, 1)]
            self._by_name[name] = found
        return found

    def _read_lines(self) -> list[str]:
        if self._lines is None:
            raw, wide, _ = narrow(self.raw)
            text = decode(content(raw), self.header.character_set, "utf-8" if wide else self.encoding)
            self._lines = _lines(text, self.header.delimiters.field)
            for index, line in enumerate(self._lines):
                self._places.setdefault(line[:3].upper(), []).append(index)
        return self._lines


def _lines(text: str, separator: str) -> list[str]:
    """The segments of *text*, whose ends may be CR, LF or CRLF.

    A line that does not begin as a segment does (three letters or digits and the separator) is a line break
    inside the segment before it, which some senders leave unescaped; it stays part of that segment. So does what
    an ADD segment holds, without a break: it continues the segment before it (HL7 v2.5.1, section 2.10.2).
    """
    if separator == "|" and "\n" not in text and not _NO_SEGMENT.search(text) and "\rADD|" not in text:
        return text.split("\r")
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines: list[list[str]] = []
    for line in text.split("\r"):
        if line[3:4] in {separator, ""} and len(line) >= 3 and line[:3].isalnum() and line[0].isalpha():
            if lines and line[:3] == "ADD":
                lines[-1].append(line[4:])
            else:
                lines.append([line])
        elif lines and line.strip():
            lines[-1] += ("\n", line)
    return ["".join(parts) for parts in lines]


def _nth(text: str, separator: str, number: int) -> str | None:
    """Part *number* of *text*; ``None`` when there are fewer."""
    if not separator:
        return text if number == 1 else None
    parts = text.split(separator, number)
    return parts[number - 1] if number <= len(parts) else None


def _required(value: Value) -> str:
    if value.state != "present":
        raise FieldMissing(
            "This message lacks a value that the mapping requires.",
            where=value.path,
            expected="a value",
            found=value.state,
        )
    return value.text


@lru_cache(maxsize=4096)
def _compiled(spec: str) -> tuple[str, tuple[Converter, ...]]:
    """A field table's entry as its path and its converters."""
    path, *names = (part.strip() for part in spec.split("|"))
    unknown = next((name for name in names if name not in CONVERTERS), None)
    if unknown is not None:
        raise PathError(f'"{unknown}" is not a converter.', where=spec, expected=f"one of {', '.join(CONVERTERS)}")
    return path, tuple(CONVERTERS[name] for name in names)
