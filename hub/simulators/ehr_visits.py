"""The EHR's visits: who comes when, sees whom, and what is charged, with the mischief that befalls some."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hub.simulators import hospital
from hub.simulators.world import (
    ACTIONS,
    DIAGNOSES,
    LABORATORY,
    NEEDS_25,
    NEWCOMER,
    OFFICE,
    OFFICE_NEW,
    PROVIDERS,
    SEEN_BY,
    UNKNOWN_PAYER,
    WELL_ADULT,
    WELL_CHILD,
    Person,
    Population,
    Procedure,
    Provider,
)

# What can happen to a visit that travels over MLLP. The last three concern the wire alone.
MLLP_FAULTS = (
    "merge",
    "cut_frame",
    "lost_ack",
    "control_reuse",
    "dft_first",
    "malformed",
    "changed_repeat",
    "credit_before",
    "credit_after",
    "unknown_department",
    "missing_performer",
    "unknown_payer",
    "invalid_member",
    "duplicate_dft",
    "line_feeds",
    "carriage_returns_and_line_feeds",
)
FHIR_FAULTS = ("repeated", "out_of_order")
FAULTY_SHARE = 6  # one visit in so many, once every kind has had its turn
FHIR_EVERY = 8
OPENING_MINUTE, DAY_MINUTES = 8 * 60 + 30, 8 * 60


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One charge as the EHR knows it."""

    transaction: str
    procedure: Procedure
    modifiers: tuple[str, ...]
    units: int
    amount: int
    department: str
    provider: Provider
    expected: str
    reason: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit; ``old_mrn`` is the number that a merge will retire, under which the visit still travels."""

    number: int
    when: datetime
    person: Person
    account: str
    visit_number: str
    department: str
    provider: Provider
    diagnoses: tuple[str, ...]
    lines: tuple[ChargeLine, ...]
    via: str
    fault: str = ""
    old_mrn: str = ""

    @property
    def mrn(self) -> str:
        """The record number under which this visit is reported."""
        return self.old_mrn or self.person.mrn


@dataclass(slots=True)
class Appointments:
    """Makes the visits of a practice, in order of time, from a seed."""

    seed: int
    count: int
    per_day: int
    faults: bool
    opening: datetime
    with_hospital: bool = False
    _people: dict[str, deque[Person]] = field(default_factory=dict)
    _earlier: list[Person] = field(default_factory=list)

    def visits(self) -> list[Visit]:
        """Return all visits."""
        days = _working_days(self.opening, self.count, self.per_day)
        faults = self._faults()
        for letter in "AT":  # those who come, and those who telephone
            population = Population(self.seed, self.opening.date(), letter)
            queue: deque[Person] = deque()
            while len(queue) < max(self.per_day + 2, int(self.count * 0.65)):
                queue.extend(population.household())
            self._people[letter] = queue
        return [self._visit(number, when, faults.get(number, "")) for number, when in enumerate(days)]

    def _faults(self) -> dict[int, str]:
        """Choose which visits go wrong, and how: each kind once if there are enough visits."""
        if not self.faults:
            return {}
        rng = random.Random(f"{self.seed}:faults")
        chosen: dict[int, str] = {}
        for kinds, numbers in (
            (MLLP_FAULTS, [each for each in range(self.count) if not _by_fhir(each) and not self._hospital(each)]),
            (FHIR_FAULTS, [each for each in range(self.count) if _by_fhir(each)]),
        ):
            wanted = min(len(numbers) * 2 // 3, max(len(kinds), len(numbers) // FAULTY_SHARE))
            picked = sorted(rng.sample(numbers, wanted), reverse=True)
            # A merge needs an earlier visit, so the latest ones go to the first kind.
            chosen |= {number: kinds[turn % len(kinds)] for turn, number in enumerate(picked)}
        return chosen

    def _visit(self, number: int, when: datetime, fault: str) -> Visit:
        rng = random.Random(f"{self.seed}:visit:{number}")
        old_mrn = ""
        if fault == "merge" and self._earlier:
            person = rng.choice(self._earlier)
            old_mrn = f"M{self.seed % 100:02d}{number:06d}"
        elif fault == "unknown_payer":
            person = Population(self.seed, when.date(), f"U{number}").loner(*UNKNOWN_PAYER, "UP12345678")
        elif fault == "invalid_member":
            person = Population(self.seed, when.date(), f"I{number}").loner("90001", "CEDAR MUTUAL", "12-34/X")
        else:
            person = self._next_person("T" if _by_fhir(number) else "A")
            while fault and not person.coverages:
                person = self._next_person("T" if _by_fhir(number) else "A")
        if not fault and not _by_fhir(number) and person.coverages:
            self._earlier.append(person)
        department, provider = _where(rng, person, when, _by_fhir(number))
        department = self._hospital(number) or department
        if fault == "missing_performer":
            provider = NEWCOMER
        account = f"AC{self.seed % 100:02d}{number:06d}"
        procedures, diagnoses = _what(rng, person, when, department)
        lines = tuple(
            self._line(rng, f"CHG{account[2:]}-{index}", procedure, procedures, (department, provider))
            for index, procedure in enumerate(procedures, start=1)
        )
        lines = tuple(_expectation(line, index, fault, person) for index, line in enumerate(lines))
        via = "mllp" if not _by_fhir(number) else "fhir-full" if number // FHIR_EVERY % 2 else "fhir-id-only"
        return Visit(
            number,
            when,
            person,
            account,
            f"VN{account[2:]}",
            department,
            provider,
            diagnoses,
            lines,
            via,
            fault,
            old_mrn,
        )

    def _hospital(self, number: int) -> str:
        """Which of the hospital's departments the visit is to; empty for none."""
        return hospital.department_of(number) if self.with_hospital and not _by_fhir(number) else ""

    def _next_person(self, letter: str) -> Person:
        queue = self._people[letter]
        queue.rotate(-1)
        return queue[-1]

    def _line(
        self,
        rng: random.Random,
        transaction: str,
        procedure: Procedure,
        beside: list[Procedure],
        where: tuple[str, Provider],
    ) -> ChargeLine:
        department, provider = where
        modifiers = procedure.modifiers
        if department == "TEL":
            modifiers = ("95",)
        elif procedure is beside[0] and any(each.code in NEEDS_25 for each in beside) and rng.random() > 0.15:
            modifiers = ("25",)
        units = rng.choice([1, 1, 2, 3]) if procedure.code == "96372" else 1
        if department == hospital.WARD and procedure is beside[0]:
            units = hospital.NIGHTS
        return ChargeLine(
            transaction,
            procedure,
            modifiers,
            units,
            procedure.fee * units,
            procedure.department if procedure.department and department in {"FM", "PED"} else department,
            provider,
            "billable",
        )


