"""The procedures of a claim as charges."""

from collections.abc import Iterator

from hub.scripting import Charge, Event, Hold, mapping, table

from .interface import (
    AMOUNT,
    AUTHORITY,
    CODE,
    CODESET,
    LINE_DIAGNOSES,
    PERFORMER,
    SERVICE_DATE,
    TRANSACTION,
    UNITS,
)
from .people import as_of, day, npi

DEPARTMENTS = table("athena/departments.csv", key="department")


@mapping(accepts="claim", returns=Charge)
def charges(event: Event) -> Iterator[Charge | Hold]:
    """Yield one charge for each procedure; hold those of a department that we do not know, or without a day."""
    number = event["claim.departmentid"]
    department = DEPARTMENTS.get(number)
    service_date = day(event[SERVICE_DATE]) or day(event["appointment.date"])
    for line in event.each("claim.procedures"):
        if department is None:
            yield Hold(line, queue="charge review", reason="The department of this charge is not in our table.")
            continue
        if service_date is None:
            yield Hold(line, queue="charge review", reason="The charge does not say when the service was done.")
            continue

        code, *modifiers = line.required(CODE).split(",")
        said = line.fields({"units": f"{UNITS} | number", "amount": f"{AMOUNT} | money"})
        yield Charge(
            transaction=line.required(TRANSACTION),
            account=event["claim.claimid"],
            mrn=event["claim.patientid"],
            authority=AUTHORITY,
            service_date=service_date,
            code=code.strip(),
            modifiers=[modifier.strip() for modifier in modifiers] or line.all("modifiers[*]"),
            units=said["units"] or 1,
            amount=said["amount"],
            diagnoses=diagnoses(event, line),
            performing_npi=npi(event, PERFORMER),
            department=department["code"],
            place_of_service=department["place_of_service"],
            as_of=as_of(event),
        )


def diagnoses(event: Event, line: Event) -> list[str]:
    """The procedure's own diagnoses, else all of the claim, without dots."""
    own = line.all(f"{LINE_DIAGNOSES}[*]")
    if not own:
        own = [
            item["diagnosisrawcode"]
            for item in event.each("claim.diagnoses")
            if item["diagnosiscodeset"] == CODESET and not item["deleted"]
        ]
    return [code.replace(".", "") for code in own]
