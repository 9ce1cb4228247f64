"""What people decide about charges that wait for them: let them go on, correct them, take them back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hub.billing import replacements
from hub.billing.asked import Answer, Args, CommandError, the_row, the_text
from hub.billing.charges import SENTENCES, settle
from hub.billing.decision import Decision
from hub.billing.open_charge import OpenCharge, arm_bill, opened

_MOST_MODIFIERS = 4


def release_charge(decision: Decision, args: Args) -> Answer:
    """``charge_id``, ``version``, ``comment``: let a held charge go on, and bill it now.

    What the person vouches for is that it is no duplicate; any other obstacle must have gone.
    """
    charge = _held(decision, args, "released")
    if charge.held_for == "duplicate":
        charge.body["cleared"] = ["duplicate"]
    obstacle = settle(decision, charge)
    if obstacle:
        raise CommandError(SENTENCES[obstacle], fix="Correct it here or in the EHR; the charge then goes on by itself.")
    arm_bill(decision, charge.row["visit_id"], charge.billed_with, decision.now_ms)
    return {"state": charge.row["state"]}


def correct_charge(decision: Decision, args: Args) -> Answer:
    """``charge_id``, ``version``, ``field``, ``value``, ``reason``: correct what holds a charge, which then goes on.

    The source's own word is kept beside it. A source that repeats that does not undo the correction, another word does.
    """
    charge, reason = _held(decision, args, "corrected"), the_text(args, "reason")
    field = the_text(args, "field")
    read = FIELDS.get(field)
    if read is None:
        raise CommandError("This field of a charge is not corrected here.", found=field, expected=", ".join(FIELDS))
    charge.correct(field, read(decision, the_text(args, "value").upper()))
    for item in decision.rows("work_item", charge_id=charge.id, state="open"):
        decision.note_item(item["id"], "corrected", {"field": field.replace("_", " "), "comment": reason})
    settle(decision, charge, "corrected")
    return {"state": charge.row["state"]}


def void_charge(decision: Decision, args: Args) -> Answer:
    """``charge_id``, ``version``, ``reason``: take back a charge that should not have been made and is on no claim."""
    charge, reason = opened(decision, the_row(decision, "charge", args)), the_text(args, "reason")
    if charge.row["state"] not in {"held", "open"} or charge.held_for == replacements.HELD_FOR:
        raise CommandError(f"This charge is {charge.row['state']} and cannot be taken back here.")
    decision.close_items(reason, charge_id=charge.id)
    charge.body["void_reason"] = reason
    charge.void()
    return {"state": charge.row["state"]}


def _held(decision: Decision, args: Args, done: str) -> OpenCharge:
    charge = opened(decision, the_row(decision, "charge", args))
    if charge.row["state"] != "held":
        raise CommandError(f"Only a held charge can be {done}; this one is {charge.row['state']}.")
    if charge.held_for == replacements.HELD_FOR:
        raise CommandError(
            "This charge goes with the replacement of its visit's claim, which waits for approval.",
            fix="Approve the replacement; or discard it, and the charge is billed on a claim of its own.",
        )
    return charge


def _performer(decision: Decision, text: str) -> str:
    if decision.config.provider(text) is None:
        raise CommandError("The practice has no provider of this number.", expected="an NPI of config/practice.toml")
    return text


def _department(decision: Decision, text: str) -> str:
    known = {each.code.upper(): each.code for each in decision.config.practice.departments}
    if text not in known:
        raise CommandError("The practice has no such department.", expected=", ".join(known.values()))
    return known[text]


def _place(_decision: Decision, text: str) -> str:
    if not re.fullmatch(r"\d\d", text):
        raise CommandError("This is no place of service.", expected="two digits, such as 11")
    return text


def _modifiers(_decision: Decision, text: str) -> list[str]:
    found = text.replace(",", " ").split()
    if len(found) > _MOST_MODIFIERS or not all(re.fullmatch(r"[A-Z0-9]{2}", each) for each in found):
        raise CommandError("These are no modifiers.", expected=f"up to {_MOST_MODIFIERS}, such as 25 59")
    return found


FIELDS: dict[str, Callable[[Decision, str], Any]] = {
    "performing_npi": _performer,
    "department": _department,
    "place_of_service": _place,
    "modifiers": _modifiers,
}
"""What can be corrected, each with what reads a person's word for it."""
COMMANDS = {"release_charge": release_charge, "correct_charge": correct_charge, "void_charge": void_charge}
