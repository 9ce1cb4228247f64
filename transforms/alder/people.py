"""Patients and their insurances as ADT segments describe them."""

from decimal import Decimal

from hub.scripting import Accident, Address, Clinician, Coverage, Message, Name, Patient, Segment

RELATIONSHIPS = {"SEL": "self", "01": "self", "SPO": "spouse", "CHD": "child"}
ANSWERS = {"A": True, "I": False}  # of this EHR's own table: what the payer said of the coverage
SEXES = {"F": "F", "M": "M"}
BODY_WEIGHT = "29463-7"  # LOINC
POUNDS = {"lb": Decimal(1), "[lb_av]": Decimal(1), "kg": Decimal("2.20462")}
ACCIDENTS = {"A": "auto", "W": "work", "O": "other"}


def patient(message: Message) -> Patient:
    """The patient of PID, by the medical record number that the clinic gave."""
    return Patient(
        mrn=message.identifier("PID-3", type="MR") or message.required("PID-3.1"),
        authority=message["PID-3[MR].4.1"],
        name=Name(
            family=message.required("PID-5.1"),
            given=message["PID-5.2"],
            middle=message["PID-5.3"],
            suffix=message["PID-5.4"],
        ),
        sex=SEXES.get(message["PID-8"], "U"),
        address=address(message.each("PID")[0], "PID-11"),
        phone=phone(message),
        **message.fields({"birth_date": "PID-7.1 | date", "death_date": "PID-29.1 | date"}),
    )


def coverage(line: Segment) -> Coverage:
    """One IN1: the insured's own data matter only where the patient is somebody else."""
    relationship = RELATIONSHIPS.get(line["IN1-17.1"], "other")
    family = line["IN1-16.1"]
    return Coverage(
        priority=int(line["IN1-22"] or line["IN1-1"] or 1),
        payer_id=line["IN1-3.1"],
        payer_name=line["IN1-4.1"],
        member_id=line["IN1-36"] or line["IN1-49.1"],
        group_number=line["IN1-8"],
        group_name=line["IN1-9.1"],
        relationship=relationship,
        insured_name=Name(family=family, given=line["IN1-16.2"]) if family else None,
        insured_sex=SEXES.get(line["IN1-43"], "U"),
        insured_address=address(line, "IN1-19"),
        assigned=line["IN1-20"],
        released=line["IN1-27"],
        active=ANSWERS.get(line["IN1-45"]),
        **line.fields(
            {
                "insured_birth_date": "IN1-18.1 | date",
                "effective": "IN1-12 | date",
                "expires": "IN1-13 | date",
                "verified": "IN1-29.1 | date",
            }
        ),
    )


def clinicians(line: Message | Segment, *places: str) -> tuple[Clinician, ...]:
    """Everybody with an NPI and a name at *places* (fields of type XCN)."""
    found = []
    for place in places:
        npi, family = line[f"{place}[.13=NPI].1"], line[f"{place}[.13=NPI].2"]
        if npi and family:
            found.append(Clinician(npi=npi, family=family, given=line[f"{place}[.13=NPI].3"]))
    return tuple(found)


def weight(message: Message) -> Decimal | None:
    """The patient's weight in pounds, where an observation of it (LOINC 29463-7) came along."""
    for line in message.each("OBX"):
        value = line.fields({"weight": "OBX-5 | number"})["weight"] if line["OBX-3.1"] == BODY_WEIGHT else None
        if value is not None and line["OBX-6.1"] in POUNDS:
            return round(value * POUNDS[line["OBX-6.1"]], 1)
    return None


def accident(message: Message) -> Accident | None:
    """The accident that ACC tells of."""
    cause = ACCIDENTS.get(message["ACC-2.1"])
    if cause is None:
        return None
    return Accident(cause=cause, state=message["ACC-4.1"], **message.fields({"on": "ACC-1.1 | date"}))


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


def phone(message: Message) -> str:
    """The home phone's ten digits: from its parts, or from the whole number as older senders write it."""
    return message["PID-13.6"] + message["PID-13.7"] or message["PID-13.1"]
