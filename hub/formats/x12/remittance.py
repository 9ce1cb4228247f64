"""835 remittances: payments, the claims they pay, and adjustments (005010X221A1).

Reading is tolerant and says what it could not read; whether anything may be posted is for
:func:`hub.formats.x12.balance.balance` to say. Claims come as a stream, so that a large remittance needs the memory of
one claim. Files after version 4010 read too, as do remittances that list claims without service lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import chain

from hub.formats.x12.claim import Adjustment, Organisation, Party
from hub.formats.x12.envelope import Problem, Transaction
from hub.formats.x12.errors import WrongTransactionError, WrongValueError
from hub.formats.x12.parts import element, first, party
from hub.formats.x12.segments import Cursor, Segment
from hub.formats.x12.values import ZERO, amount, day, quantity

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Reference:
    """A REF: qualifier and value."""

    qualifier: str
    value: str


@dataclass(frozen=True, slots=True)
class Amount:
    """An AMT: qualifier and amount."""

    qualifier: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Participant:
    """A party to the remittance or to a claim: its role (N101, NM101), name, and id with qualifier."""

    role: str
    party: Party
    qualifier: str = ""
    id: str = ""
    references: tuple[Reference, ...] = ()

    def reference(self, qualifier: str) -> str:
        """The value of the first reference with this qualifier; empty when there is none."""
        return _value(self.references, qualifier)


@dataclass(frozen=True, slots=True)
class RemittanceHeader:
    """The payment itself. *amount* is BPR02, negative for a debit (BPR03); *trace* is TRN02, EFT or check.

    *handling* is BPR01 (``H`` and ``I`` move no money by themselves, ``P`` is a test), *method* BPR04
    (``ACH``, ``CHK``, ``NON``…), *originator* TRN03, *produced* DTM*405. *payee_npi* and *payee_tax_id* come
    from N1*PE or its REF*TJ.
    """

    control_number: str
    handling: str
    amount: Decimal
    method: str
    paid_on: date | None
    trace: str
    originator: str
    produced: date | None
    payer: Participant
    payee: Participant
    payee_npi: str
    payee_tax_id: str
    references: tuple[Reference, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RemittanceLine:
    """A service as it was decided (loop 2110). *control_number* is our REF*6R; *allowed* AMT*B6.

    *code* and *modifiers* are the decided procedure, the *original* ones what was billed where that differs
    (SVC06). *units* are those paid; SVC05 left out means one.
    """

    control_number: str
    qualifier: str
    code: str
    modifiers: tuple[str, ...]
    charge: Decimal
    paid: Decimal
    revenue_code: str
    units: Decimal
    original_code: str
    original_modifiers: tuple[str, ...]
    original_units: Decimal | None
    service_from: date | None
    service_to: date | None
    adjustments: tuple[Adjustment, ...]
    allowed: Decimal | None
    remark_codes: tuple[str, ...]
    references: tuple[Reference, ...]
    amounts: tuple[Amount, ...]
    where: str


@dataclass(frozen=True, slots=True)
class RemittanceClaim:
    """A claim as it was decided (loop 2100). *control_number* is our CLM01; *ordinal* counts claims from 1.

    *status* is CLP02: ``22`` takes an earlier payment back, 19 to 21 were passed on to another payer.
    *problems* are values that could not be read: they count as zero, and such a claim must not be posted. *inpatient*
    says that the payer decided it as a stay (MIA).
    """

    ordinal: int
    control_number: str
    status: str
    charge: Decimal
    paid: Decimal
    patient_responsibility: Decimal | None
    filing_indicator: str
    payer_claim_control_number: str
    place_of_service: str
    frequency: str
    drg: str
    adjustments: tuple[Adjustment, ...]
    participants: tuple[Participant, ...]
    remark_codes: tuple[str, ...]
    references: tuple[Reference, ...]
    amounts: tuple[Amount, ...]
    service_from: date | None
    service_to: date | None
    received: date | None
    coverage_expired: date | None
    lines: tuple[RemittanceLine, ...]
    problems: tuple[Problem, ...]
    where: str
    inpatient: bool = False

    @property
    def is_reversal(self) -> bool:
        """True when this takes an earlier payment back."""
        return self.status == "22"

    def participant(self, role: str) -> Participant | None:
        """The first party in *role* (NM101), ``82`` rendering provider for example."""
        return next((p for p in self.participants if p.role == role), None)

    @property
    def patient(self) -> Participant | None:
        """The patient, NM1*QC."""
        return self.participant("QC")

    @property
    def insured(self) -> Participant | None:
        """The insured person where that is not the patient, NM1*IL."""
        return self.participant("IL")

    @property
    def corrected(self) -> Participant | None:
        """The patient's or insured person's name and id as the payer has them, NM1*74."""
        return self.participant("74")

    @property
    def crossover(self) -> Participant | None:
        """The payer that the claim was passed on to, NM1*TT."""
        return self.participant("TT")

    @property
    def corrected_payer(self) -> Participant | None:
        """Another payer that should have been asked first, NM1*PR."""
        return self.participant("PR")

    def reference(self, qualifier: str) -> str:
        """The value of the first reference with this qualifier; empty when there is none."""
        return _value(self.references, qualifier)

    def amount(self, qualifier: str) -> Decimal | None:
        """The first amount with this qualifier (``AU`` coverage, ``I`` interest…), if there is one."""
        return _amount_of(self.amounts, qualifier)


@dataclass(frozen=True, slots=True)
class ProviderAdjustment:
    """One pair of a PLB: an adjustment of the payment that belongs to no claim.

    A positive *amount* lowers the payment.
    """

    provider: str
    fiscal_year_end: date | None
    reason: str
    reference: str
    amount: Decimal
    where: str


@dataclass(frozen=True, slots=True)
class Remittance:
    """A whole 835 in memory."""

    header: RemittanceHeader
    claims: tuple[RemittanceClaim, ...]
    provider_adjustments: tuple[ProviderAdjustment, ...]
    problems: tuple[Problem, ...] = ()


class RemittanceRest:
    """What follows the header of an 835, as it is read: the claims one by one, then the provider adjustments.

    *segments* begin at a claim, *claims_before* it were read before. Iterate it once. *provider_adjustments* and
    *problems* are complete when it is exhausted. Between two claims, *after* says where another one may read on.
    """

    def __init__(self, segments: Iterable[Segment], claims_before: int) -> None:
        self._segments = iter(segments)
        self._claims_before = claims_before
        self._next = next(self._segments, None)
        self.provider_adjustments: list[ProviderAdjustment] = []
        self.problems: list[Problem] = []

    @property
    def after(self) -> Cursor | None:
        """Where the claims that were not read yet begin; None at the end."""
        return self._next.cursor if self._next is not None else None

    def __iter__(self) -> Iterator[RemittanceClaim]:
        ordinal = self._claims_before
        run: list[Segment] = []
        segment = self._next
        while segment is not None:
            if segment.id in _AFTER_HEADER:
                self._next = segment
                if run:
                    ordinal += 1
                    yield _claim(ordinal, run)
                run = [segment] if segment.id == "CLP" else []
                if segment.id == "PLB":
                    self.provider_adjustments += _provider_adjustments(segment, self.problems)
                elif segment.id == "SE":
                    break
            elif run:
                run.append(segment)
            segment = next(self._segments, None)
        else:
            self.problems.append(
                Problem("SE", "The transaction has no end: segments are missing.", "end of the data", "SE")
            )
            self._next = None
            if run:
                yield _claim(ordinal + 1, run)
        self._next = None


class RemittanceStream(RemittanceRest):
    """The first 835 among *segments* (``read_segments(data)`` will do) as it is read: the *header* at once.

    Raises :class:`WrongTransactionError` when there is none.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        rest = iter(segments)
        head: list[Segment] = []
        begun: list[Segment] = []
        for segment in rest:
            if segment.id in {"ISA", "GS"}:
                continue
            if not head and (segment.id, segment[1]) != ("ST", "835"):
                raise WrongTransactionError("This is not a remittance.", where=segment.place, expected="ST*835")
            if segment.id in _AFTER_HEADER:
                begun.append(segment)
                break
            head.append(segment)
        if not head:
            raise WrongTransactionError("There is no remittance here.", expected="ST*835")
        self.header = _header(head)
        super().__init__(chain(begun, rest), claims_before=0)


