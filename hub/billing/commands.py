"""What people decide: approvals, holds, releases, write-offs, and the work items themselves.

A command names the version of what its user saw; when that has changed since, nothing is done and the
answer says so. Who did it stands on every event, entry and item.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from hub.billing import (
    charge_commands,
    claims,
    closing,
    late_charges,
    ledger,
    money_commands,
    next_payer,
    replacements,
    submission_commands,
    voids,
)
from hub.billing.asked import Answer, Args, CommandError, one, the_row, the_text
from hub.billing.claim_body import ClaimBody
from hub.billing.config import Payer
from hub.billing.decision import Decision
from hub.billing.denials.commands import COMMANDS as OF_DENIALS
from hub.billing.events import UNSENT, OpenClaim
from hub.billing.ledger import PATIENT, PAYER, WRITE_OFF, Posting
from hub.billing.rules.fields import field_of, read
from hub.core.errors import HubError, masked
from hub.core.money import from_cents, money, shown, to_cents
from hub.formats.x12.frequency import LATE, VOID
from hub.store.changes import Changes, Row

LONGEST_SNOOZE = 90
"""Days."""


def run(decision: Decision, name: str, args: Args) -> Answer:
    """Do the command *name*; answers ``{"ok": True, ...}``, or ``{"ok": False, "error": {...}}`` without any change."""
    try:
        command = _COMMANDS.get(name) or next((each[name] for each in _OTHERS if name in each), None)
        if command is None:
            raise CommandError("Billing knows no such command.", found=name)
        return {"ok": True, **command(decision, args)}
    except HubError as error:
        decision.changes = Changes()
        said = {field: getattr(error, field) for field in ("code", "what", "where", "expected", "found", "fix")}
        return {"ok": False, "error": said}


def approve_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``: let a held claim go with the next batch."""
    claim = _claim(decision, args)
    replaces = replacements.is_draft(decision, claim) and claim.state in {"held", "needs fix"}
    if claim.state != "held" and not replaces:
        raise CommandError(f"Only a held claim can be approved; this one is {claim.state}.")
    if replaces:
        replacements.release(decision, claim)
        claim.record("hold", f"hold/{args['version']}")
    elif claim.row["frequency"] == LATE:
        late_charges.release(decision, claim)
    claim.record("approved", f"approved/{args['version']}")
    decision.update("claim", claim.row, approved_by=decision.actor)
    decision.close_items("approved", claim_id=claim.row["id"], queue="approval")
    return {"state": claim.state}


def hold_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``reason``: keep a claim that was not sent from going, until somebody approves it."""
    claim, reason = _claim(decision, args), the_text(args, "reason")
    if claim.state not in {"ready", "held"}:
        raise CommandError(f"Only a ready claim can be held; this one is {claim.state}.")
    claim.record("hold", f"hold/{args['version']}")
    decision.open_item(
        queue="approval",
        key=f"claim/{claim.row['id']}/hold/{args['version']}",
        kind="held by a person",
        sentence="Somebody held this claim; it goes on when it is approved.",
        money_cents=claim.row["total_cents"],
        claim_id=claim.row["id"],
        patient_id=claim.row["patient_id"],
        evidence={"reason": reason},
    )
    return {"state": claim.state}


def discard_replacement(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``reason``: drop a replacement or void that waits for approval.

    The sent claim stays as it is; charges that came late are billed on a claim of their own.
    """
    claim, reason = _claim(decision, args), the_text(args, "reason")
    if claim.state not in UNSENT or not replacements.is_draft(decision, claim):
        raise CommandError("This is no replacement that waits for approval.", found=claim.state)
    replacements.discard(decision, claim, reason)
    return {"state": claim.state}


