"""Which of our claims a payment is for: rules from the surest to the weakest, and the first unique answer counts.

A payer should return our control number as we sent it (005010X221A1, CLP01). Payers also cut it short,
change its case, put zeros before it, or lose it; then its own claim number, our line control numbers
(REF*6R) or the member, the day and the charge together still name one claim. Whatever names none, or two,
is for a person, who gets the candidates ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, or_, select

from hub.billing import number_rules
from hub.billing.decision import Decision
from hub.billing.number_rules import normalised
from hub.core.money import from_cents, shown, to_cents
from hub.formats.x12.claim import Person
from hub.formats.x12.remittance import RemittanceClaim, RemittanceLine
from hub.store.tables import claim, claim_line, coverage, patient

SHORTEST_PREFIX = 5
MOST_CANDIDATES = 50
SHOWN_CANDIDATES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """A line of one of our claims."""

    ordinal: int
    control_number: str
    charge_id: int
    code: str
    modifiers: tuple[str, ...]
    charge_cents: int
    service_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledClaim:
    """One of our claims, as far as money is concerned."""

    id: int
    chain_id: int
    control_number: str
    payer_id: str
    payer_claim_number: str
    patient_id: int
    visit_id: int
    service_on: str
    total_cents: int
    state: str
    sequence: str
    lines: tuple[BilledLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remitted:
    """One claim of a remittance: its row, and what the payer said.

    *attempt* tells a posting that follows an undone one from the first; the first has none.
    """

    id: int
    version: int
    remittance_id: int
    trace: str
    payer_id: str
    payer_name: str
    paid_on: str
    claim: RemittanceClaim
    attempt: str = ""

    @property
    def key(self) -> str:
        """What makes the entries, events and items of this posting unique."""
        return f"{self.id}{self.attempt}"

    @property
    def charge_cents(self) -> int:
        """CLP03."""
        return to_cents(self.claim.charge)

    @property
    def paid_cents(self) -> int:
        """CLP04."""
        return to_cents(self.claim.paid)

    @property
    def patient_cents(self) -> int:
        """CLP05; zero when the payer leaves it out."""
        return to_cents(self.claim.patient_responsibility or Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A claim that a payment might be for, with what speaks for it and against it, in words."""

    claim_id: int
    control_number: str
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The claim that a payment is for and the rule that found it; or no claim, the *reason*, and the candidates."""

    claim: BilledClaim | None = None
    rule: str = ""
    reason: str = ""
    candidates: tuple[Candidate, ...] = field(default=())


def billed_claim(decision: Decision, claim_id: int) -> BilledClaim:
    """Our claim *claim_id* with its lines. Raises `LookupError` when there is none."""
    found = _billed_claims(decision, claim.c.id == claim_id)
    if not found:
        raise LookupError(claim_id)
    return found[0]


def find_claim(decision: Decision, remitted: Remitted) -> Match:
    """Find the one claim that *remitted* is for.

    A claim counts only when the charge agrees (or its lines do), when the payer may pay for it, and when
    nothing in the payment contradicts it.
    """
    seen: dict[int, BilledClaim] = {}
    for rule, search in _RULES:
        found = search(decision, remitted)
        seen.update({each.id: each for each in found})
        fitting = [each for each in found if not _objections(decision, remitted, each, rule)]
        if len(fitting) > 1:  # of the claims to several payers for one service, the one that went to this payer
            fitting = [each for each in fitting if each.payer_id == remitted.payer_id]
        if len(fitting) == 1:
            return Match(claim=fitting[0], rule=rule)
    named = {each.id: each for each in _by_name(decision, remitted)}
    seen.update(named)
    ranked = sorted(
        (_candidate(decision, remitted, each, named) for each in seen.values()),
        key=lambda each: (-each.score, each.claim_id),
    )
    return Match(reason=_why_not(ranked), candidates=tuple(ranked[:SHOWN_CANDIDATES]))


def match_line(line: RemittanceLine, lines: Iterable[BilledLine], used: set[int]) -> BilledLine | None:
    """The line of ours that *line* decides, or None; *used* are the ordinals that other lines already took.

    Our own line control number is believed even when it comes twice (a line that the payer split), and so is the
    code that was billed (SVC06): several decided codes of one billed one are a panel that the payer took apart.
    Otherwise a line is taken once: by code, modifiers, day and charge; by the code that was billed where
    the payer changed it; by code without modifiers, which payers drop; and at last by its place, when the
    charge agrees.
    """
    ours = list(lines)
    if line.control_number:
        wanted = normalised(line.control_number)
        for each in ours:
            if normalised(each.control_number) == wanted:
                return each
    free = [each for each in ours if each.ordinal not in used]
    cents = abs(to_cents(line.charge))
    day = line.service_from.isoformat() if line.service_from else ""
    codes = {line.code, line.original_code} - {""}

    def is_same_day(each: BilledLine) -> bool:
        return not day or each.service_on == day

    def is_same_charge(each: BilledLine) -> bool:
        return each.charge_cents == cents

    tests: tuple[tuple[list[BilledLine], Callable[[BilledLine], bool]], ...] = (
        (
            free,
            lambda e: e.code == line.code and e.modifiers == line.modifiers and is_same_day(e) and is_same_charge(e),
        ),
        (free, lambda e: e.code == line.original_code and is_same_day(e) and is_same_charge(e)),
        (free, lambda e: e.code in codes and is_same_charge(e)),
        (free, lambda e: e.code in codes),
        (ours, lambda e: bool(line.original_code) and e.code == line.original_code and is_same_day(e)),
        (free, is_same_charge),
    )
    return next((each for among, test in tests for each in among if test(each)), None)


def _by_control_number(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    return _with_lines(decision, _BY_NUMBER, {"number": remitted.claim.control_number})


def _by_payer_claim_number(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    number = remitted.claim.payer_claim_control_number
    return _billed_claims(decision, claim.c.payer_claim_number == number) if number else []


def _by_normalised_number(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    """Claims whose number is *or begins with* what is left of CLP01, with and without its leading zeros."""
    sent = "".join(c for c in remitted.claim.control_number.upper() if c.isascii() and c.isalnum())
    starts = {each for each in (sent, sent.lstrip("0")) if len(each) >= SHORTEST_PREFIX}
    if not starts:
        return []
    ranges = [and_(claim.c.control_number >= start, claim.c.control_number < f"{start}~") for start in starts]
    return _billed_claims(decision, or_(*ranges))


def _by_payers_rule(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    """Claims whose number is CLP01 without what this payer is known, and released, to put before or after it."""
    numbers = number_rules.undone(decision, remitted.payer_id, remitted.claim.control_number)
    return _billed_claims(decision, claim.c.control_number.in_(numbers)) if numbers else []


def _by_line_number(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    numbers = [line.control_number for line in remitted.claim.lines if line.control_number]
    if not numbers:
        return []
    owners = select(claim_line.c.claim_id).where(claim_line.c.control_number.in_(numbers[:MOST_CANDIDATES]))
    return _billed_claims(decision, claim.c.id.in_(owners))


def _by_member(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    """Claims of the same member, of which one with the same day and charge may be the one."""
    members = _member_digests(decision, remitted.claim)
    if not members:
        return []
    patients = select(coverage.c.patient_id).where(coverage.c.member_digest.in_(members))
    return _billed_claims(decision, claim.c.patient_id.in_(patients))


def _by_name(decision: Decision, remitted: Remitted) -> list[BilledClaim]:
    """Claims of a patient of that name over the same charge: never sure enough to post, but worth a person's look."""
    party = remitted.claim.patient.party if remitted.claim.patient else None
    if not isinstance(party, Person) or not party.first:
        return []
    digest = decision.vault.digest("name", f"{party.last} {party.first}")
    patients = select(patient.c.id).where(patient.c.name_digest == digest)
    charge = abs(remitted.charge_cents)
    return _billed_claims(decision, and_(claim.c.patient_id.in_(patients), claim.c.total_cents == charge))