_AFTER_HEADER = frozenset({"LX", "CLP", "PLB", "TS2", "TS3", "SE"})


def read_835(transaction: Transaction) -> Remittance:
    """The whole remittance in *transaction*, with the envelope's problems among its own.

    Raises :class:`WrongTransactionError` for another kind of transaction.
    """
    stream = RemittanceStream(transaction.segments)
    claims = tuple(stream)
    known = {p.code for p in transaction.problems}
    later = tuple(p for p in stream.problems if p.code not in known)
    return Remittance(stream.header, claims, tuple(stream.provider_adjustments), (*transaction.problems, *later))


@dataclass(slots=True)
class _Lenient:
    """Reads figures and collects what could not be read."""

    problems: list[Problem] = field(default_factory=list)

    def amount(self, segment: Segment, number: int, *, required: bool = False) -> Decimal:
        if required and not segment[number]:
            self._note(segment, number, "An amount is missing.")
            return ZERO
        try:
            return amount(segment, number)
        except WrongValueError as error:
            self._note(segment, number, error.what)
            return ZERO

    def quantity(self, segment: Segment, number: int) -> Decimal | None:
        try:
            return quantity(segment, number)
        except WrongValueError as error:
            self._note(segment, number, error.what)
            return None

    def adjustments(self, cas: Segment) -> Iterator[Adjustment]:
        for at in range(2, len(cas) + 1, 3):
            if cas[at] or cas[at + 1]:
                value = self.amount(cas, at + 1, required=True)
                yield Adjustment(cas[1], cas[at], value, self.quantity(cas, at + 2))

    def _note(self, segment: Segment, number: int, message: str) -> None:
        self.problems.append(Problem(f"{segment.id}{number:02d}", message, segment.place))


