"""What people decide about denials. ``docs/denials.md`` lists them; each names the version of what its user saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hub.billing import claims
from hub.billing.asked import Answer, Args, CommandError, the_row, the_text
from hub.billing.decision import Decision
from hub.billing.denials import appeals, automatic, breaker, corrections, ends, letters
from hub.billing.edits.registry import Proposal
from hub.billing.events import UNSENT, OpenClaim
from hub.billing.ledger import PATIENT, WRITE_OFF
from hub.billing.rules.fields import field_of, read, write
from hub.core.errors import masked
from hub.core.money import from_cents
from hub.formats.x12.frequency import REPLACEMENT
from hub.store.changes import Row

LONGEST_WAIT = 365


def correct_denied_claim(decision: Decision, args: Args) -> Answer:
    """``denial_id``, ``version``, ``frequency`` (7 or 1; the table's when left out): draft the corrected claim.

    It has the same charges, waits in *approval*, and goes with the next batch when somebody approves it.
    """
    row = _open(decision, args, ("open", "waiting", "lost"))
    frequency = str(args.get("frequency") or row["resubmit"] or REPLACEMENT)
    made = corrections.draft(decision, row, frequency=frequency, automatic=False, key=f"{row['id']}/{args['version']}")
    return {"claim_id": made.row["id"], "state": made.state}


def correct_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``field``, ``value``, ``line``, ``reason``: change a claim that was not sent.

    The field is one of docs/payer-rules.md; the change is the person's own, and the claim is examined again with it.
    """
    claim = OpenClaim(decision, the_row(decision, "claim", args))
    if claim.state not in UNSENT:
        raise CommandError(f"This claim is {claim.state} and cannot be changed.", expected="a claim that was not sent")
    payer = decision.config.payers.get(claim.row["payer_id"])
    if payer is None:
        raise CommandError("The practice's payer files do not know this payer any more.")
    field, line, value, reason = field_of(the_text(args, "field")), _line(args), str(args.get("value") or ""), ""
    reason = the_text(args, "reason")
    if field.name in {"control_number", "frequency", "charge", "sequence", "payer_id"}:
        raise CommandError("This field is not changed by hand.", found=field.name)
    kept = claims.body(decision, claim)
    if field.line != bool(line) or line > len(kept.claim.lines):
        raise CommandError(
            "Whether the field is of a line must be said.", expected=f"1 to {len(kept.claim.lines)}, or 0"
        )
    before = read(kept.decided(), field, line)
    write(kept.decided(), field, value, line)
    claim.record(
        "note",
        f"changed/{args['version']}",
        sentence=f"{decision.actor} changed {field.name.replace('_', ' ')}: {reason}",
        field=field.name,
        line=line,
        before=masked(before),
        after=masked(value),
    )
    proposal = Proposal(field.name, value, line)
    decision.close_items("corrected", claim_id=claim.row["id"], queue=("claim edits", "approval"))
    claims.check_again(
        decision, claim, replace(kept, accepted=(*kept.accepted, proposal)), payer, f"edits/{args['version']}"
    )
    return {"state": claim.state}


def write_appeal(decision: Decision, args: Args) -> Answer:
    """``denial_id``, ``version``, ``template``, ``argument``, ``evidence`` (title, message_id): a letter."""
    row = the_row(decision, "denial", args)
    template = str(args.get("template") or (letters.TIMELY if row["appeal"] == "proof" else letters.GENERAL))
    evidence = [
        {"title": str(each.get("title") or "")[:200], "message_id": each.get("message_id")}
        for each in args.get("evidence") or ()
    ]
    action, _ = appeals.write(decision, row, template, str(args.get("argument") or ""), evidence)
    decision.update("denial", row)
    return {"denial_action_id": action["id"], "level": action["level"], "due_on": action["due_on"]}


def send_appeal(decision: Decision, args: Args) -> Answer:
    """``denial_action_id``, ``version``, ``how``, ``reference``: the letter went to the payer."""
    action = the_row(decision, "denial_action", args)
    row = appeals.send(decision, action, the_text(args, "how")[:40], str(args.get("reference") or "")[:80])
    return {"state": row["state"]}


def decide_appeal(decision: Decision, args: Args) -> Answer:
    """``denial_action_id``, ``version``, ``outcome`` (won, partly, lost), ``amount`` (partly): the payer answered."""
    action = the_row(decision, "denial_action", args)
    row = appeals.decide(decision, action, the_text(args, "outcome"), str(args.get("amount") or ""))
    return {"state": row["state"]}


def withdraw_appeal(decision: Decision, args: Args) -> Answer:
    """``denial_action_id``, ``version``: a drafted letter is not sent after all."""
    action = the_row(decision, "denial_action", args)
    if action["kind"] != "appeal" or action["state"] != "drafted":
        raise CommandError(f"This {action['kind']} is {action['state']}.", expected="a drafted appeal")
    decision.update("denial_action", action, state="withdrawn", decided_business_at=decision.now_ms)
    return {"state": action["state"]}


def wait_for_payer(decision: Decision, args: Args) -> Answer:
    """``denial_id``, ``version``, ``days``: leave the denial to the payer so long."""
    row = _open(decision, args, ("open",))
    days = str(args.get("days") or "")
    if not days.isdecimal() or not 1 <= int(days) <= LONGEST_WAIT:
        raise CommandError("For how long?", expected=f"1 to {LONGEST_WAIT} days", found=days)
    automatic.wait(decision, row, int(days))
    return {"state": row["state"]}


def bill_patient(decision: Decision, args: Args) -> Answer:
    """``denial_id``, ``version``, ``reason``: the patient owes what was denied, and may be asked for it."""
    row, reason = _open(decision, args, ("open", "waiting", "lost")), the_text(args, "reason")
    payer = decision.config.payers.get(row["payer_id"])
    if row["may_bill_patient"] == "no" or (payer is not None and payer.patient_share == "never"):
        raise CommandError("The patient may not be asked for this.", where=row["codes"])
    moved = ends.move(decision, row, PATIENT, "transfer", reason)
    ends.over(decision, row, "patient", "the patient's")
    return {"amount": f"{from_cents(moved):f}"}


def accept_denial(decision: Decision, args: Args) -> Answer:
    """``denial_id``, ``version``, ``reason``: the payer is right; what was denied is written off."""
    row, reason = _open(decision, args, ("open", "waiting", "lost")), the_text(args, "reason")
    moved = ends.move(decision, row, WRITE_OFF, "write-off", reason)
    ends.over(decision, row, "accepted", "written off")
    return {"amount": f"{from_cents(moved):f}"}


def suspend_denial_rule(decision: Decision, args: Args) -> Answer:
    """``rule``, ``reason``: nothing is corrected by this row of the table any more until somebody lets it."""
    breaker.set_state(decision, the_text(args, "rule")[:64], breaker.SUSPENDED, the_text(args, "reason"))
    return {"state": breaker.SUSPENDED}


def resume_denial_rule(decision: Decision, args: Args) -> Answer:
    """``rule``, ``reason``: let a suspended row of the table correct again; its count begins anew."""
    rule = the_text(args, "rule")[:64]
    if not breaker.is_suspended(decision, rule):
        raise CommandError("This rule is not suspended.", found=rule)
    breaker.set_state(decision, rule, breaker.ACTIVE, the_text(args, "reason"))
    decision.close_items("let on", queue="denials", kind="rule suspended", rule=rule)
    return {"state": breaker.ACTIVE}


COMMANDS: dict[str, Callable[[Decision, Args], Answer]] = {
    command.__name__: command
    for command in (
        correct_denied_claim,
        correct_claim,
        write_appeal,
        send_appeal,
        decide_appeal,
        withdraw_appeal,
        wait_for_payer,
        bill_patient,
        accept_denial,
        suspend_denial_rule,
        resume_denial_rule,
    )
}


def _open(decision: Decision, args: Args, states: tuple[str, ...]) -> Row:
    row = the_row(decision, "denial", args)
    if row["state"] not in states:
        raise CommandError(f"This denial is {row['state']}.", expected=" or ".join(states))
    return row


def _line(args: Args) -> int:
    text = str(args.get("line") or 0)
    return int(text) if text.isdecimal() else 0
