"""Plain facts of a claim that several edits ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from hub.formats.x12.claim import Address, Claim, ClaimLine, Person, Provider


def is_npi(text: str) -> bool:
    """Whether *text* can be an NPI: ten digits that satisfy Luhn's formula behind the prefix 80840."""
    if len(text) != 10 or not (text.isascii() and text.isdecimal()):
        return False
    total = 0
    for place, digit in enumerate(reversed("80840" + text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def is_whole(address: Address) -> bool:
    """Whether the address has everything that N3 and N4 need."""
    return bool(
        address.line1
        and address.city
        and re.fullmatch(r"[A-Z]{2}", address.state)
        and re.fullmatch(r"[0-9]{5}([0-9]{4})?", address.postal_code)
    )


def patient_facts(claim: Claim) -> tuple[date | None, str, Address | None]:
    """The patient's birth date, sex and address, whoever is insured."""
    who = claim.patient or claim.subscriber
    return who.birth_date, who.sex, who.address


def people(claim: Claim) -> Iterator[Person | None]:
    """The insured person (None when that is no person) and the patient."""
    insured = claim.subscriber.person
    yield insured if isinstance(insured, Person) else None
    if claim.patient is not None:
        yield claim.patient.person


def providers(claim: Claim) -> Iterator[tuple[int, Provider]]:
    """Every provider whom the claim names besides the practice, each with its line (0: the claim's)."""
    stay = claim.institutional
    named = [claim.rendering, claim.referring, claim.primary_care, claim.supervising]
    named += [stay.attending, stay.operating, stay.other_operating] if stay else []
    yield from ((0, provider) for provider in named if provider is not None)
    for number, line in enumerate(claim.lines, 1):
        of_line = (
            line.rendering,
            line.ordering,
            line.referring,
            line.supervising,
            line.operating,
            line.other_operating,
        )
        yield from ((number, provider) for provider in of_line if provider is not None)


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