def _header(segments: list[Segment]) -> RemittanceHeader:
    read = _Lenient()
    bpr = first(segments, "BPR")
    trn = first(segments, "TRN")
    total = ZERO
    if bpr is None:
        where = segments[0].place
        read.problems.append(Problem("BPR", "The remittance does not say what was paid.", where, "BPR"))
    else:
        total = read.amount(bpr, 2, required=True)
        if bpr[3] == "D":
            total = -total
    parties: dict[str, list[Segment]] = {"": []}
    role = ""
    for segment in segments:
        if segment.id == "N1":
            role = segment[1]
            parties.setdefault(role, [])
        parties[role].append(segment)
    payer, payee = _named("PR", parties.get("PR", [])), _named("PE", parties.get("PE", []))
    return RemittanceHeader(
        control_number=segments[0][2],
        handling=bpr[1] if bpr else "",
        amount=total,
        method=bpr[4] if bpr else "",
        paid_on=day(bpr[16]) if bpr else None,
        trace=trn[2] if trn else "",
        originator=trn[3] if trn else "",
        produced=day(element(parties[""], "DTM", 2, "405")),
        payer=payer,
        payee=payee,
        payee_npi=payee.id if payee.qualifier == "XX" else payee.reference("HPI"),
        payee_tax_id=payee.id if payee.qualifier == "FI" else payee.reference("TJ"),
        references=_references(parties[""]),
        problems=tuple(read.problems),
    )


def _named(role: str, segments: list[Segment]) -> Participant:
    n1 = first(segments, "N1")
    if n1 is None:
        return Participant(role, Organisation(""))
    return Participant(role, Organisation(n1[2]), n1[3], n1[4], _references(segments))


def _claim(ordinal: int, segments: list[Segment]) -> RemittanceClaim:
    read = _Lenient()
    clp = segments[0]
    own: list[Segment] = []
    lines: list[list[Segment]] = []
    current = own
    for segment in segments:
        if segment.elements[0] == "SVC":
            current = []
            lines.append(current)
        current.append(segment)
    found = _Found()
    for segment in own:
        found.take(segment, read)
    return RemittanceClaim(
        ordinal=ordinal,
        control_number=clp[1],
        status=clp[2],
        charge=read.amount(clp, 3, required=True),
        paid=read.amount(clp, 4, required=True),
        patient_responsibility=read.amount(clp, 5) if clp[5] else None,
        filing_indicator=clp[6],
        payer_claim_control_number=clp[7],
        place_of_service=clp[8],
        frequency=clp[9],
        drg=clp[11],
        adjustments=tuple(found.adjustments),
        participants=tuple(found.participants),
        remark_codes=tuple(found.remark_codes),
        references=tuple(found.references),
        amounts=tuple(found.amounts),
        service_from=found.dates.get("232"),
        service_to=found.dates.get("233"),
        received=found.dates.get("050"),
        coverage_expired=found.dates.get("036"),
        lines=tuple(_line(line, read) for line in lines),
        problems=tuple(read.problems),
        where=clp.place,
        inpatient=any(segment.elements[0] == "MIA" for segment in own),
    )


