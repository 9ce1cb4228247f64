"""277CA and 277: what clearinghouse and payer say about claims (005010X214, 005010X212).

One shape serves both. Reading is tolerant: an unreadable figure is None, an unknown level is passed over;
every status keeps all of its reasons, because the second and third often carry the point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from hub.formats.x12.claim import Party
from hub.formats.x12.envelope import Transaction
from hub.formats.x12.errors import WrongTransactionError
from hub.formats.x12.parts import element, first, party, split
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import count, day, lenient_amount, period


@dataclass(frozen=True, slots=True)
class Reason:
    """A category, a status and the entity it is about: ``A7``, ``562``, ``82`` is the rendering NPI."""

    category: str
    status: str
    entity: str


@dataclass(frozen=True, slots=True)
class Status:
    """One STC. *reasons* are STC01, STC10 and STC11; *action* is ``WQ`` taken or ``U`` refused, *text* STC12.

    The payment fields are filled by a 277 only: *paid*, the day of the decision, the day and number of the
    payment.
    """

    reasons: tuple[Reason, ...]
    effective: date | None
    action: str
    amount: Decimal | None
    text: str
    paid: Decimal | None = None
    decided: date | None = None
    payment_date: date | None = None
    payment_number: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A party with its role (NM101) and id (NM109)."""

    role: str
    party: Party
    id: str


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """The answer about a whole batch (loop 2200B) or a provider's part of it (2200C): *reference* is TRN02.

    For a batch, that is the BHT03 that we sent. Counts and amounts are None where they were not stated.
    """

    about: Named
    reference: str
    statuses: tuple[Status, ...]
    accepted_count: int | None
    rejected_count: int | None
    accepted_amount: Decimal | None
    rejected_amount: Decimal | None


@dataclass(frozen=True, slots=True)
class LineStatus:
    """The answer about a service line (loop 2220D); *control_number* is REF*FJ, our REF*6R."""

    control_number: str
    code: str
    modifiers: tuple[str, ...]
    charge: Decimal | None
    statuses: tuple[Status, ...]
    service_from: date | None
    service_to: date | None


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """The answer about a claim (loop 2200D).

    *control_number* is our CLM01, *trace* TRN02 (the same in a 277CA).
    """

    control_number: str
    trace: str
    patient: Named
    statuses: tuple[Status, ...]
    payer_claim_control_number: str
    clearinghouse_trace: str
    service_from: date | None
    service_to: date | None
    lines: tuple[LineStatus, ...]
    where: str


@dataclass(frozen=True, slots=True)
class ClaimAcknowledgement:
    """A whole 277CA or 277. *source* speaks: role ``PR`` is a payer, ``AY`` a clearinghouse."""

    kind: str
    reference: str
    source: Named
    trace: str
    received: date | None
    processed: date | None
    batches: tuple[BatchStatus, ...]
    providers: tuple[BatchStatus, ...]
    claims: tuple[ClaimStatus, ...]


def read_277ca(transaction: Transaction) -> ClaimAcknowledgement:
    """The answers in a 277CA or 277.

    Raises :class:`WrongTransactionError` for another kind.
    """
    if transaction.st.id != "277":
        place = transaction.segments[0].place
        raise WrongTransactionError("This is not a 277.", where=place, found=transaction.kind)
    head, levels = split(transaction.segments, "HL")
    source: list[Segment] = []
    batches: list[BatchStatus] = []
    providers: list[BatchStatus] = []
    claims: list[ClaimStatus] = []
    for level in levels:
        match level[0][3]:
            case "20":
                source = source or level
            case "21":
                batches.append(_batch(level, "90", "AA"))
            case "19":
                providers.append(_batch(level, "QA", "QC"))
            case _:
                claims += _claims(level, is_277ca=transaction.kind == "277CA")
    return ClaimAcknowledgement(
        kind=transaction.kind,
        reference=element(head, "BHT", 3),
        source=_named(first(source, "NM1")),
        trace=element(source, "TRN", 2),
        received=_date(source, "050")[0],
        processed=_date(source, "009")[0],
        batches=tuple(batches),
        providers=tuple(providers),
        claims=tuple(claims),
    )


def _batch(level: list[Segment], accepted: str, rejected: str) -> BatchStatus:
    return BatchStatus(
        about=_named(first(level, "NM1")),
        reference=element(level, "TRN", 2),
        statuses=_statuses(level),
        accepted_count=_count(level, accepted),
        rejected_count=_count(level, rejected),
        accepted_amount=_amount(level, "YU"),
        rejected_amount=_amount(level, "YY"),
    )


def _claims(level: list[Segment], *, is_277ca: bool) -> Iterator[ClaimStatus]:
    """Yield the claims of a patient level: one per TRN, or one if there is only an STC."""
    head, traces = split(level, "TRN")
    if not traces and first(head, "STC"):
        traces = [head]
    patient = _named(first(head, "NM1"))
    for run in traces:
        own, lines = split(run, "SVC")
        trace = run[0][2] if run[0].id == "TRN" else ""
        begin, end = _date(own, "472")
        yield ClaimStatus(
            control_number=trace if is_277ca else element(own, "REF", 2, "EJ"),
            trace=trace,
            patient=patient,
            statuses=_statuses(own),
            payer_claim_control_number=element(own, "REF", 2, "1K"),
            clearinghouse_trace=element(own, "REF", 2, "D9"),
            service_from=begin,
            service_to=end,
            lines=tuple(_line(line) for line in lines),
            where=run[0].place,
        )


def _line(segments: list[Segment]) -> LineStatus:
    svc = segments[0]
    begin, end = _date(segments, "472")
    return LineStatus(
        control_number=element(segments, "REF", 2, "FJ"),
        code=svc.component(1, 2),
        modifiers=tuple(m for m in svc.components(1)[2:6] if m),
        charge=lenient_amount(svc, 2),
        statuses=_statuses(segments),
        service_from=begin,
        service_to=end,
    )


def _statuses(segments: list[Segment]) -> tuple[Status, ...]:
    return tuple(_status(s) for s in segments if s.id == "STC")


def _status(stc: Segment) -> Status:
    reasons = tuple(
        Reason(stc.component(n, 1), stc.component(n, 2), stc.component(n, 3)) for n in (1, 10, 11) if stc[n]
    )
    is_answer_to_claim = stc[3] in {"WQ", "U"}  # in a 277, STC05 to STC09 speak of the payment
    return Status(
        reasons=reasons,
        effective=day(stc[2]),
        action=stc[3],
        amount=lenient_amount(stc, 4),
        text=stc[12],
        paid=None if is_answer_to_claim else lenient_amount(stc, 5),
        decided=day(stc[6]),
        payment_date=day(stc[8]),
        payment_number=stc[9],
    )


def _named(nm1: Segment | None) -> Named:
    return Named(nm1[1] if nm1 else "", party(nm1), nm1[9] if nm1 else "")


def _count(segments: list[Segment], qualifier: str) -> int | None:
    qty = first(segments, "QTY", qualifier)
    return count(qty[2]) if qty else None


def _amount(segments: list[Segment], qualifier: str) -> Decimal | None:
    amt = first(segments, "AMT", qualifier)
    return lenient_amount(amt, 2) if amt else None


def _date(segments: list[Segment], qualifier: str) -> tuple[date | None, date | None]:
    dtp = first(segments, "DTP", qualifier)
    return period(dtp[2], dtp[3]) if dtp else (None, None)
