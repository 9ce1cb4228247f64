"""What payers answer about coverages (271) is kept, and the edits that ask for it are judged by it."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from hub.billing.values import EligibilityAnswer
from hub.store import tables

ENVELOPE = (
    "ISA*00*          *00*          *ZZ*CLEARWAY01     *ZZ*ALDERST01      *261110*0931*^*00501*{number:09d}*0*T*:~"
    "GS*HB*CLEARWAY01*ALDERST01*20261110*0931*{number}*X*005010X279A1~ST*271*0001*005010X279A1~{body}"
    "SE*{count}*0001~GE*1*{number}~IEA*1*{number:09d}~"
)
WREN = "NM1*IL*1*EXAMPLAR*WREN****MI*W123456789~DMG*D8*19800214*F~"
WHOLE = "EB*1*IND*30**CEDAR GOLD~"


def answer(*parts, payer="90001", number=1, day="20261110"):
    """A 271 with one subscriber, of whom *parts* tell."""
    body = (
        f"BHT*0022*11*R1*{day}*0931~HL*1**20*1~NM1*PR*2*CEDAR MUTUAL*****PI*{payer}~HL*2*1*21*1~"
        f"NM1*1P*2*ALDER STREET FAMILY CLINIC*****XX*1999000015~HL*3*2*22*0~TRN*2*T1*9999999999~{''.join(parts)}"
    )
    return ENVELOPE.format(number=number, body=body, count=body.count("~") + 2).encode()


def billed(world, *files, **visit):
    world.decide_values([world.visit(**visit), world.charge()])
    for file in files:
        world.decide_file(file)
    world.advance(days=1.1)
    world.run_due("bill")
    return world.one(tables.claim)


def found(world):
    detail = json.loads(world.rows(tables.claim_event, kind="edit_result")[-1]["detail"])
    return {each["rule"] for each in detail.get("found", ())}, set(detail.get("no_data", ()))


def test_without_an_answer_the_edits_that_need_one_are_not_made(world):
    billed(world)
    assert "eligibility" in found(world)[1]


def test_an_answer_that_fits_the_claim_leaves_nothing_to_find_and_nothing_unchecked(world):
    claim = billed(world, answer(WREN, "DTP*346*D8*20260101~", WHOLE))
    rules, lacking = found(world)
    assert claim["state"] == "ready"
    assert not rules & {"ID-22", "ID-23", "ID-28", "CL-26"}
    assert "eligibility" not in lacking
    (kept,) = world.rows(tables.eligibility)
    assert world.open(tables.eligibility, kept)["plan"] == "CEDAR GOLD"


@pytest.mark.parametrize(
    "said",
    [
        ("EB*6**30~",),
        ("DTP*346*D8*20260101~", "DTP*347*D8*20261031~", "EB*6**30~"),
        ("DTP*291*RD8*20261201-20271130~", WHOLE),
    ],
)
def test_a_coverage_that_is_not_in_force_on_the_day_stops_the_claim(world, said):
    assert billed(world, answer(WREN, *said))["state"] == "needs fix"
    (item,) = world.items("claim edits")
    assert item["rule"] == "ID-23"


@pytest.mark.parametrize(
    "said",
    [
        ("DTP*346*D8*20260101~", "DTP*347*D8*20261130~", "EB*6**30~"),
        ("DTP*291*D8*20261201~", WHOLE),
        (WHOLE, "EB*6**35~"),
    ],
)
def test_one_that_ended_later_or_lacks_another_kind_of_service_only_does_not(world, said):
    assert billed(world, answer(WREN, *said))["state"] == "ready"


def test_a_claim_goes_by_itself_when_a_later_answer_says_that_the_coverage_is_in_force(world):
    assert billed(world, answer(WREN, "EB*6**30~"))["state"] == "needs fix"
    world.decide_file(answer(WREN, WHOLE, number=2, day="20261111"))
    assert world.one(tables.claim)["state"] == "ready"
    assert world.items() == []


def test_a_claim_that_was_not_sent_is_stopped_by_an_answer_that_comes_now(world):
    assert billed(world)["state"] == "ready"
    world.decide_file(answer(WREN, "EB*6**30~"))
    assert world.one(tables.claim)["state"] == "needs fix"


def test_an_answer_that_contradicts_itself_is_not_judged(world):
    assert billed(world, answer(WREN, WHOLE, "EB*6**30~"))["state"] == "ready"
    assert "eligibility" in found(world)[1]


def test_an_answer_from_too_long_before_the_service_does_not_count(world):
    billed(world, answer(WREN, "EB*6**30~", day="20260901"))
    assert "ID-23" not in found(world)[0]
    assert "eligibility" in found(world)[1]


def test_another_member_id_than_the_payers_is_warned_of_proposed_and_told(world):
    other = WREN.replace("W123456789", "W999999999")
    billed(world, answer(other, WHOLE))
    assert "ID-22" in found(world)[0]
    (item,) = world.items("charge review")
    assert item["kind"] == "payer corrects the registration"
    assert world.open(tables.work_item, item)["member_id"] == "W999999999"


def test_another_birth_date_is_warned_of_and_nothing_is_proposed(world):
    billed(world, answer(WREN.replace("19800214", "19810214"), WHOLE))
    assert "ID-22" in found(world)[0]
    assert world.items() == []


def test_other_insurance_that_the_payer_tells_of_is_missed_on_the_claim(world):
    other = "EB*R**30~LS*2120~NM1*PR*2*NORTHWIND HEALTH PLAN~LE*2120~"
    billed(world, answer(WREN, WHOLE, other))
    assert "ID-28" in found(world)[0]


def test_a_qualified_beneficiary_is_told_of(world):
    billed(world, answer(WREN, WHOLE, "EB*1**30*QM~"))
    assert "CL-26" in found(world)[0]


def test_the_same_answer_again_is_counted_and_kept_once(world):
    billed(world, answer(WREN, WHOLE), answer(WREN, WHOLE, number=2))
    assert len(world.rows(tables.eligibility)) == 1
    assert world.counts["duplicate answers about coverages"] == 1


def test_a_payer_known_by_another_id_is_told_by_the_coverage(world):
    billed(world, answer(WREN, "EB*6**30~", payer="CDR77"))
    assert world.one(tables.eligibility)["payer_id"] == "90001"


def test_of_two_people_with_one_member_id_it_is_the_one_who_is_named(world):
    child = world.patient("M2", name=world.patient().name.__class__(family="Examplar", given="Pip"))
    born = date(2015, 5, 5)
    other = world.visit("A2", patient=world.patient("M2", name=child.name, birth_date=born))
    world.decide_values([other])
    billed(world, answer(WREN.replace("WREN", "PIP").replace("19800214", "20150505"), "EB*6**30~"))
    (kept,) = world.rows(tables.eligibility)
    assert world.one(tables.claim)["state"] == "ready"
    assert world.open(tables.eligibility, kept)["name"]["given"] == "PIP"
    assert world.one(tables.claim)["patient_id"] != kept["patient_id"]


def test_an_answer_about_a_dependent_has_the_subscribers_member_id(world):
    subscriber = "NM1*IL*1*EXAMPLAR*ROBIN****MI*W123456789~HL*4*3*23*0~TRN*2*T2*9999999999~"
    file = answer(subscriber, "NM1*03*1*EXAMPLAR*WREN~DMG*D8*19800214*F~EB*6**30~").replace(
        b"HL*3*2*22*0", b"HL*3*2*22*1"
    )
    billed(world, file)
    assert world.one(tables.claim)["state"] == "needs fix"
    assert len(world.rows(tables.eligibility)) == 1


def test_an_answer_about_nobody_and_a_refusal_are_for_a_person(world):
    stranger = "NM1*IL*1*STRANGER*SAM****MI*Z000~DMG*D8*19700101*M~"
    world.decide_file(answer(stranger, WHOLE))
    world.decide_file(answer(stranger, "AAA*N**75*C~", number=2))
    nobody, refused = world.items("anomalies") + world.items("charge review")
    assert nobody["kind"] == "answer about nobody"
    assert "does not find the insured person" in refused["sentence"]
    assert world.rows(tables.eligibility) == []


def test_a_source_may_say_what_a_payer_answered_it(world):
    today = world.clock.today()
    said = EligibilityAnswer(
        payer_id="90001", mrn="M1", authority="ALDER", answered=today, active=True, expires=today - timedelta(days=1)
    )
    assert billed(world)["state"] == "ready"
    world.decide_values([said])
    assert world.one(tables.claim)["state"] == "needs fix"
    assert "ID-22" not in found(world)[0]
