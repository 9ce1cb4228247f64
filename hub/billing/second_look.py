"""Claims that were not sent yet, looked at again because something besides their charges became known."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from hub.billing import claims
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim
from hub.store.changes import Row


def look_again(decision: Decision, rows: Iterable[Row], edits: Collection[str], cause: str, resolution: str) -> None:
    """Examine those of the claims *rows* that one of *edits* stopped, or would stop now.

    *cause* names what became known, once in a message; *resolution* stands on the items that are closed for it.
    """
    for row in list(rows):
        payer = decision.config.payers.get(row["payer_id"])
        if row["state"] not in UNSENT or payer is None:
            continue
        claim = OpenClaim(decision, row)
        kept = claims.body(decision, claim)
        if row["state"] == "needs fix":
            wanted = bool(_found_last(decision, row) & set(edits))
        else:  # a person may have approved or held it, and that stands unless an edit stops it now
            wanted = bool({stop.rule for stop in claims.examined(decision, claim, kept, payer).stops} & set(edits))
        if wanted:
            decision.close_items(resolution, claim_id=row["id"], queue=("claim edits", "approval"))
            claims.check_again(decision, claim, kept, payer, f"edits/{decision.message_id}/{cause}")


def _found_last(decision: Decision, row: Row) -> set[str]:
    events = decision.rows("claim_event", claim_id=row["id"], kind="edit_result", order_by="id")
    return set(json.loads(events[-1]["detail"]).get("rules", ())) if events else set()
