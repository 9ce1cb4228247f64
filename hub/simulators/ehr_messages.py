"""The messages that the EHR sends about a visit, with what its books say once each is acknowledged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hub.simulators import hospital
from hub.simulators.ehr_visits import ChargeLine, Visit
from hub.simulators.hl7 import Segment, timestamp, write
from hub.simulators.world import Coverage, Person, Provider

STRUCTURES = {
    "ADT^A01": "ADT_A01",
    "ADT^A03": "ADT_A03",
    "ADT^A04": "ADT_A01",
    "ADT^A08": "ADT_A01",
    "ADT^A40": "ADT_A39",
    "SIU^S12": "SIU_S12",
    "SIU^S13": "SIU_S12",
    "SIU^S15": "SIU_S12",
    "SIU^S26": "SIU_S12",
    "DFT^P03": "DFT_P03",
}
MALFORMED = {
    "no header": b"PID|1||SOMEBODY^^^ALDER^MR||FAUXLEY^ADA\rPV1|1|O\r",
    "truncated header": b"MSH|^~\\&|ALDER_EHR",
    "garbage": b"\xff\xfe\x00\x01 not a message at all \x80\x81",
}
Booking = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send: when, in which patient's order, its bytes, and what to book when it is taken."""

    at: datetime
    person: str
    control: str
    kind: str
    account: str
    mrn: str
    visit_number: str
    data: bytes
    bookings: tuple[Booking, ...] = ()
    fault: str = ""
    finishes_visit: bool = False


