"""What of a message is patient data, and how a page shows that it is there without showing it.

What is masked is decided by place, never by looking at the text. A place that is not known to be harmless (a
Z segment, a note, a name in JSON) is masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hub.formats.x12.segments import Segment

#: HL7 fields that name, reach or identify a person, by segment; None: the whole segment.
_HL7_FIELDS: dict[str, frozenset[int] | None] = {
    "PID": frozenset({2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 18, 19, 20, 21, 23, 29}),
    "PD1": frozenset({3, 4}),
    "PV1": frozenset({5, 19, 50}),
    "MRG": None,
    "NK1": None,
    "GT1": None,
    "IN1": frozenset({2, 7, 8, 16, 18, 19, 36, 44, 49}),
    "IN2": None,
    "NTE": None,
    "OBX": frozenset({5}),
    "AIG": frozenset(),
    "ACC": None,
    "TXA": frozenset({12, 16}),
}
_HL7_HARMLESS = frozenset(
    [
        "MSH",
        "EVN",
        "MSA",
        "ERR",
        "PV2",
        "FT1",
        "DG1",
        "PR1",
        "IN3",
        "SCH",
        "RGS",
        "AIS",
        "AIL",
        "AIP",
        "AIG",
        "ROL",
        "SFT",
        "BHS",
        "FHS",
        "BTS",
        "FTS",
        "PD1",
        "PID",
        "PV1",
        "IN1",
        "OBR",
        "ORC",
    ]
)

#: NM101 codes of parties that are people or firms of the field, not patients.
_X12_PUBLIC = frozenset(
    [
        "40",
        "41",
        "45",
        "71",
        "72",
        "77",
        "82",
        "85",
        "87",
        "DK",
        "DN",
        "DQ",
        "P3",
        "PE",
        "PR",
        "PW",
        "QB",
        "TT",
        "TU",
        "FA",
        "ZZ",
        "1P",
        "2B",
        "AY",
        "ACV",
        "36",
        "1I",
        "80",
    ]
)
_X12_REFERENCES = frozenset({"SY", "1W", "EA", "IG", "23", "0F", "1L", "6P", "GH", "HJ", "Y4", "3H"})

#: JSON keys whose values (and all below them) name, reach or identify a person.
_JSON_KEYS = frozenset(
    [
        "name",
        "family",
        "given",
        "middle",
        "suffix",
        "insured_name",
        "insured_birth_date",
        "insured_address",
        "birth_date",
        "birthDate",
        "telecom",
        "phone",
        "email",
        "address",
        "city",
        "postal_code",
        "postalCode",
        "identifier",
        "mrn",
        "retired_mrn",
        "account",
        "visit_number",
        "member_id",
        "memberId",
        "subscriberId",
        "subscriber",
        "group_number",
        "display",
        "text",
        "div",
        "reference",
        "contact",
        "photo",
        "patient_name",
        "subject_name",
        "valueString",
        "deceasedDateTime",
        "note",
        "comment",
        "url",
    ]
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text on a page.

    *text* as it is, or patient data, called *what*, to be masked until it is revealed.
    """

    text: str
    what: str = ""


def hl7_field_is_masked(segment: str, field: int) -> bool:
    """Whether field *field* of *segment* is patient data. Segments that are not known are, all of them."""
    if segment not in _HL7_FIELDS:
        return segment not in _HL7_HARMLESS
    fields = _HL7_FIELDS[segment]
    return fields is None or field in fields


def hl7_pieces(line: str, separator: str) -> list[Piece]:
    """One segment as it stands in a raw message, its patient data marked.

    Separators stay visible, so that places can be counted.
    """
    segment, *values = line.split(separator)
    if not (len(segment) == 3 and segment.isalnum()):
        return [Piece(line, "unreadable line")]
    first = 2 if segment in {"MSH", "FHS", "BHS"} else 1
    pieces = [Piece(segment)]
    for number, value in enumerate(values, first):
        pieces.append(Piece(separator))
        if value:
            what = f"{segment}-{number}" if hl7_field_is_masked(segment, number) else ""
            pieces.append(Piece(value, what))
    return pieces


class X12Masks:
    """Marks the patient data of X12 segments, read in order: an address belongs to the party named before it."""

    def __init__(self) -> None:
        self._public = True

    def pieces(self, segment: Segment) -> list[Piece]:
        """*segment* as it was sent, its patient data marked."""
        hidden = self._hidden(segment)
        separator = segment.delimiters.element
        pieces = [Piece(segment.id)]
        for number in range(1, len(segment) + 1):
            pieces.append(Piece(separator))
            text = segment.elements[number]
            if text:
                what = f"{segment.id}{number:02d}" if number in hidden else ""
                pieces.append(Piece(text, what))
        return pieces

    def _hidden(self, segment: Segment) -> frozenset[int]:
        everything = frozenset(range(1, 31))
        match segment.id:
            case "ISA":
                return frozenset(place for place in (2, 4) if segment[place].strip())  # what partners let us in by
            case "NM1":
                self._public = segment[1] in _X12_PUBLIC
                return frozenset() if self._public else frozenset({3, 4, 5, 6, 7, 9})
            case "N1":
                self._public = True
                return frozenset()
            case "N3" | "N4" | "PER":
                return frozenset() if self._public else everything
            case "DMG" | "NTE" | "K3" | "MSG":
                return everything
            case "PAT":
                return frozenset({6})
            case "BPR":
                return frozenset({9, 15})  # bank accounts
            case "SBR":
                return frozenset({3, 4})
            case "REF":
                return frozenset({2, 3}) if segment[1] in _X12_REFERENCES else frozenset()
        return frozenset()


def is_personal(key: str) -> bool:
    """Whether the value of the JSON key *key*, and all below it, names, reaches or identifies a person."""
    return key in _JSON_KEYS


def json_lines(value: object, indent: int = 0, key: str = "", hidden: bool = False) -> Iterator[list[Piece]]:
    """JSON as indented lines, the values of keys that name or identify a person marked."""
    pad = "  " * indent
    label = [Piece(f'{pad}"{key}": ' if key else pad)]
    hidden = hidden or key in _JSON_KEYS
    if isinstance(value, dict):
        if not value:
            yield [*label, Piece("{}")]
            return
        yield [*label, Piece("{")]
        for name, item in value.items():
            yield from json_lines(item, indent + 1, str(name), hidden)
        yield [Piece(f"{pad}}}")]
    elif isinstance(value, list):
        if not value:
            yield [*label, Piece("[]")]
            return
        yield [*label, Piece("[")]
        for item in value:
            yield from json_lines(item, indent + 1, "", hidden)
        yield [Piece(f"{pad}]")]
    else:
        text = f'"{value}"' if isinstance(value, str) else str(value).replace("None", "null")
        yield [*label, Piece(text, (key or "value") if hidden and value is not None else "")]


def json_facts(value: dict[str, object]) -> list[tuple[str, Piece]]:
    """The entries of a small JSON object as label and value, nested ones joined, patient data marked."""
    facts = []
    for key, item in value.items():
        flat = ", ".join(_flat(item))
        if flat:
            nested = isinstance(item, dict) and any(name in _JSON_KEYS for name in item)
            what = key.replace("_", " ") if key in _JSON_KEYS or nested else ""
            facts.append((key.replace("_", " "), Piece(flat, what)))
    return facts


def _flat(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (f"{str(key).replace('_', ' ')} {text}" for text in _flat(item))
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif value is not None and value != "":
        yield {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
