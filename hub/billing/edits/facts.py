"""Plain facts of a claim that several edits ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from hub.formats.x12.claim import Address, Claim, ClaimLine, Person, Provider
from hub.formats.x12.outline import party_loop


def is_npi(text: str) -> bool:
    """Whether *text* can be an NPI: ten digits that satisfy Luhn's formula behind the prefix 80840."""
    if len(text) != 10 or not (text.isascii() and text.isdecimal()):
        return False
    total = 0
    for place, digit in enumerate(reversed("80840" + text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def lacking(address: Address | None) -> str:
    """The first element that the address lacks of what N3 and N4 need; empty when it is whole."""
    if address is None or not address.line1:
        return "N301"
    if not address.city:
        return "N401"
    if not re.fullmatch(r"[A-Z]{2}", address.state):
        return "N402"
    return "" if re.fullmatch(r"[0-9]{5}([0-9]{4})?", address.postal_code) else "N403"


def patient_facts(claim: Claim) -> tuple[date | None, str, Address | None]:
    """The patient's birth date, sex and address, whoever is insured."""
    who = claim.patient or claim.subscriber
    return who.birth_date, who.sex, who.address


def people(claim: Claim) -> Iterator[tuple[str, Person | None]]:
    """The insured person (None when that is no person) and the patient, each with its loop."""
    insured = claim.subscriber.person
    yield "2010BA", insured if isinstance(insured, Person) else None
    if claim.patient is not None:
        yield "2010CA", claim.patient.person


def providers(claim: Claim) -> Iterator[tuple[int, str, Provider]]:
    """Every provider whom the claim's form names besides the practice, each with its line (0: the claim's) and loop."""
    stay = claim.institutional
    named = [("82", claim.rendering), ("DN", claim.referring), ("P3", claim.primary_care), ("DQ", claim.supervising)]
    named += [("71", stay.attending), ("72", stay.operating), ("ZZ", stay.other_operating)] if stay else []
    yield from _placed(claim.form, "2300", 0, named)
    for number, line in enumerate(claim.lines, 1):
        of_line = [("82", line.rendering), ("DK", line.ordering), ("DN", line.referring), ("DQ", line.supervising)]
        of_line += [("72", line.operating), ("ZZ", line.other_operating)]
        yield from _placed(claim.form, "2400", number, of_line)


def _placed(
    form: str, base: str, line: int, named: list[tuple[str, Provider | None]]
) -> Iterator[tuple[int, str, Provider]]:
    for role, provider in named:
        if provider is not None and (loop := party_loop(form, base, role)):
            yield line, loop, provider


def rendering_npi(claim: Claim, line: ClaimLine) -> str:
    """Who did the line's service."""
    provider = line.rendering or claim.rendering
    return provider.npi if provider else claim.billing_provider.npi


def first_day(claim: Claim) -> date | None:
    """The first date of service."""
    return min((line.service_date for line in claim.lines), default=None)


def service_day(claim: Claim) -> date:
    """The first date of service of a claim that has lines; the distant past for one that has none."""
    return first_day(claim) or date.min


def years(born: date, on: date) -> int:
    """The age in whole years."""
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def pointed(claim: Claim, line: ClaimLine) -> tuple[str, ...]:
    """The diagnoses that a line points to, as far as they are there."""
    return tuple(claim.diagnoses[number - 1] for number in line.pointers if 0 < number <= len(claim.diagnoses))


def between(code: str, first: str, last: str) -> bool:
    """Whether a code of five digits lies in a range."""
    return code.isdecimal() and len(code) == 5 and first <= code <= last


def is_visit(code: str) -> bool:
    """Whether a code is one of a visit to an office or an emergency department."""
    return between(code, "99202", "99215") or between(code, "99281", "99285")


def fits(facts: dict[str, str] | object, claim: Claim, on: date) -> bool:
    """Whether the patient's sex and age are within the limits that reference data states."""
    limits = facts if isinstance(facts, dict) else {}
    born, sex, _ = patient_facts(claim)
    if limits.get("sex") and sex in {"F", "M"} and sex != limits["sex"]:
        return False
    if born is None:
        return True
    age = max(0, years(born, on))
    return int(limits.get("age_from") or 0) <= age <= int(limits.get("age_to") or 999)
