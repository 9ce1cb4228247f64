"""Edits that weigh a service against the patient's others: global periods of procedures, a year's therapy."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files

from hub.billing.config import TherapyThreshold
from hub.billing.edits.context import Context, PastService, known
from hub.billing.edits.facts import is_visit, rendering_npi
from hub.billing.edits.places import modifier_place
from hub.billing.edits.registry import Found, edit, with_modifier
from hub.billing.refdata.lookup import NotLoadedError
from hub.formats.x12.claim import Claim, ClaimLine

_MAJOR = "090"
_DAYS_AFTER = {"000": 0, "010": 10, _MAJOR: 90}  # MPFS global days: how long after the procedure they last
LONGEST_GLOBAL = timedelta(days=91)
"""How far from a service a procedure may lie, whose global days it falls into; those of a major begin a day before."""
_VISIT_APART = {"24", "25", "57"}
_PROCEDURE_APART = {"58", "78", "79"}
_MEDICARE = "MB"  # SBR09
_PLANS = {"GP": "physical", "GN": "physical", "GO": "occupational"}  # speech counts with physical therapy
PLANS = frozenset(_PLANS)
"""The modifiers that say under which plan of care a therapy was done."""


@dataclass(frozen=True, slots=True)
class _Procedure:
    """A procedure with global days, on this claim (*line*) or another one (0)."""

    on: date
    npi: str
    days: str
    line: int = 0


@edit("LN-10")
def _global_period(claim: Claim, context: Context) -> Iterator[Found]:
    procedures = list(_own_procedures(claim, context))
    for number, line in enumerate(claim.lines, 1):
        same = [each for each in procedures if each.on == line.service_date]
        if is_visit(line.code) and same and not _VISIT_APART & set(line.modifiers):
            yield Found(number, proposal=with_modifier(line, number, _parting(same)))
    procedures += _other_procedures(claim, context)
    for number, line in enumerate(claim.lines, 1):
        npi = rendering_npi(claim, line)
        around = [each for each in procedures if each.line != number and _are_one(context, each.npi, npi)]
        yield from _in_global_days(line, number, around, context)


def _in_global_days(line: ClaimLine, number: int, procedures: list[_Procedure], context: Context) -> Iterator[Found]:
    """What a line lacks because it lies within the global days of one of *procedures*."""
    day, said = line.service_date, set(line.modifiers)
    before = [each for each in procedures if each.on < day <= each.on + timedelta(days=_DAYS_AFTER[each.days])]
    if is_visit(line.code):
        if before and not said & {"24"}:
            sentence = "A visit lies within the global days of a procedure and nothing says that it is about another."
            yield Found(number, sentence=sentence, proposal=with_modifier(line, number, "24"))
        elsewhere = [each for each in procedures if each.on == day and not each.line]
        if elsewhere and not said & _VISIT_APART:
            yield Found(number, proposal=with_modifier(line, number, _parting(elsewhere)))
        eve = any(each.days == _MAJOR and each.on - timedelta(days=1) == day for each in procedures)
        if eve and not said & {"57", "24"}:
            sentence = "A visit on the day before a major procedure does not say that the procedure was decided there."
            yield Found(number, sentence=sentence, proposal=with_modifier(line, number, "57"))
    elif before and not said & _PROCEDURE_APART and _global_days(context, line.code, day):
        sentence = "A procedure lies within the global days of another and no modifier (58, 78, 79) says why."
        yield Found(number, sentence=sentence)


def _parting(procedures: list[_Procedure]) -> str:
    """What says that a visit of the same day is one of its own: where a major procedure was decided, another."""
    return "57" if all(each.days == _MAJOR for each in procedures) else "25"


def _own_procedures(claim: Claim, context: Context) -> Iterator[_Procedure]:
    for number, line in enumerate(claim.lines, 1):
        if days := _global_days(context, line.code, line.service_date):
            yield _Procedure(line.service_date, rendering_npi(claim, line), days, number)


def _other_procedures(claim: Claim, context: Context) -> Iterator[_Procedure]:
    days = {line.service_date for line in claim.lines}
    for past in known(context.history, "history").services:
        near = past.open and any(abs(day - past.service_date) <= LONGEST_GLOBAL for day in days)
        found = _global_days(context, past.code, past.service_date) if near else ""
        if found:
            yield _Procedure(past.service_date, past.rendering_npi, found)


def _global_days(context: Context, code: str, on: date) -> str:
    facts = context.reference.code("mpfs", code, on) or {}
    days = facts.get("global_days", "")
    return days if days in _DAYS_AFTER else ""


def _are_one(context: Context, one: str, other: str) -> bool:
    """Whether payers take two providers for one: the same person, or the same specialty of one practice."""
    if one == other or context.practice is None:
        return one == other
    specialties = {each.npi: each.taxonomy for each in context.practice.providers}
    return one in specialties and specialties[one] == specialties.get(other)


@edit("LN-15")
def _therapy(claim: Claim, context: Context) -> Iterator[Found]:
    yield from _past_threshold(claim, context)
    for number, line in enumerate(claim.lines, 1):
        therapy = context.reference.code("therapy", line.code, line.service_date) is not None
        if therapy and not PLANS & set(line.modifiers):
            yield Found(number)


def _past_threshold(claim: Claim, context: Context) -> Iterator[Found]:
    """The lines that the year's therapy is past its threshold with, and that do not say that it is needed (KX)."""
    if claim.payer.filing_indicator != _MEDICARE and not context.payer.therapy_thresholds:
        return
    for number, line in enumerate(claim.lines, 1):
        discipline = _discipline(line.modifiers)
        if discipline and "KX" not in line.modifiers:
            before = known(context.history, "history").services
            come_to = sum((each.amount for each in before if _counts(each, discipline, claim, line)), Decimal(0))
            own = [each for each in claim.lines[:number] if _discipline(each.modifiers) == discipline]
            come_to += sum(
                (_amount(each, context) for each in own if each.service_date.year == line.service_date.year), Decimal(0)
            )
            if come_to > _threshold(context, discipline, line.service_date):
                sentence = "The year's therapy is past the payer's threshold and the service has no modifier KX."
                proposal = with_modifier(line, number, "KX", last=True)
                at = modifier_place(claim, len(line.modifiers))
                yield Found(number, sentence=sentence, proposal=proposal, at=at)


