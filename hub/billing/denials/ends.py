"""How a denial ends without the payer: what is still open of it moves to the patient, or is written off."""

from __future__ import annotations

from typing import Any

from hub.billing import ledger
from hub.billing.asked import CommandError, one
from hub.billing.decision import Decision
from hub.billing.denials import outcomes
from hub.billing.ledger import PAYER, Posting
from hub.store.changes import Row


def move(decision: Decision, row: Row, account: str, kind: str, reason: str) -> int:
    """Move what is still open of the denial's charge, at most what was denied, from the payer to *account*; cents."""
    lines = decision.rows("claim_line", claim_id=row["claim_id"], order_by="ordinal")
    charges = [row["charge_id"]] if row["charge_id"] else [line["charge_id"] for line in lines]
    left, postings = row["cents"], []
    for charge_id, cents in ledger.balances(decision, PAYER, charges).items():
        taken = min(cents, left)
        left -= taken
        about: dict[str, Any] = {
            "charge_id": charge_id,
            "claim_id": _owing(decision, row, charge_id),
            "patient_id": row["patient_id"],
            "payer_id": row["payer_id"],
            "code": f"{row['group']}-{row['reason']}",
        }
        postings += [
            Posting(account=account, amount_cents=taken, **about),
            Posting(account=PAYER, amount_cents=-taken, **about),
        ]
    if left == row["cents"]:
        raise CommandError("Nothing of it is open any more.", fix="Resolve the item.")
    ledger.post(
        decision,
        key=f"denial/{row['id']}/{row['version']}",
        kind=kind,
        postings=postings,
        claim_id=row["claim_id"],
        remittance_claim_id=row["remittance_claim_id"],
        rule=row["rule"],
        memo=reason,
    )
    return int(row["cents"] - left)


def _owing(decision: Decision, row: Row, charge_id: int) -> int:
    """The claim that the payer owes the charge on by now: the newest correction, or that of a further payer itself."""
    of_next_payer = one(decision, "claim", row["claim_id"])["previous_id"] is not None
    now = None if of_next_payer else one(decision, "charge", charge_id)["claim_id"]
    return int(now if now is not None else row["claim_id"])


def over(decision: Decision, row: Row, state: str, resolution: str) -> None:
    """The denial is *state* from now on: its item closes, and a letter that was only drafted is withdrawn."""
    decision.update("denial", row, state=state)
    decision.close_items(resolution, id=row["item_id"])
    for action in decision.rows("denial_action", denial_id=row["id"], state="drafted", kind="appeal"):
        outcomes.decide(decision, action, "withdrawn")
