"""What the standard says about a message, and about a path in a mapping.

For workers and the command line: it is slow.

hl7apy judges each segment by itself, so that one it cannot read does not hide the others; whether the
segments belong together is read from its structure tables.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from dataclasses import dataclass
from typing import Literal

from hub.core.errors import HubError, masked
from hub.formats.hl7v2 import structures
from hub.formats.hl7v2.message import Message, Segment
from hub.formats.hl7v2.path import Match, Path, PathError, parse_path

Severity = Literal["error", "warning"]

_SHARED_STRUCTURES = {
    **dict.fromkeys(("A04", "A08", "A13"), "ADT_A01"),
    **dict.fromkeys(("A14", "A28", "A31"), "ADT_A05"),
    **dict.fromkeys(("A07",), "ADT_A06"),
    **dict.fromkeys(("A10", "A11", "A12"), "ADT_A09"),
    **dict.fromkeys(("A23", "A25", "A26", "A27", "A29", "A32", "A33"), "ADT_A21"),
    **dict.fromkeys(("A34", "A35", "A36"), "ADT_A30"),
    **dict.fromkeys(("A40", "A41", "A42"), "ADT_A39"),
    **dict.fromkeys((f"S{number}" for number in (*range(13, 25), 26)), "SIU_S12"),
}
"""The structures of events that share another event's (HL7 table 0354), where MSH-9.3 is empty."""

