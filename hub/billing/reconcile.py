"""Does every cent have its place? The figures of the whole store, and every difference between them.

A store without differences says: each entry sums to zero; each charge is paid, adjusted, the patient's,
written off or open, to the cent; each claim is its lines; each remittance's ``clearing`` holds exactly what
of it is not posted yet; ``cash`` is what the remittances brought.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, case, func, select

from hub.billing import closing, ledger
from hub.billing.accounts import Money, totals
from hub.billing.provider_adjustments import FORWARDED_BALANCE, Forwarded, forwarded_balances
from hub.billing.stages import Stage, stages
from hub.core.money import from_cents, shown
from hub.store.tables import (
    charge,
    claim,
    claim_line,
    forwarded_balance,
    ledger_entry,
    ledger_posting,
    remittance,
    remittance_claim,
)

UNPOSTED = ("staged", "held", "unmatched", "duplicate")
_TAKEN = ("staged", "posting", "posted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two figures that must be equal and are not.

    *kind* and *subject_id* say of what: ``charge``, ``claim``, ``entry``, ``remittance``.
    """

    kind: str
    subject_id: int | None
    what: str
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        subject = f" {self.subject_id}" if self.subject_id is not None else ""
        return f"{self.kind}{subject}: {self.what}: expected {shown(self.expected)}, found {shown(self.found)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The money of the whole store.

    *charges* says where everything charged has gone. *cash* is what payers transferred; *unapplied* is the
    part of it that waits for a person in ``clearing``; *provider_level* is what payers took (positive) or
    gave outside claims, *interest* what they paid for being late (positive). *held* is what remittances
    held whole would bring: it is in no account. *forwarded* is what payers carry to their next payments.
    ``cash = charges.paid + unapplied - provider_level + interest`` for payers' money.
    """

    charges: Money
    unbilled: Decimal
    receivable_payer: Decimal
    cash: Decimal
    clearing: Decimal
    unapplied: Decimal
    provider_level: Decimal
    interest: Decimal
    held: Decimal
    held_remittances: int
    forwarded: tuple[Forwarded, ...]
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """True when there is no difference at all."""
        return not self.differences


def figures(connection: Connection) -> Figures:
    """Reconcile the whole store, in one read snapshot."""
    accounts = {
        account: int(cents)
        for account, cents in connection.execute(
            select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents)).group_by(ledger_posting.c.account)
        )
    }
    unapplied = connection.execute(
        select(func.coalesce(func.sum(remittance_claim.c.paid_cents), 0))
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .where(remittance_claim.c.state.in_(UNPOSTED), remittance.c.state.in_(_TAKEN))
    ).scalar_one()
    held, held_cents = connection.execute(
        select(func.count(), func.coalesce(func.sum(remittance.c.amount_cents), 0)).where(remittance.c.state == "held")
    ).one()

    def of(account: str) -> Decimal:
        return from_cents(accounts.get(account, 0))

    return Figures(
        charges=totals(connection),
        unbilled=of(ledger.UNBILLED),
        receivable_payer=of(ledger.PAYER),
        cash=of(ledger.CASH),
        clearing=of(ledger.CLEARING),
        unapplied=from_cents(int(unapplied)),
        provider_level=of(ledger.PROVIDER_LEVEL),
        interest=-of(ledger.INTEREST) + 0,
        held=from_cents(int(held_cents)),
        held_remittances=int(held),
        forwarded=tuple(forwarded_balances(connection)),
        differences=tuple(differences(connection)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where everything of a day, or everything there is, stands: the way through the stations, and the whole books."""

    day: str
    stages: tuple[Stage, ...]
    figures: Figures

    @property
    def ok(self) -> bool:
        """True when nothing is lost on the way and the books have no difference."""
        return self.figures.ok and all(stage.ok for stage in self.stages)


def report(connection: Connection, day: str = "") -> Report:
    """Reconcile what was received on *day* (ISO text), or everything, in one read snapshot."""
    return Report(day=day, stages=stages(connection, day), figures=figures(connection))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a posted amount comes from: the segment of the file (*place*) and what leads to it."""

    entry_id: int
    message_id: int | None
    remittance_id: int | None
    remittance_claim_id: int | None
    trace: str
    place: str


def origin(connection: Connection, entry_id: int, ordinal: int) -> Origin | None:
    """Where the posting *ordinal* of an entry comes from; None when there is no such posting.

    A payment's place is the SVC or CLP that says it, as ``ISA 000000101, segment 12 SVC``.
    """
    row = connection.execute(
        select(ledger_entry, ledger_posting.c.reference, remittance.c.trace)
        .join(ledger_posting, ledger_posting.c.entry_id == ledger_entry.c.id)
        .outerjoin(remittance, remittance.c.id == ledger_entry.c.remittance_id)
        .where(ledger_entry.c.id == entry_id, ledger_posting.c.ordinal == ordinal)
    ).one_or_none()
    if row is None:
        return None
    return Origin(
        entry_id=row.id,
        message_id=row.message_id,
        remittance_id=row.remittance_id,
        remittance_claim_id=row.remittance_claim_id,
        trace=row.trace or "",
        place=row.reference,
    )


def differences(connection: Connection) -> Iterator[Difference]:
    """Every figure that is not what it must be; nothing when the books are right."""
    yield from _entries(connection)
    yield from _charges(connection)
    yield from _claims(connection)
    yield from _clearing(connection)
    yield from _cash(connection)
    yield from _forwarded(connection)
    for month in closing.changed(connection):
        yield _difference("month", None, f"{month} is closed, and its ledger is not what it was", 0, 1)


def _entries(connection: Connection) -> Iterator[Difference]:
    total = func.sum(ledger_posting.c.amount_cents)
    rows = connection.execute(
        select(ledger_posting.c.entry_id, total).group_by(ledger_posting.c.entry_id).having(total != 0)
    )
    for entry_id, cents in rows:
        yield _difference("entry", entry_id, "debits and credits", 0, cents)


def _charges(connection: Connection) -> Iterator[Difference]:
    """Each charge's revenue is its amount, and what became of it adds up to its revenue."""
    posted = (
        select(
            ledger_posting.c.charge_id,
            func.sum(case((ledger_posting.c.account == ledger.REVENUE, -ledger_posting.c.amount_cents), else_=0)).label(
                "revenue"
            ),
            func.sum(ledger_posting.c.amount_cents).label("total"),
        )
        .where(ledger_posting.c.charge_id.is_not(None))
        .group_by(ledger_posting.c.charge_id)
        .subquery()
    )
    amount = case((charge.c.state == "void", 0), else_=charge.c.amount_cents)
    revenue = func.coalesce(posted.c.revenue, 0)
    total = func.coalesce(posted.c.total, 0)
    rows = connection.execute(
        select(charge.c.id, amount, revenue, total)
        .outerjoin(posted, posted.c.charge_id == charge.c.id)
        .where((amount != revenue) | (total != 0))
    )
    for charge_id, expected, found, rest in rows:
        if expected != found:
            yield _difference("charge", charge_id, "its amount and its revenue", expected, found)
        if rest:
            yield _difference("charge", charge_id, "what became of it", 0, rest)


