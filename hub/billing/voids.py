"""Voids that a person asks for: the payer is to forget a claim that it has (CLM05-3 8, with REF*F8).

They are replacements like those that changed charges draft: one waits in *approval*, and is released or discarded.
Source: 005010X222A1 and 005010X223A2, loop 2300 CLM05-3.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.billing import claims, discharges, replacements
from hub.billing.asked import Answer, Args, CommandError, the_row, the_text
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.formats.x12.frequency import VOID


def void_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``reason``: draft the void of a claim that was sent; its charges are billed anew."""
    claim, reason = OpenClaim(decision, the_row(decision, "claim", args)), the_text(args, "reason")
    row = claim.row
    if claim.state not in replacements.FILED or row["frequency"] == VOID:
        raise CommandError(
            f"This claim is {claim.state}{' and a void itself' if row['frequency'] == VOID else ''}.",
            expected="a claim that its payer has",
            fix="What was not sent, or was rejected, is billed anew.",
        )
    if row["previous_id"] is not None:
        raise CommandError("This is a claim to a second payer.", fix="Ask the payer how it takes a claim back.")
    charges = claims.charges_of(decision, row["id"])
    if not charges:
        raise CommandError("Nothing is billed on this claim any more.", fix="Look at the one that replaced it.")
    if not replacements.takes_replacements(decision, row):
        raise CommandError("Its payer takes neither replacements nor voids.", fix="Ask how it takes a claim back.")
    if any(draft.row["frequency"] == VOID for draft in replacements.drafts(decision, row["chain_id"])):
        raise CommandError("Its void waits for approval already.", fix="Approve it, or discard it.")
    for charge in charges:
        charge.body["pending"] = {**(charge.body.get("pending") or {}), "void": True}
        charge.change()
    replacements.draft(decision, claim, charges[0])
    void = replacements.drafts(decision, row["chain_id"])[-1].row
    said = f"{decision.actor} asked for its void, {void['control_number']}."
    claim.record("note", f"void asked/{void['id']}", sentence=said, reason=reason)
    item = decision.row("work_item", item_key=replacements.item_key(void["id"]))
    if item is not None:
        decision.note_item(item["id"], "comment", {"comment": reason})
    decision.close_item(discharges.cancelled_key(row["visit_id"]), "a void was drafted")
    return {"void": void["control_number"]}


COMMANDS: dict[str, Callable[[Decision, Args], Answer]] = {"void_claim": void_claim}
