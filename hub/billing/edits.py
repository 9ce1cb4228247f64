"""The edits that a claim passes before it may leave: each is a rule's name and a sentence for a biller.

They find what the implementation guide's syntax cannot: identifiers that are none, facts that are missing
or do not fit. They change nothing; codes, amounts and identities are a person's to correct.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from hub.billing.config import Payer
from hub.billing.grouping import MOST_DIAGNOSES, MOST_LINES, MOST_POINTERS
from hub.formats.x12.claim import Address, Claim, Person

_LONGEST_LIFE = timedelta(days=125 * 366)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one edit found. *sentence* names nobody."""

    rule: str
    sentence: str


def findings(claim: Claim, payer: Payer, today: date) -> tuple[Finding, ...]:
    """Everything that stands against sending *claim* to *payer* on *today*."""
    return (
        *_identifiers(claim, payer),
        *_people(claim, today),
        *_diagnoses(claim),
        *_lines(claim, today),
    )


def is_npi(text: str) -> bool:
    """Whether *text* can be an NPI: ten digits that satisfy Luhn's formula behind the prefix 80840."""
    if len(text) != 10 or not (text.isascii() and text.isdecimal()):
        return False
    total = 0
    for place, digit in enumerate(reversed("80840" + text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def _identifiers(claim: Claim, payer: Payer) -> Iterator[Finding]:
    if not is_npi(claim.billing_provider.npi):
        yield Finding("billing npi", "The practice's own NPI fails its check digit.")
    if claim.rendering is None or not is_npi(claim.rendering.npi):
        yield Finding("rendering npi", "The rendering provider's NPI is missing or fails its check digit.")
    member_id = claim.subscriber.member_id
    if not member_id:
        yield Finding("member id", "The member id is missing.")
    elif payer.member_id and not re.fullmatch(payer.member_id, member_id):
        yield Finding("member id", f"The member id does not look like one of {payer.name}.")
    if not re.fullmatch(r"[0-9]{2}", claim.place_of_service):
        yield Finding("place of service", "The place of service is missing.")


def _people(claim: Claim, today: date) -> Iterator[Finding]:
    subscriber, patient = claim.subscriber, claim.patient
    if not isinstance(subscriber.person, Person) or not subscriber.person.last or not subscriber.person.first:
        yield Finding("subscriber name", "The insured person's first or last name is missing.")
    if patient is None:
        born, sex, address = subscriber.birth_date, subscriber.sex, subscriber.address
    else:
        born, sex, address = patient.birth_date, patient.sex, patient.address
        if not patient.person.last or not patient.person.first:
            yield Finding("patient name", "The patient's first or last name is missing.")
    if born is None or not today - _LONGEST_LIFE <= born <= today:
        yield Finding("birth date", "The patient's birth date is missing or cannot be.")
    elif any(line.service_date < born for line in claim.lines):
        yield Finding("birth date", "A service is dated before the patient was born.")
    if sex not in {"F", "M", "U"}:
        yield Finding("sex", "The patient's sex is missing.")
    if address is None or not _is_whole(address):
        yield Finding("address", "The patient's address is missing or incomplete.")


def _is_whole(address: Address) -> bool:
    return bool(
        address.line1
        and address.city
        and re.fullmatch(r"[A-Z]{2}", address.state)
        and re.fullmatch(r"[0-9]{5}([0-9]{4})?", address.postal_code)
    )


def _diagnoses(claim: Claim) -> Iterator[Finding]:
    if not claim.diagnoses:
        yield Finding("diagnosis", "The claim has no diagnosis.")
    elif len(claim.diagnoses) > MOST_DIAGNOSES:
        yield Finding("diagnosis", "The claim has more than twelve diagnoses.")
    if not all(re.fullmatch(r"[A-Z][0-9][0-9A-Z]{1,5}", code) for code in claim.diagnoses):
        yield Finding("diagnosis", "A diagnosis is not an ICD-10-CM code.")
    if any(
        not 1 <= len(line.pointers) <= MOST_POINTERS
        or not all(1 <= pointer <= len(claim.diagnoses) for pointer in line.pointers)
        for line in claim.lines
    ):
        yield Finding("diagnosis pointer", "A line points to no diagnosis of the claim.")


def _lines(claim: Claim, today: date) -> Iterator[Finding]:
    if not 1 <= len(claim.lines) <= MOST_LINES:
        yield Finding("lines", "A claim has between one and fifty lines.")
    if claim.charge <= 0 or any(line.charge < 0 for line in claim.lines):
        yield Finding("charge", "The claim charges nothing, or a line charges less than nothing.")
    if any(line.units <= 0 for line in claim.lines):
        yield Finding("units", "A line has no units.")
    if any(line.service_date > today for line in claim.lines):
        yield Finding("service date", "A service is dated in the future.")
    if not all(re.fullmatch(r"[A-Z0-9]{5}", line.code) for line in claim.lines):
        yield Finding("procedure code", "A line's procedure code is not five letters and digits.")
    if any(len(line.modifiers) > 4 or len(set(line.modifiers)) < len(line.modifiers) for line in claim.lines):
        yield Finding("modifiers", "A line has a modifier twice, or more than four.")
