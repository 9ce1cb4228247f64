"""Patients, their insurances and those who treat them, as Epic's segments describe them."""

from collections.abc import Iterable

from hub.scripting import Address, Clinician, Coverage, Message, Name, Patient, Segment, table

from .interface import MEMBER_ID, NPI, PAYOR, PROVIDER_RECORD, RECORD_AUTHORITY, RECORD_TYPE

DEPARTMENTS = table("epic/departments.csv", key="number")
PAYORS = table("epic/payors.csv", key="payor")
PROVIDERS = table("epic/providers.csv", key="record")
RELATIONSHIPS = {"SEL": "self", "SELF": "self", "01": "self", "SPO": "spouse", "CHD": "child"}


def record_number(line: Message | Segment, place: str = "PID-3") -> tuple[str, str]:
    """The patient's record number and the authority that gave it, among the several that Epic sends."""
    found = line.identifier(place, type=RECORD_TYPE, authority=RECORD_AUTHORITY or None)
    if not found:
        return "", ""
    return found, RECORD_AUTHORITY or line[f"{place}[{RECORD_TYPE}].4.1"]


def patient(message: Message) -> Patient:
    """The patient of PID."""
    number, authority = record_number(message)
    return Patient(
        mrn=number or message.required(f"PID-3[{RECORD_TYPE}].1"),
        authority=authority,
        name=Name(
            family=message.required("PID-5.1"),
            given=message["PID-5.2"],
            middle=message["PID-5.3"],
            suffix=message["PID-5.4"],
        ),
        sex=message["PID-8"] if message["PID-8"] in {"F", "M"} else "U",
        address=address(message.each("PID")[0], "PID-11"),
        phone=message["PID-13.6"] + message["PID-13.7"] or message["PID-13.1"],
        **message.fields({"birth_date": "PID-7.1 | date", "death_date": "PID-29.1 | date"}),
    )


def coverage(line: Segment) -> Coverage:
    """One IN1. A payor that payors.csv does not know keeps Epic's number, and billing asks a person."""
    family = line["IN1-16.1"]
    return Coverage(
        priority=int(line["IN1-22"] or line["IN1-1"] or 1),
        payer_id=payer(line[PAYOR]),
        payer_name=line["IN1-4.1"],
        member_id=first(line, MEMBER_ID),
        group_number=line["IN1-8"],
        group_name=line["IN1-9.1"],
        relationship=RELATIONSHIPS.get(line["IN1-17.1"].upper(), "other"),
        insured_name=Name(family=family, given=line["IN1-16.2"]) if family else None,
        insured_sex=line["IN1-43"] if line["IN1-43"] in {"F", "M"} else "U",
        insured_address=address(line, "IN1-19"),
        **line.fields(
            {"insured_birth_date": "IN1-18.1 | date", "effective": "IN1-12 | date", "expires": "IN1-13 | date"}
        ),
    )


def payer(payor: str) -> str:
    """The payer's id of Epic's payor; Epic's number where payors.csv does not know it."""
    known = PAYORS.get(payor)
    return known["payer_id"] if known else payor


def department(number: str) -> str:
    """Our code of Epic's department; Epic's number where departments.csv does not know it."""
    known = DEPARTMENTS.get(number)
    return known["department"] if known else number


def npi(line: Message | Segment, place: str) -> str:
    """The NPI of the provider at *place* (XCN): as it stands there, or by Epic's own provider record."""
    record = PROVIDERS.get(line[f"{place}[.13={PROVIDER_RECORD}].1"])
    return line[f"{place}[.13={NPI}].1"] or (record["npi"] if record else "")


def clinicians(line: Message | Segment, *places: str) -> tuple[Clinician, ...]:
    """Everybody at *places* (XCN) whose NPI is known."""
    found = []
    for place in places:
        number, family = npi(line, place), line[f"{place}.2"]
        if number and family:
            found.append(Clinician(npi=number, family=family, given=line[f"{place}.3"]))
    return tuple(found)


def address(line: Segment, place: str) -> Address | None:
    """The address at *place*, or None when it says nothing."""
    found = Address(
        line=line[f"{place}.1.1"],
        line2=line[f"{place}.2"],
        city=line[f"{place}.3"],
        state=line[f"{place}.4"],
        postal_code=line[f"{place}.5"].replace("-", ""),
    )
    return found if found != Address() else None


def first(line: Message | Segment, places: Iterable[str]) -> str:
    """What stands at the first of *places* that holds anything."""
    return next((text for place in places if (text := line[place])), "")
