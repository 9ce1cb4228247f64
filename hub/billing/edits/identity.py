"""Edits about who bills, who treats, who pays and who is treated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from hub.billing.edits.context import Context, known
from hub.billing.edits.facts import (
    first_day,
    is_npi,
    lacking,
    patient_facts,
    people,
    providers,
    service_day,
    years,
)
from hub.billing.edits.places import patient_loop
from hub.billing.edits.registry import Found, Proposal, edit
from hub.billing.edits.table import ERROR
from hub.formats.x12.claim import SELF, Claim, Organisation, Person
from hub.formats.x12.outline import party_loop

LONGEST_LIFE = timedelta(days=125 * 366)
_BOX = re.compile(r"\b(P\.? ?O\.? ?BOX|POST OFFICE BOX|LOCK ?BOX)\b")
_TAXONOMY = re.compile(r"[0-9A-Z]{9}X")
_TAXONOMIES = {"837P": {"2310B", "2420A"}, "837I": {"2310A"}}  # the providers whose taxonomy the guides take
_SUFFIXES = {"JR", "SR", "II", "III", "IV"}
_TEST_NAMES = {"TEST", "TESTPATIENT", "ZZTEST"}
_RELATIONSHIPS = {"01", "19", "20", "21", "39", "40", "53", "G8"}
_FILING = {
    "11", "12", "13", "14", "15", "16", "17", "AM", "BL", "CH", "CI", "DS", "FI", "HM", "LM", "MA", "MB", "MC", "OF",
    "TV", "VA", "WC", "ZZ",
}  # fmt: skip
_MEDICARE = {"MA", "MB"}
_BEFORE_MEDICARE = {"AM": "14", "WC": "15", "LM": "47", "VA": "42"}  # car, work, liability, veterans
_AGE_OF_MEDICARE, _WORKING_AGED, _DISABLED = 65, "12", "43"
_MEDICARE_SECOND = {"12", "13", "14", "15", "16", "41", "42", "43", "47"}


@edit("ID-01")
def _billing_npi(claim: Claim, _context: Context) -> Iterator[Found]:
    if not is_npi(claim.billing_provider.npi):
        yield Found()


@edit("ID-02")
def _provider_npis(claim: Claim, _context: Context) -> Iterator[Found]:
    for line, loop, provider in providers(claim):
        if not is_npi(provider.npi):
            yield Found(line, at=f"{loop} NM109")


@edit("ID-03")
def _npis_are_active(claim: Claim, context: Context) -> Iterator[Found]:
    day = service_day(claim)
    billing = claim.billing_provider
    asked = [(0, "2010AA", billing.npi, "2" if isinstance(billing.party, Organisation) else "1")]
    asked += [(line, loop, each.npi, "1") for line, loop, each in providers(claim) if isinstance(each.party, Person)]
    for line, loop, npi, entity in asked:
        facts = context.reference.code("npi", npi, day)
        if facts is None or facts.get("entity", entity) != entity:
            yield Found(line, at=f"{loop} NM109")


@edit("ID-04")
def _provider_is_enrolled(claim: Claim, context: Context) -> Iterator[Found]:
    roster = known(context.payer.roster, "payer.roster")
    if claim.rendering is not None and claim.rendering.npi not in roster:
        yield Found()
    for number, line in enumerate(claim.lines, 1):
        if line.rendering is not None and line.rendering.npi not in roster:
            yield Found(number, at=f"{party_loop(claim.form, '2400', '82')} NM109")


@edit("ID-05")
def _tax_id(claim: Claim, context: Context) -> Iterator[Found]:
    tax_id, kind = claim.billing_provider.tax_id, claim.billing_provider.tax_id_kind
    at = "2010AA REF02 (SY)" if kind == "SY" and claim.institutional is None else "2010AA REF02 (EI)"
    if not re.fullmatch(r"[0-9]{9}", tax_id) or tax_id in {"000000000", "123456789"}:
        yield Found(at=at)
    elif context.practice is not None and tax_id != context.practice.tax_id:
        yield Found(sentence="The tax id is not the one that the practice is enrolled with.", at=at)


@edit("ID-06")
def _street(claim: Claim, _context: Context) -> Iterator[Found]:
    address = claim.billing_provider.address
    if _BOX.search(f"{address.line1} {address.line2}"):
        yield Found(at=f"2010AA {'N302' if _BOX.search(address.line2) else 'N301'}")


@edit("ID-07")
def _long_zip(claim: Claim, _context: Context) -> Iterator[Found]:
    addresses = [("2010AA", claim.billing_provider.address)]
    if claim.facility is not None:
        addresses.append((party_loop(claim.form, "2300", "77"), claim.facility.address))
    for loop, address in addresses:
        if not address.country and not re.fullmatch(r"[0-9]{5}(?!0000|9999)[0-9]{4}", address.postal_code):
            yield Found(at=f"{loop} N403")


@edit("ID-08")
def _zip_and_state(claim: Claim, context: Context) -> Iterator[Found]:
    day = service_day(claim)
    addresses = [("2010AA", claim.billing_provider.address), (patient_loop(claim), patient_facts(claim)[2])]
    for loop, address in addresses:
        if address is not None and not address.country:
            facts = context.reference.code("zip", address.postal_code[:5], day)
            if facts is not None and facts.get("state", address.state) != address.state:
                yield Found(at=f"{loop} N403")


@edit("ID-09")
def _taxonomy(claim: Claim, context: Context) -> Iterator[Found]:
    own = claim.billing_provider.taxonomy
    if not own and context.payer.needs_taxonomy:
        yield Found(sentence="This payer requires the practice's taxonomy code and it is missing.")
    sent = _TAXONOMIES[claim.form]
    codes = [(0, "2000A", own)]
    codes += [(line, loop, provider.taxonomy) for line, loop, provider in providers(claim) if loop in sent]
    for line, loop, code in codes:
        if code and not _TAXONOMY.fullmatch(code):
            yield Found(line, at=f"{loop} PRV03")
        elif code and context.reference.code("taxonomy", code, service_day(claim)) is None:
            yield Found(line, sentence="A taxonomy code is not in the current set.", at=f"{loop} PRV03")


@edit("ID-11")
def _rendering(claim: Claim, context: Context) -> Iterator[Found]:
    alone = isinstance(claim.billing_provider.party, Person)
    if claim.rendering is None and not (alone and context.payer.rendering == "when different"):
        yield Found(severity=ERROR)


@edit("ID-12")
def _referring(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        named = claim.referring is not None or line.referring is not None
        if not named and context.reference.code("referring", line.code, line.service_date) is not None:
            yield Found(number)


@edit("ID-13")
def _ordering(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        ordered = line.ordering is not None or claim.referring is not None
        if not ordered and context.reference.code("ordering", line.code, line.service_date) is not None:
            yield Found(number)


@edit("ID-14")
def _payer_is_listed(claim: Claim, context: Context) -> Iterator[Found]:
    if context.reference.code("payers", claim.payer.id, service_day(claim)) is None:
        yield Found()


@edit("ID-15")
def _member_id(claim: Claim, context: Context) -> Iterator[Found]:
    member_id, pattern = claim.subscriber.member_id, context.payer.member_id
    if not member_id:
        yield Found(sentence="The member id is missing.")
    elif pattern and not re.fullmatch(pattern, member_id):
        yield Found(sentence=f"The member id does not look like one of {context.payer.name}.")


@edit("ID-17")
def _names(claim: Claim, _context: Context) -> Iterator[Found]:
    for loop, person in people(claim):
        if person is None or not person.last or not person.first:
            at = f"{loop} {'NM104' if person and person.last else 'NM103'}"
            yield Found(sentence="A first or last name is missing.", at=at)
            continue
        words = person.last.upper().split()
        if len(words) > 1 and words[-1].rstrip(".") in _SUFFIXES:
            yield Found(sentence="A last name holds a suffix, which has a place of its own.", at=f"{loop} NM103")
        if _TEST_NAMES & {*words, *person.first.upper().split()}:
            at = f"{loop} {'NM103' if _TEST_NAMES & {*words} else 'NM104'}"
            yield Found(sentence="A name is one that is used for tests.", at=at)


@edit("ID-18")
def _birth_date(claim: Claim, context: Context) -> Iterator[Found]:
    born, _, _ = patient_facts(claim)
    if born is None or not context.today - LONGEST_LIFE <= born <= context.today:
        yield Found(at=f"{patient_loop(claim)} DMG02")


@edit("ID-19")
def _sex(claim: Claim, _context: Context) -> Iterator[Found]:
    if patient_facts(claim)[1] not in {"F", "M", "U"}:
        yield Found(at=f"{patient_loop(claim)} DMG03")


@edit("ID-20")
def _patient_address(claim: Claim, _context: Context) -> Iterator[Found]:
    if missing := lacking(patient_facts(claim)[2]):
        yield Found(at=f"{patient_loop(claim)} {missing}")


@edit("ID-21")
def _relationship(claim: Claim, _context: Context) -> Iterator[Found]:
    if claim.patient is not None and claim.patient.relationship not in _RELATIONSHIPS:
        yield Found()
    for other in claim.other_payers:
        if other.relationship not in {SELF, *_RELATIONSHIPS}:
            yield Found(at="2320 SBR02")


@edit("ID-22")
def _as_the_payer_knows_them(claim: Claim, context: Context) -> Iterator[Found]:
    said = known(context.eligibility, "eligibility")
    member_id = known(said.member_id, "eligibility")
    person = claim.patient.person if claim.patient else claim.subscriber.person
    same_name = not said.last or (
        isinstance(person, Person)
        and person.last[:5].upper() == said.last[:5].upper()
        and person.first[:1].upper() == said.first[:1].upper()
    )
    if not same_name:
        yield Found(at=f"{patient_loop(claim)} NM103")
    elif said.birth_date and patient_facts(claim)[0] != said.birth_date:
        yield Found(at=f"{patient_loop(claim)} DMG02")
    elif member_id and _bare(claim.subscriber.member_id) != _bare(member_id):
        yield Found(proposal=Proposal("member_id", member_id), at="2010BA NM109")


def _bare(member_id: str) -> str:
    """A member id without what form alone may change."""
    return re.sub(r"[^A-Z0-9]", "", member_id.upper())


@edit("ID-23")
def _coverage_is_active(_claim: Claim, context: Context) -> Iterator[Found]:
    if not known(known(context.eligibility, "eligibility").active, "eligibility"):
        yield Found()


@edit("ID-24")
def _one_first_payer(claim: Claim, _context: Context) -> Iterator[Found]:
    places = [claim.subscriber.sequence, *(other.subscriber.sequence for other in claim.other_payers)]
    if places.count("P") != 1 or len(set(places)) < len(places):
        yield Found()


@edit("ID-25")
def _filing_indicator(claim: Claim, context: Context) -> Iterator[Found]:
    filing = claim.payer.filing_indicator
    if filing not in _FILING or filing != context.payer.claim_filing:
        yield Found(proposal=Proposal("filing_indicator", context.payer.claim_filing))


@edit("ID-26")
def _medicare_second(claim: Claim, _context: Context) -> Iterator[Found]:
    reason = claim.subscriber.insurance_type or _told_by_value(claim)
    second = claim.payer.filing_indicator in _MEDICARE and claim.subscriber.sequence != "P"
    if second and not reason:
        yield Found(proposal=Proposal("insurance_type", _why_medicare_is_second(claim)))
    elif second != bool(reason) or (reason and reason not in _MEDICARE_SECOND):
        yield Found()


def _told_by_value(claim: Claim) -> str:
    """The reason where a hospital's claim has it as a value code of its own."""
    values = claim.institutional.values if claim.institutional and claim.subscriber.sequence != "P" else ()
    return next((each.code for each in values if each.code in _MEDICARE_SECOND), "")


def _why_medicare_is_second(claim: Claim) -> str:
    """The likely reason (SBR05): what the first payer is or, of an employer's plan, the patient's age."""
    filing = next((other.payer.filing_indicator for other in claim.other_payers), "")
    born, day = patient_facts(claim)[0], first_day(claim)
    if filing in _BEFORE_MEDICARE:
        return _BEFORE_MEDICARE[filing]
    return _WORKING_AGED if born and day and years(born, day) >= _AGE_OF_MEDICARE else _DISABLED


@edit("ID-27")
def _group_number(claim: Claim, context: Context) -> Iterator[Found]:
    if not claim.subscriber.group_number and known(context.payer.needs_group, "payer.needs_group"):
        yield Found()


@edit("ID-28")
def _other_insurance(claim: Claim, context: Context) -> Iterator[Found]:
    if known(context.coverages, "coverages") > 1 + len(claim.other_payers) and first_day(claim):
        yield Found()
