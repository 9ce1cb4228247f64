"""A small X12 reader and writer of the simulators' own: segments, envelopes, 837P claims.

Sources: ASC X12 005010X222A1 (837P) loops and elements; the envelope rules of X12.5 and X12.6.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

Segment = list[str]


class UnreadableError(Exception):
    """An interchange that cannot be taken in; ``code`` is the TA1 note code (TA105)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction set: its group, its numbers and its segments from ST to SE."""

    functional_id: str
    group_control: str
    version: str
    kind: str
    control: str
    segments: list[Segment]
    component: str


@dataclass(frozen=True, slots=True)
class Interchange:
    """One interchange: the ISA's elements, its transactions and the trouble found in its trailers."""

    isa: Segment
    transactions: list[Transaction]

    @property
    def control(self) -> str:
        """ISA13."""
        return self.isa[13]


def money(cents: int) -> str:
    """Write cents as an X12 amount: no more decimals than needed, a leading minus if negative."""
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    whole, rest = divmod(cents, 100)
    return f"{sign}{whole}" if not rest else f"{sign}{whole}.{rest:02d}".rstrip("0")


def cents(amount: str) -> int:
    """Read an X12 amount as cents. Raises ``ValueError`` for anything else."""
    sign = -1 if amount.startswith("-") else 1
    whole, _, rest = amount.lstrip("+-").partition(".")
    if len(rest) > 2 or not (whole + rest).isdigit():
        raise ValueError("not an amount with two decimals")
    return sign * (int(whole or "0") * 100 + int(rest.ljust(2, "0")))


def read_isa(text: str) -> Segment:
    """Return ISA's elements, by position. Raises `UnreadableError` when the 106 characters are not there."""
    if len(text) < 106 or not text.startswith("ISA"):
        raise UnreadableError("024", "no interchange header of 106 characters")
    return text[:105].split(text[3])


def read_interchange(text: str) -> Interchange:
    """Read one interchange and check its numbers and counts.

    Raises `UnreadableError` with the TA1 note code when headers and trailers do not agree.
    """
    isa = read_isa(text)
    element, component, terminator = text[3], text[104], text[105]
    segments = [part.strip("\r\n").split(element) for part in text.split(terminator) if part.strip("\r\n")]
    if segments[-1][0] != "IEA":
        raise UnreadableError("023", "the interchange ends before its trailer")
    if segments[-1][2] != isa[13]:
        raise UnreadableError("001", "ISA13 and IEA02 differ")
    transactions: list[Transaction] = []
    groups = 0
    group: Segment = []
    current: list[Segment] = []
    for segment in segments[1:-1]:
        match segment[0]:
            case "GS":
                group = segment
                groups += 1
            case "ST":
                current = [segment]
            case "SE":
                current.append(segment)
                if segment[1] != str(len(current)) or segment[2] != current[0][2]:
                    raise UnreadableError("024", "the transaction's trailer does not agree with it")
                transactions.append(
                    Transaction(group[1], group[6], group[8], current[0][1], current[0][2], current, component)
                )
            case "GE":
                if segment[2] != group[6]:
                    raise UnreadableError("024", "GS06 and GE02 differ")
            case _:
                current.append(segment)
    if segments[-1][1] != str(groups):
        raise UnreadableError("021", "IEA01 is not the number of groups")
    return Interchange(isa, transactions)


def write_interchange(
    body: list[Segment],
    *,
    sender: str,
    receiver: str,
    control: int,
    when: datetime,
    functional_id: str = "",
    version: str = "",
    kind: str = "",
) -> str:
    """Write one transaction set (or, without ``kind``, bare TA1 segments) in its envelopes, in test mode."""
    isa = ["ISA", "00", " " * 10, "00", " " * 10, "ZZ", sender.ljust(15), "ZZ", receiver.ljust(15)]
    isa += [f"{when:%y%m%d}", f"{when:%H%M}", "^", "00501", f"{control:09d}", "0", "T", ":"]
    segments = [isa]
    if kind:
        transaction = [["ST", kind, "0001"] + ([version] if kind != "835" else []), *body]
        transaction.append(["SE", str(len(transaction) + 1), "0001"])
        group = [
            "GS",
            functional_id,
            sender,
            receiver,
            f"{when:%Y%m%d}",
            f"{when:%H%M}",
            str(control),
            "X",
            version,
        ]
        segments += [group, *transaction, ["GE", "1", str(control)]]
    else:
        segments += body
    segments.append(["IEA", "1" if kind else "0", f"{control:09d}"])
    lines = [isa, *[_trimmed(segment) for segment in segments[1:]]]
    return "".join("*".join(segment) + "~\n" for segment in lines)


def _trimmed(segment: Segment) -> Segment:
    """Drop trailing empty elements, as X12 wants it."""
    end = len(segment)
    while end > 1 and segment[end - 1] == "":
        end -= 1
    return segment[:end]


