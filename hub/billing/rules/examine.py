"""Everything that a claim passes before it may leave: the rules that set form, the edits, and the other rules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hub.billing.edits.context import Context
from hub.billing.edits.scrub import Finding, Repaired, Unchecked, scrub
from hub.billing.edits.table import EDITS
from hub.billing.rules.fields import UnknownFieldError
from hub.billing.rules.follow import InForce, RuleFunctionError, Trace, follow, in_force, set_form
from hub.billing.rules.layers import RuleBook
from hub.formats.x12.claim import Claim


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of it: the *claim* with its form set and repaired, what was found, and what each rule did."""

    claim: Claim
    findings: tuple[Finding, ...]
    repairs: tuple[Repaired, ...]
    unchecked: tuple[Unchecked, ...]
    traces: tuple[Trace, ...]

    @property
    def stops(self) -> tuple[Finding, ...]:
        """The findings for which the claim must be corrected."""
        return tuple(finding for finding in self.findings if finding.stops)

    @property
    def holds(self) -> tuple[Finding, ...]:
        """The findings that a person decides about."""
        return tuple(finding for finding in self.findings if finding.hold)


def examine(said: Claim, context: Context, book: RuleBook, undone: Collection[str] = ()) -> Examined:
    """Examine the claim *said*. A repair, or a rule that sets form, whose name is in *undone* is left out."""
    try:
        rules = in_force(book, said)
        claim, by_rules = set_form(_without(rules, undone), said)
        scrubbed = scrub(claim, context, undone, rules.replaced & EDITS.keys())
        by_rule = follow(rules, scrubbed.claim, book)
    except (RuleFunctionError, UnknownFieldError) as error:  # a claim never goes unexamined
        scrubbed = scrub(said, context, undone)
        broken = Finding("rules", f"{error.what} The claim waits until that is mended.")
        return Examined(scrubbed.claim, (*scrubbed.findings, broken), scrubbed.repairs, scrubbed.unchecked, ())
    repairs = (*by_rules, *scrubbed.repairs)
    findings = (*scrubbed.findings, *by_rule)
    hit = {finding.rule for finding in findings} | {repair.rule for repair in repairs}
    changed = {repair.rule for repair in by_rules}
    applied = tuple(
        Trace(e.name, applied=True, hit=e.name in hit, why=_why(e.name in hit, e.name in changed)) for e in rules.rules
    )
    return Examined(scrubbed.claim, findings, repairs, scrubbed.unchecked, (*applied, *rules.idle))


def _without(rules: InForce, undone: Collection[str]) -> InForce:
    return InForce(tuple(each for each in rules.rules if each.name not in undone), rules.replaced, rules.idle)


def _why(hit: bool, changed: bool) -> str:
    if changed:
        return "it changed the claim's form"
    return "the claim does not do what it asks" if hit else "the claim does what it asks"