def _line(segments: list[Segment], read: _Lenient) -> RemittanceLine:
    svc = segments[0]
    found = _Found()
    for segment in segments:
        found.take(segment, read)
    procedure, original = svc.components(1), svc.components(6)
    on = found.dates.get("472")
    units = read.quantity(svc, 5)
    return RemittanceLine(
        control_number=_value(found.references, "6R"),
        qualifier=procedure[0],
        code=svc.component(1, 2),
        modifiers=tuple(m for m in procedure[2:6] if m),
        charge=read.amount(svc, 2, required=True),
        paid=read.amount(svc, 3),
        revenue_code=svc[4],
        units=ONE if units is None else units,
        original_code=svc.component(6, 2),
        original_modifiers=tuple(m for m in original[2:6] if m),
        original_units=read.quantity(svc, 7),
        service_from=on or found.dates.get("150"),
        service_to=on or found.dates.get("151"),
        adjustments=tuple(found.adjustments),
        allowed=_amount_of(found.amounts, "B6"),
        remark_codes=tuple(found.remark_codes),
        references=tuple(found.references),
        amounts=tuple(found.amounts),
        where=svc.place,
    )


# Where the outpatient and inpatient segments carry remark codes.
_MOA_REMARKS = (3, 4, 5, 6, 7)
_MIA_REMARKS = (5, 20, 21, 22, 23)


@dataclass(slots=True)
class _Found:
    """What the segments below a CLP or an SVC say, sorted."""

    adjustments: list[Adjustment] = field(default_factory=list)
    participants: list[Participant] = field(default_factory=list)
    remark_codes: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    amounts: list[Amount] = field(default_factory=list)
    dates: dict[str, date] = field(default_factory=dict)

    def take(self, segment: Segment, read: _Lenient) -> None:
        match segment.elements[0]:
            case "CAS":
                self.adjustments += read.adjustments(segment)
            case "NM1":
                named = Participant(segment[1], party(segment), segment[8], segment[9])
                self.participants.append(named)
            case "REF":
                self.references.append(Reference(segment[1], segment[2]))
            case "AMT":
                self.amounts.append(Amount(segment[1], read.amount(segment, 2)))
            case "DTM":
                if value := day(segment[2]):
                    self.dates.setdefault(segment[1], value)
            case "LQ" if segment[1] in {"HE", "RX"}:
                self.remark_codes.append(segment[2])
            case "MOA":
                self.remark_codes += [segment[n] for n in _MOA_REMARKS if segment[n]]
            case "MIA":
                self.remark_codes += [segment[n] for n in _MIA_REMARKS if segment[n]]


def _provider_adjustments(plb: Segment, problems: list[Problem]) -> Iterator[ProviderAdjustment]:
    read = _Lenient(problems)
    for at in range(3, len(plb) + 1, 2):
        if not plb[at] and not plb[at + 1]:
            continue
        value = read.amount(plb, at + 1, required=True)
        reason, reference = plb.component(at, 1), plb.component(at, 2)
        yield ProviderAdjustment(plb[1], day(plb[2]), reason, reference, value, plb.place)


def _references(segments: Iterable[Segment]) -> tuple[Reference, ...]:
    return tuple(Reference(s[1], s[2]) for s in segments if s.id == "REF")


def _value(references: Iterable[Reference], qualifier: str) -> str:
    return next((r.value for r in references if r.qualifier == qualifier), "")


def _amount_of(amounts: Iterable[Amount], qualifier: str) -> Decimal | None:
    return next((a.amount for a in amounts if a.qualifier == qualifier), None)
