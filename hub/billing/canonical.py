"""From what the practice and its sources said to the canonical claim that an 837 is written from.

Form is made right here (upper case, the codes of the guide); facts never are: what is missing stays
missing, and the edits say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from hub.billing.config import BillingConfig, PostalAddress
from hub.billing.config import Payer as PayerConfig
from hub.billing.control_numbers import line_control_number
from hub.billing.edits.facts import between
from hub.billing.grouping import Group
from hub.billing.ndc import eleven_digits
from hub.billing.people import People
from hub.billing.secondary_ids import identified, payer_ids, practice_ids
from hub.billing.stay_claim import stay_claim
from hub.billing.stay_parts import Part
from hub.billing.values import Address as SaidAddress
from hub.billing.values import Charge, Coverage, IllnessDates, Visit
from hub.billing.values import Name as SaidName
from hub.billing.values import Patient as SaidPatient
from hub.formats.x12.claim import (
    Address,
    Ambulance,
    Attachment,
    BillingProvider,
    Circumstances,
    Claim,
    ClaimLine,
    Drug,
    Facility,
    Organisation,
    Patient,
    Payer,
    PayToPlan,
    Person,
    Subscriber,
)
from hub.formats.x12.writer import clean

_RELATIONSHIPS = {"spouse": "01", "child": "19"}
_OTHER_RELATIONSHIP = "G8"
_CAUSES = {"auto": "AA", "work": "EM", "other": "OA"}
_INPATIENT_PLACES = frozenset({"21", "31", "51", "61"})
_AT_HOME = "12"
_LABORATORY = ("80047", "89398")
_UNKNOWN_DAY = date(1, 1, 1)  # a birth date that the source did not give; the edits stop such a claim


def build(
    config: BillingConfig,
    *,
    control_number: str,
    payer: PayerConfig,
    visit: Visit,
    patient: SaidPatient,
    coverage: Coverage,
    group: Group,
    charges: Sequence[Charge],
    form: str = "837P",
    part: Part | None = None,
) -> Claim:
    """The claim of *group*, whose members' charges are *charges* in the same order, on the *form* given.

    *part* is the part of a long stay that it is for.
    """
    weighed = any(charge.code in payer.weight_for for charge in charges)
    subscriber, dependent = _as_patient(visit, weighed, *insured(patient, coverage))
    people = People(config, visit, charges)
    common = Claim(
        control_number=control_number,
        billing_provider=_billing_provider(config),
        subscriber=subscriber,
        payer=payer_of(payer, form),
        place_of_service="",
        diagnoses=group.diagnoses,
        lines=(),
        patient=dependent,
        assignment=payer.accepts_assignment,
        benefits_assignment=coverage.assigned or "Y",
        release=coverage.released or "Y",
        referral_number=clean(visit.referral_number),
        prior_authorisation=clean(visit.prior_authorisation),
        medical_record_number=clean(patient.mrn),
        attachments=tuple(Attachment(each.kind, each.way, clean(each.control_number)) for each in visit.attachments),
        facility=_facility(config, payer, charges[0]),
        referring=people.named(visit.referring_npi),
        accident_state=visit.accident.state if visit.accident else "",
    )
    if form == "837I":
        return identified(stay_claim(common, config, visit, charges, people, part), config, payer)
    return identified(_professional(common, config, payer, visit, group, charges, people), config, payer)


def _professional(
    common: Claim,
    config: BillingConfig,
    payer: PayerConfig,
    visit: Visit,
    group: Group,
    charges: Sequence[Charge],
    people: People,
) -> Claim:
    first = group.members[0]
    accident, stay = visit.accident, visit.stay if first.place_of_service in _INPATIENT_PLACES else None
    return replace(
        common,
        place_of_service=first.place_of_service,
        lines=tuple(
            _line(common, ordinal, charge, member.pointed, group, people)
            for ordinal, (member, charge) in enumerate(zip(group.members, charges, strict=True), start=1)
        ),
        related_causes=(_CAUSES[accident.cause],) if accident and accident.cause in _CAUSES else (),
        accident_date=accident.on if accident else None,
        onset_date=visit.onset,
        admission_date=stay.admitted if stay else None,
        discharge_date=stay.discharged if stay else None,
        special_program=clean(visit.special_program),
        patient_paid=visit.patient_paid,
        ambulance=_ambulance(visit),
        **_illness(visit.dates),
        clia=_clia(config, charges),
        rendering=None if _bills_alone(config, payer, first.rendering_npi) else people.named(first.rendering_npi),
        supervising=people.named(visit.supervising_npi),
    )


def _illness(said: IllnessDates | None) -> dict[str, Any]:
    """The claim's dates of the illness, by its fields' names."""
    if said is None:
        return {}
    return {
        "initial_treatment_date": said.initial_treatment,
        "last_seen_date": said.last_seen,
        "acute_date": said.acute,
        "menstrual_date": said.menstrual,
        "xray_date": said.xray,
        "prescription_date": said.prescription,
        "disability_from": said.disability_from,
        "disability_to": said.disability_to,
        "last_worked_date": said.last_worked,
        "return_date": said.returned,
        "care_assumed_date": said.care_assumed,
        "care_relinquished_date": said.care_relinquished,
        "first_contact_date": said.first_contact,
    }


def _line(
    common: Claim, ordinal: int, charge: Charge, pointed: tuple[str, ...], group: Group, people: People
) -> ClaimLine:
    drug = charge.drug
    asked = charge.prior_authorisation
    timed = charge.minutes is not None
    return ClaimLine(
        control_number=line_control_number(common.control_number, ordinal),
        code=clean(charge.code),
        charge=charge.amount,
        units=charge.units if charge.minutes is None else charge.minutes,
        unit_code="MJ" if timed else "UN",
        service_date=charge.service_date,
        service_to=charge.service_to if charge.service_to != charge.service_date else None,
        pointers=tuple(group.diagnoses.index(code) + 1 for code in pointed),
        modifiers=tuple(clean(modifier) for modifier in charge.modifiers),
        description=clean(charge.description),
        emergency=charge.emergency,
        epsdt=charge.epsdt,
        family_planning=charge.family_planning,
        copay_exempt=charge.copay_exempt,
        drug=Drug(eleven_digits(drug.ndc), drug.quantity, drug.unit) if drug else None,
        note=clean(charge.note),
        referring_clia=clean(charge.referring_clia),
        prior_authorisation=clean(asked) if asked != common.prior_authorisation else "",
        ordering=people.named(charge.ordering_npi) if charge.ordering_npi != charge.performing_npi else None,
    )


def _as_patient(
    visit: Visit, weighed: bool, subscriber: Subscriber, dependent: Patient | None
) -> tuple[Subscriber, Patient | None]:
    """Both, with what the visit says of whoever is the patient: a pregnancy, the weight where it is *weighed*."""
    who = dependent or subscriber
    said = replace(who.circumstances, pregnant=visit.pregnant, weight=visit.weight if weighed else None)
    if dependent is None:
        return replace(subscriber, circumstances=said), None
    return subscriber, replace(dependent, circumstances=said)


def _ambulance(visit: Visit) -> Ambulance | None:
    said = visit.transport
    if said is None:
        return None
    return Ambulance(
        reason=clean(said.reason),
        miles=said.miles,
        weight=visit.weight if said.weight is None else said.weight,
        round_trip=clean(said.round_trip),
        stretcher=clean(said.stretcher),
        conditions=said.conditions,
        pick_up=_address(said.pick_up),
        drop_off=_address(said.drop_off),
        drop_off_name=clean(said.drop_off_name),
    )


def insured(patient: SaidPatient, coverage: Coverage) -> tuple[Subscriber, Patient | None]:
    """Whose policy *coverage* is, and the patient where that is somebody else."""
    if coverage.relationship == "self":
        return _own(patient, coverage), None
    return _other(coverage), _dependent(patient, coverage)


def _billing_provider(config: BillingConfig) -> BillingProvider:
    practice = config.practice
    plan, owner, name = practice.pay_to_plan, practice.sole_proprietor, Organisation(clean(config.practice.name))
    return BillingProvider(
        party=Person(clean(owner.family), clean(owner.given), clean(owner.middle)) if owner else name,
        npi=practice.npi,
        tax_id=practice.tax_id,
        tax_id_kind=practice.tax_id_kind,
        address=own_address(practice.address),
        taxonomy=practice.taxonomy,
        pay_to=own_address(practice.pay_to) if practice.pay_to and practice.pay_to != practice.address else None,
        pay_to_plan=PayToPlan(clean(plan.name), plan.id, plan.tax_id, own_address(plan.address)) if plan else None,
    )


def payer_of(payer: PayerConfig, form: str) -> Payer:
    """The payer as claims of *form* name it (2010BB)."""
    return Payer(
        name=clean(payer.name),
        id=payer.payer_id,
        filing_indicator=payer.claim_filing,
        address=own_address(payer.address) if payer.address else None,
        secondary_ids=payer_ids(payer),
        provider_ids=practice_ids(payer, form),
    )


def _facility(config: BillingConfig, payer: PayerConfig, charge: Charge) -> Facility | None:
    """Where the service took place, unless that is the practice's address or, for most payers, the patient's home."""
    found = config.facility(charge.department)
    department = config.department(charge.department)
    at_home = department is not None and department.place_of_service == _AT_HOME
    if found is None or (at_home and not payer.facility_at_home):
        return None
    return Facility(clean(found.name), own_address(found.address), found.npi)


def _bills_alone(config: BillingConfig, payer: PayerConfig, npi: str) -> bool:
    """Whether the payer wants no rendering provider, because the person who did the service also bills."""
    alone = config.practice.sole_proprietor is not None and config.practice.npi == npi
    return alone and payer.rendering == "when different"


def _clia(config: BillingConfig, charges: Sequence[Charge]) -> str:
    """The CLIA number of the laboratory, where a laboratory service is on the claim."""
    if not any(between(charge.code, *_LABORATORY) for charge in charges):
        return ""
    facility = config.facility(charges[0].department)
    return (facility.clia if facility else "") or config.practice.clia


def _own(patient: SaidPatient, coverage: Coverage) -> Subscriber:
    return Subscriber(
        person=_person(patient.name),
        member_id=clean(coverage.member_id),
        address=_address(patient.address),
        birth_date=patient.birth_date,
        sex=patient.sex,
        group_number=clean(coverage.group_number),
        group_name=clean(coverage.group_name),
        property_claim_number=clean(coverage.claim_number),
        circumstances=Circumstances(death_date=patient.death_date),
    )


def _other(coverage: Coverage) -> Subscriber:
    return Subscriber(
        person=_person(coverage.insured_name or SaidName(family="")),
        member_id=clean(coverage.member_id),
        address=_address(coverage.insured_address),
        birth_date=coverage.insured_birth_date,
        sex=coverage.insured_sex or ("U" if coverage.insured_birth_date else ""),
        group_number=clean(coverage.group_number),
        group_name=clean(coverage.group_name),
    )


def _dependent(patient: SaidPatient, coverage: Coverage) -> Patient:
    return Patient(
        person=_person(patient.name),
        address=_address(patient.address) or Address("", "", "", ""),
        birth_date=patient.birth_date or _UNKNOWN_DAY,
        sex=patient.sex,
        relationship=_RELATIONSHIPS.get(coverage.relationship, _OTHER_RELATIONSHIP),
        property_claim_number=clean(coverage.claim_number),
        circumstances=Circumstances(death_date=patient.death_date),
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


def own_address(address: PostalAddress) -> Address:
    """An address from the site's files."""
    return Address(
        line1=clean(address.line),
        city=clean(address.city),
        state=address.state,
        postal_code=address.postal_code,
        line2=clean(address.line2),
    )
