"""Edits about a claim as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from hub.billing.config import AWAY
from hub.billing.edits.context import Context, PastService, known
from hub.billing.edits.facts import (
    first_day,
    patient_facts,
    people,
    providers,
    rendering_npi,
    service_day,
)
from hub.billing.edits.places import code_place, modifier_place, patient_loop
from hub.billing.edits.registry import Found, edit
from hub.billing.edits.table import ERROR, WARNING
from hub.billing.grouping import MOST_LINES, MOST_LINES_OF_STAY
from hub.formats.x12.claim import Claim, ClaimLine, Facility, Organisation, Person
from hub.formats.x12.frequency import LATE, OF_A_PART, REPLACEMENT, REPLACING, WHOLE, replaces_prior
from hub.formats.x12.outline import party_loop
from hub.formats.x12.writer import clean

_TELEHEALTH_PLACES = {"02", "10"}
_TELEHEALTH_MODIFIERS = {"95", "93", "GT", "GQ", "FQ"}
_REPEATS = {"76", "77", "59", "91", "XE", "XP", "XS", "XU"}
_FREQUENCIES = {WHOLE, *OF_A_PART, *REPLACING, LATE, "9"}  # of a hospital; 9: home health episode ended
_LONG_AGO = timedelta(days=30)


@edit("CL-01")
def _control_number(claim: Claim, _context: Context) -> Iterator[Found]:
    if not re.fullmatch(r"[A-Z0-9]{1,17}", claim.control_number):
        yield Found()


@edit("CL-02")
def _total(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.charge != known(context.charged, "charged"):
        yield Found()


@edit("CL-03")
def _charges_something(claim: Claim, context: Context) -> Iterator[Found]:
    negative = next((number for number, line in enumerate(claim.lines, 1) if line.charge < 0), 0)
    if negative:
        yield Found(negative, at="2400 SV203" if claim.institutional else "2400 SV102")
    elif claim.charge <= 0 and not context.payer.encounters:
        yield Found()


@edit("CL-04")
def _place_of_service(claim: Claim, context: Context) -> Iterator[Found]:
    places = [(0, claim.place_of_service, claim.facility)]
    places += [
        (number, line.place_of_service or claim.place_of_service, line.facility or claim.facility)
        for number, line in enumerate(claim.lines, 1)
        if line.place_of_service or line.facility
    ]
    malformed = [line for line, place, _ in places if not re.fullmatch(r"[0-9]{2}", place)]
    yield from (Found(line, at=_place_of_service_at(line)) for line in malformed)
    whole = [each for each in places if each[0] not in malformed]
    yield from (misplaced for line, place, where in whole for misplaced in _misplaced(context, line, place, where))
    for line, place, _ in whole:
        if context.reference.code("pos", place, service_day(claim)) is None:
            yield Found(line, at=_place_of_service_at(line))


def _misplaced(context: Context, line: int, place: str, where: Facility | None) -> Iterator[Found]:
    """What is wrong with a place of service by the record of the facility, or of the practice's own address."""
    practice, at = context.practice, _place_of_service_at(line)
    if practice is None or place in AWAY:
        return
    if where is None:
        if practice.places_of_service and place not in practice.places_of_service:
            yield Found(line, sentence="The place of service is not one that the practice's own address has.", at=at)
        return
    named = (where.name, where.npi)
    record = next((each for each in practice.facilities if (clean(each.name), each.npi) == named), None)
    if record is None:
        return
    inferred = {each.place_of_service for each in practice.departments if each.facility == record.code}
    if place not in (record.places_of_service or inferred):
        severity = ERROR if record.places_of_service else WARNING
        yield Found(line, severity, "The place of service is not one that the facility has.", at=at)


def _place_of_service_at(line: int) -> str:
    return "2400 SV105" if line else "2300 CLM05-1"