_RULES = (
    ("control number", _by_control_number),
    ("payer claim number", _by_payer_claim_number),
    ("control number, as the payer writes it", _by_payers_rule),
    ("control number, repaired", _by_normalised_number),
    ("line control number", _by_line_number),
    ("member, day and charge", _by_member),
)


def _objections(decision: Decision, remitted: Remitted, ours: BilledClaim, rule: str) -> list[str]:
    """What speaks against *ours*, in words."""
    from hub.billing import split_claims

    said = remitted.claim
    found = []
    differs = split_claims.is_part(remitted, ours) and not states_our_lines(said, ours)
    if differs and not split_claims.fits(decision, remitted, ours):
        found.append(f"the charge differs: {shown(abs(said.charge))} there, {shown(from_cents(ours.total_cents))} here")
    if not _may_pay(decision, remitted, ours):
        found.append("the claim went to another payer")
    if rule != "control number":
        found += _contradictions(decision, said, ours)
    if rule.startswith("member") and not _days(said):
        found.append("the payment names no day of service")
    return found


def states_our_lines(said: RemittanceClaim, ours: BilledClaim) -> bool:
    """Say whether every line of a payment is one of *ours* with its charge: a payer that splits a claim says so."""
    charges = {normalised(line.control_number): line.charge_cents for line in ours.lines}
    return bool(said.lines) and all(
        line.control_number and charges.get(normalised(line.control_number)) == abs(to_cents(line.charge))
        for line in said.lines
    )


def _may_pay(decision: Decision, remitted: Remitted, ours: BilledClaim) -> bool:
    """Say whether that payer may pay for *ours*.

    Its payer, another of the patient's, or one whose id we do not know.
    """
    if remitted.payer_id == ours.payer_id or remitted.payer_id not in decision.config.payers:
        return True
    others = select(coverage.c.id).where(
        coverage.c.patient_id == ours.patient_id, coverage.c.payer_id == remitted.payer_id
    )
    return decision.connection.execute(others.limit(1)).first() is not None


