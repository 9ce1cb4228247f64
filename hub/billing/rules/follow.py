"""Following the rules: what each one did to a claim, or why it did nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from hub.billing.edits.facts import service_day
from hub.billing.edits.registry import Proposal
from hub.billing.edits.scrub import Finding, Repaired
from hub.billing.rules import conditions
from hub.billing.rules.fields import WHOLE_CLAIM, WHOLE_LINE, Field, field_of, place_of, places, read, write
from hub.billing.rules.layers import LayeredRule, RuleBook
from hub.billing.rules.model import Limit, Rule
from hub.core.errors import HubError
from hub.formats.x12.claim import Claim
from hub.formats.x12.place import Place, place

_TRADING_PARTNER = 7  # the SNIP level of what clearinghouse, payer and practice ask beyond the guide
_FIXES = {
    "require": "Enter it in the EHR, or in the practice's files where it comes from there.",
    "forbid": "Take it away, or bill it apart, in the EHR.",
    "limit": "Correct it in the EHR.",
    "propose": "Accept what is proposed, or approve the claim as it is.",
    "hold": "Look at the claim, then approve it or have its charges corrected in the EHR.",
    "check": "Correct what the sentence names in the EHR, or in the practice's files.",
}


class RuleFunctionError(HubError):
    """The function that a rule names is missing, or failed."""

    code = "H527"


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one rule. *why* is a few words: a condition that does not hold, a date, what replaces it."""

    name: str
    applied: bool
    hit: bool
    why: str


@dataclass(frozen=True, slots=True)
class InForce:
    """The rules of a book that apply to one claim, and the names of rules and edits that they replace."""

    rules: tuple[LayeredRule, ...]
    replaced: frozenset[str]
    idle: tuple[Trace, ...]


def in_force(book: RuleBook, claim: Claim) -> InForce:
    """Which rules apply, by the claim's first date of service and by their conditions."""
    day = service_day(claim)
    idle: list[Trace] = []
    meant: list[LayeredRule] = []
    for each in book.rules:
        why = _off(each.rule, day) or conditions.unmet(each.rule.when, claim)
        if why:
            idle.append(Trace(each.name, applied=False, hit=False, why=why if " " in why else f"condition {why}"))
        else:
            meant.append(each)
    replaced = frozenset(each.rule.replaces for each in meant if each.rule.replaces)
    idle += (
        Trace(e.name, applied=False, hit=False, why="replaced by a later rule") for e in meant if e.name in replaced
    )
    return InForce(tuple(each for each in meant if each.name not in replaced), replaced, tuple(idle))


def _off(rule: Rule, day: date) -> str:
    if rule.effective is not None and day < rule.effective:
        return f"not in force before {rule.effective}"
    return f"not in force after {rule.ends}" if rule.ends is not None and day > rule.ends else ""


def set_form(rules: InForce, claim: Claim) -> tuple[Claim, tuple[Repaired, ...]]:
    """Do what the ``set`` rules say. Only fields of form are ever touched, whatever a rule asks for."""
    made: list[Repaired] = []
    for each in rules.rules:
        for name, text in each.rule.set.items():
            field = field_of(name)
            if not field.form:
                continue
            for number in places(field, claim, conditions.lines(each.rule.when, claim)):
                before = read(claim, field, number)
                if before != text:
                    claim = write(claim, field, text, number)
                    made.append(Repaired(each.name, _place(field, number), before, text))
    return claim, tuple(made)


def _place(field: Field, line: int) -> str:
    return f"lines[{line}].{field.name}" if line else field.name


def follow(rules: InForce, claim: Claim, book: RuleBook) -> tuple[Finding, ...]:
    """What the rules find in *claim*, whose form is set. Raises :class:`RuleFunctionError`."""
    return tuple(finding for each in rules.rules for finding in _findings(each, claim, book))


def _findings(each: LayeredRule, claim: Claim, book: RuleBook) -> Iterator[Finding]:
    rule = each.rule
    lines = conditions.lines(rule.when, claim) if conditions.speaks_of_lines(rule.when) else ()

    def finding(
        line: int, name: str = "", *, proposal: Proposal | None = None, hold: bool = False, sentence: str = ""
    ) -> Finding:
        at = _where(name or conditions.looked_at(rule.when), claim.form, line)
        fix = rule.fix or _FIXES[rule.verbs[0]]
        said = sentence or rule.say
        return Finding(each.name, said, rule.severity, line, proposal, hold, _TRADING_PARTNER, at, fix)

    for name in rule.require:
        field = field_of(name)
        yield from (finding(n, name) for n in places(field, claim, lines) if not read(claim, field, n))
    for name in rule.forbid:
        if name in {"claim", "line"}:
            yield from (finding(number) for number in lines or (0,))
            continue
        field = field_of(name)
        yield from (finding(n, name) for n in places(field, claim, lines) if read(claim, field, n))
    if rule.limit is not None:
        yield from (finding(number, rule.limit.field) for number in _beyond(rule.limit, claim, lines))
    for name, text in rule.propose.items():
        yield from (finding(p.line, p.field, proposal=p, hold=True) for p in _proposals(name, text, claim, lines))
    if rule.hold:
        yield finding(lines[0] if lines else 0, hold=True)
    if rule.check:
        yield from (finding(0, sentence=sentence) for sentence in _said(rule.check, claim, book))


def _where(name: str, form: str, line: int) -> Place:
    """The place of the field that a rule looks at; of the claim or the line as a whole when it looks at none."""
    if not name or name == "lines":
        return place(WHOLE_LINE if line or name else WHOLE_CLAIM)
    return place_of(field_of(name), form)


def _beyond(limit: Limit, claim: Claim, lines: tuple[int, ...]) -> Iterator[int]:
    if limit.field == "lines":
        if not _within(limit, str(len(claim.lines))):
            yield 0
        return
    field = field_of(limit.field)
    for number in places(field, claim, lines):
        text = read(claim, field, number)
        if text and not _within(limit, text):
            yield number


def _within(limit: Limit, text: str) -> bool:
    if limit.length is not None and len(text) > limit.length:
        return False
    if limit.pattern and not re.fullmatch(limit.pattern, text):
        return False
    if limit.most is None and limit.least is None:
        return True
    amount = Decimal(text)
    return (limit.most is None or amount <= limit.most) and (limit.least is None or amount >= limit.least)


def _proposals(name: str, text: str, claim: Claim, lines: tuple[int, ...]) -> Iterator[Proposal]:
    """The changes that are not made yet; ``modifier`` adds one to those that a line has."""
    field = field_of("modifiers" if name == "modifier" else name)
    for number in places(field, claim, lines):
        before = read(claim, field, number)
        wanted = f"{before} {text}".strip() if name == "modifier" else text
        if (name == "modifier" and text not in before.split()) or (name != "modifier" and before != wanted):
            yield Proposal(field.name, wanted, number)


def _said(name: str, claim: Claim, book: RuleBook) -> list[str]:
    """What a site's own function says of the claim: nothing, a sentence, or several."""
    function = (book.checks or {}).get(name)
    if function is None:
        raise RuleFunctionError("A rule names a function that is not there.", where=name)
    try:
        said = function(claim)
    except Exception as error:
        what = f"A rule's function failed: {type(error).__name__}."  # its text may quote patient data
        raise RuleFunctionError(what, where=name) from None
    if not said:
        return []
    return [said] if isinstance(said, str) else [str(sentence) for sentence in said]