@dataclass(slots=True)
class Correspondence:
    """Writes the messages about visits, with control numbers that count up."""

    seed: int
    credit_after_days: float
    _count: int = 0
    _previous_control: str = ""

    def messages(self, visits: list[Visit]) -> list[Outgoing]:
        """Return every message about the visits that travel over MLLP, in order of time."""
        found = [each for visit in visits if visit.via == "mllp" for each in self._about(visit)]
        return sorted(found, key=lambda each: each.at)

    def _about(self, visit: Visit) -> Iterator[Outgoing]:
        rng = random.Random(f"{self.seed}:messages:{visit.number}")
        arrival, fault = visit.when, visit.fault
        if visit.department == hospital.WARD:
            yield from self._stay(visit)
            return
        charged = arrival + timedelta(minutes=rng.randint(50, 150))
        yield from self._scheduling(visit, rng)
        registered = arrival
        if fault == "dft_first":
            registered = charged + timedelta(minutes=30)
        registration = self._message(visit, "ADT^A04", registered, _registration(visit.person, visit))
        yield replace(registration, fault="cut_frame") if fault == "cut_frame" else registration
        if fault == "control_reuse" or (not fault and rng.random() < 0.3):
            yield self._update(visit, arrival + timedelta(minutes=15), rng)
        if fault == "merge":
            body = [*_patient(replace(visit, old_mrn=""))[:1], ("MRG", {1: f"{visit.old_mrn}^^^ALDER^MR"})]
            yield self._message(visit, "ADT^A40", arrival + timedelta(minutes=25), body)
        if fault == "malformed":
            variant = rng.choice(sorted(MALFORMED))
            broken = self._message(visit, "malformed", arrival + timedelta(minutes=20), [])
            yield replace(broken, control=variant, data=MALFORMED[variant], fault="malformed")
        yield from self._charges(visit, charged)
        self._previous_control = registration.control

    def _stay(self, visit: Visit) -> Iterator[Outgoing]:
        """Admission, discharge, and the charges when the patient has left."""
        ended = hospital.discharge(visit.when)
        yield self._message(visit, "ADT^A01", visit.when, _registration(visit.person, visit))
        yield self._message(visit, "ADT^A03", ended, _registration(visit.person, visit, is_over=True))
        charged = self._dft(visit, ended + timedelta(hours=2), visit.lines)
        yield replace(charged, finishes_visit=True)

    def _scheduling(self, visit: Visit, rng: random.Random) -> Iterator[Outgoing]:
        booked = visit.when - timedelta(days=rng.randint(1, 6), hours=rng.randint(0, 3))
        if rng.random() < 0.08:
            # An appointment that did not become a visit: cancelled, or nobody came.
            lost = replace(
                visit,
                when=visit.when - timedelta(days=1),
                visit_number=f"{visit.visit_number}X",
                account=f"{visit.account}X",
            )
            yield self._message(visit, "SIU^S12", booked - timedelta(days=2), _appointment(lost, "Booked"))
            kind, status = rng.choice([("SIU^S15", "Cancelled"), ("SIU^S26", "Noshow")])
            yield self._message(visit, kind, booked - timedelta(days=1), _appointment(lost, status))
        yield self._message(visit, "SIU^S12", booked, _appointment(visit, "Booked"))
        if rng.random() < 0.12:
            moved = booked + timedelta(hours=2)
            yield self._message(visit, "SIU^S13", moved, _appointment(visit, "Booked"))

    def _update(self, visit: Visit, when: datetime, rng: random.Random) -> Outgoing:
        """Write an A08: usually a new address, sometimes a new card with the same payer."""
        person = replace(visit.person, street=f"{rng.randint(10, 989)} {visit.person.street.partition(' ')[2]}")
        if not visit.fault and person.coverages and rng.random() < 0.25:
            first, *others = person.coverages
            card = f"{first.member_id.rstrip('0123456789')}{rng.randint(1_000_000, 99_999_999):08d}"
            person = replace(person, coverages=(replace(first, member_id=card), *others))
        update = self._message(visit, "ADT^A08", when, _registration(person, visit))
        update = replace(update, bookings=(("registration", _said_of(person)),))
        if visit.fault != "control_reuse" or not self._previous_control:
            return update
        used = update.control.encode()
        data = update.data.replace(used, self._previous_control.encode(), 1)
        return replace(update, control=self._previous_control, data=data, fault="control_reuse")

    def _charges(self, visit: Visit, when: datetime) -> Iterator[Outgoing]:
        fault = visit.fault
        first = replace(self._dft(visit, when, visit.lines), finishes_visit=True)
        match fault:
            case "lost_ack":
                yield replace(first, fault=fault)
            case "line_feeds":
                yield replace(first, data=first.data.replace(b"\r", b"\n"), fault=fault)
            case "carriage_returns_and_line_feeds":
                yield replace(first, data=first.data.replace(b"\r", b"\r\n"), fault=fault)
            case _:
                yield replace(first, fault=fault) if fault == "dft_first" else first
        soon = when + timedelta(minutes=25)
        charge = visit.lines[0]
        match fault:
            case "duplicate_dft":
                again = tuple(replace(line, expected="duplicate") for line in visit.lines)
                yield replace(self._dft(visit, soon, again), fault=fault)
            case "changed_repeat":
                cheaper = charge.amount - 500
                changed = replace(charge, amount=cheaper, version=2)
                yield replace(self._dft(visit, soon, (changed,)), fault=fault)
            case "credit_before":
                yield self._credit(visit, soon, charge, "before")
            case "credit_after":
                late = when + timedelta(days=self.credit_after_days)
                yield self._credit(visit, late, charge, "after")

    def _dft(self, visit: Visit, when: datetime, lines: tuple[ChargeLine, ...]) -> Outgoing:
        body = [*_patient(visit), *_financial(visit, when, lines), *_diagnoses(visit)]
        message = self._message(visit, "DFT^P03", when, body)
        bookings = tuple(("charge", charge_entry(visit, line) | {"control": message.control}) for line in lines)
        return replace(message, bookings=bookings)

    def _credit(self, visit: Visit, when: datetime, charge: ChargeLine, moment: str) -> Outgoing:
        credit = replace(charge, transaction=f"{charge.transaction}C")
        transactions = list(_financial(visit, when, (credit,)))
        transactions[0][1].update({6: "CD", 31: charge.transaction})
        message = self._message(visit, "DFT^P03", when, [*_patient(visit), *transactions, *_diagnoses(visit)])
        entry = {
            "transaction": credit.transaction,
            "credits": charge.transaction,
            "account": visit.account,
            "amount_cents": charge.amount,
            "when": moment,
            "control": message.control,
        }
        return replace(message, bookings=(("credit", entry),), fault=f"credit_{moment}")

    def _message(self, visit: Visit, kind: str, when: datetime, body: list[Segment]) -> Outgoing:
        self._count += 1
        control = f"EHR{self.seed % 100:02d}{self._count:07d}"
        trigger = kind.partition("^")[2]
        header: Segment = (
            "MSH",
            {
                2: "^~\\&",
                3: "ALDER_EHR",
                4: "ALDER",
                5: "CLAIMHUB",
                6: "HUB",
                7: timestamp(when),
                9: f"{kind}^{STRUCTURES.get(kind, '')}",
                10: control,
                11: "T",
                12: "2.5.1",
                18: "UNICODE UTF-8",
            },
        )
        event: list[Segment] = [] if kind.startswith("SIU") else [("EVN", {1: trigger, 2: timestamp(when)})]
        return Outgoing(
            when,
            # A merged person's two numbers are one person's messages.
            visit.person.mrn,
            control,
            kind,
            visit.account,
            visit.mrn,
            visit.visit_number,
            write([header, *event, *body]),
        )


def charge_entry(visit: Visit, line: ChargeLine) -> dict[str, Any]:
    """Return what the books say about a charge, but for the control number that carried it."""
    return {
        "transaction": line.transaction,
        "version": line.version,
        "account": visit.account,
        "visit": visit.visit_number,
        "mrn": visit.mrn,
        "service_date": f"{visit.when:%Y%m%d}",
        "code": line.procedure.code,
        "modifiers": list(line.modifiers),
        "units": line.units,
        "amount_cents": line.amount,
        "payer": visit.person.payer_id,
        "expected": line.expected,
        "reason": line.reason,
        "via": visit.via,
        "revenue": line.procedure.revenue,
        "diagnoses": [code.replace(".", "") for code in visit.diagnoses],
        "performer": line.provider.npi,
        **_said_of(visit.person),
    }