def _contradictions(decision: Decision, said: RemittanceClaim, ours: BilledClaim) -> list[str]:
    found = []
    days = _days(said)
    billed_days = {line.service_on for line in ours.lines} | {ours.service_on}
    if days and not days & billed_days:
        found.append("the day of service differs")
    numbers = {normalised(line.control_number) for line in said.lines if line.control_number}
    if numbers and not numbers & {normalised(line.control_number) for line in ours.lines}:
        found.append("the line numbers are not this claim's")
    members = _member_digests(decision, said)
    if members:
        known = set(
            decision.connection.execute(
                select(coverage.c.member_digest).where(coverage.c.patient_id == ours.patient_id)
            ).scalars()
        )
        if known and not known & set(members):
            found.append("the member id differs")
    return found


def _days(said: RemittanceClaim) -> set[str]:
    days: list[date | None] = [line.service_from for line in said.lines]
    return {day.isoformat() for day in (*days, said.service_from) if day}


def _member_digests(decision: Decision, said: RemittanceClaim) -> list[bytes]:
    people = (said.insured, said.patient, said.corrected)
    return [decision.vault.digest("member", each.id) for each in people if each and each.id]


def _candidate(decision: Decision, remitted: Remitted, ours: BilledClaim, named: Collection[int]) -> Candidate:
    said = remitted.claim
    against = _objections(decision, remitted, ours, "")
    number = normalised(said.control_number)
    signs = (
        (40, "the control number is the same", normalised(ours.control_number) == number),
        (
            25,
            "the control number begins alike",
            len(number) >= SHORTEST_PREFIX and normalised(ours.control_number).startswith(number),
        ),
        (
            30,
            "the payer's claim number is the same",
            bool(ours.payer_claim_number) and ours.payer_claim_number == said.payer_claim_control_number,
        ),
        (10, "the patient's name is the same", ours.id in named),
        (20, "the charge is the same", abs(remitted.charge_cents) == ours.total_cents),
        (15, "the day of service is the same", bool(_days(said) & {ln.service_on for ln in ours.lines})),
    )
    score = sum(weight for weight, _, true in signs if true) - 10 * len(against)
    reasons = (*(words for _, words, true in signs if true), *against)
    return Candidate(claim_id=ours.id, control_number=ours.control_number, score=score, reasons=reasons)


def _why_not(ranked: list[Candidate]) -> str:
    if not ranked:
        return "No claim of ours has this control number, payer claim number, line numbers or member."
    if len(ranked) == 1:
        return f"One claim comes close, but {', '.join(ranked[0].reasons)}."
    return f"{len(ranked)} claims come close, and none of them for sure."


# Built once: making a statement costs more than running it.
_CLAIMS = select(claim).order_by(claim.c.id.desc()).limit(MOST_CANDIDATES)
_BY_NUMBER = _CLAIMS.where(claim.c.control_number == bindparam("number"))
_LINES = (
    select(claim_line)
    .where(claim_line.c.claim_id.in_(bindparam("claims", expanding=True)))
    .order_by(claim_line.c.claim_id, claim_line.c.ordinal)
)


def _billed_claims(decision: Decision, condition: ColumnElement[bool]) -> list[BilledClaim]:
    return _with_lines(decision, _CLAIMS.where(condition), {})


def _with_lines(decision: Decision, statement: Select[Any], values: dict[str, Any]) -> list[BilledClaim]:
    rows = decision.connection.execute(statement, values).all()
    if not rows:
        return []
    by_claim: dict[int, list[BilledLine]] = {row.id: [] for row in rows}
    for claim_id, line in _billed_lines(decision, list(by_claim)):
        by_claim[claim_id].append(line)
    return [
        BilledClaim(
            id=row.id,
            chain_id=row.chain_id,
            control_number=row.control_number,
            payer_id=row.payer_id,
            payer_claim_number=row.payer_claim_number or "",
            patient_id=row.patient_id,
            visit_id=row.visit_id,
            service_on=row.service_on,
            total_cents=row.total_cents,
            state=row.state,
            sequence=row.sequence,
            lines=tuple(by_claim[row.id]),
        )
        for row in rows
    ]


def _billed_lines(decision: Decision, claims: list[int]) -> Iterator[tuple[int, BilledLine]]:
    rows = decision.connection.execute(_LINES, {"claims": claims})
    for row in rows:
        yield (
            row.claim_id,
            BilledLine(
                ordinal=row.ordinal,
                control_number=row.control_number,
                charge_id=row.charge_id,
                code=row.code,
                modifiers=tuple(row.modifiers.split()),
                charge_cents=row.charge_cents,
                service_on=row.service_on,
            ),
        )
