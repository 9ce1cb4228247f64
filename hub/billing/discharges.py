"""Discharges that are cancelled, or told anew, after the last bill of their stay was made.

A bill that nobody has is made anew by itself. Of one that was sent a person is told, and once there is another end to
tell, its replacement is drafted for them: the stay goes on as if the bill had never been, and what is charged
meanwhile joins that replacement.
"""

from __future__ import annotations

from hub.billing import claims, interim, late_charges, replacements, stay_end
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim
from hub.billing.open_charge import STAY, arm_bill
from hub.formats.x12.frequency import REPLACEMENT, VOID
from hub.store.changes import Row

_NOBODY_HAS = (*UNSENT, "rejected")


def follow(decision: Decision, visit: Row) -> None:
    """The source said something of the stay: take back the last bill that nobody has and that tells another end."""
    said = stay_end.visit_said(decision, visit)
    goes_on = stay_end.is_open(said)
    bills = stay_end.last_bills(decision, visit, said)
    for bill in bills:
        tells_another = goes_on or stay_end.changed(decision, bill)
        if bill.state in _NOBODY_HAS and tells_another and not replacements.is_draft(decision, bill):
            reason = "The discharge was cancelled." if goes_on else "The end of the stay changed."
            claims.withdraw(decision, bill.row["id"], reason)
    if goes_on or any(stay_end.changed(decision, bill) for bill in bills):
        late_charges.recall(decision, visit)
    if not goes_on:
        decision.close_item(cancelled_key(visit["id"]), "the stay has ended again")
        return
    decision.close_item(interim.last_bill_key(visit), "the stay goes on")
    for bill in bills:
        if bill.state not in {*_NOBODY_HAS, "void"} and decision.rows("charge", claim_id=bill.row["id"]):
            _reopen(decision, visit, bill)


def _reopen(decision: Decision, visit: Row, bill: OpenClaim) -> None:
    """The patient of the sent *bill* is there again: what was drafted to replace it waits for the end, too."""
    if any(draft.row["frequency"] == REPLACEMENT for draft in replacements.drafts(decision, bill.row["chain_id"])):
        replacements.dissolve(decision, bill.row)
        arm_bill(decision, visit["id"], STAY, decision.now_ms)
    takes = replacements.takes_replacements(decision, bill.row)
    decision.open_item(
        queue="charge review",
        key=cancelled_key(visit["id"]),
        kind="discharge cancelled",
        sentence=(
            f"The discharge was cancelled after the last bill of its stay, {bill.row['control_number']}, was sent: it "
            "tells the payer of an end that is none. "
            + (
                "Its replacement is drafted for you when the stay, or its next part, is over. Void it when that is too "
                "late."
                if takes
                else "Its payer takes no replacements: tell them."
            )
        ),
        money_cents=bill.row["total_cents"],
        claim_id=bill.row["id"],
        patient_id=bill.row["patient_id"],
        again=True,
    )


def restate(decision: Decision, visit: Row) -> None:
    """Whatever was charged for the stay is billed: draft the replacement of a sent bill that tells another end.

    What a person discarded is not drafted again for the same end.
    """
    for bill in stay_end.last_bills(decision, visit, stay_end.visit_said(decision, visit)):
        charges = claims.charges_of(decision, bill.row["id"])
        if bill.state in {*_NOBODY_HAS, "void"} or not charges:
            continue
        end = stay_end.changed(decision, bill)
        if end is None or not _is_news(decision, bill, end):
            continue
        if replacements.takes_replacements(decision, bill.row) and replacements.draft(decision, bill, charges[0]):
            decision.close_item(cancelled_key(visit["id"]), "a replacement was drafted")
            continue
        decision.open_item(
            queue="charge review",
            key=f"claim/{bill.row['id']}/end/{end.until}/{end.status}",
            kind="another end of the stay",
            sentence="The end of the stay changed after its bill was sent, and no replacement says so. Tell the payer.",
            money_cents=bill.row["total_cents"],
            claim_id=bill.row["id"],
            patient_id=bill.row["patient_id"],
        )


def cancelled_key(visit_id: int) -> str:
    """The key of the work item that says that a discharge was cancelled after its bill was sent."""
    return f"visit/{visit_id}/discharge cancelled"


def _is_news(decision: Decision, bill: OpenClaim, end: stay_end.End) -> bool:
    """Whether no draft tells *end* or voids the bill, nor did one that a person has discarded."""
    if any(draft.row["frequency"] == VOID for draft in replacements.drafts(decision, bill.row["chain_id"])):
        return False
    chain = decision.rows("claim", chain_id=bill.row["chain_id"], frequency=REPLACEMENT, replaces_id=None)
    told = [
        OpenClaim(decision, row)
        for row in chain
        if row["id"] > bill.row["id"] and end.is_told_by(claims.content(decision, OpenClaim(decision, row)))
    ]
    return not any(draft.state != "void" or _was_discarded(decision, draft) for draft in told)


def _was_discarded(decision: Decision, draft: OpenClaim) -> bool:
    event = decision.row("claim_event", event_key=f"{draft.row['id']}/withdrawn")
    return event is not None and event["actor"] != "hub"
