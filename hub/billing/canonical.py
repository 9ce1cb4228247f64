"""From what the practice and its sources said to the canonical claim that an 837P is written from.

Form is made right here (upper case, the codes of the guide); facts never are: what is missing stays
missing, and the edits say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from hub.billing.config import BillingConfig, PostalAddress
from hub.billing.config import Payer as PayerConfig
from hub.billing.control_numbers import line_control_number
from hub.billing.grouping import Group
from hub.billing.values import Address as SaidAddress
from hub.billing.values import Charge, Coverage
from hub.billing.values import Name as SaidName
from hub.billing.values import Patient as SaidPatient
from hub.formats.x12.claim import (
    Address,
    BillingProvider,
    Claim,
    ClaimLine,
    Organisation,
    Patient,
    Payer,
    Person,
    Provider,
    Subscriber,
)
from hub.formats.x12.writer import clean

_RELATIONSHIPS = {"spouse": "01", "child": "19"}
_OTHER_RELATIONSHIP = "G8"
_UNKNOWN_DAY = date(1, 1, 1)  # a birth date that the source did not give; the edits stop such a claim


def build(
    config: BillingConfig,
    *,
    control_number: str,
    payer: PayerConfig,
    patient: SaidPatient,
    coverage: Coverage,
    group: Group,
    charges: Sequence[Charge],
) -> Claim:
    """The claim of *group*, whose members' charges are *charges* in the same order."""
    subscriber, dependent = insured(patient, coverage)
    first = group.members[0]
    lines = tuple(
        ClaimLine(
            control_number=line_control_number(control_number, ordinal),
            code=clean(charge.code),
            charge=charge.amount,
            units=charge.units,
            service_date=charge.service_date,
            pointers=tuple(group.diagnoses.index(code) + 1 for code in member.pointed),
            modifiers=tuple(clean(modifier) for modifier in charge.modifiers),
        )
        for ordinal, (member, charge) in enumerate(zip(group.members, charges, strict=True), start=1)
    )
    return Claim(
        control_number=control_number,
        billing_provider=_billing_provider(config),
        subscriber=subscriber,
        payer=Payer(name=clean(payer.name), id=payer.payer_id, filing_indicator=payer.claim_filing),
        place_of_service=first.place_of_service,
        diagnoses=group.diagnoses,
        lines=lines,
        patient=dependent,
        medical_record_number=clean(patient.mrn),
        rendering=_rendering(config, first.rendering_npi),
    )


def insured(patient: SaidPatient, coverage: Coverage) -> tuple[Subscriber, Patient | None]:
    """Whose policy *coverage* is, and the patient where that is somebody else."""
    if coverage.relationship == "self":
        return _own(patient, coverage), None
    return _other(coverage), _dependent(patient, coverage.relationship)


def _billing_provider(config: BillingConfig) -> BillingProvider:
    practice = config.practice
    return BillingProvider(
        party=Organisation(clean(practice.name)),
        npi=practice.npi,
        tax_id=practice.tax_id,
        address=_own_address(practice.address),
        taxonomy=practice.taxonomy,
    )


def _rendering(config: BillingConfig, npi: str) -> Provider | None:
    provider = config.provider(npi)
    if provider is None:
        return None
    return Provider(Person(clean(provider.family), clean(provider.given)), provider.npi, provider.taxonomy)


def _own(patient: SaidPatient, coverage: Coverage) -> Subscriber:
    return Subscriber(
        person=_person(patient.name),
        member_id=clean(coverage.member_id),
        address=_address(patient.address),
        birth_date=patient.birth_date,
        sex=patient.sex,
        group_number=clean(coverage.group_number),
    )


def _other(coverage: Coverage) -> Subscriber:
    return Subscriber(
        person=_person(coverage.insured_name or SaidName(family="")),
        member_id=clean(coverage.member_id),
        address=_address(coverage.insured_address),
        birth_date=coverage.insured_birth_date,
        sex=coverage.insured_sex or ("U" if coverage.insured_birth_date else ""),
        group_number=clean(coverage.group_number),
    )


def _dependent(patient: SaidPatient, relationship: str) -> Patient:
    return Patient(
        person=_person(patient.name),
        address=_address(patient.address) or Address("", "", "", ""),
        birth_date=patient.birth_date or _UNKNOWN_DAY,
        sex=patient.sex,
        relationship=_RELATIONSHIPS.get(relationship, _OTHER_RELATIONSHIP),
    )


def _person(name: SaidName) -> Person:
    return Person(clean(name.family), clean(name.given), clean(name.middle), clean(name.suffix))


def _address(said: SaidAddress | None) -> Address | None:
    if said is None or not said.line:
        return None
    return Address(
        line1=clean(said.line),
        city=clean(said.city),
        state=clean(said.state),
        postal_code=said.postal_code.replace("-", ""),
        line2=clean(said.line2),
    )


def _own_address(address: PostalAddress) -> Address:
    return Address(
        line1=clean(address.line),
        city=clean(address.city),
        state=address.state,
        postal_code=address.postal_code,
        line2=clean(address.line2),
    )
