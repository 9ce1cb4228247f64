"""What the patient paid before a claim is made, as the claim states it (AMT*F5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hub.billing.claim_body import ClaimBody
from hub.billing.decision import Decision
from hub.billing.values import Visit
from hub.core.money import from_cents
from hub.formats.x12.frequency import VOID
from hub.store.changes import Row


def added_up(said: Visit, payments: Mapping[str, Any]) -> Visit:
    """*said* with what the patient paid for it: the source's own total or, where it says none, the payments it told."""
    if said.patient_paid is not None or not payments:
        return said
    paid = sum((Decimal(each["amount"]) for each in payments.values()), Decimal(0))
    origins = tuple((f"patient_paid[{number}]", each["place"]) for number, each in enumerate(payments.values()))
    return replace(said, patient_paid=paid, origins=(*said.origins, *origins))


def of_claim(decision: Decision, visit: Row, said: Visit, cents: int, chain_id: int | None = None) -> Visit:
    """*said* with as much of what the patient paid as belongs on a claim of *cents*.

    That is what no other claim of the visit states (of another chain than *chain_id*), and no more than the claim
    charges; None where nothing is left.
    """
    if not said.patient_paid:
        return replace(said, patient_paid=None)
    stated = {
        row["chain_id"]: _stated(decision, row)
        for row in decision.rows("claim", visit_id=visit["id"], form="837P", order_by="id")
        if row["state"] != "void" and row["chain_id"] != chain_id
    }
    left = min(said.patient_paid - sum(stated.values(), Decimal(0)), from_cents(cents))
    return replace(said, patient_paid=left if left > 0 else None)


def _stated(decision: Decision, claim: Row) -> Decimal:
    """What *claim* states; nothing where it is the void by which those before it in its chain are forgotten."""
    if claim["frequency"] == VOID and claim["replaces_id"] is not None:
        return Decimal(0)
    return ClaimBody.from_plain(decision.unseal("claim", claim["body"])).claim.patient_paid or Decimal(0)
