"""What the ledger says of a patient, a charge, a claim, or everything: plain reads for pages and commands."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, func, or_, select

from hub.billing import ledger
from hub.core.money import from_cents
from hub.store.tables import charge, claim, claim_line, ledger_entry, ledger_posting, remittance, visit

Balances = dict[str, int]  # ledger account to cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Where what was charged has gone: ``charged = contractual + paid + patient + written_off + other + open``.

    *patient* is what the patient owes, *open* what a payer owes or nobody was asked for yet.
    """

    charged: Decimal
    contractual: Decimal
    paid: Decimal
    patient: Decimal
    written_off: Decimal
    other: Decimal
    open: Decimal

    @property
    def difference(self) -> Decimal:
        """What is not accounted for. Anything but zero is a defect."""
        known = self.contractual + self.paid + self.patient + self.written_off + self.other + self.open
        return self.charged - known


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeMoney:
    """One charge line and where its money is."""

    charge_id: int
    visit_id: int
    claim_id: int | None
    service_on: str
    code: str
    modifiers: tuple[str, ...]
    state: str
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitMoney:
    """One visit with its charges."""

    visit_id: int
    visit_on: str
    department: str
    state: str
    charges: tuple[ChargeMoney, ...]
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One posting of an entry, as people read it."""

    account: str
    amount: Decimal
    code: str
    reference: str
    charge_id: int | None
    payer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One ledger entry with its postings."""

    entry_id: int
    kind: str
    posted_on: str
    actor: str
    rule: str
    memo: str
    claim_id: int | None
    remittance_id: int | None
    reverses_id: int | None
    trace: str
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientAccount:
    """A patient's visits, newest first, with every charge; the entries in the order they were made; and the sum."""

    patient_id: int
    visits: tuple[VisitMoney, ...]
    entries: tuple[Entry, ...]
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMoney:
    """A claim's money: the sum, each charge line, and the entries in order."""

    claim_id: int
    money: Money
    charges: tuple[ChargeMoney, ...]
    entries: tuple[Entry, ...]


def patient_account(connection: Connection, patient_id: int) -> PatientAccount:
    """The account of *patient_id*. One that no charge came for is empty, not an error."""
    charges = _charges(connection, charge.c.patient_id == patient_id)
    by_visit: dict[int, list[ChargeMoney]] = defaultdict(list)
    for each in charges:
        by_visit[each.visit_id].append(each)
    visits = connection.execute(
        select(visit.c.id, visit.c.visit_on, visit.c.department, visit.c.state)
        .where(visit.c.patient_id == patient_id)
        .order_by(visit.c.visit_on.desc(), visit.c.id.desc())
    )
    return PatientAccount(
        patient_id=patient_id,
        visits=tuple(
            VisitMoney(
                visit_id=row.id,
                visit_on=row.visit_on,
                department=row.department,
                state=row.state,
                charges=tuple(by_visit[row.id]),
                money=summed([each.money for each in by_visit[row.id]]),
            )
            for row in visits
        ),
        entries=entries(connection, ledger_posting.c.patient_id == patient_id),
        money=summed([each.money for each in charges]),
    )


def claim_money(connection: Connection, claim_id: int) -> ClaimMoney:
    """The money of *claim_id*, through the charges that are on it."""
    # The charges of a claim to a second or further payer stay with the first.
    later = (
        select(claim_line.c.charge_id)
        .join(claim, claim.c.id == claim_line.c.claim_id)
        .where(claim.c.id == claim_id, claim.c.previous_id.is_not(None))
    )
    charges = _charges(connection, or_(charge.c.claim_id == claim_id, charge.c.id.in_(later)))
    return ClaimMoney(
        claim_id=claim_id,
        money=summed([each.money for each in charges]),
        charges=charges,
        entries=entries(connection, or_(ledger_entry.c.claim_id == claim_id, ledger_posting.c.claim_id == claim_id)),
    )


def claims_money(connection: Connection, claim_ids: list[int]) -> dict[int, Money]:
    """The money of several claims, for lists; by the charges that are on each."""
    by_claim: dict[int, list[Money]] = {each: [] for each in claim_ids}
    for each in _charges(connection, charge.c.claim_id.in_(claim_ids)):
        if each.claim_id is not None:
            by_claim[each.claim_id].append(each.money)
    return {claim_id: summed(parts) for claim_id, parts in by_claim.items()}


def totals(connection: Connection) -> Money:
    """The money of every charge there is."""
    rows = connection.execute(
        select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.charge_id.is_not(None))
        .group_by(ledger_posting.c.account)
    )
    return money_of({account: int(cents) for account, cents in rows})


