"""An 837 as a person can read it: each segment with the loop it stands in, named in words."""

from __future__ import annotations

from dataclasses import dataclass

from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.segments import Segment, read_segments


@dataclass(frozen=True, slots=True)
class OutlineElement:
    """One filled element or component: ``CLM05-1`` and its value."""

    reference: str
    value: str


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """One segment: its loop's id and name, the segment as sent, its filled elements, and its claim.

    *position* counts from the ST as a 999 does and is 0 for the envelope; *opens*: a loop begins here.
    """

    loop: str
    name: str
    text: str
    elements: tuple[OutlineElement, ...]
    position: int
    claim: str
    opens: bool


def outline_837(data: bytes) -> list[OutlineRow]:
    """The rows of every segment in *data*, 837P or 837I; raises as ``read_segments`` does."""
    kinds = [t.kind for i in read_interchanges(data) for t in i.transactions]
    rows: list[OutlineRow] = []
    place = _Place("837P")
    transaction = 0
    for segment in read_segments(data):
        if segment.id == "ST":
            place = _Place(kinds[transaction])
            transaction += 1
        opens = place.move(segment)
        rows.append(
            OutlineRow(
                place.loop,
                _NAMES.get(place.loop, "Envelope" if not place.loop else "Other loop"),
                segment.text,
                tuple(_elements(segment)),
                segment.position,
                place.claim,
                opens,
            )
        )
    return rows


_NAMES = {
    "HEADER": "Transaction",
    "1000A": "Submitter",
    "1000B": "Receiver",
    "2000A": "Billing level",
    "2010AA": "Billing provider",
    "2010AB": "Pay-to address",
    "2010AC": "Pay-to plan",
    "2000B": "Subscriber level",
    "2010BA": "Subscriber",
    "2010BB": "Payer",
    "2000C": "Patient level",
    "2010CA": "Patient",
    "2300": "Claim",
    "2310": "Provider of the claim",
    "2320": "Other payer's decision",
    "2330A": "Other subscriber",
    "2330B": "Other payer",
    "2330": "Other payer's provider",
    "2400": "Service line",
    "2410": "Drug",
    "2420": "Provider of the line",
    "2430": "Other payer's decision on the line",
    "2440": "Form",
}
_NAMES |= {
    f"{base}{letter}": _NAMES[base]
    for base in ("2310", "2330", "2420")
    for letter in "ABCDEFGHI"
    if f"{base}{letter}" not in _NAMES
}
_ROLES = {
    "HEADER": {"41": "1000A", "40": "1000B"},
    "2000A": {"85": "2010AA", "87": "2010AB", "PE": "2010AC"},
    "2000B": {"IL": "2010BA", "PR": "2010BB"},
    "2000C": {"QC": "2010CA"},
}
_PROFESSIONAL = {
    "2300": {
        "DN": "2310A", "P3": "2310A", "82": "2310B", "77": "2310C", "DQ": "2310D", "PW": "2310E",
        "45": "2310F",
    },
    "2320": {
        "IL": "2330A", "PR": "2330B", "DN": "2330C", "P3": "2330C", "82": "2330D", "77": "2330E",
        "DQ": "2330F", "85": "2330G",
    },
    "2400": {
        "82": "2420A", "QB": "2420B", "77": "2420C", "DQ": "2420D", "DK": "2420E", "DN": "2420F",
        "P3": "2420F", "PW": "2420G", "45": "2420H",
    },
}  # fmt: skip
_INSTITUTIONAL = {
    "2300": {"71": "2310A", "72": "2310B", "ZZ": "2310C", "82": "2310D", "77": "2310E", "DN": "2310F"},
    "2320": {
        "IL": "2330A", "PR": "2330B", "71": "2330C", "72": "2330D", "ZZ": "2330E", "77": "2330F",
        "82": "2330G", "DN": "2330H", "85": "2330I",
    },
    "2400": {"72": "2420A", "ZZ": "2420B", "82": "2420C", "DN": "2420D"},
}  # fmt: skip


def party_loop(form: str, base: str, role: str) -> str:
    """The loop of the party in *role* (NM101) below *base*, ``2300``, ``2320`` or ``2400``; empty where it has none."""
    return (_INSTITUTIONAL if form == "837I" else _PROFESSIONAL)[base].get(role, "")


_LEVELS = {"20": "2000A", "22": "2000B", "23": "2000C"}
_LINE_PARTS = {"LIN": "2410", "SVD": "2430", "LQ": "2440"}


class _Place:
    """Where in the guide's loops the reading stands. *base* is the loop whose parties an NM1 would name."""

    def __init__(self, kind: str) -> None:
        self._roles = _ROLES | (_INSTITUTIONAL if kind == "837I" else _PROFESSIONAL)
        self._base = ""
        self.loop = ""
        self.claim = ""

    def move(self, segment: Segment) -> bool:
        """Move on to *segment*; True when it opens a loop."""
        match segment.id:
            case "ST":
                self._enter("HEADER")
            case "HL":
                self.claim = ""
                self._enter(_LEVELS.get(segment[3], "HL"))
            case "CLM":
                self.claim = segment[1]
                self._enter("2300")
            case "SBR" if self.claim:
                self._enter("2320")
            case "LX":
                self._enter("2400")
            case "NM1":
                self.loop = self._roles.get(self._base, {}).get(segment[1], f"NM1*{segment[1]}")
            case "LIN" | "SVD" | "LQ" if self._base == "2400":
                self.loop = _LINE_PARTS[segment.id]
            case "SE":
                self.claim = ""
                self.loop = self._base = "HEADER"
                return False
            case "ISA" | "GS" | "GE" | "IEA" | "TA1":
                self.claim = self.loop = self._base = ""
                return False
            case _:
                return False
        return True

    def _enter(self, loop: str) -> None:
        self.loop = self._base = loop


def _elements(segment: Segment) -> list[OutlineElement]:
    found = []
    for number in range(1, len(segment) + 1):
        parts = (segment[number],) if segment.id == "ISA" else segment.components(number)
        for part, value in enumerate(parts, start=1):
            if value:
                suffix = f"-{part}" if len(parts) > 1 else ""
                found.append(OutlineElement(f"{segment.id}{number:02d}{suffix}", value))
    return found
