"""The hospital of the larger world: visits and stays as its EHR tells and charges them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from hub.simulators import hospital
from hub.simulators.ehr_messages import Correspondence
from hub.simulators.ehr_visits import Appointments
from hub.simulators.hl7 import Message
from hub.simulators.world import PROVIDERS
from hub.simulators.x12 import Transaction, read_claims

OPENING = datetime(2026, 3, 2, 7, 0, tzinfo=ZoneInfo("America/Chicago"))


@pytest.fixture(scope="module")
def visits():
    return Appointments(5, 40, 8, faults=True, opening=OPENING, with_hospital=True).visits()


def messages_of(visits, department):
    (visit, *_) = [visit for visit in visits if visit.department == department]
    return visit, Correspondence(5, 6).messages([visit])


def test_a_stay_is_admitted_discharged_and_charged_by_revenue_code(visits):
    _, told = messages_of(visits, hospital.WARD)
    assert [message.kind for message in told] == ["ADT^A01", "ADT^A03", "DFT^P03"]
    admission, discharge, _ = (Message.read(message.data) for message in told)
    assert [message.field("PV1", 36) for message in (admission, discharge)] == ["30", "01"]
    assert admission.field("PV1", 45) == ""
    assert discharge.field("PV1", 45)
    assert b"|CDM^^CDM^0120^^REV|" in told[-1].data
    assert told[-1].finishes_visit


def test_an_outpatient_is_registered_with_the_reason_of_the_visit(visits):
    _, told = messages_of(visits, hospital.OUTPATIENT)
    registration = next(message for message in told if message.kind == "ADT^A04").data
    assert b"|HOP^^^ALDER|3|" in registration
    assert registration.count(b"\rDG1|") >= 2
    assert b"\rUB2|1||17" in registration


def test_nothing_goes_wrong_with_the_hospitals_own_visits_and_they_are_of_both_kinds(visits):
    seen = [visit for visit in visits if visit.department in {hospital.OUTPATIENT, hospital.WARD}]
    assert {visit.department for visit in seen} == {hospital.OUTPATIENT, hospital.WARD}
    assert {visit.fault for visit in seen} == {""}
    assert all(visit.provider in PROVIDERS.values() for visit in seen)


def test_a_practice_without_a_hospital_has_the_visits_that_it_had():
    usual = Appointments(5, 40, 8, faults=True, opening=OPENING).visits()
    assert not {visit.department for visit in usual} & {hospital.OUTPATIENT, hospital.WARD}


def test_a_hospitals_claim_is_read_with_revenue_codes_and_attending_provider():
    segments = [
        "BHT*0019*00*B1*20261110*0900*CH", "HL*1**20*1", "NM1*85*2*ALDER*****XX*1999000015", "HL*2*1*22*0",
        "SBR*P*18*******CI", "NM1*IL*1*EXAMPLAR*WREN****MI*CM12345678", "DMG*D8*19800214*F",
        "NM1*PR*2*CEDAR*****PI*90001", "CLM*HUB1*975***11:A:1**A*Y*Y", "HI*ABK:K3580:::::::Y*ABF:E119:::::::Y",
        "NM1*71*1*OKAFOR*MARIN****XX*1999000114", "LX*1", "SV2*0120**950*UN*2", "DTP*472*D8*20261110", "REF*6R*HUB1L01",
        "LX*2", "SV2*0450*HC:99283:25*25*UN*1", "DTP*472*D8*20261110", "REF*6R*HUB1L02",
    ]  # fmt: skip
    transaction = Transaction("HC", "1", "005010X223A2", "837", "0001", [each.split("*") for each in segments], ":")
    _, (claim,) = read_claims(transaction)
    assert (claim.attending_npi, claim.birth, claim.sex, claim.diagnoses) == (
        "1999000114", "19800214", "F", ["K3580", "E119"],
    )  # fmt: skip
    assert [(line.revenue, line.procedure, line.charge, line.units) for line in claim.lines] == [
        ("0120", "NU:0120", 95000, "2"),
        ("0450", "HC:99283:25", 2500, "1"),
    ]
