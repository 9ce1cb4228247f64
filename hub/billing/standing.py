"""Which payments of a claim stand: posted, and not taken back since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from hub.billing.decision import Decision
from hub.formats.x12 import records
from hub.formats.x12.remittance import RemittanceClaim
from hub.store.tables import remittance, remittance_claim

REVERSAL = "22"
FORWARDED = frozenset({"19", "20", "21"})
SECONDARY = frozenset({"2", "3", "20", "21"})


def standing(decision: Decision, claim_id: int) -> list[Any]:
    """The payments of a claim that are posted and were not taken back, newest first.

    Rows of ``id``, ``status``, ``payer_claim_number``, the amounts, ``trace``, ``payer_id``, ``remittance_id`` and
    ``paid_on``.
    """
    rows = decision.connection.execute(_POSTED, {"claim": claim_id}).all()
    taken_back = {row.reverses_id for row in rows}
    return [row for row in rows if row.status != REVERSAL and row.id not in taken_back]


def said(decision: Decision, remittance_claim_id: int) -> RemittanceClaim:
    """What the payer said in the stored payment *remittance_claim_id*."""
    row = decision.row("remittance_claim", id=remittance_claim_id)
    assert row is not None
    return records.from_plain(RemittanceClaim, decision.unseal("remittance_claim", row["body"]))


# Built once: making a statement costs more than running it.
_POSTED = (
    select(
        remittance_claim.c.id,
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
    .where(remittance_claim.c.claim_id == bindparam("claim"), remittance_claim.c.state == "posted")
    .order_by(remittance_claim.c.id.desc())
)
