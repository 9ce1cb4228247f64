"""Claims that a payer took apart: each part is decided under a number of the payer's, and together they are the claim.

A 277CA or 277 says so (category A5 of STC01-1), or a remittance: by remark code MA15, or because all that it decides
under the claim's number comes to the claim. Sources: 005010X214 loop 2200D; 005010X221A1, claim splitting, and CLP07.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from hub.billing.decision import Decision
from hub.billing.matching import BilledClaim, Remitted
from hub.billing.standing import REVERSAL, standing
from hub.core.money import to_cents
from hub.store.changes import Row
from hub.store.tables import remittance_claim

SPLIT = "A5"
_SEPARATED = "MA15"
_STATUSES = ("claim_ack", "status277")


@dataclass(frozen=True, slots=True)
class ClaimPart:
    """A part of a claim: the payer's *number* of it, the last status *category*, and what it decided, in cents.

    *charge_cents* is None while nobody told it, *paid_cents* while it is not decided; *remittance_id* decided it.
    """

    number: str
    category: str = ""
    charge_cents: int | None = None
    paid_cents: int | None = None
    patient_cents: int | None = None
    remittance_id: int | None = None


def parts(statuses: Iterable[dict[str, Any]], payments: Iterable[Any], total_cents: int) -> list[ClaimPart]:
    """The parts of a claim over *total_cents*, in the order in which they were told; none of one that was not split.

    *statuses* are the facts of its 277CA and 277, oldest first, *payments* those that stand (``payer_claim_number``,
    ``charge_cents``, ``paid_cents``, ``patient_cents``, ``remittance_id``), oldest first.
    """
    found: dict[str, ClaimPart] = {}
    for facts in _since_split(statuses):
        number, category = str(facts.get("payer_claim_number", "")), str(facts.get("category", ""))
        if number:
            known = found.get(number, ClaimPart(number))
            charge = to_cents(Decimal(facts["charge"])) if facts.get("charge") else known.charge_cents
            found[number] = replace(known, category=category, charge_cents=charge)
    decided = []
    for row in payments:
        if row.charge_cents != total_cents:
            announced = found.pop(row.payer_claim_number, ClaimPart(row.payer_claim_number))
            made = ClaimPart(
                row.payer_claim_number,
                announced.category,
                row.charge_cents,
                row.paid_cents,
                row.patient_cents,
                row.remittance_id,
            )
            decided.append(made)
    return [*decided, *found.values()]


def _since_split(statuses: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    split = False
    for facts in statuses:
        split = split or facts.get("category") == SPLIT
        if split:
            yield facts


def is_announced(decision: Decision, claim_id: int) -> bool:
    """Whether an answer said that the payer split the claim."""
    rows = decision.rows("claim_event", claim_id=claim_id, kind=_STATUSES)
    return any(json.loads(row["detail"] or "{}").get("category") == SPLIT for row in rows)


def is_part(remitted: Remitted, ours: BilledClaim) -> bool:
    """Whether *remitted* decides less than the whole of *ours*."""
    return abs(remitted.charge_cents) != ours.total_cents


def fits(decision: Decision, remitted: Remitted, ours: BilledClaim) -> bool:
    """Whether *remitted* is a part of *ours*: the claim was split, and with its other parts it is no more than that."""
    cents = abs(remitted.charge_cents)
    decided = _decided(decision, remitted, ours)
    if remitted.claim.status == REVERSAL:
        return any(row.charge_cents == cents for row in decided)
    number = remitted.claim.payer_claim_control_number
    facts = (number, remitted.trace, cents, remitted.paid_cents)
    if any((row.payer_claim_number, row.trace, row.charge_cents, row.paid_cents) == facts for row in decided):
        return True  # a copy, or another one like it
    fits_in = 0 < cents < ours.total_cents and sum(row.charge_cents for row in decided) + cents <= ours.total_cents
    return fits_in and (
        _SEPARATED in remitted.claim.remark_codes
        or is_announced(decision, ours.id)
        or _come_to_the_whole(decision, remitted, ours)
    )


def is_another(decision: Decision, remitted: Remitted, ours: BilledClaim, row: Any) -> bool:
    """Whether *remitted* is a part beside the posted *row* that says the same: no remittance names a part twice."""
    decided = sum(each.charge_cents for each in _decided(decision, remitted, ours))
    return bool(
        is_part(remitted, ours)
        and row.remittance_id == remitted.remittance_id
        and decided + remitted.charge_cents <= ours.total_cents
    )


def undecided(decision: Decision, claim: Row) -> int:
    """How much of a claim that was decided in parts no remittance has decided yet, in cents; 0 of every other."""
    rows = standing(decision, claim["id"])
    decided = [int(row.charge_cents) for row in rows if row.payer_id == claim["payer_id"]]
    if not decided or claim["total_cents"] in decided:
        return 0
    return max(int(claim["total_cents"]) - sum(decided), 0)


def left_after(decision: Decision, remitted: Remitted, ours: BilledClaim) -> int:
    """How much of *ours* is undecided once *remitted* is posted, too, in cents."""
    decided = sum(int(row.charge_cents) for row in _decided(decision, remitted, ours))
    return max(ours.total_cents - decided - remitted.charge_cents, 0)


def paid_in_others(decision: Decision, remitted: Remitted, ours: BilledClaim) -> tuple[int, int]:
    """What the parts of *ours* besides *remitted* paid and left to the patient, in cents."""
    others = _decided(decision, remitted, ours)
    return sum(int(row.paid_cents) for row in others), sum(int(row.patient_cents) for row in others)


def _decided(decision: Decision, remitted: Remitted, ours: BilledClaim) -> list[Any]:
    """The payments of *ours* by the payer of *remitted* that stand, besides *remitted*."""
    rows = standing(decision, ours.id)
    return [row for row in rows if row.payer_id == remitted.payer_id and row.id != remitted.id]


def _come_to_the_whole(decision: Decision, remitted: Remitted, ours: BilledClaim) -> bool:
    """Whether all that the remittance says under this control number is the claim, to the cent."""
    total = decision.connection.execute(
        select(func.sum(remittance_claim.c.charge_cents)).where(
            remittance_claim.c.remittance_id == remitted.remittance_id,
            remittance_claim.c.control_number == remitted.claim.control_number,
            remittance_claim.c.status != REVERSAL,
        )
    ).scalar()
    return total == ours.total_cents
