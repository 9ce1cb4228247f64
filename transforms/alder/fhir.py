"""FHIR R4 notifications of finished encounters: visits and charges, or a fetch where the resources are not along."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from hub.scripting import (
    Address,
    Charge,
    Coverage,
    Document,
    EligibilityAnswer,
    Event,
    Hold,
    Name,
    Patient,
    Read,
    Skip,
    Visit,
    mapping,
    table,
)

from .people import BODY_WEIGHT, POUNDS

DEPARTMENTS = table("alder/departments.csv", key="code")
CLIA = "urn:oid:2.16.840.1.113883.4.7"
CPT = "http://www.ama-assn.org/go/cpt"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
NPI = "http://hl7.org/fhir/sid/us-npi"
LOINC = "http://loinc.org"
SEXES = {"female": "F", "male": "M"}
NOTES = {"final": "signed", "amended": "signed", "entered-in-error": "withdrawn"}  # docStatus; others are not signed
RELATIONSHIPS = {"self": "self", "spouse": "spouse", "child": "child"}

WEIGHT = {"weight": "valueQuantity.value | number"}
AMOUNTS = {
    "service_date": "occurrenceDateTime | date",
    "units": "quantity.value | number",
    "amount": "priceOverride.value | money",
}


@mapping(accepts="Bundle/notification", returns=Read)
def fetch(event: Event) -> Read | None:
    """Ask for the encounters that came as references alone, each with its patient, its charges and the insurances."""
    if event.resource("Encounter"):
        return None
    encounters = [reference.rpartition("/")[2] for reference in event.focuses() if "Encounter/" in reference]
    everything = "_include=Encounter:patient&_revinclude=ChargeItem:context&_revinclude:iterate=Coverage:beneficiary"
    return Read(searches=[f"Encounter?_id={number}&{everything}" for number in encounters])


@mapping(accepts="Bundle/*", returns=Visit)
def visit(event: Event) -> Iterator[Visit | Skip]:
    """Yield one visit for each finished encounter."""
    for encounter in event.resources("Encounter"):
        if encounter["status"] != "finished":
            yield Skip(encounter, "the encounter is not finished")
            continue

        department = encounter.identifier("urn:alder:department", "location.location.identifier")
        yield Visit(
            account=encounter.identifier("urn:alder:account", "account.identifier"),
            visit_number=encounter.identifier("urn:alder:visit"),
            patient=patient(event),
            as_of=encounter["meta.lastUpdated"] or encounter["period.end"],
            visit_date=encounter.fields({"on": "period.start | date"})["on"],
            department=department,
            attending_npi=encounter.identifier(NPI, "participant.individual.identifier"),
            coverages=tuple(coverage(item) for item in event.resources("Coverage")),
            weight=weight(event),
        )


@mapping(accepts="Bundle/*", returns=Charge)
def charges(event: Event) -> Iterator[Charge | Hold]:
    """Yield one charge for each ChargeItem; hold those of a department that we do not know."""
    for item in event.resources("ChargeItem"):
        code = item.identifier("urn:alder:department", "performingOrganization.identifier")
        department = DEPARTMENTS.get(code)
        if department is None:
            yield Hold(item, queue="charge review", reason="The department of this charge is not in our table.")
            continue

        yield Charge(
            transaction=item.identifier("urn:alder:transaction"),
            account=item.identifier("urn:alder:account", "account.identifier"),
            mrn=patient(event).mrn,
            authority="ALDER",
            code="".join(item.codes("code", CPT)[:1]),
            modifiers=item.codes("code", "urn:alder:modifier"),
            diagnoses=[found.replace(".", "") for found in item.codes("reason", ICD)],
            performing_npi=item.identifier(NPI, "performer.actor.identifier"),
            department=code,
            place_of_service=department["place_of_service"],
            referring_clia=item.identifier(CLIA, "requestingOrganization.identifier"),
            **item.fields(AMOUNTS),
        )


@mapping(accepts="Bundle/*", returns=Document)
def notes(event: Event) -> Iterator[Document | Skip]:
    """Yield one document for each note of an encounter that came along."""
    accounts = {
        f"Encounter/{encounter['id']}": encounter.identifier("urn:alder:account", "account.identifier")
        for encounter in event.resources("Encounter")
    }
    for note in event.resources("DocumentReference"):
        account = accounts.get(note["context.encounter[0].reference"])
        if not account:
            yield Skip(note, "the note is of no encounter that came along")
            continue
        yield Document(
            document=note.required("id"),
            account=account,
            mrn=patient(event).mrn,
            authority="ALDER",
            state=NOTES.get(note["docStatus"], "unsigned"),
            as_of=note["meta.lastUpdated"] or note["date"],
        )


@mapping(accepts="Bundle/*", returns=EligibilityAnswer)
def answers(event: Event) -> Iterator[EligibilityAnswer | Skip]:
    """Yield what payers answered about coverages, as far as they gave a whole answer."""
    for item in event.resources("CoverageEligibilityResponse"):
        dates = item.fields(
            {
                "answered": "created | date",
                "effective": "insurance[0].benefitPeriod.start | date",
                "expires": "insurance[0].benefitPeriod.end | date",
            }
        )
        if item["outcome"] != "complete" or dates["answered"] is None:
            yield Skip(item, "the payer gave no whole answer")
            continue
        yield EligibilityAnswer(
            payer_id=item["insurer.identifier.value"],
            mrn=patient(event).mrn,
            authority="ALDER",
            active=item.flag("insurance[0].inforce"),
            **dates,
        )


def patient(event: Event) -> Patient:
    """The patient of the notification."""
    found = event.resource("Patient") or Event({}, "Patient")
    return Patient(
        mrn=found.required_identifier("urn:alder:mrn"),
        authority="ALDER",
        name=name(found),
        birth_date=birth_date(found),
        sex=SEXES.get(found["gender"], "U"),
        address=Address(
            line=found["address[0].line[0]"],
            line2=found["address[0].line[1]"],
            city=found["address[0].city"],
            state=found["address[0].state"],
            postal_code=found["address[0].postalCode"].replace("-", ""),
        ),
        phone=found["telecom[0].value"],
    )


def coverage(item: Event) -> Coverage:
    """One insurance. A holder who is not the patient comes along inside of it."""
    holder = next(iter(item.each("contained")), None)
    return Coverage(
        priority=int(item["order"] or 1),
        payer_id=item.identifier("urn:alder:payer", "payor.identifier"),
        payer_name=item["payor[0].display"],
        member_id=item["subscriberId"],
        group_number=item["class[0].value"],
        relationship=RELATIONSHIPS.get(item["relationship.coding[0].code"], "other"),
        insured_name=name(holder) if holder else None,
        insured_birth_date=birth_date(holder) if holder else None,
        insured_sex=SEXES.get(holder["gender"], "U") if holder else "",
    )


def weight(event: Event) -> Decimal | None:
    """The patient's weight in pounds, where an observation of it came along."""
    for item in event.resources("Observation"):
        value = item.fields(WEIGHT)["weight"] if BODY_WEIGHT in item.codes("code", LOINC) else None
        if value is not None and item["valueQuantity.code"] in POUNDS:
            return round(value * POUNDS[item["valueQuantity.code"]], 1)
    return None


def name(person: Event) -> Name:
    """A person's first name entry."""
    return Name(family=person["name[0].family"], given=person["name[0].given[0]"], middle=person["name[0].given[1]"])


def birth_date(person: Event) -> dt.date | None:
    """A person's birth date, where it is known."""
    return person.fields({"on": "birthDate | date"})["on"]
