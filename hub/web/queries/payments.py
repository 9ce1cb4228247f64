"""One payment: what a remittance says of one claim, as it stands."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from hub.store.tables import claim, claim_line, remittance, remittance_claim


@dataclass(frozen=True, slots=True)
class Payment:
    """A claim of a remittance, and our claim that it is posted to, if any. The *sealed* body is what the payer said."""

    id: int
    version: int
    remittance_id: int
    trace: str
    payer_id: str
    payer_name: str
    paid_on: str
    ordinal: int
    their_number: str
    payer_claim_number: str
    status: str
    charge_cents: int
    paid_cents: int
    patient_cents: int
    claim_id: int | None
    our_number: str
    patient_id: int | None
    matched_by: str
    state: str
    reason: str
    takes_back: bool
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A line of a claim of ours, as a remittance on paper would name it."""

    control_number: str
    code: str
    modifiers: str
    service_on: str
    charge_cents: int


def get(connection: Connection, payment_id: int) -> Payment | None:
    """The payment called *payment_id*."""
    row = connection.execute(
        select(
            remittance_claim,
            remittance.c.trace,
            remittance.c.payer_id,
            remittance.c.payer_name,
            remittance.c.paid_on,
            claim.c.control_number.label("our_number"),
            claim.c.patient_id,
        )
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .outerjoin(claim, claim.c.id == remittance_claim.c.claim_id)
        .where(remittance_claim.c.id == payment_id)
    ).first()
    if row is None:
        return None
    return Payment(
        row.id, row.version, row.remittance_id, row.trace, row.payer_id, row.payer_name, row.paid_on, row.ordinal,
        row.control_number, row.payer_claim_number, row.status, row.charge_cents, row.paid_cents, row.patient_cents,
        row.claim_id, row.our_number or "", row.patient_id, row.matched_by, row.state, row.reason or "",
        row.reverses_id is not None, row.body,
    )  # fmt: skip


def lines_of(connection: Connection, control_number: str) -> tuple[int | None, list[ClaimLine]]:
    """The patient and the lines of our claim with this number; None and nothing when there is none."""
    rows = connection.execute(
        select(claim_line, claim.c.patient_id)
        .join(claim, claim.c.id == claim_line.c.claim_id)
        .where(claim.c.control_number == control_number)
        .order_by(claim_line.c.ordinal)
    ).all()
    found = [ClaimLine(r.control_number, r.code, r.modifiers, r.service_on, r.charge_cents) for r in rows]
    return (rows[0].patient_id if rows else None), found
