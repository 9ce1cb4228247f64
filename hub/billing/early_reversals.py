"""Reversals that come before the payment that they take back.

Files are lost and sent again, so a reversal may be read first. It is held for a person; when the payment comes after
all, it takes effect by itself.
"""

from __future__ import annotations

import json

from sqlalchemy import bindparam, select

from hub.billing import events
from hub.billing.decision import Decision
from hub.billing.matching import BilledClaim, Match, Remitted, billed_claim
from hub.billing.standing import REVERSAL, standing, stored_payment
from hub.store.changes import Row
from hub.store.tables import claim, remittance_claim

# Of the chain's payments alone, not of all that are held: the store would look through those.
_OF_CHAIN = (
    select(remittance_claim.c.id, remittance_claim.c.state, remittance_claim.c.status)
    .join(claim, claim.c.id == remittance_claim.c.claim_id)
    .where(claim.c.chain_id == bindparam("chain"))
)


def plan(decision: Decision, remitted: Remitted, ours: BilledClaim) -> None:
    """A payment of *ours* is being posted: have the reversals that were held for want of one tried again after it.

    Those of any claim of its chain, because payers reverse under any of their numbers.
    """
    for row in decision.connection.execute(_OF_CHAIN, {"chain": ours.chain_id}):
        if row.state != "held" or row.status != REVERSAL:
            continue
        decision.later(
            kind="early reversal",
            key=f"early reversal/{row.id}/{remitted.key}",
            business_at=decision.now_ms,
            subject_id=row.id,
        )


def retry(decision: Decision, due: Row) -> None:
    """Post a held reversal if the payment that it takes back is here now; else it stays with its person."""
    from hub.billing import posting

    row = decision.row("remittance_claim", id=due["subject_id"])
    if row is None or row["state"] != "held" or row["claim_id"] is None:
        return
    remitted, _ = stored_payment(decision, row["id"])
    match = Match(claim=billed_claim(decision, row["claim_id"]), rule="came before its payment")
    outcome = posting.post_claim(decision, remitted, match)
    if outcome.state != "posted":
        return
    posting.store_outcome(decision, remitted, outcome)
    posting.move_count(decision, remitted, 1)
    decision.close_item(f"payment:{remitted.id}", "its payment came")
    _state_what_stands(decision, remitted, outcome.reverses_id, row["claim_id"])


def _state_what_stands(decision: Decision, remitted: Remitted, taken_back: int | None, claim_id: int) -> None:
    """The correction was posted before the reversal: the claim is what that one says, and not reversed."""
    left = [each for each in standing(decision, claim_id) if each.id != taken_back]
    if not left:
        return
    event = decision.row("claim_event", event_key=f"{claim_id}/remit:{left[0].id}")
    if event is not None:
        said = json.loads(event["detail"])
        events.open_claim(decision, claim_id).record(
            "correction", f"stands:{remitted.key}", outcome=said["outcome"], trace=left[0].trace
        )