def _by_fhir(number: int) -> bool:
    return number % FHIR_EVERY == FHIR_EVERY - 3


def _working_days(opening: datetime, count: int, per_day: int) -> list[datetime]:
    """Spread visits over the opening hours of working days, the first at or after a time."""
    times: list[datetime] = []
    midnight = opening.replace(hour=0, minute=0, second=0, microsecond=0)
    while len(times) < count:
        if midnight.weekday() < 5:
            for turn in range(per_day):
                when = midnight + timedelta(minutes=OPENING_MINUTE + turn * DAY_MINUTES // per_day)
                if when >= opening and len(times) < count:
                    times.append(when)
        midnight += timedelta(days=1)
    return times


def _where(rng: random.Random, person: Person, when: datetime, by_fhir: bool) -> tuple[str, Provider]:
    if by_fhir:
        return "TEL", PROVIDERS[rng.choice(SEEN_BY["TEL"])]
    if rng.random() < 0.12:
        return "UCC", PROVIDERS[_one(rng, SEEN_BY["UCC"])]
    if person.age(when.date()) < 18:
        return "PED", PROVIDERS[_one(rng, SEEN_BY["PED"])]
    return "FM", PROVIDERS[rng.choice(SEEN_BY["FM"])]


def _one(rng: random.Random, names: tuple[str, ...]) -> str:
    """One of *names*; where there is no choice, chance is not asked, so that the rest of a seed's world stays."""
    return rng.choice(names) if len(names) > 1 else names[0]


def _what(
    rng: random.Random, person: Person, when: datetime, department: str
) -> tuple[list[Procedure], tuple[str, ...]]:
    """Choose what was done (a visit first, then up to three other things) and why."""
    if department in {hospital.OUTPATIENT, hospital.WARD}:
        return hospital.what(rng, department)
    child = person.age(when.date()) < 18
    well = department in {"FM", "PED"} and rng.random() < 0.2
    if department == "TEL":
        return [rng.choice(OFFICE[:3])], tuple(rng.sample(DIAGNOSES["child" if child else "adult"], 1))
    if well:
        first = rng.choice(WELL_CHILD if child else WELL_ADULT)
        reasons = DIAGNOSES["well child" if child else "well adult"]
    else:
        first = rng.choice(OFFICE_NEW if rng.random() < 0.15 else OFFICE)
        reasons = tuple(rng.sample(DIAGNOSES["child" if child else "adult"], rng.choice([1, 1, 2, 3])))
    others = rng.sample((*LABORATORY, *ACTIONS), rng.choice([0, 0, 1, 1, 2, 3]))
    return [first, *others], reasons


def _expectation(line: ChargeLine, index: int, fault: str, person: Person) -> ChargeLine:
    """Say what should become of a line."""
    if index == 0 and fault == "unknown_department":
        return replace(line, department="ZZQ", expected="queue", reason=fault)
    if not person.coverages:
        return replace(line, expected="self_pay")
    if fault in {"missing_performer", "unknown_payer"}:
        return replace(line, expected="queue", reason=fault)
    if fault == "invalid_member":
        return replace(line, expected="rejected", reason=fault)
    if index == 0 and fault in {"credit_before", "credit_after"}:
        return replace(line, expected="credited_before" if fault == "credit_before" else "credited_after")
    return line
