"""DFT^P03 of the charge router as charges."""

from collections.abc import Iterator

from hub.scripting import Charge, Drug, Hold, Message, Segment, Skip, mapping, table

from .interface import ACCOUNT, CHARGE_DEPARTMENT, CODE, KINDS, NO_CHARGES_FROM, VISIT_DEPARTMENT
from .people import clinicians, first, npi, record_number

DEPARTMENTS = table("epic/departments.csv", key="number")
CODES = table("epic/codes.csv", key="charge_code")
FIELDS = {
    "transaction": "FT1-2",
    "service_date": "FT1-4.1 | date",
    "modifiers": "FT1-26[*].1 | code",
    "diagnoses": "FT1-19[*].1 | icd",
    "credits": "FT1-31",
}
AMOUNTS = {"units": "FT1-10 | number", "amount": "FT1-11.1 | money"}


@mapping(accepts="DFT^P03", returns=Charge)
def charges(message: Message) -> Iterator[Charge | Skip | Hold]:
    """Yield one charge or credit for each FT1 line; hold lines that a biller must look at."""
    if message.sending_application in NO_CHARGES_FROM:
        yield Skip(message, "supply usage: what was used is charged by another interface")
        return
    number, authority = record_number(message)
    for line in message.each("FT1"):
        kind = KINDS.get(line["FT1-6"])
        if kind is None:
            yield Skip(line, "neither charge nor credit: payments are posted from the 835")
            continue
        department = DEPARTMENTS.get(first(line, CHARGE_DEPARTMENT) or message[VISIT_DEPARTMENT])
        if department is None:
            yield Hold(line, queue="charge review", reason="The department of this charge is not in departments.csv.")
            continue
        amounts = line.fields(AMOUNTS)
        if amounts["amount"] is None:
            yield Hold(line, queue="charge review", reason="This charge has no amount (FT1-11).")
            continue
        yield Charge(
            account=message.required(ACCOUNT),
            mrn=number,
            authority=authority,
            kind="credit" if amounts["amount"] < 0 or (amounts["units"] or 1) < 0 else kind,
            code=code(line),
            units=abs(amounts["units"] or 1),
            amount=abs(amounts["amount"]),
            diagnoses=line.fields(FIELDS)["diagnoses"] or diagnoses(message),
            performing_npi=npi(line, "FT1-20"),
            ordering_npi=npi(line, "FT1-21"),
            clinicians=clinicians(line, "FT1-20", "FT1-21"),
            department=department["department"],
            place_of_service=department["place_of_service"],
            drug=drug(line),
            **{name: value for name, value in line.fields(FIELDS).items() if name != "diagnoses"},
        )


def code(line: Segment) -> str:
    """The billable code: where FT1 says it, or what codes.csv says of Epic's own charge code."""
    found = first(line, CODE).strip().upper()
    known = CODES.get(found)
    return known["code"] if known else found


def diagnoses(message: Message) -> list[str]:
    """The visit's diagnoses (DG1), for interfaces that do not point from each charge."""
    return [line.fields({"code": "DG1-3.1 | icd"})["code"] for line in message.each("DG1")]


def drug(line: Segment) -> Drug | None:
    """The drug whose NDC is in FT1-29."""
    if not line["FT1-29.1"]:
        return None
    return Drug(**line.fields({"ndc": "FT1-29.1", "quantity": "FT1-10 | number"}))
