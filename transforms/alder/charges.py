"""DFT^P03 transactions as charges."""

from collections.abc import Iterator

from hub.scripting import Charge, Drug, Hold, Message, PatientPayment, Segment, Skip, mapping, table

from .people import clinicians

DEPARTMENTS = table("alder/departments.csv", key="code")
AT_THE_DESK = {"COPAY", "SELFPAY"}  # FT1-7 of what patients pay; what insurers pay comes as an 835
KINDS = {"CG": "charge", "CD": "credit"}
NOTICES = {"2": True, "3": True, "4": False}  # HL7 table 0339: whether the patient signed a notice (ABN)

FIELDS = {
    "transaction": "FT1-2",
    "service_date": "FT1-4.1 | date",
    "service_to": "FT1-4.2 | date",
    "code": "FT1-25.1 | code",
    "modifiers": "FT1-26[*].1 | code",
    "units": "FT1-10 | number",
    "amount": "FT1-11.1 | money",
    "diagnoses": "FT1-19[*].1 | icd",
    "performing_npi": "FT1-20[.13=NPI].1 | npi",
    "ordering_npi": "FT1-21[.13=NPI].1 | npi",
    "department": "FT1-13.1",
    "credits": "FT1-31",
    "revenue_code": "FT1-7.4",
}
PAYMENT = {"transaction": "FT1-2", "amount": "FT1-11.1 | money"}
DRUG = {"ndc": "FT1-29.1", "quantity": "FT1-10 | number"}


@mapping(accepts="DFT^P03", returns=[Charge, PatientPayment])
def charges(message: Message) -> Iterator[Charge | PatientPayment | Skip | Hold]:
    """Yield one charge, credit or payment at the desk for each FT1 line; hold lines that a biller must look at."""
    account = message.required("PID-18.1")
    for line in message.each("FT1"):
        if line["FT1-6"] == "PY" and line["FT1-7.1"] in AT_THE_DESK:
            yield PatientPayment(account=account, **line.fields(PAYMENT))
            continue

        kind = KINDS.get(line["FT1-6"])
        if kind is None:
            yield Skip(line, "neither charge nor credit: payments are posted from the 835")
            continue

        department = DEPARTMENTS.get(line["FT1-13.1"])
        if department is None:
            yield Hold(line, queue="charge review", reason="The department of this charge is not in our table.")
            continue

        yield Charge(
            account=account,
            mrn=message.identifier("PID-3", type="MR") or "",
            authority=message["PID-3[MR].4.1"],
            kind=kind,
            place_of_service=department["place_of_service"],
            clinicians=clinicians(line, "FT1-20", "FT1-21"),
            drug=drug(line),
            notice=NOTICES.get(line["FT1-27"]),
            **line.fields(FIELDS),
        )


def drug(line: Segment) -> Drug | None:
    """The drug whose NDC is in FT1-29: this EHR counts in FT1-10 how many units of it were given."""
    return Drug(**line.fields(DRUG)) if line["FT1-29.1"] else None