def _said_of(person: Person) -> dict[str, Any]:
    """Who the patient is and by which cards insured, as the books have it."""
    return {
        "person": person.mrn,
        "patient": [person.family, person.given, f"{person.birth:%Y%m%d}", person.sex],
        "members": [coverage.member_id for coverage in person.coverages],
    }


def amount(cents: int) -> str:
    """Write cents with two decimals."""
    return f"{cents // 100}.{cents % 100:02d}"


def _xcn(provider: Provider) -> str:
    if not provider.npi:
        return f"{provider.local_id}^{provider.family}^{provider.given}"
    return f"{provider.npi}^{provider.family}^{provider.given}^^^^^^NPI^^^^NPI"


def _address(person: Person) -> str:
    return f"{person.street}^^SPRINGFIELD^IL^{person.zip_code}^USA^H"


def _patient(visit: Visit, *, is_over: bool = False) -> list[Segment]:
    """Write PID and PV1; *is_over*: a stay has ended."""
    person = visit.person
    pid = {
        1: "1",
        3: f"{visit.mrn}^^^ALDER^MR",
        5: f"{person.family}^{person.given}^{person.middle}",
        7: f"{person.birth:%Y%m%d}",
        8: person.sex,
        11: _address(person),
        13: person.phone,
        18: f"{visit.account}^^^ALDER^AN",
    }
    pv1 = {
        1: "1",
        2: "O",
        3: f"{visit.department}^^^ALDER",
        7: _xcn(visit.provider),
        19: f"{visit.visit_number}^^^ALDER^VN",
        44: timestamp(visit.when),
    }
    if _is_hospital(visit):
        pv1 |= hospital.visit_fields(visit.department, visit.when, is_over=is_over)
    return [("PID", pid), ("PV1", pv1)]


def _is_hospital(visit: Visit) -> bool:
    return visit.department in {hospital.OUTPATIENT, hospital.WARD}


def _registration(person: Person, visit: Visit, *, is_over: bool = False) -> list[Segment]:
    guarantor = {
        1: "1",
        3: f"{person.guarantor_family}^{person.guarantor_given}",
        5: _address(person),
        11: "SEL" if person.guarantor_given == person.given else "OTH",
    }
    insurances = [_insurance(number, person, coverage) for number, coverage in enumerate(person.coverages, start=1)]
    patient = _patient(replace(visit, person=person), is_over=is_over)
    if not _is_hospital(visit):
        return [*patient, *_diagnoses(visit)[:1], ("GT1", guarantor), *insurances]
    *before, billed = hospital.told(visit.department, visit.diagnoses, visit.when)
    return [*patient, *before, ("GT1", guarantor), *insurances, billed]


def _insurance(number: int, person: Person, coverage: Coverage) -> Segment:
    return (
        "IN1",
        {
            1: str(number),
            2: f"PLAN{coverage.payer_id}",
            3: f"{coverage.payer_id}^^^PAYER",
            4: coverage.payer_name,
            8: coverage.group,
            16: f"{coverage.subscriber_family}^{coverage.subscriber_given}",
            17: coverage.relationship,
            18: f"{coverage.subscriber_birth:%Y%m%d}",
            19: _address(person),
            22: str(number),
            36: coverage.member_id,
            43: coverage.subscriber_sex,
        },
    )


def _financial(visit: Visit, when: datetime, lines: tuple[ChargeLine, ...]) -> Iterator[Segment]:
    for number, line in enumerate(lines, start=1):
        yield (
            "FT1",
            {
                1: str(number),
                2: line.transaction,
                4: f"{visit.when:%Y%m%d}",
                5: f"{when:%Y%m%d}",
                6: "CG",
                7: _item(line),
                10: str(line.units),
                11: f"{amount(line.amount)}^USD",
                12: f"{amount(line.amount // line.units)}^USD",
                13: line.department,
                19: "~".join(f"{code}^^I10C" for code in visit.diagnoses),
                20: _xcn(line.provider),
                25: f"{line.procedure.code}^^C4" if line.procedure.code else "",
                26: "~".join(line.modifiers),
            },
        )


def _item(line: ChargeLine) -> str:
    item = f"CDM{line.procedure.code}^^CDM"
    return f"{item}^{line.procedure.revenue}^^REV" if line.procedure.revenue else item


def _diagnoses(visit: Visit) -> list[Segment]:
    return [
        ("DG1", {1: str(number), 3: f"{code}^^I10C", 6: "F", 15: str(number)})
        for number, code in enumerate(visit.diagnoses, start=1)
    ]


def _appointment(visit: Visit, status: str) -> list[Segment]:
    start = timestamp(visit.when)
    schedule = {
        1: f"P{visit.visit_number}",
        2: f"AP{visit.visit_number}",
        6: "ROUTINE",
        7: "OFFICE",
        9: "20",
        10: "MIN",
        11: f"^^20^{start}",
        25: status,
    }
    return [
        ("SCH", schedule),
        *_patient(visit),
        ("RGS", {1: "1", 2: "A"}),
        ("AIS", {1: "1", 2: "A", 3: "OFFICE", 4: start}),
        ("AIP", {1: "1", 2: "A", 3: _xcn(visit.provider)}),
    ]
