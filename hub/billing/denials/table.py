"""The triage table: what each reason code of a payer means for the practice, and what is done about it.

The shipped table is ``reasons.csv`` and ``remarks.csv`` beside this module, in the project's own words; a site's
``config/denials.csv`` and ``config/denial_remarks.csv`` have the same columns, and their rows go first. Actions and
chances are billing practice and no standard; the codes belong to their publishers, whose texts are not here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from hub.core.errors import HubError

COLUMNS = (
    *("payer", "group", "reason", "remark", "procedure", "category", "action", "auto", "resubmit", "appeal", "patient"),
    *("wait", "fix", "note"),
)
REMARK_COLUMNS = ("remark", "effect", "fix", "note")
OWNERS = {
    "eligibility": "front desk",
    "registration": "front desk",
    "other payer": "front desk",
    "authorisation": "authorisations",
    "coding": "coder",
    "bundling": "coder",
    "medical necessity": "coder",
    "documents": "records",
    "enrolment": "credentialing",
    "duplicate": "biller",
    "timely filing": "biller",
    "payer": "biller",
    "information": "biller",
    "benefit": "patient billing",
    "contract": "contracts",
    "unknown": "biller",
}
ACTIONS = (
    *("correct", "records", "appeal", "other payer", "patient", "accept", "wait", "close", "review"),
    "by remark",
)
AUTO = ("yes", "propose", "no")
RESUBMIT = ("", "1", "7")
APPEAL = ("yes", "no", "proof")
PATIENT = ("yes", "no", "policy")
EFFECTS = frozenset(
    {
        *("new claim", "no appeal", "claim number", "not final", "do not send", "information", "passed on", "wait"),
        *("patient spared", "patient accepted", "data", "records", "ask patient", "bundled", "policy", "excluded"),
        *("patient's share only", "audit"),
    }
)
FIXES = (
    *("", "modifiers", "place", "identity", "provider", "diagnoses", "authorisation", "dates", "other payers"),
    *("units", "code", "clia", "charge", "drug", "claim number", "stay"),
)
CHANCES = {  # of every hundred, before there is a history: guesses, which a practice's own outcomes replace
    "registration": 80,
    "authorisation": 60,
    "documents": 80,
    "other payer": 70,
    "coding": 65,
    "enrolment": 50,
    "eligibility": 40,
    "duplicate": 30,
    "bundling": 35,
    "medical necessity": 35,
    "timely filing": 60,
    "benefit": 20,
    "contract": 20,
    "payer": 50,
    "information": 10,
    "unknown": 40,
}
UNKNOWN = "unknown"


class DenialTableError(HubError):
    """A row of the denial table cannot be used."""

    code = "H630"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: which denials (empty: any), what they are, and what is done.

    *auto* is ``yes``, ``propose`` (the machine prepares, a person decides) or ``no``; *resubmit* the frequency of
    the claim that comes back (7 replaces, 1 is new); *appeal* ``proof`` means: only with proof; *wait* is in days;
    *fix* names what the correction is about.
    """

    payer: str
    group: str
    reason: str
    remark: str
    category: str
    action: str
    auto: str = "no"
    resubmit: str = ""
    appeal: str = "no"
    patient: str = "no"
    wait: int = 0
    fix: str = ""
    note: str = ""
    procedure: str = ""

    @property
    def name(self) -> str:
        """How the rule is called: ``90002/CO-97+N20@36415``."""
        code = f"{self.group}-{self.reason}" if self.group else self.reason
        more = (("+", self.remark), ("@", self.procedure))
        return "".join((f"{self.payer}/" if self.payer else "", code, *(sign + said for sign, said in more if said)))

    @property
    def key(self) -> tuple[str, ...]:
        """What no two rows of one table share."""
        return (self.payer, self.group, self.reason, self.remark, self.procedure)


@dataclass(frozen=True, slots=True)
class Remark:
    """What a remark code changes about the answer. *effects* are of :data:`EFFECTS`."""

    remark: str
    effects: tuple[str, ...]
    fix: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says of one denial. *covered* is False when no row knows the code."""

    rule: str
    category: str
    action: str
    auto: str
    resubmit: str
    appeal: str
    patient: str
    wait: int
    fix: str
    note: str
    effects: frozenset[str]
    covered: bool = True

    @property
    def owner(self) -> str:
        """Whose desk it is."""
        return OWNERS[self.category]

    @property
    def chance(self) -> int:
        """How many of a hundred such denials are won, before there is a history."""
        if self.category == "timely filing" and self.action != "appeal":
            return 5  # there is no proof
        return CHANCES[self.category]


@dataclass(frozen=True, slots=True)
class DenialTable:
    """Rows by reason, the more special ones first, and what remarks say."""

    rules: dict[str, tuple[Rule, ...]]
    remarks: dict[str, Remark]

    @classmethod
    def of(cls, rules: Iterable[Rule], remarks: Iterable[Remark]) -> DenialTable:
        """The table of these rows; of two with the same key the later one counts."""
        by_key = {rule.key: rule for rule in rules}
        by_reason: dict[str, list[Rule]] = {}
        for rule in by_key.values():
            by_reason.setdefault(rule.reason, []).append(rule)
        ordered = {reason: tuple(sorted(found, key=_special, reverse=True)) for reason, found in by_reason.items()}
        return cls(ordered, {each.remark: each for each in remarks})

    def look_up(self, payer_id: str, group: str, reason: str, remarks: Sequence[str], procedure: str = "") -> Verdict:
        """What the table says of *group*-*reason* with *remarks*, decided by *payer_id* about a *procedure*."""
        rules = self.rules.get(reason, ())
        rule = next((each for each in rules if _fits(each, payer_id, group, remarks, procedure)), None)
        said = [self.remarks[each] for each in remarks if each in self.remarks]
        effects = frozenset(effect for each in said for effect in each.effects)
        if rule is None:
            rule = Rule(payer_id, group, reason, "", UNKNOWN, "review", note="No rule knows this code yet.")
            return _verdict(rule, group, said, effects, covered=False)
        return _verdict(rule, group, said, effects, covered=True)


def shipped() -> DenialTable:
    """The table as it is shipped."""
    return DenialTable.of(*_shipped())


def with_site(rules: Iterable[Rule], remarks: Iterable[Remark]) -> DenialTable:
    """The shipped table with a site's rows over it."""
    ours, said = _shipped()
    return DenialTable.of((*ours, *rules), (*said, *remarks))