def _claims(connection: Connection) -> Iterator[Difference]:
    """Each claim's total is the sum of its lines."""
    lines = (
        select(claim_line.c.claim_id, func.sum(claim_line.c.charge_cents).label("total"))
        .group_by(claim_line.c.claim_id)
        .subquery()
    )
    rows = connection.execute(
        select(claim.c.id, claim.c.total_cents, func.coalesce(lines.c.total, 0))
        .outerjoin(lines, lines.c.claim_id == claim.c.id)
        .where(claim.c.total_cents != func.coalesce(lines.c.total, 0), claim.c.state != "void")
    )
    for claim_id, expected, found in rows:
        yield _difference("claim", claim_id, "its total and its lines", expected, found)


def _clearing(connection: Connection) -> Iterator[Difference]:
    """``clearing`` of a remittance holds what was deposited, less what of it is posted."""
    cleared = (
        select(ledger_entry.c.remittance_id, func.sum(ledger_posting.c.amount_cents).label("total"))
        .join(ledger_posting, ledger_posting.c.entry_id == ledger_entry.c.id)
        .where(ledger_posting.c.account == ledger.CLEARING)
        .group_by(ledger_entry.c.remittance_id)
        .subquery()
    )
    posted = (
        select(remittance_claim.c.remittance_id, func.sum(remittance_claim.c.paid_cents).label("total"))
        .where(remittance_claim.c.state == "posted")
        .group_by(remittance_claim.c.remittance_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            remittance.c.id,
            remittance.c.state,
            remittance.c.amount_cents,
            remittance.c.provider_cents,
            func.coalesce(cleared.c.total, 0),
            func.coalesce(posted.c.total, 0),
        )
        .outerjoin(cleared, cleared.c.remittance_id == remittance.c.id)
        .outerjoin(posted, posted.c.remittance_id == remittance.c.id)
    )
    for remittance_id, state, amount, provider, found, paid in rows:
        expected = 0
        if state in _TAKEN:
            expected = paid - amount - (provider if state == "posted" else 0)
        if expected != found:
            yield _difference("remittance", remittance_id, "its money in clearing", expected, found)


def _cash(connection: Connection) -> Iterator[Difference]:
    expected = connection.execute(
        select(func.coalesce(func.sum(remittance.c.amount_cents), 0)).where(remittance.c.state.in_(_TAKEN))
    ).scalar_one()
    found = connection.execute(
        select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0))
        .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
        .where(ledger_posting.c.account == ledger.CASH, ledger_entry.c.remittance_id.is_not(None))
    ).scalar_one()
    if expected != found:
        yield _difference("cash", None, "what the remittances brought", int(expected), int(found))


def _forwarded(connection: Connection) -> Iterator[Difference]:
    """What payers carry forward is the same by provider as in the ledger."""
    in_ledger = (
        select(ledger_posting.c.payer_id, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.account == ledger.PROVIDER_LEVEL, ledger_posting.c.code == FORWARDED_BALANCE)
        .group_by(ledger_posting.c.payer_id)
    )
    by_provider = select(forwarded_balance.c.payer_id, func.sum(forwarded_balance.c.amount_cents)).group_by(
        forwarded_balance.c.payer_id
    )
    booked = {payer_id: int(cents) for payer_id, cents in connection.execute(in_ledger)}
    kept = {payer_id: int(cents) for payer_id, cents in connection.execute(by_provider)}
    for payer_id in sorted({*booked, *kept}):
        expected, found = booked.get(payer_id, 0), kept.get(payer_id, 0)
        if expected != found:
            yield _difference("payer", None, f"what {payer_id} carries forward", expected, found)


def _difference(kind: str, subject_id: int | None, what: str, expected: int, found: int) -> Difference:
    return Difference(
        kind=kind,
        subject_id=subject_id,
        what=what,
        expected=from_cents(int(expected)),
        found=from_cents(int(found)),
    )