def _discipline(modifiers: tuple[str, ...]) -> str:
    return next((_PLANS[each] for each in modifiers if each in _PLANS), "")


def _counts(past: PastService, discipline: str, claim: Claim, line: ClaimLine) -> bool:
    """Whether an earlier service counts towards the same threshold as *line*."""
    in_year = past.open and past.service_date.year == line.service_date.year and past.service_date <= line.service_date
    return in_year and past.payer_id == claim.payer.id and _discipline(past.modifiers) == discipline


def _amount(line: ClaimLine, context: Context) -> Decimal:
    """What the payer will allow of the line, as far as its contract says; else what it charges."""
    rate = context.contracts.get(line.code)
    return line.charge if rate is None else min(line.charge, rate * line.units)


def _threshold(context: Context, discipline: str, on: date) -> Decimal:
    """The threshold on that day: the payer's own, else Medicare's. Raises `NotLoadedError` where none is known."""
    thresholds = context.payer.therapy_thresholds or medicare_thresholds()
    for each in sorted(thresholds, key=lambda each: each.effective, reverse=True):
        if each.effective <= on and (each.ends is None or on <= each.ends):
            return each.occupational if discipline == "occupational" else each.physical_and_speech
    raise NotLoadedError("The threshold of a year's therapy is not known.", expected="payer.therapy_threshold")


@cache
def medicare_thresholds() -> tuple[TherapyThreshold, ...]:
    """Medicare's yearly thresholds as CMS published them; the payer's file may hold others, or later ones."""
    with (files("hub.billing.edits") / "therapy_thresholds.csv").open(encoding="utf-8") as stream:
        return tuple(
            TherapyThreshold.model_validate({**row, "ends": row["ends"] or None}) for row in csv.DictReader(stream)
        )
