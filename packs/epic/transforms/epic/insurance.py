"""Insurance that a registration leaves out, read by FHIR in two questions: the visit, then its patient's coverages.

Epic searches by patient, so the first question finds out who that is: Encounter by CSN. The second one asks for the
same encounter, the patient and the coverages, and its answer is a visit with its insurance.
"""

import datetime as dt

from hub.scripting import Address, Coverage, Event, Message, Name, Patient, Read, Skip, Visit, mapping

from .interface import (
    CSN_SYSTEM,
    DEPARTMENT_SYSTEM,
    HAR_SYSTEM,
    MRN_SYSTEM,
    NPI_SYSTEM,
    PAYOR_SYSTEM,
    READ_INSURANCE,
    RECORD_AUTHORITY,
    VISIT_NUMBER,
)
from .people import department, first, payer

SEXES = {"female": "F", "male": "M"}
RELATIONSHIPS = {"self": "self", "spouse": "spouse", "child": "child"}


@mapping(accepts=["ADT^A01", "ADT^A04", "ADT^A08"], returns=Read)
def ask(message: Message) -> Read | None:
    """Ask for the visit by its CSN, when the registration has no IN1."""
    csn = first(message, VISIT_NUMBER)
    if not READ_INSURANCE or message.each("IN1") or not csn:
        return None
    return Read(searches=[f"Encounter?identifier={CSN_SYSTEM}|{csn}"])


@mapping(accepts="Bundle/collection", returns=Read)
def ask_for_patient(event: Event) -> Read | None:
    """Ask for the patient and the coverages of a visit that came alone."""
    encounter = event.resource("Encounter")
    if encounter is None or event.resource("Patient") is not None:
        return None
    who = encounter["subject.reference"].rpartition("/")[2]
    return Read(
        reads=[f"Encounter/{encounter['id']}", f"Patient/{who}"],
        searches=[f"Coverage?patient={who}"],
    )


@mapping(accepts="Bundle/collection", returns=Visit)
def insurance(event: Event) -> Visit | Skip | None:
    """The visit with its insurance, as of now: what was read is newer than the registration that asked."""
    encounter, who = event.resource("Encounter"), event.resource("Patient")
    if encounter is None:
        return Skip(event, "Epic knows no visit by this CSN")
    if who is None:
        return None  # the first answer, which only says whom to ask for
    return Visit(
        account=encounter.required_identifier(HAR_SYSTEM, "account.identifier"),
        visit_number=encounter.identifier(CSN_SYSTEM),
        patient=patient(who),
        as_of=event.received.isoformat() if event.received else "",
        visit_date=encounter.fields({"on": "period.start | date"})["on"],
        department=department(encounter.identifier(DEPARTMENT_SYSTEM, "location.location.identifier")),
        attending_npi=encounter.identifier(NPI_SYSTEM, "participant.individual.identifier"),
        coverages=tuple(coverage(item) for item in event.resources("Coverage") if item["status"] == "active"),
    )


def patient(who: Event) -> Patient:
    """The patient, under the same record number as HL7 says it."""
    return Patient(
        mrn=who.required_identifier(MRN_SYSTEM),
        authority=RECORD_AUTHORITY or "CLINICMRN",
        name=name(who),
        birth_date=birth_date(who),
        sex=SEXES.get(who["gender"], "U"),
        address=Address(
            line=who["address[0].line[0]"],
            line2=who["address[0].line[1]"],
            city=who["address[0].city"],
            state=who["address[0].state"],
            postal_code=who["address[0].postalCode"].replace("-", ""),
        ),
        phone="".join(digit for digit in who["telecom[0].value"] if digit.isdigit()),
    )


def coverage(item: Event) -> Coverage:
    """One insurance; a holder who is not the patient comes along inside of it."""
    holder = next(iter(item.each("contained")), None)
    return Coverage(
        priority=int(item["order"] or 1),
        payer_id=payer(item.identifier(PAYOR_SYSTEM, "payor.identifier")),
        payer_name=item["payor[0].display"],
        member_id=item["subscriberId"],
        group_number=item["class[0].value"],
        relationship=RELATIONSHIPS.get(item["relationship.coding[0].code"], "other"),
        insured_name=name(holder) if holder else None,
        insured_birth_date=birth_date(holder) if holder else None,
        insured_sex=SEXES.get(holder["gender"], "U") if holder else "",
    )


def name(person: Event) -> Name:
    """A person's first name entry."""
    return Name(family=person["name[0].family"], given=person["name[0].given[0]"], middle=person["name[0].given[1]"])


def birth_date(person: Event) -> dt.date | None:
    """A person's birth date, where it is known."""
    return person.fields({"on": "birthDate | date"})["on"]
