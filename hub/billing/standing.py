"""Payments as they are stored, and which of a claim's stand: posted, and not taken back since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, select

from hub.billing.decision import Decision
from hub.billing.matching import Remitted
from hub.core.errors import HubError
from hub.formats.x12 import records
from hub.formats.x12.remittance import RemittanceClaim
from hub.store.tables import remittance, remittance_claim

REVERSAL = "22"
FORWARDED = frozenset({"19", "20", "21"})
NOT_OURS = "23"  # not this payer's claim; it passed it on
SECONDARY = frozenset({"2", "3", "20", "21"})


class PaymentError(HubError):
    """A payment cannot be posted as a person asked; nothing is changed."""

    code = "H620"


def standing(decision: Decision, claim_id: int) -> list[Any]:
    """The payments of a claim that are posted and were not taken back, newest first.

    Rows of ``id``, ``status``, ``payer_claim_number``, the amounts, ``trace``, ``payer_id``, ``remittance_id`` and
    ``paid_on``.
    """
    return payments_of(decision.connection, claim_id)


def payments_of(connection: Connection, claim_id: int) -> list[Any]:
    """The same, for who only reads."""
    found = connection.execute(_PAYMENTS, {"claim": claim_id})
    rows = sorted((row for row in found if row.state == "posted"), key=lambda row: -row.id)
    taken_back = {row.reverses_id for row in rows}
    return [row for row in rows if row.status != REVERSAL and row.id not in taken_back]


def stored_payment(decision: Decision, remittance_claim_id: int) -> tuple[Remitted, str]:
    """The stored payment and its state. Raises :class:`PaymentError` when there is none."""
    row = decision.connection.execute(
        select(
            remittance_claim, remittance.c.trace, remittance.c.payer_id, remittance.c.payer_name, remittance.c.paid_on
        )
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .where(remittance_claim.c.id == remittance_claim_id)
    ).one_or_none()
    if row is None:
        raise PaymentError("There is no such payment.", found=str(remittance_claim_id))
    was_posted = decision.row("ledger_entry", entry_key=f"payment:{row.id}") is not None
    remitted = Remitted(
        id=row.id,
        version=row.version,
        remittance_id=row.remittance_id,
        trace=row.trace,
        payer_id=row.payer_id,
        payer_name=row.payer_name,
        paid_on=row.paid_on,
        claim=records.from_plain(RemittanceClaim, decision.unseal("remittance_claim", row.body)),
        attempt=f":{row.version}" if was_posted else "",
    )
    return remitted, str(row.state)


def said(decision: Decision, remittance_claim_id: int) -> RemittanceClaim:
    """What the payer said in the stored payment *remittance_claim_id*."""
    row = decision.row("remittance_claim", id=remittance_claim_id)
    assert row is not None
    return records.from_plain(RemittanceClaim, decision.unseal("remittance_claim", row["body"]))


# Built once: making a statement costs more than running it. It asks for the claim alone: a store that is asked for
# what is posted, too, may look through all that ever was.
_PAYMENTS = (
    select(
        remittance_claim.c.id,
        remittance_claim.c.state,
        remittance_claim.c.reverses_id,
        remittance_claim.c.status,
        remittance_claim.c.payer_claim_number,
        remittance_claim.c.charge_cents,
        remittance_claim.c.paid_cents,
        remittance_claim.c.patient_cents,
        remittance.c.trace,
        remittance.c.payer_id,
        remittance_claim.c.remittance_id,
        remittance.c.paid_on,
    )
    .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
    .where(remittance_claim.c.claim_id == bindparam("claim"))
)
