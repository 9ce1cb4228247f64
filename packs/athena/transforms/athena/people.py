"""Patients, what insures them and who treats them, as the REST API describes them."""

import datetime as dt
from collections.abc import Iterable

from hub.scripting import Address, Coverage, Event, Name, Patient, table

from .interface import AS_OF, AUTHORITY, RELATIONSHIPS

PAYERS = table("athena/payers.csv", key="package")
PROVIDERS = table("athena/providers.csv", key="provider")


def patient(event: Event) -> Patient:
    """The patient of a claim."""
    return Patient(
        mrn=event.required("patient.patientid"),
        authority=AUTHORITY,
        name=Name(
            family=event.required("patient.lastname"),
            given=event["patient.firstname"],
            middle=event["patient.middlename"],
            suffix=event["patient.suffix"],
        ),
        birth_date=day(event["patient.dob"]),
        death_date=day(event["patient.deceaseddate"]),
        sex=sex(event["patient.sex"]),
        address=address(event, "patient."),
        phone=event["patient.homephone"] or event["patient.mobilephone"],
    )


def coverages(event: Event) -> tuple[Coverage, ...]:
    """The insurances that are not cancelled, in the order in which they pay."""
    return tuple(coverage(item) for item in event.each("insurances") if not item["cancelled"])


def coverage(item: Event) -> Coverage:
    """One insurance. A package that payers.csv does not know keeps its number, and billing asks a person."""
    package = item["insurancepackageid"]
    known = PAYERS.get(package)
    relationship = RELATIONSHIPS.get(item["relationshiptoinsuredid"], "other")
    family = item["insurancepolicyholderlastname"]
    return Coverage(
        priority=int(item["sequencenumber"] or 1),
        payer_id=known["payer_id"] if known else package,
        payer_name=item["insuranceplanname"],
        member_id=item["insuranceidnumber"],
        group_number=item["policynumber"],
        relationship=relationship,
        insured_name=Name(family=family, given=item["insurancepolicyholderfirstname"]) if family else None,
        insured_birth_date=day(item["insurancepolicyholderdob"]),
        insured_sex=sex(item["insurancepolicyholdersex"]) if family else "",
        insured_address=address(item, "insurancepolicyholder"),
        effective=day(item["issuedate"]),
        expires=day(item["expirationdate"]),
    )


def npi(event: Event, places: Iterable[str]) -> str:
    """The NPI of the first provider that is named at *places*, by providers.csv."""
    number = next((text for place in places if (text := event[place])), "")
    known = PROVIDERS.get(number)
    return known["npi"] if known else ""


def address(event: Event, prefix: str) -> Address | None:
    """The address whose fields begin with *prefix*, or None when it says nothing."""
    found = Address(
        line=event[f"{prefix}address1"],
        line2=event[f"{prefix}address2"],
        city=event[f"{prefix}city"],
        state=event[f"{prefix}state"],
        postal_code=event[f"{prefix}zip"].replace("-", ""),
    )
    return found if found != Address() else None


def sex(text: str) -> str:
    """F, M, or U for anything else."""
    return text if text in {"F", "M"} else "U"


def day(text: str) -> dt.date | None:
    """The date of MM/DD/YYYY, whatever follows it; None when there is none."""
    if not text:
        return None
    month, number, year = text[:10].split("/")
    return dt.date(int(year), int(month), int(number))


def as_of(event: Event) -> str:
    """When what was read was so, as ISO text."""
    text = next((text for place in AS_OF if (text := event[place])), "")
    if "/" not in text:
        return text
    on = day(text)
    return f"{on}T{text[11:19] or '00:00:00'}"
