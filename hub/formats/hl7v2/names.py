"""What segments and fields are called, and a whole message laid out for a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hub.formats.hl7v2 import structures
from hub.formats.hl7v2.escape import unescape
from hub.formats.hl7v2.message import NULL_ON_THE_WIRE, Message, Segment
from hub.formats.hl7v2.structures import Element

_SEGMENT_NAMES = {
    "ACC": "Accident",
    "AIG": "Appointment: general resource",
    "AIL": "Appointment: location",
    "AIP": "Appointment: personnel",
    "AIS": "Appointment: service",
    "AL1": "Allergy",
    "BHS": "Batch header",
    "BTS": "Batch trailer",
    "CTI": "Clinical trial",
    "DB1": "Disability",
    "DG1": "Diagnosis",
    "DRG": "Diagnosis related group",
    "DSC": "Continuation pointer",
    "ERR": "Error",
    "EVN": "Event type",
    "FHS": "File header",
    "FT1": "Financial transaction",
    "FTS": "File trailer",
    "GT1": "Guarantor",
    "IN1": "Insurance",
    "IN2": "Insurance, additional information",
    "IN3": "Insurance, certification",
    "MRG": "Merge information",
    "MSA": "Acknowledgement",
    "MSH": "Message header",
    "NK1": "Next of kin",
    "NTE": "Notes and comments",
    "OBR": "Observation request",
    "OBX": "Observation",
    "ORC": "Common order",
    "PD1": "Patient, additional demographics",
    "PID": "Patient identification",
    "PR1": "Procedure",
    "PRT": "Participation",
    "PSG": "Product or service group",
    "PSS": "Product or service section",
    "PV1": "Patient visit",
    "PV2": "Patient visit, additional information",
    "RGS": "Resource group",
    "ROL": "Role",
    "RXA": "Administration of treatment",
    "SCH": "Scheduling activity",
    "SFT": "Software",
    "SPM": "Specimen",
    "TQ1": "Timing and quantity",
    "TXA": "Document notification",
    "UB1": "UB82 data",
    "UB2": "UB92 data",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: its canonical *path*, what its place is called, and its text.

    *text* is ``""`` with *null* for the wire's ``""``.
    """

    path: str
    name: str
    text: str
    null: bool = False


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field that says something: its leaves, grouped by repetition."""

    position: int
    name: str
    path: str
    repetitions: tuple[tuple[Leaf, ...], ...]


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment with the fields that say something."""

    segment: str
    ordinal: int
    name: str
    fields: tuple[FieldRow, ...]


def segment_name(segment: str) -> str:
    """What *segment* is called (``Patient identification``; ``Site-defined`` for a Z segment), whatever the version.

    ``""`` when it is not known.
    """
    return _SEGMENT_NAMES.get(segment, "Site-defined" if segment.startswith("Z") else "")


def tree(message: Message) -> list[SegmentRow]:
    """*message* as rows for a page: only what is not empty, each value with its canonical path."""
    return [
        SegmentRow(
            segment=segment.name,
            ordinal=segment.ordinal,
            name=segment_name(segment.name),
            fields=tuple(_field_rows(message, segment)),
        )
        for segment in message.segments
    ]


def _field_rows(message: Message, segment: Segment) -> Iterator[FieldRow]:
    for position in range(1, segment.last_field + 1):
        definition = structures.field(segment.name, position, message.version)
        place = f"{segment.name}[{segment.ordinal}]-{position}"
        whole = segment.name == "MSH" and position <= 2
        repetitions = tuple(
            leaves
            for number, text in enumerate(segment.repetitions(position), 1)
            if (leaves := tuple(_leaves(message, f"{place}[{number}]", text, definition, whole=whole)))
        )
        if repetitions:
            yield FieldRow(position, definition.title if definition else "", place, repetitions)


def _leaves(message: Message, place: str, text: str, definition: Element | None, *, whole: bool) -> Iterator[Leaf]:
    """The values in one repetition: sub-components where there are some, else components, else the whole."""
    delimiters = message.delimiters
    components = [text] if whole else text.split(delimiters.component)
    for number, component in enumerate(components, 1):
        part = definition.parts.get(number) if definition else None
        path = place if len(components) == 1 else f"{place}.{number}"
        name = part.title if part and len(components) > 1 else ""
        separator = delimiters.subcomponent
        pieces = [component] if whole or not separator else component.split(separator)
        for index, piece in enumerate(pieces, 1):
            if not piece:
                continue
            deeper = part.parts.get(index) if part and len(pieces) > 1 else None
            # A field of one component with sub-components: the standard calls that component 1.
            at = path if len(pieces) == 1 else f"{place}.{number}.{index}"
            null = piece == NULL_ON_THE_WIRE
            shown = "" if null else piece if whole else unescape(piece, delimiters)
            yield Leaf(at, deeper.title if deeper else name, shown, null)
