"""Whether a rule is sound: one verb, known fields, nothing set that is no form, samples that do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hub.billing.edits.table import EDITS
from hub.billing.rules.fields import UnknownFieldError, field_of
from hub.billing.rules.follow import RuleFunctionError, follow, in_force, set_form
from hub.billing.rules.layers import LayeredRule, RuleBook
from hub.billing.rules.model import Rule
from hub.billing.rules.sample import sample_claim

Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a rule. *key* is where in its table, *code* one of H520 to H528."""

    key: Key
    code: str
    sentence: str
    fix: str = ""
    warning: bool = False


def problems(each: LayeredRule, earlier: frozenset[str], book: RuleBook) -> Iterator[Problem]:
    """Everything that is wrong with the rule. *earlier* are the names of rules that it may replace."""
    rule = each.rule
    found = [*_verbs(rule), *_fields(rule), *_form(rule), *_replaces(rule, earlier), *_function(rule, book)]
    yield from found
    if not any(not problem.warning for problem in found):
        yield from _samples(each, book)


def _verbs(rule: Rule) -> Iterator[Problem]:
    if len(rule.verbs) > 1:
        sentence = f"A rule has one verb; this one has {', '.join(rule.verbs)}."
        yield Problem(("id",), "H524", sentence, "Make a rule of each.")
    elif not rule.verbs and not rule.replaces:
        fix = "One of require, forbid, limit, set, propose, hold, check; or replaces."
        yield Problem(("id",), "H524", "This rule does nothing.", fix)


def _fields(rule: Rule) -> Iterator[Problem]:
    named: list[tuple[Key, str]] = [((verb,), name) for verb in ("require", "forbid") for name in getattr(rule, verb)]
    named += [((verb, name), name) for verb in ("set", "propose") for name in getattr(rule, verb)]
    named += [(("when", name), field) for name in ("has", "lacks") for field in getattr(rule.when, name)]
    if rule.limit is not None:
        named.append((("limit", "field"), rule.limit.field))
        try:
            re.compile(rule.limit.pattern)
        except re.error:
            yield Problem(("limit", "pattern"), "H522", "This is not a regular expression.")
    for key, name in named:
        known = {"forbid": {"claim", "line"}, "limit": {"lines"}, "propose": {"modifier"}}.get(str(key[0]), set())
        if name not in known:
            try:
                field_of(name)
            except UnknownFieldError as error:
                yield Problem(key, error.code, f'Claims have no field "{name}".', "docs/payer-rules.md lists them.")


def _form(rule: Rule) -> Iterator[Problem]:
    for name in rule.set:
        try:
            form = field_of(name).form
        except UnknownFieldError:
            continue
        if not form:
            sentence = f'"{name}" is a fact of the claim, not form: no rule may set it.'
            yield Problem(("set", name), "H523", sentence, "Write propose; a person accepts it.")

    if "charge" in rule.propose:
        sentence = "An amount is what its charge says: no rule may change it."
        yield Problem(("propose", "charge"), "H523", sentence, "Write hold; the charge is corrected in the EHR.")


def _replaces(rule: Rule, earlier: frozenset[str]) -> Iterator[Problem]:
    name = rule.replaces
    if not name:
        return
    if name in EDITS:
        if not EDITS[name].may_be_loosened:
            sentence = f"{name} keeps the implementation guide; no rule can replace it."
            yield Problem(("replaces",), "H525", sentence)
    elif name not in earlier:
        fix = "Name an edit (LN-10), or a rule with its layer: clearinghouse/ID, payer/ID."
        yield Problem(("replaces",), "H525", f'There is no rule "{name}" that this one could replace.', fix)


def _function(rule: Rule, book: RuleBook) -> Iterator[Problem]:
    if rule.check and rule.check not in (book.checks or {}):
        fix = "A function of a script below transforms/ that takes the claim and returns a sentence, several, or None."
        yield Problem(("check",), "H527", f"The function {rule.check} cannot be loaded.", fix)


def _samples(each: LayeredRule, book: RuleBook) -> Iterator[Problem]:
    rule = each.rule
    if not rule.verbs:
        return  # it only takes another rule away
    missing = {"pass", "hit"} - {sample.result for sample in rule.samples}
    if missing:
        sentence = f'The rule "{rule.id}" has no sample that {_shown(missing)}.'
        yield Problem(("id",), "H520", sentence, 'Add [[rule.sample]] with result = "pass" and "hit".', warning=True)
    for number, sample in enumerate(rule.samples):
        try:
            hit = hits(each, number, book)
        except UnknownFieldError as error:
            yield Problem(("sample", number), error.code, f"The sample cannot be made: {error.what}", error.where)
            continue
        except RuleFunctionError as error:
            yield Problem(("sample", number), error.code, error.what, error.where)
            continue
        if hit != (sample.result == "hit"):
            sentence = f"The sample should {sample.result}; the rule {'hits' if hit else 'passes'} it."
            yield Problem(("sample", number), "H521", sentence)


def hits(each: LayeredRule, number: int, book: RuleBook) -> bool:
    """Whether the rule does anything to its sample *number*, whatever its dates are."""
    timeless = LayeredRule(each.layer, each.rule.model_copy(update={"effective": None, "ends": None}))
    claim = sample_claim(each.rule.samples[number])
    rules = in_force(replace(book, rules=(timeless,)), claim)
    after, repairs = set_form(rules, claim)
    return bool(repairs or follow(rules, after, book))


def _shown(missing: set[str]) -> str:
    return " and none that ".join("it hits" if each == "hit" else "passes" for each in sorted(missing))