@dataclass(slots=True)
class Line837:
    """One service line of an 837P or 837I."""

    number: str = ""
    code: str = ""
    modifiers: list[str] = field(default_factory=list)
    charge: int = 0
    units: str = "1"
    date: str = ""
    control: str = ""
    revenue: str = ""
    patient_before: int = 0

    @property
    def procedure(self) -> str:
        """SVC01 as it was billed: the procedure, or a hospital's revenue code where there is none."""
        if not self.code:
            return f"NU:{self.revenue}"
        return ":".join(["HC", self.code, *self.modifiers])


@dataclass(slots=True)
class Claim837:
    """One claim of an 837P or 837I, as far as acknowledging and paying it needs."""

    pcn: str = ""
    charge: int = 0
    place: str = ""
    frequency: str = ""
    sequence: str = "P"
    payer_id: str = ""
    payer_name: str = ""
    original_icn: str = ""
    member_id: str = ""
    filing: str = ""
    subscriber: list[str] = field(default_factory=list)
    patient: list[str] = field(default_factory=list)
    billing_npi: str = ""
    rendering_npi: str = ""
    attending_npi: str = ""
    birth: str = ""
    sex: str = ""
    diagnoses: list[str] = field(default_factory=list)
    lines: list[Line837] = field(default_factory=list)

    @property
    def service_date(self) -> str:
        """The first line's date, CCYYMMDD."""
        return self.lines[0].date if self.lines else ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the folder between clearinghouse and payer."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Claim837:
        """Read what `to_json` gave."""
        lines = [Line837(**line) for line in data["lines"]]
        return cls(**(data | {"lines": lines}))


def _at(segment: Segment, position: int) -> str:
    return segment[position] if position < len(segment) else ""


def read_claims(transaction: Transaction) -> tuple[str, list[Claim837]]:
    """Return the batch id (BHT03) and the claims of an 837P or 837I transaction.

    Raises ``ValueError`` when an amount is not one.
    """
    batch = ""
    claims: list[Claim837] = []
    billing_npi = ""
    level: dict[str, Any] = {}
    claim: Claim837 | None = None
    line: Line837 | None = None
    other_payer = False
    for segment in transaction.segments:
        match segment[0]:
            case "BHT":
                batch = segment[3]
            case "HL":
                claim = line = None
                other_payer = False
                if segment[3] == "22":
                    level = {}
            case "DMG" if claim is None:
                level["birth"], level["sex"] = _at(segment, 2), _at(segment, 3)
            case "SBR" if claim is None:
                level["sequence"], level["filing"] = segment[1], _at(segment, 9)
            case "SBR":
                other_payer, line = True, None
            case "NM1" if claim is None or (line is None and not other_payer):
                billing_npi = _name(segment, level, claim) or billing_npi
            case "CLM":
                parts = segment[5].split(transaction.component)
                claim = Claim837(
                    pcn=segment[1],
                    charge=cents(segment[2]),
                    place=parts[0],
                    frequency=parts[2],
                    billing_npi=billing_npi,
                    **level,
                )
                claim.patient = claim.patient or claim.subscriber
                claims.append(claim)
                other_payer = False
                line = None
            case "REF" if claim is not None and line is None and not other_payer and segment[1] == "F8":
                claim.original_icn = segment[2]
            case "HI" if claim is not None:
                pairs = [part.split(transaction.component) for part in segment[1:]]
                claim.diagnoses += [code for qualifier, code, *_ in pairs if qualifier in {"ABK", "ABF"}]
            case "LX" if claim is not None:
                line = Line837(number=segment[1])
                claim.lines.append(line)
            case _ if line is not None:
                _line_segment(line, segment, transaction.component)
    return batch, claims


def _name(segment: Segment, level: dict[str, Any], claim: Claim837 | None) -> str:
    """Take one NM1 into the level or the claim; return the NPI if it names the billing provider."""
    names = [_at(segment, 3), _at(segment, 4), _at(segment, 5)]
    match segment[1]:
        case "85":
            return _at(segment, 9)
        case "IL":
            level["subscriber"], level["member_id"] = names, _at(segment, 9)
        case "PR":
            level["payer_name"], level["payer_id"] = names[0], _at(segment, 9)
        case "QC":
            level["patient"] = names
        case "82" if claim is not None:
            claim.rendering_npi = _at(segment, 9)
        case "71" if claim is not None:
            claim.attending_npi = _at(segment, 9)
    return ""


def _line_segment(line: Line837, segment: Segment, component: str) -> None:
    match segment[0]:
        case "SV1":
            _, line.code, *modifiers = segment[1].split(component)
            line.modifiers = [modifier for modifier in modifiers[:4] if modifier]
            line.charge, line.units = cents(segment[2]), segment[4]
        case "SV2":
            _, line.code, *modifiers = segment[2].split(component) if segment[2] else ("", "")
            line.modifiers = [modifier for modifier in modifiers[:4] if modifier]
            line.revenue, line.charge, line.units = segment[1], cents(segment[3]), segment[5]
        case "DTP" if segment[1] == "472":
            line.date = segment[3][:8]
        case "REF" if segment[1] == "6R":
            line.control = segment[2]
        case "CAS" if segment[1] == "PR":
            line.patient_before += sum(cents(amount) for amount in segment[3::3])
