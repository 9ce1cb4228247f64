"""Remittances: the list, and one with its claims and how it balances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from hub.store.tables import claim, ledger_entry, ledger_posting, remittance, remittance_claim

PAGE = 50


@dataclass(frozen=True, slots=True)
class Remittance:
    """One 835 transaction.

    The *sealed* body (header, balance, provider adjustments) is opened by whoever shows it.
    """

    id: int
    message_id: int
    ordinal: int
    trace: str
    payer_id: str
    payer_name: str
    amount_cents: int
    method: str
    paid_on: str
    claims: int
    claims_posted: int
    claims_held: int
    claims_cents: int
    provider_cents: int
    state: str
    reason: str
    created_business_at: int
    sealed: bytes

    @property
    def difference(self) -> int:
        """Claims minus provider adjustments minus the payment: 0, or it does not balance."""
        return self.claims_cents - self.provider_cents - self.amount_cents


@dataclass(frozen=True, slots=True)
class RemittanceClaim:
    """What the payer said of one claim."""

    id: int
    ordinal: int
    control_number: str
    payer_claim_number: str
    status: str
    charge_cents: int
    paid_cents: int
    patient_cents: int
    claim_id: int | None
    matched_by: str
    state: str
    reason: str
    reverses: bool
    sealed: bytes

    @property
    def adjusted_cents(self) -> int:
        """What was taken off besides the patient's share."""
        return self.charge_cents - self.paid_cents - self.patient_cents


def list_statement(state: str, before: int | None) -> Select[Any]:
    """The statement behind :func:`page`, for the test of its query plan."""
    statement = select(remittance).order_by(remittance.c.id.desc()).limit(PAGE + 1)
    if state:
        statement = statement.where(remittance.c.state == state)
    return statement.where(remittance.c.id < before) if before is not None else statement


def page(connection: Connection, state: str, before: int | None) -> tuple[list[Remittance], bool]:
    """One page of remittances, newest first, and whether there are older ones."""
    found = [_remittance(row) for row in connection.execute(list_statement(state, before))]
    return found[:PAGE], len(found) > PAGE


def by_trace(connection: Connection, trace: str) -> list[Remittance]:
    """The remittances with the payer's trace number (TRN02)."""
    rows = connection.execute(select(remittance).where(remittance.c.trace == trace).limit(PAGE))
    return [_remittance(row) for row in rows]


def get(connection: Connection, remittance_id: int) -> Remittance | None:
    """The remittance called *remittance_id*."""
    row = connection.execute(select(remittance).where(remittance.c.id == remittance_id)).first()
    return _remittance(row) if row else None


def claims(connection: Connection, remittance_id: int) -> list[RemittanceClaim]:
    """The claims of a remittance in the payer's order, at most 2,000."""
    return [
        RemittanceClaim(
            row.id, row.ordinal, row.control_number, row.payer_claim_number, row.status, row.charge_cents,
            row.paid_cents, row.patient_cents, row.claim_id, row.matched_by, row.state, row.reason or "",
            row.reverses_id is not None, row.body,
        )
        for row in connection.execute(
            select(remittance_claim)
            .where(remittance_claim.c.remittance_id == remittance_id)
            .order_by(remittance_claim.c.ordinal)
            .limit(2000)
        )
    ]  # fmt: skip


def patients(connection: Connection, remittance_id: int) -> list[int]:
    """The patients of our claims that a remittance decides."""
    return list(
        connection.execute(
            select(claim.c.patient_id)
            .join(remittance_claim, remittance_claim.c.claim_id == claim.c.id)
            .where(remittance_claim.c.remittance_id == remittance_id)
            .distinct()
        ).scalars()
    )


def posted(connection: Connection, remittance_id: int) -> dict[str, int]:
    """What the ledger holds of a remittance: the sum of each account, in cents."""
    return {
        account: int(cents)
        for account, cents in connection.execute(
            select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
            .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
            .where(ledger_entry.c.remittance_id == remittance_id)
            .group_by(ledger_posting.c.account)
        )
    }


def _remittance(row: Any) -> Remittance:
    return Remittance(
        row.id, row.message_id, row.ordinal, row.trace, row.payer_id, row.payer_name, row.amount_cents, row.method,
        row.paid_on, row.claims, row.claims_posted, row.claims_held, row.claims_cents, row.provider_cents, row.state,
        row.reason or "", row.created_business_at, row.body,
    )  # fmt: skip
