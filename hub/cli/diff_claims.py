"""Recorded claims under the rules that run and under those on disk: whose outcome changes, and by which rule.

Both sides examine a claim as its charges said it, on the same day and with the same data. Nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from hub.billing.claim_body import ClaimBody
from hub.billing.config import BillingConfig
from hub.billing.edits.context import Context
from hub.billing.rules.examine import Examined, examine
from hub.billing.rules.layers import RuleBook, rule_book
from hub.formats.x12.claim import Claim
from hub.site.rules import rule_functions
from hub.store.tables import claim

if TYPE_CHECKING:
    from hub.site.load import Site

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class RecordedClaim:
    """One claim as its charges said it; what a person took back of it is in *undone*."""

    number: str
    payer_id: str
    said: Claim
    undone: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClaimGroup:
    """One rule or edit that does something else to *claims* of a payer: what it *was* and is *now*."""

    payer: str
    rule: str
    was: str
    now: str
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule of a payer that is added, changed or removed, and for how many of *seen* claims the outcome changes."""

    payer: str
    rule: str
    change: str
    claims: int
    seen: int


@dataclass(frozen=True, slots=True)
class ClaimsCompared:
    """What came of it: *same* claims with the same outcome of *seen*, and where outcomes differ."""

    seen: int
    same: int
    rules: tuple[RuleChange, ...]
    groups: tuple[ClaimGroup, ...]


def recorded_claims(connection: Connection, unseal: Callable[[bytes], Any], most: int) -> list[RecordedClaim]:
    """The newest *most* claims that are not void."""
    rows = connection.execute(
        select(claim.c.control_number, claim.c.payer_id, claim.c.body)
        .where(claim.c.state != "void")
        .order_by(claim.c.id.desc())
        .limit(most)
    )
    found = []
    for row in rows:
        body = ClaimBody.from_plain(unseal(row.body))
        found.append(RecordedClaim(row.control_number, row.payer_id, body.decided(), frozenset(body.undone)))
    return found


def compare_claims(old: BillingConfig, new: BillingConfig, claims: list[RecordedClaim], today: date) -> ClaimsCompared:
    """What the rules of *old* and of *new* make of *claims*, the most frequent difference first."""
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    changed: dict[tuple[str, str], set[str]] = defaultdict(set)
    seen: dict[str, int] = defaultdict(int)
    same = 0
    for one in claims:
        seen[one.payer_id] += 1
        was, now = _effects(one, old, today), _effects(one, new, today)
        same += was == now
        for rule in sorted(was.keys() | now.keys()):
            effects = (was.get(rule, NOTHING), now.get(rule, NOTHING))
            if effects[0] != effects[1]:
                groups[one.payer_id, rule, *effects].append(one.number)
                changed[one.payer_id, rule].add(one.number)
    rules = [
        RuleChange(payer_id, rule, change, len(changed[payer_id, rule]), seen[payer_id])
        for payer_id in sorted({*old.payers, *new.payers})
        for rule, change in _rule_changes(rule_book(old, payer_id), rule_book(new, payer_id))
    ]
    made = [ClaimGroup(*key, tuple(numbers)) for key, numbers in groups.items()]
    made.sort(key=lambda group: (-len(group.claims), group.payer, group.rule))
    return ClaimsCompared(len(claims), same, tuple(rules), tuple(made))


def billing_of(site: Site) -> BillingConfig:
    """The billing configuration of a sound *site*, with the functions that its rules name."""
    assert site.billing is not None
    return replace(site.billing, checks=rule_functions(site.billing, site.scripts))


def _effects(one: RecordedClaim, billing: BillingConfig, today: date) -> dict[str, str]:
    """What happens to a claim, by the name of the rule or edit that does it."""
    payer = billing.payers.get(one.payer_id)
    if payer is None:
        return {"payer": "not known: the claim cannot be made"}
    found = examine(one.said, Context(payer, today, billing.practice), rule_book(billing, one.payer_id), one.undone)
    return {rule: ", ".join(sorted(words)) for rule, words in _words(found).items()}


def _words(found: Examined) -> dict[str, set[str]]:
    told: dict[str, set[str]] = defaultdict(set)
    for each in found.findings:
        told[each.rule].add("needs a fix" if each.stops else "held for a person" if each.hold else "a remark")
    for repair in found.repairs:
        told[repair.rule].add(f"sets {repair.place}")
    return told


def _rule_changes(old: RuleBook, new: RuleBook) -> list[tuple[str, str]]:
    """The rules that differ between two books, each with what became of it."""
    was, now = {each.name: each.rule for each in old.rules}, {each.name: each.rule for each in new.rules}
    return [
        (name, "added" if name not in was else "removed" if name not in now else "changed")
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
