"""What payers do to our control numbers: learned from people's matches, used only after a person released it.

Payers should return CLM01 as CLP01 (005010X221A1). Some put something before it or after it, always the same: when a
person matches such a payment by hand, a rule is proposed. A proposed rule changes nothing.
"""

from __future__ import annotations

from hub.billing.decision import Decision
from hub.core.errors import HubError
from hub.store.changes import Row

LONGEST = 12
QUEUE = "unmatched payments"


class RuleError(HubError):
    """A rule about a payer's numbers cannot be released or withdrawn as it was asked."""

    code = "H621"


def normalised(number: str) -> str:
    """A control number without what payers change in it: case, punctuation, leading zeros."""
    return plain(number).lstrip("0")


def plain(number: str) -> str:
    """A control number in capitals, without punctuation."""
    return "".join(c for c in number.upper() if c.isascii() and c.isalnum())


def undone(decision: Decision, payer_id: str, number: str) -> list[str]:
    """The numbers that *number* may have been before the payer's released rules."""
    found = plain(number)
    rules = decision.rows("number_rule", payer_id=payer_id, state="released")
    cut = [
        found.removeprefix(rule["text"]) if rule["place"] == "prefix" else found.removesuffix(rule["text"])
        for rule in rules
    ]
    return [each for each in dict.fromkeys(cut) if each and each != found]


def learn(decision: Decision, payer_id: str, payer_name: str, theirs: str, ours: str) -> None:
    """A person said that the payer's number *theirs* is *ours*: propose the rule that would have found it."""
    found = plain(theirs)
    before, at, after = found.partition(plain(ours))
    if not at or bool(before) == bool(after) or len(before + after) > LONGEST:
        return
    place, text = ("prefix", before) if before else ("suffix", after)
    known = decision.row("number_rule", payer_id=payer_id, place=place, text=text)
    if known is not None:
        decision.update("number_rule", known, seen=known["seen"] + 1)
        return
    rule = decision.insert(
        "number_rule",
        id=decision.ids.next(),
        payer_id=payer_id,
        place=place,
        text=text,
        state="proposed",
        proposed_by=decision.actor[:64],
    )
    where = "before" if before else "after"
    decision.open_item(
        queue=QUEUE,
        key=f"number rule:{rule['id']}",
        kind="number rule",
        sentence=(
            f"{payer_name or 'A payer'} seems to put {text} {where} our control numbers. "
            "Once this is released, its payments are matched without it."
        ),
        evidence={"number_rule_id": rule["id"]},
    )


def release(decision: Decision, rule: Row) -> None:
    """Use a proposed *rule* from now on. Raises :class:`RuleError`."""
    if rule["state"] == "released":
        raise RuleError("This rule is released already.")
    decision.update("number_rule", rule, state="released", released_by=decision.actor[:64])
    decision.close_item(f"number rule:{rule['id']}", "released")


def withdraw(decision: Decision, rule: Row) -> None:
    """Use *rule* no longer. Raises :class:`RuleError`."""
    if rule["state"] == "withdrawn":
        raise RuleError("This rule is withdrawn already.")
    decision.update("number_rule", rule, state="withdrawn")
    decision.close_item(f"number rule:{rule['id']}", "withdrawn")
