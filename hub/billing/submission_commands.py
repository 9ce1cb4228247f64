"""What people decide about claims on their way: send again, wait longer, make a batch now."""

from __future__ import annotations

from collections.abc import Callable

from hub.billing import isolation, silence
from hub.billing.asked import Answer, Args, CommandError, the_row, the_text
from hub.billing.decision import Decision
from hub.billing.events import SENT, OpenClaim


def resend_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``reason``: send a claim again as it is, in the next batch, under the batch's numbers.

    The claim was rejected for something outside of it, or nobody has it: it stands in *lost claims*, and the receiver
    said that it does not have it.
    """
    claim, reason = OpenClaim(decision, the_row(decision, "claim", args)), the_text(args, "reason")
    lost = decision.rows("work_item", claim_id=claim.row["id"], queue=silence.QUEUE, state="open")
    if claim.state != "rejected" and not (lost and claim.state in SENT):
        raise CommandError(
            f"This claim is {claim.state}: its receiver may have it.",
            expected="a claim that was rejected, or stands in the queue lost claims",
            fix="Ask the receiver. What a payer has on file is replaced or voided, not sent again.",
        )
    batch_id = claim.row["batch_id"]
    _send_again(decision, claim, reason, f"again/{args['version']}")
    if batch_id is not None:
        silence.sent_again(decision, batch_id)
    return {"state": claim.state}


def resend_batch(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``reason``: send all claims of a refused or unacknowledged batch again, as they are.

    *item_id* is the item that stands for the batch in *rejections* or *lost claims*, or for a payer in *enrolment*.
    """
    item, reason = the_row(decision, "work_item", args, "item_id"), the_text(args, "reason")
    numbers = tuple(decision.unseal("work_item", item["body"]).get("claims", ()))
    if not item["item_key"].startswith(("batch/", "enrolment/")) or not numbers or item["state"] != "open":
        raise CommandError("This item does not stand for a batch that can be sent again.", found=item["kind"])
    may = ("rejected", "sent", "accepted 999") if item["queue"] == silence.QUEUE else ("rejected",)
    # What went in a later batch meanwhile is on its way.
    there = {"batch_id": silence.batch_of(item)} if item["item_key"].startswith("batch/") else {}
    rows = decision.rows("claim", control_number=numbers, state=may, order_by="control_number", **there)
    for row in rows:
        if decision.full:
            decision.complete = False
            return {}
        _send_again(decision, OpenClaim(decision, row), reason, f"again/{item['id']}/{item['version']}")
    decision.close_items("sent again", id=item["id"])
    for batch_id in there.values():
        silence.sent_again(decision, batch_id)
    return {"claims": len(rows)}


def wait_longer(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``days``, ``reason``: the receiver has it and needs time; ask again after *days*."""
    item, reason = the_row(decision, "work_item", args, "item_id"), the_text(args, "reason")
    days = int(str(args.get("days") or "0")) if str(args.get("days") or "0").isdecimal() else 0
    if item["queue"] != silence.QUEUE or item["state"] != "open" or not 1 <= days <= 60:
        raise CommandError(
            "Nothing is waited for in this way.", expected="an open item of the queue lost claims, and 1 to 60 days"
        )
    silence.wait_longer(decision, item, days)
    decision.note_item(item["id"], "comment", {"comment": reason})
    return {"days": days}


def batch_now(decision: Decision, args: Args) -> Answer:
    """``partner``: make the partner's next batch now, of what is ready."""
    partner = str(args.get("partner") or "")
    if partner not in decision.config.partners:
        raise CommandError("There is no such partner.", found=partner)
    decision.rearm(kind="batch", key=f"batch/{partner}", business_at=decision.now_ms, subject=partner)
    return {"partner": partner}


COMMANDS: dict[str, Callable[[Decision, Args], Answer]] = {
    command.__name__: command for command in (resend_claim, resend_batch, wait_longer, batch_now)
}


def _send_again(decision: Decision, claim: OpenClaim, reason: str, key: str) -> None:
    isolation.send_again(decision, claim, key, f"{decision.actor} sent this claim again.", reason=reason)