def charge_balances(connection: Connection, condition: ColumnElement[bool]) -> dict[int, Balances]:
    """The ledger accounts of every charge that *condition* (on `charge`) selects.

    A charge without postings is left out.
    """
    wanted = select(charge.c.id).where(condition)
    rows = connection.execute(
        select(ledger_posting.c.charge_id, ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.charge_id.in_(wanted))
        .group_by(ledger_posting.c.charge_id, ledger_posting.c.account)
    )
    found: dict[int, Balances] = defaultdict(dict)
    for charge_id, account, cents in rows:
        found[charge_id][account] = int(cents)
    return found


def money_of(balances: Balances) -> Money:
    """The figures that *balances* of charges come to. What a charge moved into ``clearing`` or ``cash`` was paid."""

    def of(*accounts: str) -> Decimal:
        return from_cents(sum(balances.get(account, 0) for account in accounts))

    return Money(
        charged=-of(ledger.REVENUE) + 0,
        contractual=of(ledger.CONTRACTUAL),
        paid=of(ledger.CLEARING, ledger.CASH),
        patient=of(ledger.PATIENT),
        written_off=of(ledger.WRITE_OFF),
        other=of(ledger.OTHER),
        open=of(ledger.UNBILLED, ledger.PAYER),
    )


def summed(parts: list[Money]) -> Money:
    """The sum of *parts*, zero when there are none."""
    zero = from_cents(0)
    return Money(
        charged=sum((each.charged for each in parts), zero),
        contractual=sum((each.contractual for each in parts), zero),
        paid=sum((each.paid for each in parts), zero),
        patient=sum((each.patient for each in parts), zero),
        written_off=sum((each.written_off for each in parts), zero),
        other=sum((each.other for each in parts), zero),
        open=sum((each.open for each in parts), zero),
    )


def entries(connection: Connection, condition: ColumnElement[bool]) -> tuple[Entry, ...]:
    """The entries, in order, with those of their postings that *condition* (on entry or posting) selects."""
    rows = connection.execute(
        select(ledger_entry, ledger_posting, remittance.c.trace)
        .join(ledger_posting, ledger_posting.c.entry_id == ledger_entry.c.id)
        .outerjoin(remittance, remittance.c.id == ledger_entry.c.remittance_id)
        .where(condition)
        .order_by(ledger_entry.c.id, ledger_posting.c.ordinal)
    ).mappings()
    heads: dict[int, dict[str, object]] = {}
    sides: dict[int, list[Side]] = defaultdict(list)
    for row in rows:
        entry_id = row[ledger_entry.c.id]
        heads.setdefault(
            entry_id,
            {
                "kind": row[ledger_entry.c.kind],
                "posted_on": row[ledger_entry.c.posted_on],
                "actor": row[ledger_entry.c.actor],
                "rule": row[ledger_entry.c.rule],
                "memo": row[ledger_entry.c.memo],
                "claim_id": row[ledger_entry.c.claim_id],
                "remittance_id": row[ledger_entry.c.remittance_id],
                "reverses_id": row[ledger_entry.c.reverses_id],
                "trace": row[remittance.c.trace] or "",
            },
        )
        sides[entry_id].append(
            Side(
                account=row[ledger_posting.c.account],
                amount=from_cents(row[ledger_posting.c.amount_cents]),
                code=row[ledger_posting.c.code],
                reference=row[ledger_posting.c.reference],
                charge_id=row[ledger_posting.c.charge_id],
                payer_id=row[ledger_posting.c.payer_id],
            )
        )
    return tuple(
        Entry(entry_id=entry_id, sides=tuple(sides[entry_id]), **head)  # type: ignore[arg-type]
        for entry_id, head in heads.items()
    )


def _charges(connection: Connection, condition: ColumnElement[bool]) -> tuple[ChargeMoney, ...]:
    balances = charge_balances(connection, condition)
    rows = connection.execute(
        select(
            charge.c.id,
            charge.c.visit_id,
            charge.c.claim_id,
            charge.c.service_on,
            charge.c.code,
            charge.c.modifiers,
            charge.c.state,
        )
        .where(condition)
        .order_by(charge.c.service_on, charge.c.id)
    )
    return tuple(
        ChargeMoney(
            charge_id=row.id,
            visit_id=row.visit_id,
            claim_id=row.claim_id,
            service_on=row.service_on,
            code=row.code,
            modifiers=tuple(row.modifiers.split()),
            state=row.state,
            money=money_of(balances.get(row.id, {})),
        )
        for row in rows
    )
