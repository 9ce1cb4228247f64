"""Edits about institutional claims: type of bill, stay, UB codes, who attended (005010X223A2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from hub.billing.edits.context import Context, known
from hub.billing.edits.facts import service_day
from hub.billing.edits.places import code_place, diagnosis_place, ub_place
from hub.billing.edits.registry import Found, edit
from hub.formats.x12.claim import Claim, Institutional
from hub.formats.x12.frequency import GOING_ON, LAST, LATE, REPLACING, WHOLE

_MAY_END = {WHOLE, LAST, LATE, *REPLACING}  # the bills that may say when a stay ended
_UNSCHEDULED = {"1", "2", "5"}  # emergency, urgent, trauma
_SURGERY = ("036", "049")  # operating room, ambulatory surgery
_COVERED, _NOT_COVERED = "80", "81"  # value codes for days
_ON, _AMOUNT, _PRESENT = 4, 5, 9  # the components of an HI's composite for a day, an amount, presence on admission
_BEFORE_A_STAY = timedelta(days=3)


def _ub(claim: Claim) -> Institutional:
    assert claim.institutional is not None  # these edits are made of institutional claims only
    return claim.institutional


@edit("IN-01")
def _type_of_bill(claim: Claim, context: Context) -> Iterator[Found]:
    bill = _ub(claim).facility_type + claim.frequency
    if (
        not re.fullmatch(r"[0-9A-Z]{3}", bill)
        or context.reference.code("type_of_bill", bill, service_day(claim)) is None
    ):
        yield Found()


@edit("IN-02")
def _revenue_codes(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        if not re.fullmatch(r"\d{4}", line.revenue_code):
            yield Found(number)
            continue
        facts = context.reference.code("revenue", line.revenue_code, line.service_date)
        if facts is None:
            yield Found(number)
        elif facts.get("needs_code") == "1" and not line.code:
            yield Found(number, at="2400 SV202-2")


@edit("IN-03")
def _patient_status(claim: Claim, _context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    wrong = claim.frequency in ({WHOLE, LAST, LATE} if stay.still_a_patient else GOING_ON)
    if not re.fullmatch(r"\d\d", stay.patient_status) or wrong:
        yield Found()


@edit("IN-04")
def _discharge_hour(claim: Claim, _context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    ended = stay.is_inpatient and claim.frequency in _MAY_END and not stay.still_a_patient
    if stay.discharge_time and not ended:
        yield Found()


@edit("IN-05")
def _why_they_came(claim: Claim, _context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    if stay.is_inpatient:
        if not stay.admitting_diagnosis:
            yield Found(sentence="The admitting diagnosis of a stay is missing.")
    elif stay.admission_type in _UNSCHEDULED and not stay.visit_reasons:
        sentence = "The patient's reason for an unscheduled visit is missing."
        yield Found(sentence=sentence, at="2300 HI01-2 (APR)")


@edit("IN-06")
def _present_on_admission(claim: Claim, context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    if not stay.is_inpatient:
        return
    for place, code in enumerate(claim.diagnoses):
        said = stay.present[place] if place < len(stay.present) else ""
        exempt = context.reference.code("poa_exempt", code, service_day(claim)) is not None
        if said not in {"Y", "N", "U", "W"} and not (exempt and said in {"", "1"}):
            yield Found(at=diagnosis_place(claim, place, _PRESENT))


@edit("IN-07")
def _ub_codes(claim: Claim, context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    spans = [each for each in stay.occurrences if each.until is not None]
    groups = (
        ("condition", "BG", claim.condition_codes),
        ("occurrence", "BH", tuple(each.code for each in stay.occurrences if each.until is None)),
        ("occurrence", "BI", tuple(each.code for each in spans)),
        ("value", "BE", tuple(each.code for each in stay.values)),
    )
    for _, qualifier, codes in groups:
        again = next((number for number, code in enumerate(codes) if code in codes[:number]), None)
        if again is not None:
            sentence = "A condition, occurrence or value code stands twice."
            yield Found(sentence=sentence, at=ub_place(qualifier, again))
    backwards = next((number for number, each in enumerate(spans) if each.until and each.until < each.on), None)
    if backwards is not None:
        yield Found(sentence="The days of an occurrence run backwards.", at=ub_place("BI", backwards, _ON))
    for kind, qualifier, codes in groups:
        for number, code in enumerate(codes):
            if context.reference.code(kind, code, service_day(claim)) is None:
                yield Found(at=ub_place(qualifier, number))


@edit("IN-08")
def _statement_period(claim: Claim, _context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    if stay.statement_to < stay.statement_from:
        yield Found(sentence="The statement's period runs backwards.", at="2300 DTP03 (434)")
    for number, line in enumerate(claim.lines, 1):
        if not stay.statement_from <= line.service_date <= (line.service_to or line.service_date) <= stay.statement_to:
            yield Found(number)
    days = [value.amount for value in stay.values if value.code in {_COVERED, _NOT_COVERED}]
    if stay.is_inpatient and days and sum(days) != stay.days:
        first = next(number for number, value in enumerate(stay.values) if value.code in {_COVERED, _NOT_COVERED})
        sentence = "Covered and not covered days do not come to the length of the stay."
        yield Found(sentence=sentence, at=ub_place("BE", first, _AMOUNT))


@edit("IN-09")
def _procedures(claim: Claim, context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    for number, procedure in enumerate(stay.procedures):
        which = ("BBQ", number - 1) if number else ("BBR", 0)
        if not stay.statement_from - _BEFORE_A_STAY <= procedure.on <= stay.statement_to:
            yield Found(at=ub_place(*which, _ON))
        elif context.reference.code("pcs", procedure.code, procedure.on) is None:
            yield Found(at=ub_place(*which))


@edit("IN-10")
def _who_attended(claim: Claim, _context: Context) -> Iterator[Found]:
    stay = _ub(claim)
    if stay.attending is None:
        yield Found()
    surgical = bool(stay.procedures) or any(line.revenue_code.startswith(_SURGERY) for line in claim.lines)
    if surgical and stay.operating is None:
        yield Found(sentence="The operating provider of a surgical service is missing.", at="2310B NM109")


@edit("IN-11")
def _before_a_stay(claim: Claim, context: Context) -> Iterator[Found]:
    stays = known(context.history, "history").stays
    if _ub(claim).is_inpatient:
        return
    for number, line in enumerate(claim.lines, 1):
        if any(timedelta(0) <= began - line.service_date <= _BEFORE_A_STAY for began in stays):
            yield Found(number, at=code_place(claim, line))
