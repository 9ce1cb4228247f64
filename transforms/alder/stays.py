"""What a hospital department bills by: times, admission, diagnoses, procedures and the codes of UB2."""

from dataclasses import replace

from hub.scripting import AmountCode, DatedCode, Message, Stay

HOSPITAL = {"HOP", "WARD"}

TIMES = {
    "admitted": "PV1-44.1 | date",
    "discharged": "PV1-45.1 | date",
    "drg": "DRG-1.1",
    "admission_type": "PV1-4.1",
    "admission_source": "PV1-14.1",
    "patient_status": "PV1-36.1",
    "conditions": "UB2-3[*].1",
    "operating_npi": "PR1-11[.13=NPI].1 | npi",
}


def stay(message: Message) -> Stay | None:
    """The stay of a visit to one of the hospital's departments; None for any other visit.

    A cancelled discharge (A13) may still name the one that it takes back.
    """
    if message["PV1-3.1"] not in HOSPITAL:
        return None
    found = diagnoses(message, "F")
    said = Stay(
        admission_time=hour_and_minute(message["PV1-44.1"]),
        discharge_time=hour_and_minute(message["PV1-45.1"]),
        diagnoses=tuple(code for code, _ in found),
        present=tuple(present for _, present in found) if any(present for _, present in found) else (),
        admitting_diagnosis="".join(code for code, _ in diagnoses(message, "A")[:1]),
        visit_reasons=tuple(code for code, _ in diagnoses(message, "W")),
        procedures=tuple(
            dated(line.fields({"code": "PR1-3.1", "on": "PR1-5.1 | date"})) for line in procedures(message)
        ),
        occurrences=(*spans(message), *occurrences(message)),
        values=values(message),
        **message.fields(TIMES),
    )
    if message.type == "ADT^A13":
        return replace(said, discharged=None, discharge_time="", patient_status="")
    return said


def diagnoses(message: Message, kind: str) -> list[tuple[str, str]]:
    """Code and presence on admission of every DG1 of that kind (DG1-6), in order."""
    return [
        (line.fields({"code": "DG1-3.1 | icd"})["code"], "".join(each["ZDG-1"] for each in line.following("ZDG")))
        for line in message.each("DG1")
        if line["DG1-6"] == kind
    ]


def procedures(message: Message) -> list:
    """The PR1 whose code is ICD-10-PCS."""
    return [line for line in message.each("PR1") if line["PR1-3.3"] == "I10P"]


def dated(fields: dict) -> DatedCode:
    """A code and its day."""
    return DatedCode(**fields)


def occurrences(message: Message) -> list[DatedCode]:
    """The occurrence codes of UB2-7."""
    places = range(1, len(message.all("UB2-7.1")) + 1)
    return [dated(message.fields({"code": f"UB2-7[{place}].1", "on": f"UB2-7[{place}].2 | date"})) for place in places]


def spans(message: Message) -> list[DatedCode]:
    """The occurrence spans of UB2-8."""
    return [
        dated(
            message.fields(
                {
                    "code": f"UB2-8[{place}].1",
                    "on": f"UB2-8[{place}].2 | date",
                    "until": f"UB2-8[{place}].3 | date",
                }
            )
        )
        for place in range(1, len(message.all("UB2-8.1")) + 1)
    ]


def values(message: Message) -> tuple[AmountCode, ...]:
    """The value codes of UB2-6."""
    return tuple(
        AmountCode(**message.fields({"code": f"UB2-6[{place}].1", "amount": f"UB2-6[{place}].2.1 | money"}))
        for place in range(1, len(message.all("UB2-6.1")) + 1)
    )


def hour_and_minute(time: str) -> str:
    """HHMM of a time, empty when it is a day only."""
    return time[8:12] if len(time) >= 12 else ""
