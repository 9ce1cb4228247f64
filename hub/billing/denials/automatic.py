"""What the hub does about a denial by itself: it waits where waiting is all there is, and corrects form, within guards.

It writes off what is not worth working, where the practice says up to how much.

Codes, modifiers, units, amounts, diagnoses, dates and identities are never among it. A corrected claim waits for a
person's release unless ``corrections = "automatic"`` stands in ``config/billing.toml``.
"""

from __future__ import annotations

from hub.billing.asked import CommandError
from hub.billing.decision import Decision
from hub.billing.denials import breaker, corrections, ends
from hub.billing.denials.corrections import CorrectionError
from hub.billing.denials.table import Verdict
from hub.billing.ledger import WRITE_OFF
from hub.core.clock import DAY_MS
from hub.core.money import to_cents
from hub.formats.x12.frequency import REPLACEMENT
from hub.store.changes import Row

_FORM = frozenset({"claim number"})
"""What of a claim a correction may repair by itself: where it stands in the payer's files, and nothing of the claim."""
_SERIOUS = frozenset({"audit", "do not send", "passed on", "not final", "patient spared"})


def act(decision: Decision, row: Row, verdict: Verdict) -> None:
    """Do what the table lets the hub do about the new denial *row*; a correction in a decision of its own."""
    if verdict.action != "wait" and _is_small(decision, row):
        _later(decision, row)
    elif verdict.auto != "yes":
        return
    elif verdict.action == "wait":
        wait(decision, row, verdict.wait or 21)
    elif verdict.action == "correct":
        _later(decision, row)


def _later(decision: Decision, row: Row) -> None:
    key = f"correct/{row['id']}"
    decision.later(kind="correct denial", key=key, business_at=decision.now_ms, subject_id=row["id"])


def _is_small(decision: Decision, row: Row) -> bool:
    cents: int = row["cents"]
    return 0 < cents <= to_cents(decision.config.policy.denials.small_balance)


def correct(decision: Decision, due: Row) -> None:
    """Write a small denial off or correct its claim, or say to the person who then must why a guard stopped it."""
    row = decision.row("denial", id=due["subject_id"])
    if row is None or row["state"] != "open":
        return
    if _is_small(decision, row):
        _write_off(decision, row)
        return
    remarks = row["remarks"].split()
    verdict = decision.config.denials.look_up(row["payer_id"], row["group"], row["reason"], remarks, row["procedure"])
    stopped = guard(decision, row, verdict)
    if not stopped:
        try:
            frequency = verdict.resubmit or REPLACEMENT
            corrections.draft(decision, row, frequency=frequency, automatic=True, key=str(row["id"]))
            return
        except CorrectionError as error:
            stopped = error.what
    decision.note_item(row["item_id"], "comment", {"comment": f"Not corrected by itself: {stopped}"})


def _write_off(decision: Decision, row: Row) -> None:
    try:
        ends.move(decision, row, WRITE_OFF, "write-off", "It is at most small_balance.")
    except CommandError as error:
        decision.note_item(row["item_id"], "comment", {"comment": f"Not written off by itself: {error.what}"})
        return
    ends.over(decision, row, "accepted", "written off: a small balance")


def wait(decision: Decision, row: Row, days: int) -> None:
    """Leave the denial to its payer for *days*; then it stands in the queue again."""
    decision.update("denial", row, state="waiting")
    decision.close_items("waiting for the payer", id=row["item_id"])
    decision.rearm(
        kind="denial",
        key=f"denial/{row['id']}",
        business_at=decision.now_ms + days * DAY_MS,
        subject_id=row["id"],
    )


def guard(decision: Decision, row: Row, verdict: Verdict) -> str:
    """Why the hub may not correct the denial by itself, in words; empty when it may."""
    policy = decision.config.policy.denials
    if verdict.fix not in _FORM:
        return "what must change is no matter of form."
    if verdict.effects & _SERIOUS:
        return "its remarks ask for a person."
    if row["cents"] > to_cents(policy.most_amount):
        return "the amount is above the limit."
    if any(each["state"] != "void" for each in decision.rows("claim", previous_id=row["claim_id"])):
        return "the claim has gone on to the next payer."
    if breaker.is_suspended(decision, row["rule"]):
        return "the rule is suspended."
    chain = [each["id"] for each in decision.rows("denial", chain_id=row["chain_id"])]
    tried = [
        each
        for each in decision.rows("denial_action", denial_id=tuple(chain), kind="correction")
        if each["state"] != "withdrawn"
    ]
    if any(each["rule"] == row["rule"] for each in tried):
        return "the same was tried once already."
    if len(tried) >= policy.most_corrections:
        return f"the claim was corrected {len(tried)} times already."
    if breaker.made_today(decision, row["rule"]) >= policy.most_in_a_day:
        return "the rule has done enough for one day."
    return ""