def rule_of(row: dict[str, str]) -> Rule:
    """The rule that a row of ``config/denials.csv`` says. Raises :class:`DenialTableError`."""
    known = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not known["reason"]:
        raise DenialTableError("A row without a reason code.", expected="reason")
    for name, allowed in (
        ("category", tuple(OWNERS)),
        ("action", ACTIONS),
        ("auto", AUTO),
        ("resubmit", RESUBMIT),
        ("appeal", APPEAL),
        ("patient", PATIENT),
        ("fix", FIXES),
    ):
        value = known[name] or {"auto": "no", "appeal": "no", "patient": "no"}.get(name, "")
        if value not in allowed:
            raise DenialTableError(
                f'The column "{name}" cannot say that.', expected=", ".join(filter(None, allowed)), found=value
            )
        known[name] = value
    if known["wait"] and not known["wait"].isdigit():
        raise DenialTableError('The column "wait" is in days.', expected="a number", found=known["wait"])
    return Rule(**{**known, "wait": int(known["wait"] or 0)})  # type: ignore[arg-type]


def remark_of(row: dict[str, str]) -> Remark:
    """The remark that a row of ``config/denial_remarks.csv`` says. Raises :class:`DenialTableError`."""
    known = {name: (row.get(name) or "").strip() for name in REMARK_COLUMNS}
    effects = tuple(each.strip() for each in known["effect"].split("+") if each.strip())
    unknown = [each for each in effects if each not in EFFECTS]
    if not known["remark"] or not effects or unknown or known["fix"] not in FIXES:
        raise DenialTableError(
            "A remark needs its code and what it changes.",
            expected=", ".join(sorted(EFFECTS)),
            found=" + ".join(unknown) or known["fix"],
        )
    return Remark(known["remark"], effects, known["fix"], known["note"])


def _verdict(rule: Rule, group: str, said: Sequence[Remark], effects: frozenset[str], *, covered: bool) -> Verdict:
    """*rule*, changed as the remarks say: they decide how a claim comes back, whatever the reason is."""
    known = {each.name: getattr(rule, each.name) for each in fields(Rule) if each.name not in _KEY}
    notes = [rule.note, *(each.note for each in said if each.note)]
    fix = next((each.fix for each in said if each.fix), "")
    known["fix"] = fix or rule.fix
    if rule.action == "by remark":
        known["action"] = _by_remark(effects, fix)
        covered = covered and known["action"] != "review"
    if "new claim" in effects:
        known["resubmit"] = "1"
    if "no appeal" in effects:
        known["appeal"] = "no"
    if "claim number" in effects:
        known |= {"action": "correct", "auto": "yes", "resubmit": "7"}
    if effects & {"do not send", "passed on"}:
        known |= {"resubmit": "", "auto": "no"}
    if known["action"] == "appeal" and known["appeal"] == "no":
        known["action"] = "correct" if known["resubmit"] else "review"
    elif "do not send" in effects and known["action"] == "correct":
        known["action"] = "review" if known["appeal"] == "no" else "appeal"
    if "not final" in effects or "wait" in effects:
        known |= {"action": "wait", "auto": "yes", "wait": rule.wait or 21}
    known["patient"] = _patient(known["patient"], group, effects)
    return Verdict(rule=rule.name, effects=effects, covered=covered, **{**known, "note": " ".join(notes)})


_KEY = frozenset({"payer", "group", "reason", "remark", "procedure"})


def _patient(by_rule: str, group: str, effects: frozenset[str]) -> str:
    """Whether the patient may be asked. Under CO nobody asks them before a person has looked (X221A1, CAS01)."""
    if "patient spared" in effects or ("patient's share only" in effects and group != "PR"):
        return "no"
    if by_rule == "policy" and "patient accepted" in effects:
        return "yes"
    return "policy" if by_rule == "yes" and group == "CO" else by_rule


def _by_remark(effects: frozenset[str], fix: str) -> str:
    if fix or effects & {"new claim", "claim number"}:
        return "correct"
    if "records" in effects:
        return "records"
    if "ask patient" in effects:
        return "other payer"
    return "appeal" if effects & {"bundled", "policy", "excluded"} else "review"


def _special(rule: Rule) -> int:
    return 8 * bool(rule.payer) + 4 * bool(rule.remark) + 2 * bool(rule.procedure) + bool(rule.group)


def _fits(rule: Rule, payer_id: str, group: str, remarks: Sequence[str], procedure: str) -> bool:
    wanted, same = (rule.payer, rule.group, rule.procedure), (payer_id, group, procedure)
    fits = all(not each or each == said for each, said in zip(wanted, same, strict=True))
    return fits and (not rule.remark or rule.remark in remarks)


@cache
def _shipped() -> tuple[tuple[Rule, ...], tuple[Remark, ...]]:
    def rows(name: str) -> csv.DictReader[str]:
        return csv.DictReader((resources.files(__package__) / name).read_text("utf-8").splitlines())

    return tuple(map(rule_of, rows("reasons.csv"))), tuple(map(remark_of, rows("remarks.csv")))
