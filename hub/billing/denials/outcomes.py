"""What corrections and appeals came to: the payer's next decision about the same charges settles them."""

from __future__ import annotations

from collections.abc import Sequence

from hub.billing.decision import Decision
from hub.billing.denials import breaker, tell
from hub.billing.matching import BilledClaim, Remitted
from hub.billing.shares import Refusal
from hub.store.changes import Row

_TRIED = ("corrected", "appealed")


def settle(decision: Decision, remitted: Remitted, ours: BilledClaim, refused: Sequence[Refusal]) -> None:
    """*remitted* decides *ours* anew: of each earlier denial that was corrected or appealed, say what came of it.

    Won is what is not refused any more; a charge that is refused again is lost, and its new denial goes on from there.
    """
    if ours.chain_id == ours.id and ours.state not in {"paid", "partly paid", "denied", "reversed"}:
        return  # nothing was ever denied of it
    again: dict[int | None, int] = {}
    for each in refused:
        again[each.charge_id] = again.get(each.charge_id, 0) + each.cents
    for row in decision.rows("denial", chain_id=ours.chain_id, state=_TRIED):
        if row["remittance_claim_id"] == remitted.id or row["payer_id"] != remitted.payer_id:
            continue
        still = again.get(row["charge_id"], 0) if row["charge_id"] is not None else sum(again.values())
        end(decision, row, won_cents=max(0, row["cents"] - still))
        if row["state"] == "lost":
            tell.withdrawn(decision, row)  # the new denial is told, too: the EHR would count both


def was_decided_anew(decision: Decision, row: Row) -> bool:
    """Whether a later decision of the payer refused the same again, so that a newer denial stands for *row*."""
    return any(
        each["id"] > row["id"]
        and each["remittance_claim_id"] != row["remittance_claim_id"]
        and each["charge_id"] in {row["charge_id"], None}
        for each in decision.rows("denial", chain_id=row["chain_id"], payer_id=row["payer_id"])
    )


def end(decision: Decision, row: Row, *, won_cents: int) -> None:
    """A denial is over: *won_cents* of it were won, nothing when it was lost. Its actions get the same outcome."""
    state = "won" if won_cents else "lost"
    decision.update("denial", row, state=state, recovered_cents=won_cents)
    for action in list(decision.rows("denial_action", denial_id=row["id"], state=("drafted", "sent"))):
        unsent = action["kind"] == "appeal" and action["state"] == "drafted"
        decide(decision, action, "withdrawn" if unsent else state, 0 if unsent else won_cents)
    decision.close_items(state, id=row["item_id"])
    if state == "won":
        tell.withdrawn(decision, row)


def decide(decision: Decision, action: Row, state: str, won_cents: int = 0) -> None:
    """Record what an action came to; a rule that loses too often suspends itself."""
    decision.update(
        "denial_action", action, state=state, decided_business_at=decision.now_ms, recovered_cents=won_cents
    )
    if action["automatic"] and state in {"won", "lost"}:
        breaker.judge(decision, action)