_REPORTED: tuple[tuple[re.Pattern[str], Severity, str], ...] = (
    (re.compile(r"Missing required child (?P<at>\S+)"), "error", "A required value is missing."),
    (re.compile(r"Child limit exceeded (?P<at>\S+)"), "error", "This place may not repeat."),
    (
        re.compile(r"Value (?P<found>.*) not in table (?P<table>\S+) in element (?P<at>\S+)", re.DOTALL),
        "warning",
        "This value is not in the standard's table {table}.",
    ),
    (
        re.compile(r"Exceeded max length \((?P<limit>\d+)\) of (?P<at>\S+)"),
        "warning",
        "This value is longer than {limit} characters.",
    ),
    (
        re.compile(r"Datatype \S+ is not correct for (?P<at>\S+) \(it must be (?P<type>(?!None)\S+)\)"),
        "error",
        "This value is not of the datatype {type}.",
    ),
    (
        re.compile(r"Invalid children detected for <\w+ (?P<at>\w+)"),
        "warning",
        "There are more parts here than the version has.",
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the standard would have otherwise. *where* is a path or a segment; *found* is masked."""

    severity: Severity
    where: str
    what: str
    found: str = ""
    suggestion: str = ""


def conformance(raw: bytes) -> list[Finding]:
    """What in *raw* departs from the version it claims, errors and warnings in message order. Never raises.

    Line ends, missing MSH-9.3 and odd versions are tolerated; Z segments are not judged.
    """
    try:
        message = Message(raw)
    except HubError as error:
        return [Finding("error", error.where, error.what, error.found)]
    findings = _together(message)
    for segment in message.segments:
        findings += _segment_findings(message, segment)
    return findings


def check_path(path: str, version: str = structures.USUAL_VERSION) -> Finding | None:
    """What is wrong with *path* in a mapping for messages of *version*; ``None`` when nothing is.

    A warning where it may be right all the same: site-defined segments, and fields that only another version
    has (senders fill them early). An error where no version has the place.
    """
    try:
        parsed = parse_path(path)
    except PathError as error:
        return Finding("error", path, error.what, suggestion=error.fix)
    if parsed.segment.startswith("Z"):
        return Finding("warning", path, f"{parsed.segment} is site-defined; the standard cannot check it.")
    definition = structures.field(parsed.segment, parsed.field, version)
    if definition is None:
        return _no_field(parsed, path, version)
    return _part_finding(parsed, path, definition) or _other_version(parsed, path, version, definition)


def _no_field(parsed: Path, path: str, version: str) -> Finding:
    positions = structures.positions(parsed.segment, version)
    if positions:
        return Finding("error", path, f"{parsed.segment} has no field {parsed.field}; its last is {max(positions)}.")
    names = sorted(structures.segments(version))
    swapped = [name for name in names if sorted(name) == sorted(parsed.segment)]
    close = swapped or difflib.get_close_matches(parsed.segment, names, 1, 0.6)
    suggestion = path.replace(parsed.segment, close[0], 1) if close else ""
    return Finding(
        "error",
        path,
        f"The standard has no segment {parsed.segment}.",
        suggestion=f'Did you mean "{suggestion}"?' if suggestion else "",
    )


def _part_finding(parsed: Path, path: str, definition: structures.Element) -> Finding | None:
    if definition.is_open:
        return None
    place = f"{parsed.segment}-{parsed.field}"
    match parsed.repetition:
        case Match(component=5, subcomponent=None, value=value) if definition.datatype in {"XPN", "XAD"}:
            return Finding(
                "error",
                path,
                f"{place} is {definition.datatype}: its type is component 7.",
                suggestion=f'Did you mean "{place}[.7={value}]"?',
            )
        case Match(component=component) if component > max(definition.parts, default=1):
            return Finding("error", path, f"{place} is {definition.datatype}: it has no component {component}.")
    if parsed.component is None:
        return None
    part = definition.parts.get(parsed.component)
    if part is None:
        if parsed.component == 1:
            return None
        return Finding("error", path, f"{place} is {definition.datatype}: it has no component {parsed.component}.")
    if parsed.subcomponent and parsed.subcomponent > max(part.parts, default=1):
        return Finding(
            "error",
            path,
            f"{place}.{parsed.component} is {part.datatype}: it has no sub-component {parsed.subcomponent}.",
        )
    return None


def _other_version(parsed: Path, path: str, version: str, definition: structures.Element) -> Finding | None:
    if definition.version == structures.nearest_version(version):
        return None
    return Finding(
        "warning",
        path,
        f"{parsed.segment}-{parsed.field} is not in version {version}; version {definition.version} has it.",
    )


def _together(message: Message) -> list[Finding]:
    """Whether the segments are those that the message's structure wants."""
    members = structures.structure(message.structure, message.version) or structures.structure(
        _SHARED_STRUCTURES.get(message.header.event, message.type.replace("^", "_")), message.version
    )
    if not members:
        return [Finding("warning", "MSH-9", f"Version {message.version or '?'} has no structure for this message.")]
    allowed = {member.segment for member in members}
    single = {member.segment for member in members if member.single}
    single -= {member.segment for member in members if not member.single}
    findings = [
        Finding("error", member.segment, f"The structure requires the segment {member.segment}.")
        for member in members
        if member.required and not message.each(member.segment)
    ]
    for segment in message.segments:
        place = f"{segment.name}[{segment.ordinal}]"
        if segment.name not in allowed and not segment.name.startswith("Z"):
            findings.append(Finding("warning", place, f"The structure has no segment {segment.name}."))
        elif segment.name in single and segment.ordinal > 1:
            findings.append(Finding("error", place, f"The structure has one segment {segment.name}."))
    return findings


def _segment_findings(message: Message, segment: Segment) -> list[Finding]:
    version = structures.nearest_version(message.version)
    place = f"{segment.name}[{segment.ordinal}]"
    if segment.name.startswith("Z") or segment.name not in structures.segments(version):
        return []
    delimiters = message.delimiters
    characters = {
        "FIELD": delimiters.field,
        "COMPONENT": delimiters.component,
        "SUBCOMPONENT": delimiters.subcomponent or "&",
        "REPETITION": delimiters.repetition,
        "ESCAPE": delimiters.escape or "\\",
    }
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_segment

    try:
        parsed = parse_segment(segment.text, version, characters, VALIDATION_LEVEL.TOLERANT)
        report = _report(parsed)
    except Exception:  # hl7apy raises whatever its tables and parsers stumble over
        return [Finding("warning", place, "The validator could not read this segment.")]
    findings = (_finding(line, place, version) for line in report)
    return list(dict.fromkeys(finding for finding in findings if finding))


def _report(element: object) -> list[str]:
    """hl7apy's own lines about *element*.

    It writes them to a file: one that never leaves memory, for they hold patient data.
    """
    from hl7apy.exceptions import HL7apyException
    from hl7apy.validation import Validator

    file = os.memfd_create("hl7-report")
    try:
        # It raises the first of the errors that it has just reported.
        with contextlib.suppress(HL7apyException):
            Validator.validate(element, report_file=os.dup(file))
        os.lseek(file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(file), encoding="utf-8", errors="replace") as lines:
            return [line for line in lines.read().splitlines() if line.startswith(("Error: ", "Warning: "))]
    finally:
        os.close(file)


def _finding(line: str, place: str, version: str) -> Finding | None:
    """One line of the report; ``None`` for a remark about hl7apy's own tables rather than about the message."""
    text = line.partition(": ")[2]
    for pattern, severity, what in _REPORTED:
        found = pattern.match(text)
        if found:
            parts = found.groupdict()
            where = _where(parts["at"], place)
            if severity == "error" and _withdrawn(where, version):
                return Finding("warning", where, "The version has withdrawn this place.")
            return Finding(severity, where, what.format(**parts), masked(parts.get("found", "")))
    if text.endswith("(it must be None)"):
        return None
    return Finding("warning", place, "The validator does not accept this segment.")


def _where(at: str, place: str) -> str:
    """hl7apy's ``PID.PID_3`` and ``PID_3.CX_4`` as paths within the segment at *place*."""
    numbers = [part.rpartition("_")[2] for part in at.split(".") if "_" in part]
    if not at.startswith(place[:3]) or not numbers or not all(number.isdigit() for number in numbers):
        return place
    return f"{place}-{'.'.join(numbers)}"


def _withdrawn(where: str, version: str) -> bool:
    """True where *version* names the place only to say that it is not used any more."""
    try:
        path = parse_path(where)
    except PathError:
        return False
    element = structures.field(path.segment, path.field, version)
    if element and path.component:
        element = element.parts.get(path.component)
    return element is not None and element.withdrawn
