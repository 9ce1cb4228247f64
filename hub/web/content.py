"""Stored bytes as a page shows them: raw lines, or parsed (HL7 fields with names, X12 by loop, JSON)."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hub.core.errors import HubError
from hub.formats.hl7v2 import structures
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.names import tree
from hub.formats.x12.outline import outline_837
from hub.formats.x12.segments import read_segments
from hub.web.claim_part import rows_of_claim
from hub.web.masking import Piece, X12Masks, hl7_field_is_masked, hl7_pieces, json_lines
from hub.web.words import SEGMENT_WORDS

_SHOWN_LINES = 2000


@dataclass(frozen=True, slots=True)
class RawView:
    """Content line by line.

    *form* says what it is, *unit* what one line is; *cut* that there is more than a page takes.
    """

    form: str
    unit: str
    lines: tuple[tuple[Piece, ...], ...]
    size: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """One row of a parsed view. *level* 0 opens a segment or a loop; *hint* says more of the place."""

    level: int
    path: str
    name: str
    value: tuple[Piece, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ParsedView:
    """Parsed content, or *problem*: why it cannot be read, in words."""

    caption: str
    columns: tuple[str, str, str]
    rows: tuple[ParsedRow, ...] = ()
    problem: str = ""
    cut: bool = False


def form_of(body: bytes) -> str:
    """What *body* is by its first bytes: ``HL7``, ``X12``, ``JSON`` or ``bytes``."""
    head = body.lstrip(b"\xef\xbb\xbf \r\n\t")[:4]
    if head[:3] in {b"MSH", b"FHS", b"BHS"}:
        return "HL7"
    if head[:3] == b"ISA":
        return "X12"
    return "JSON" if head[:1] in {b"{", b"["} else "bytes"


def raw_view(body: bytes) -> RawView:
    """*body* as it came, its patient data marked. What is not understood is marked whole."""
    form = form_of(body)
    try:
        if form == "HL7":
            text = body.decode("utf-8", "replace").replace("\r\n", "\r").replace("\n", "\r")
            separator = text[text.index("MSH") + 3] if "MSH" in text else "|"
            lines = [tuple(hl7_pieces(line, separator)) for line in text.split("\r") if line]
            return _limited(form, "segments", lines, len(body))
        if form == "X12":
            masks = X12Masks()
            lines = [(*masks.pieces(segment), Piece(segment.delimiters.segment)) for segment in read_segments(body)]
            return _limited(form, "segments", lines, len(body))
        if form == "JSON":
            return _limited(form, "lines", [tuple(line) for line in json_lines(json.loads(body))], len(body))
    except (HubError, ValueError, IndexError):
        pass  # shown below as what it is: bytes nobody could read
    text = body.decode("utf-8", "replace")
    return _limited("bytes", "lines", [(Piece(line, "line"),) for line in text.splitlines()], len(body))


def parsed_view(body: bytes, claim: str = "") -> ParsedView:
    """*body* with the names of its parts; of an 837, when *claim* is given, only what is about that claim."""
    form = form_of(body)
    try:
        if form == "HL7":
            return _hl7(body)
        if form == "X12":
            return _x12(body, claim)
        if form == "JSON":
            rows = tuple(
                ParsedRow(1, str(number), "", tuple(line))
                for number, line in enumerate(json_lines(json.loads(body)), 1)
            )
            return ParsedView("The JSON, indented.", ("Line", "", "Value"), rows[:_SHOWN_LINES])
    except HubError as error:
        return ParsedView("", ("", "", ""), problem=f"{error.what} {error.where}".strip())
    except (ValueError, IndexError):
        pass
    return ParsedView("", ("", "", ""), problem="This content has no form that the hub can take apart.")


def mapped_rows(body: bytes) -> list[dict[str, Any]]:
    """What the mapping scripts made: values, each with type, path, step, script and fields."""
    values = json.loads(body)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def values_as_json(body: bytes) -> bytes:
    """Billing values, stored as pairs of type and fields, as objects, so that their keys say what is masked."""
    if body[:3] != b'[["':
        return body
    return json.dumps([{str(kind): _with_origins(plain)} for kind, plain in json.loads(body)]).encode()


def _with_origins(value: Any) -> Any:
    """*value* with the places it comes from as a line each, where they are kept as pairs."""
    if not isinstance(value, dict) or not isinstance(value.get("origins"), list):
        return value
    pairs = [pair for pair in value["origins"] if isinstance(pair, list) and len(pair) == 2]
    return value | {"origins": [f"{name}: {place}" for name, place in pairs]}


def _limited(form: str, unit: str, lines: list[tuple[Piece, ...]], size: int) -> RawView:
    return RawView(form, unit, tuple(lines[:_SHOWN_LINES]), size, cut=len(lines) > _SHOWN_LINES)


_PLACE = re.compile(r"(\w{3})\[(\d+)\]-(\d+)(?:\[(\d+)\])?(.*)")


def _hl7(body: bytes) -> ParsedView:
    message = Message(body)
    rows: list[ParsedRow] = []
    times = Counter(segment.name for segment in message.segments)

    def short(path: str, repetitions: int) -> str:
        """The path as a mapping writes it: numbers only where there are several."""
        found = _PLACE.fullmatch(path)
        if found is None:
            return path
        segment, ordinal, field, repetition, rest = found.groups()
        which = f"[{ordinal}]" if times[segment] > 1 else ""
        return f"{segment}{which}-{field}{f'[{repetition}]' if repetition and repetitions > 1 else ''}{rest}"

    for segment in tree(message):
        which = f" {segment.ordinal}" if times[segment.segment] > 1 else ""
        rows.append(ParsedRow(0, f"{segment.segment}{which}", segment.name, ()))
        for field in segment.fields:
            what = field.name or field.path if hl7_field_is_masked(segment.segment, field.position) else ""
            several = len(field.repetitions)
            definition = structures.field(segment.segment, field.position, message.version)
            hint = _hint(definition, segment.name) if definition else "not in the standard: the sender's own"
            leaves = [leaf for repetition in field.repetitions for leaf in repetition]
            if len(leaves) == 1:
                only = leaves[0]
                shown, place = only.text or '""', short(only.path, several)
                name = field.name if "." not in place or place.endswith(".1") else f"{field.name}, {only.name}"
                rows.append(ParsedRow(1, place, name, (Piece(shown, what),), hint))
                continue
            rows.append(ParsedRow(1, short(field.path, several), field.name, (), hint))
            rows.extend(
                ParsedRow(2, short(leaf.path, several), leaf.name, (Piece(leaf.text or '""', what),), hint)
                for leaf in leaves
            )
    caption = (
        f"{len(message.segments)} segments, HL7 {message.version or 'without a version'}. Empty fields are left out."
    )
    return ParsedView(caption, ("Path", "Name", "Value"), tuple(rows[:_SHOWN_LINES]), cut=len(rows) > _SHOWN_LINES)


def _hint(definition: structures.Element, segment: str) -> str:
    parts = [f"{segment or 'Segment'}, {definition.title}: type {definition.datatype}"]
    parts += ["may repeat"] * definition.repeats + ["withdrawn in this version"] * definition.withdrawn
    return ", ".join(parts)


def _x12(body: bytes, claim: str) -> ParsedView:
    segments = list(read_segments(body))
    named = any(s.id == "ST" and s[1] == "837" for s in segments)
    outline = outline_837(body) if named else []
    wanted = rows_of_claim(segments, outline, claim) if claim and named else frozenset(range(len(segments)))
    if claim and not (named and wanted):
        return ParsedView("", ("", "", ""), problem="The batch that is kept does not hold this claim.")
    masks, rows, group = X12Masks(), [], ""
    for number, segment in enumerate(segments):
        pieces = (*masks.pieces(segment), Piece(segment.delimiters.segment))
        if number not in wanted:
            continue
        loop, name, opens = segment.id, SEGMENT_WORDS.get(segment.id, ""), False
        if named:
            row = outline[number]
            loop, name, opens = row.loop or segment.id, row.name, row.opens
            opens = opens or loop != group
            group = loop
        rows.append(
            ParsedRow(0 if opens else 1, loop if opens or not named else "", name if opens or not named else "", pieces)
        )
    counted = f"{len(rows)} of the batch's {len(segments)} segments" if claim else f"{len(segments)} segments"
    return ParsedView(
        f"{counted}{', by loop' if named else ''}.",
        ("Loop" if named else "Segment", "Part", "As sent"),
        tuple(rows[:_SHOWN_LINES]),
        cut=len(rows) > _SHOWN_LINES,
    )