@edit("CL-05")
def _frequency(claim: Claim, context: Context) -> Iterator[Found]:
    allowed = _FREQUENCIES if claim.institutional is not None else {WHOLE, *REPLACING}
    if claim.frequency not in allowed:
        yield Found()
    elif claim.frequency == LATE:
        if claim.payer_claim_control_number and not context.payer.late_charges_number:
            yield Found(at="2300 REF02 (F8)")
    elif replaces_prior(claim.frequency) != bool(claim.payer_claim_control_number):
        yield Found(at="2300 REF02 (F8)")


@edit("CL-06")
def _latest_payer_number(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.payer_claim_control_number:
        latest = known(context.history, "history").payer_claim_number
        if latest and latest != claim.payer_claim_control_number:
            yield Found()


@edit("CL-07")
def _replacement_is_taken(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.frequency == REPLACEMENT and not context.payer.accepts_replacement:
        yield Found()


@edit("CL-08")
def _accident(claim: Claim, _context: Context) -> Iterator[Found]:
    if claim.related_causes and claim.accident_date is None:
        yield Found(sentence="The claim is about an accident and does not say when it was.")
    elif "AA" in claim.related_causes and not claim.accident_state:
        sentence = "The claim is about a car accident and does not say in which state it was."
        yield Found(sentence=sentence, at="2300 CLM11-4")
    elif "EM" in claim.related_causes and claim.payer.filing_indicator not in {"WC", "LM"}:
        sentence = "An accident at work is usually for workers' compensation to pay."
        yield Found(severity=WARNING, sentence=sentence, at="2000B SBR09")
    elif not claim.related_causes and any(code[:1] in {"S", "T"} for code in claim.diagnoses):
        sentence = "An injury is treated and nothing says how it came about."
        yield Found(severity=WARNING, sentence=sentence, at="2300 CLM11-1")


@edit("CL-09")
def _no_future(claim: Claim, context: Context) -> Iterator[Found]:
    for number, days in enumerate((_days_of_claim(claim), *map(_days_of_line, claim.lines))):
        late = next((at for at, day in days if day is not None and day > context.today), "")
        if late:
            yield Found(number, at=late)


def _days_of_line(line: ClaimLine) -> Iterator[tuple[str, date | None]]:
    yield "2400 DTP03 (472)", line.service_date
    yield "2400 DTP03 (472)", line.service_to
    yield from (("2430 DTP03 (573)", decision.decided) for decision in line.adjudications)


def _days_of_claim(claim: Claim) -> Iterator[tuple[str, date | None]]:
    yield "2300 DTP03 (435)", claim.admission_date
    if stay := claim.institutional:
        yield "2300 DTP03 (434)", stay.statement_to
        yield from (("2300 HI (BBQ)" if number else "2300 HI (BBR)", e.on) for number, e in enumerate(stay.procedures))
        yield from ((f"2300 HI ({'BI' if each.until else 'BH'})", each.on) for each in stay.occurrences)
        return
    yield "2300 DTP03 (439)", claim.accident_date
    yield "2300 DTP03 (431)", claim.onset_date


@edit("CL-10")
def _in_their_life(claim: Claim, _context: Context) -> Iterator[Found]:
    born = patient_facts(claim)[0]
    died = (claim.patient or claim.subscriber).circumstances.death_date
    for number, line in enumerate(claim.lines, 1):
        if born is not None and line.service_date < born:
            yield Found(number, sentence="A service is dated before the patient was born.")
        elif died is not None and line.service_date > died:
            yield Found(number, sentence="A service is dated after the patient died.")


@edit("CL-11")
def _in_time(claim: Claim, context: Context) -> Iterator[Found]:
    day = _running_since(claim)
    if day is None:
        return
    left = context.payer.timely_filing_days - (context.today - day).days
    if left < 0 and not claim.delay_reason:
        yield Found(severity=ERROR, sentence="The payer's time limit for this claim has passed.")
    elif 0 <= left < context.payer.timely_filing_warning:
        yield Found(severity=WARNING, sentence="The payer's time limit for this claim is about to pass.")


def _running_since(claim: Claim) -> date | None:
    """The day from which the payer's time limit runs: the service or, of a later payer, the last decision before it."""
    decided = [each.decided for line in claim.lines for each in line.adjudications]
    decided += [other.decided for other in claim.other_payers if other.decided is not None]
    return max(decided, default=first_day(claim))


@edit("CL-12")
def _proof_of_delay(claim: Claim, _context: Context) -> Iterator[Found]:
    if claim.delay_reason and not _documented(claim):
        yield Found()


@edit("CL-13")
def _admission(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.place_of_service in context.payer.admission_at and claim.admission_date is None:
        yield Found()


@edit("CL-15")
def _referral(claim: Claim, context: Context) -> Iterator[Found]:
    told = claim.referral_number or all(line.referral_number for line in claim.lines)
    if not told and known(context.payer.needs_referral, "payer.needs_referral"):
        yield Found()


@edit("CL-16")
def _one_number_each(claim: Claim, _context: Context) -> Iterator[Found]:
    numbers = (("G1", claim.prior_authorisation), ("9F", claim.referral_number))
    several = next((kind for kind, number in numbers if re.search(r"[,;/ ]", number)), "")
    if several:
        yield Found(at=f"2300 REF02 ({several})")


@edit("CL-17")
def _statements(claim: Claim, _context: Context) -> Iterator[Found]:
    said = (
        ("CLM07", claim.assignment, {"A", "B", "C"}),
        ("CLM08", claim.benefits_assignment, {"Y", "N", "W"}),
        ("CLM09", claim.release, {"Y", "I"}),
    )
    wrong = next((element for element, value, allowed in said if value not in allowed), "")
    if wrong:
        yield Found(at=f"2300 {wrong}")


@edit("CL-18")
def _duplicate(claim: Claim, context: Context) -> Iterator[Found]:
    past = {_same(service) for service in known(context.history, "history").services if service.open}
    if replaces_prior(claim.frequency) or claim.other_payers:
        return
    for number, line in enumerate(claim.lines, 1):
        key = (line.code, tuple(sorted(line.modifiers)), line.service_date, rendering_npi(claim, line))
        if key in past and number not in context.vouched and not _REPEATS & set(line.modifiers):
            yield Found(number, at=code_place(claim, line))


def _same(service: PastService) -> tuple[str, tuple[str, ...], date, str]:
    return service.code, tuple(sorted(service.modifiers)), service.service_date, service.rendering_npi


@edit("CL-19")
def _fifty_lines(claim: Claim, _context: Context) -> Iterator[Found]:
    most = MOST_LINES_OF_STAY if claim.institutional is not None else MOST_LINES
    if not 1 <= len(claim.lines) <= most:
        yield Found(severity=ERROR, sentence="" if claim.lines else "The claim has no line.")


@edit("CL-20")
def _one_year(claim: Claim, context: Context) -> Iterator[Found]:
    years = {day.year for line in claim.lines for day in (line.service_date, line.service_to or line.service_date)}
    if len(years) > 1 and not context.payer.may_span_years:
        yield Found()


@edit("CL-22")
def _lengths(claim: Claim, _context: Context) -> Iterator[Found]:
    too_long = next((at for at, text, most in _limited(claim) if len(text) > most), "")
    if too_long:
        yield Found(at=too_long)
    for number, line in enumerate(claim.lines, 1):
        if claim.institutional is None and len(line.note) > 80:
            yield Found(number, at="2400 NTE02")
        elif len(line.description) > 80:
            yield Found(number, at="2400 SV202-7" if claim.institutional else "2400 SV101-7")


def _limited(claim: Claim) -> Iterator[tuple[str, str, int]]:
    """Texts with their place and the length of their element (005010X222A1)."""
    subscriber, party = claim.subscriber, claim.billing_provider.party
    yield "2010AA NM103", party.name if isinstance(party, Organisation) else party.last, 60
    for loop, person in people(claim):
        if person is not None:
            yield from _named(loop, person)
            yield from ((f"{loop} NM105", person.middle, 25), (f"{loop} NM107", person.suffix, 10))
    yield "2010BA NM109", subscriber.member_id, 80
    yield from (("2000B SBR03", subscriber.group_number, 50), ("2000B SBR04", subscriber.group_name, 60))
    yield from (("2010BB NM103", claim.payer.name, 60), ("2300 NTE02", claim.note, 80))
    yield "2300 REF02 (EA)", claim.medical_record_number, 50
    yield from (("2300 REF02 (G1)", claim.prior_authorisation, 50), ("2300 REF02 (9F)", claim.referral_number, 50))
    yield "2300 REF02 (F8)", claim.payer_claim_control_number, 50
    for _, loop, provider in providers(claim):
        if isinstance(provider.party, Person):
            yield from _named(loop, provider.party)
    provider_address, pay_to = claim.billing_provider.address, claim.billing_provider.pay_to
    addresses = [("2010AA", provider_address), ("2010AB", pay_to), (patient_loop(claim), patient_facts(claim)[2])]
    if claim.facility is not None:
        loop = party_loop(claim.form, "2300", "77")
        yield f"{loop} NM103", claim.facility.name, 60
        addresses.append((loop, claim.facility.address))
    for loop, address in addresses:
        if address is not None:
            yield from ((f"{loop} N301", address.line1, 55), (f"{loop} N302", address.line2, 55))
            yield f"{loop} N401", address.city, 30


def _named(loop: str, person: Person) -> Iterator[tuple[str, str, int]]:
    yield from ((f"{loop} NM103", person.last, 60), (f"{loop} NM104", person.first, 35))


@edit("CL-23")
def _documentation(claim: Claim, context: Context) -> Iterator[Found]:
    codes = known(context.payer.requires_documentation, "payer.requires_documentation")
    if not _documented(claim):
        yield from (Found(number) for number, line in enumerate(claim.lines, 1) if line.code in codes and not line.note)


def _documented(claim: Claim) -> bool:
    return bool(claim.note or getattr(claim, "attachments", ()))


@edit("CL-24")
def _patient_paid(claim: Claim, _context: Context) -> Iterator[Found]:
    if claim.patient_paid is not None and not Decimal(0) <= claim.patient_paid <= claim.charge:
        yield Found()


@edit("CL-25")
def _telehealth(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        remote = (line.place_of_service or claim.place_of_service) in _TELEHEALTH_PLACES
        said = _TELEHEALTH_MODIFIERS & set(line.modifiers)
        if remote or said:
            allowed = set(known(context.payer.telehealth_modifiers, "payer.telehealth_modifiers"))
            if said - allowed or (remote and allowed and not said):
                at = next((n for n, modifier in enumerate(line.modifiers) if modifier in said - allowed), None)
                yield Found(number, at=modifier_place(claim, len(line.modifiers) if at is None else at))
            elif said and not remote:
                yield Found(number, at=_place_of_service_at(number if line.place_of_service else 0))


@edit("CL-26")
def _not_to_be_billed(_claim: Claim, context: Context) -> Iterator[Found]:
    if known(known(context.eligibility, "eligibility").not_to_be_billed, "eligibility"):
        yield Found()


@edit("CL-27")
def _signed(_claim: Claim, context: Context) -> Iterator[Found]:
    if not known(context.signed, "signed"):
        yield Found()


@edit("CL-28")
def _charge_lag(claim: Claim, context: Context) -> Iterator[Found]:
    day = first_day(claim)
    if day is not None and not replaces_prior(claim.frequency) and context.today - day > _LONG_AGO:
        yield Found()