def rebill_claim(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``reason``: void a claim that no payer has on file, and bill its charges anew.

    The charges of a corrected claim go back to the claim that it corrects, whose denial is open again; a released
    replacement of a claim that is on file is drafted anew.
    """
    claim, reason = _claim(decision, args), the_text(args, "reason")
    if replacements.is_draft(decision, claim):
        raise CommandError("This replacement was not released yet.", fix="Approve it, or discard it.")
    if claim.row["frequency"] == VOID:
        raise CommandError("This claim voids another one; it has no charges to bill.", fix="Send it again, or hold it.")
    if claim.state not in {*UNSENT, "rejected"} and not _stays_here(decision, claim):
        raise CommandError(
            f"This claim is {claim.state}: the payer may have it.",
            expected="a claim that was not sent, or was rejected",
        )
    claims.withdraw(decision, claim.row["id"], reason)
    return {"state": claim.state}


def accept_proposal(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``rule``, ``line``: make the change that an edit or rule proposes, as a person's own.

    The claim is examined again with it; the person's name stands on the event.
    """
    claim, payer = _unsent(decision, args)
    kept = claims.body(decision, claim)
    rule, line = the_text(args, "rule"), int(args.get("line") or 0)
    found = next(
        (
            finding
            for finding in claims.examined(decision, claim, kept, payer).findings
            if finding.rule == rule and finding.proposal is not None and finding.proposal.line == line
        ),
        None,
    )
    if found is None or found.proposal is None:
        raise CommandError("Nothing of that kind is proposed for this claim.", found=rule)
    field = field_of(found.proposal.field)
    claim.record(
        "note",
        f"accepted/{args['version']}",
        sentence=f"{decision.actor} accepted a proposal. {found.sentence}",
        rule=rule,
        line=line,
        field=field.name,
        before=masked(read(kept.decided(), field, line)),
        after=masked(found.proposal.value),
    )
    return _examine_again(decision, claim, kept.accept(found.proposal), payer, "proposal accepted", args)


def undo_repair(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``, ``rule``, ``reason``: take back a repair of form; the claim says it as before."""
    claim, payer = _unsent(decision, args)
    kept = claims.body(decision, claim)
    rule, reason = the_text(args, "rule"), the_text(args, "reason")
    if not any(repair.rule == rule for repair in claims.examined(decision, claim, kept, payer).repairs):
        raise CommandError("That rule repaired nothing on this claim.", found=rule)
    sentence = f"{decision.actor} took back a repair."
    claim.record("note", f"undone/{args['version']}", sentence=sentence, rule=rule, reason=reason)
    return _examine_again(decision, claim, kept.undo(rule), payer, "repair taken back", args)


def _examine_again(
    decision: Decision, claim: OpenClaim, kept: ClaimBody, payer: Payer, resolution: str, args: Args
) -> Answer:
    decision.close_items(resolution, claim_id=claim.row["id"], queue=("claim edits", "approval"))
    claims.check_again(decision, claim, kept, payer, f"edits/{args['version']}")
    return {"state": claim.state}


def _unsent(decision: Decision, args: Args) -> tuple[OpenClaim, Payer]:
    """A claim that can still be changed here, and its payer."""
    claim = _claim(decision, args)
    if claim.state not in UNSENT:
        raise CommandError(f"This claim is {claim.state} and cannot be changed.", expected="a claim that was not sent")
    payer = decision.config.payers.get(claim.row["payer_id"])
    if payer is None:
        raise CommandError("The practice's payer files do not know this payer any more.")
    return claim, payer


def write_off(decision: Decision, args: Args) -> Answer:
    """Give up what a payer or the patient still owes.

    ``account`` is ``payer`` or ``patient``; ``charge_id`` or ``claim_id`` with its ``version`` says of
    what; ``reason`` is required, ``amount`` (of one charge) is the whole balance when left out.
    """
    account = {"payer": PAYER, "patient": PATIENT}.get(str(args.get("account")))
    if account is None:
        raise CommandError("It must be said who owes it.", expected="payer or patient")
    reason = the_text(args, "reason")
    subject = "charge" if "charge_id" in args else "claim"
    row = the_row(decision, subject, args)
    next_claim = row["id"] if subject == "claim" and row["previous_id"] is not None else None
    if next_claim is not None:
        owed_there = next_payer.balances(decision, next_claim).items()
        balances = {charge_id: cents for (where, charge_id), cents in owed_there if where == account and cents > 0}
    else:
        charges = [row["id"]] if subject == "charge" else [c.id for c in claims.charges_of(decision, row["id"])]
        balances = ledger.balances(decision, account, charges)
    if args.get("amount"):
        wanted = to_cents(money(str(args["amount"])))
        owed = sum(balances.values())
        if len(balances) != 1 or not 0 < wanted <= owed:
            raise CommandError("This much is not owed.", expected=f"one charge and at most {shown(from_cents(owed))}")
        balances = dict.fromkeys(balances, wanted)
    total = sum(balances.values())
    if total <= 0:
        raise CommandError("Nothing is owed here that could be written off.")
    postings: list[Posting] = []
    for charge_id, cents in balances.items():
        charge = one(decision, "charge", charge_id)
        about: dict[str, Any] = {
            "charge_id": charge_id,
            "claim_id": next_claim or charge["claim_id"],
            "patient_id": charge["patient_id"],
        }
        postings.append(Posting(account=WRITE_OFF, amount_cents=cents, **about))
        postings.append(Posting(account=account, amount_cents=-cents, **about))
    ledger.post(
        decision,
        key=f"write-off/{subject}/{row['id']}/{row['version']}",
        kind="write-off",
        postings=postings,
        claim_id=row["id"] if subject == "claim" else row["claim_id"],
        memo=reason,
    )
    decision.update(subject, row)  # so that the same version cannot be written off twice
    return {"amount": f"{from_cents(total):f}"}


def match_payment(decision: Decision, args: Args) -> Answer:
    """``remittance_claim_id``, ``claim_id``: say which claim a payment is for that none was found for, and post it."""
    from hub.billing import by_hand

    for name in ("remittance_claim_id", "claim_id"):
        if name not in args:
            raise CommandError("The command does not say what it is about.", expected=name)
    try:
        outcome = by_hand.match_by_hand(decision, int(args["remittance_claim_id"]), int(args["claim_id"]))
    except LookupError:
        raise CommandError("There is no such payment or claim.") from None
    if outcome.state not in {"posted", "closed"}:
        raise CommandError(outcome.reason or "This payment cannot be posted to this claim.")
    return {"state": outcome.state}


def resolve_item(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``resolution``, ``comment``: the work of an item is done."""
    item, resolution = the_row(decision, "work_item", args, "item_id"), the_text(args, "resolution")
    if item["state"] != "open":
        raise CommandError("This item is resolved already.")
    _check_done(decision, item)
    decision.update("work_item", item, state="resolved", resolution=resolution[:48])
    said = {"resolution": resolution, "comment": str(args.get("comment", ""))}
    decision.note_item(item["id"], "resolved", said)
    return {"state": item["state"]}


def _check_done(decision: Decision, item: Row) -> None:
    """An item whose charge or claim still waits is not resolved by saying so: nothing else would bring it up again."""
    charge = decision.row("charge", id=item["charge_id"]) if item["kind"].startswith("charge held") else None
    if charge is not None and charge["state"] == "held":
        raise CommandError(
            "The charge is still held.", fix="Release it, correct it or take it back; the item then resolves itself."
        )
    claim = decision.row("claim", id=item["claim_id"]) if item["queue"] in {"claim edits", "approval"} else None
    if claim is not None and claim["state"] in {"held", "needs fix"}:
        raise CommandError(
            f"The claim is still {'held' if claim['state'] == 'held' else 'in need of a correction'}.",
            fix="Approve it or bill it anew; the item then resolves itself.",
        )


def reopen_item(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``comment``: the work of an item was not done after all."""
    item = the_row(decision, "work_item", args, "item_id")
    if item["state"] != "resolved":
        raise CommandError("This item is open already.")
    decision.update("work_item", item, state="open", resolution="")
    decision.note_item(item["id"], "reopened", {"comment": str(args.get("comment", ""))})
    return {"state": item["state"]}


def comment_item(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``comment``: add a remark to an item. It collides with nobody's work, so it asks for no version."""
    item = one(decision, "work_item", int(args["item_id"]))
    decision.note_item(item["id"], "comment", {"comment": the_text(args, "comment")})
    return {"state": item["state"]}


def assign_item(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``assignee``: give an item to somebody, or (empty) to nobody."""
    item = the_row(decision, "work_item", args, "item_id")
    assignee = str(args.get("assignee") or "").strip()[:64]
    decision.update("work_item", item, assignee=assignee or None)
    decision.note_item(item["id"], "assigned", {"assignee": assignee})
    return {"assignee": assignee}


def snooze_item(decision: Decision, args: Args) -> Answer:
    """``item_id``, ``version``, ``until`` (a day of the practice; empty wakes it), ``comment``: let an item rest."""
    item, until = the_row(decision, "work_item", args, "item_id"), str(args.get("until") or "")
    if item["state"] != "open":
        raise CommandError("This item is resolved already.")
    if until:
        try:
            day = date.fromisoformat(until)
        except ValueError:
            raise CommandError("This is no day.", expected="such as 2026-11-30", found=until[:20]) from None
        today = date.fromisoformat(decision.today)
        if not today < day <= today + timedelta(days=LONGEST_SNOOZE):
            raise CommandError(f"An item rests until a day to come, {LONGEST_SNOOZE} days from now at most.")
        if item["due_on"] and until > item["due_on"]:
            raise CommandError("It is due before that day.", expected=f"at most {item['due_on']}")
    decision.update("work_item", item, snoozed_until=until)
    said = {"until": until, "comment": str(args.get("comment", ""))}
    decision.note_item(item["id"], "snoozed" if until else "woken", said)
    return {"until": until}


_OTHERS = (
    charge_commands.COMMANDS,
    money_commands.COMMANDS,
    closing.COMMANDS,
    submission_commands.COMMANDS,
    voids.COMMANDS,
    OF_DENIALS,
)
_COMMANDS: dict[str, Callable[[Decision, Args], Answer]] = {
    command.__name__: command
    for command in (
        approve_claim,
        hold_claim,
        discard_replacement,
        rebill_claim,
        accept_proposal,
        undo_repair,
        write_off,
        match_payment,
        resolve_item,
        reopen_item,
        comment_item,
        assign_item,
        snooze_item,
    )
}


def _claim(decision: Decision, args: Args) -> OpenClaim:
    return OpenClaim(decision, the_row(decision, "claim", args))


def _stays_here(decision: Decision, claim: OpenClaim) -> bool:
    """Whether the claim's batch was refused by its receiver, or closed by a person, before it was ever taken."""
    events = decision.rows("claim_event", claim_id=claim.row["id"], kind="undelivered")
    outcomes = {json.loads(event["detail"])["outcome"] for event in events}
    return claim.state == "batched" and bool(outcomes & {"refused", "closed"})
