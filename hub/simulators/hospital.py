"""What the hospital of the larger world does: visits to its outpatient department, and stays on its ward.

A visit is told by one registration, a stay by its admission (ADT^A01) and its discharge (ADT^A03); both are charged by
revenue code, with or without a procedure (HL7 v2.5.1 chapters 3 and 6; UB2 as the practice's EHR fills it).
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from hub.simulators.hl7 import Segment, timestamp
from hub.simulators.world import Procedure

OUTPATIENT, WARD = "HOP", "WARD"
EVERY = 6  # one visit in so many is the hospital's; every second of these is a stay
NIGHTS = 2
_EMERGENCY = Procedure("99283", 64000, revenue="0450")
_WORKUP = (
    Procedure("93005", 21000, revenue="0730"),
    Procedure("71046", 33000, revenue="0324"),
    Procedure("80053", 12500, revenue="0301"),
    Procedure("", 1850, revenue="0250"),
)
_ROOM = Procedure("", 95000, revenue="0120")
_ON_THE_WARD = (
    Procedure("", 14300, revenue="0250"),
    Procedure("", 22150, revenue="0300"),
)
_OPERATION = Procedure("", 310000, revenue="0360")
_REASONS = (("R07.9",), ("R10.31", "R50.9"), ("R05.9",))
_APPENDICITIS = "K35.80"
_STAYS = ((_APPENDICITIS, "E11.9"), ("J18.9", "I10"), ("N39.0",))
_APPENDECTOMY = "0DTJ4ZZ"


def department_of(number: int) -> str:
    """Which of the hospital's departments the visit of that number is to; empty for none."""
    if number % EVERY != 1:
        return ""
    return WARD if number // EVERY % 2 else OUTPATIENT


def what(rng: random.Random, department: str) -> tuple[list[Procedure], tuple[str, ...]]:
    """Choose what was done, and why."""
    if department == OUTPATIENT:
        return [_EMERGENCY, *rng.sample(_WORKUP, rng.randint(1, 3))], rng.choice(_REASONS)
    why = rng.choice(_STAYS)
    surgery = [_OPERATION] if why[0] == _APPENDICITIS else []
    return [_ROOM, *surgery, *rng.sample(_ON_THE_WARD, rng.randint(1, 2))], why


def discharge(arrival: datetime) -> datetime:
    """When a stay that began at *arrival* ends."""
    return arrival + timedelta(days=NIGHTS, hours=3)


def visit_fields(department: str, arrival: datetime, *, is_over: bool) -> dict[int, str]:
    """The fields of PV1 that a hospital bills by."""
    if department == OUTPATIENT:
        return {4: "3", 14: "1"}
    fields = {2: "I", 4: "1", 14: "1", 36: "30"}
    return fields | ({36: "01", 45: timestamp(discharge(arrival))} if is_over else {})


def told(department: str, diagnoses: tuple[str, ...], arrival: datetime) -> list[Segment]:
    """Diagnoses with their part, the procedure of an operation, and the codes of UB2."""
    if department == OUTPATIENT:
        reason: Segment = ("DG1", {1: "9", 3: f"{diagnoses[0]}^^I10C", 6: "W"})
        return [*_final(diagnoses, ""), reason, ("UB2", {1: "1", 3: "17"})]
    admitting: Segment = ("DG1", {1: "9", 3: f"{diagnoses[0]}^^I10C", 6: "A"})
    segments = [*_final(diagnoses, "Y"), admitting]
    if diagnoses[0] == _APPENDICITIS:
        day = timestamp(arrival + timedelta(hours=6))
        segments.append(("PR1", {1: "1", 3: f"{_APPENDECTOMY}^^I10P", 5: day, 11: SURGEON}))
    return [*segments, ("UB2", {1: "1", 6: f"80^{NIGHTS}.00"})]


SURGEON = "1999000221^LINDQVIST^TESS^^^^^^NPI^^^^NPI"


def _final(diagnoses: tuple[str, ...], present: str) -> list[Segment]:
    segments: list[Segment] = []
    for number, code in enumerate(diagnoses, start=1):
        segments.append(("DG1", {1: str(number), 3: f"{code}^^I10C", 6: "F", 15: str(number)}))
        if present:
            segments.append(("ZDG", {1: present}))
    return segments
