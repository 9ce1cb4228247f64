from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from hub.billing.explain import Explained, Origin, explain
from hub.billing.values import PatientPayment, Stay
from hub.formats.x12.element_sources import element_sources
from hub.store import tables
from tests.billing.conftest import World
from tests.billing.test_claim_content import set_practice
from tests.formats.x12.claim_shapes import Maker

# What the guide fixes: hierarchy, counters, kinds of parties, units of measure.
CONSTANTS = {
    "HL01", "HL02", "HL03", "HL04", "LX01", "NM102", "NM108", "PRV02", "CLM05-2", "SBR02", "PAT05", "PAT07", "CR105",
    "CRC02", "CRC03", "PWK05", "MIA01", "LIN02",
}  # fmt: skip
FORMATS = {"D8", "RD8", "DT", "TM", "HC"}


@pytest.mark.parametrize("seed", range(3))
def test_every_element_that_is_no_qualifier_says_a_field_of_the_claim(seed: int) -> None:
    maker = Maker(f"explain{seed}")
    for claim in (maker.professional(1), maker.institutional(2)):
        unexplained = {
            (each.loop, each.reference)
            for each in element_sources(claim)
            if not each.paths
            and each.reference not in CONSTANTS
            and not each.reference.endswith(("01", "-1"))
            and each.value not in FORMATS
        }
        assert unexplained == set()


def explained(world: World) -> dict[tuple[str, int], Explained]:
    row = world.rows(tables.claim)[-1]
    with world.store.connect() as connection:
        found = explain(connection, world.vault, row["id"], world.open(tables.claim, row))
    return {(each.place, each.element.line): each for each in found}


def test_an_element_leads_to_the_field_of_the_message_that_said_it(world: World) -> None:
    visit = world.visit(origins=(("script", "visits.py:13"), ("coverages[0].member_id", "IN1[1]-36[1]")))
    registered = world.decide_values([visit])
    said = world.charge(origins=(("code", "FT1[1]-25[1].1"), ("diagnoses[0]", "FT1[1]-19[1].1")))
    charged = world.decide_values([said])
    world.bill_and_batch()
    found = explained(world)
    assert found["2400/SV101-2", 1].origins == (Origin("message", "FT1[1]-25[1].1", charged),)
    assert found["2300/HI01-2", 0].origins == (Origin("message", "FT1[1]-19[1].1", charged),)
    assert found["2010BA/NM109", 0].origins == (Origin("message", "IN1[1]-36[1]", registered),)
    assert found["2010BA/NM103", 0].origins == (
        Origin("message", "patient.name.family by the script visits.py:13", registered),
    )
    assert found["2010AA/NM109", 0].origins == (Origin("file", "config/practice.toml, npi"),)
    assert found["2010BB/NM103", 0].origins == (Origin("file", "config/payers, 90001, name"),)
    assert found["2300/CLM01", 0].origins == (Origin("hub", "made by the hub"),)
    assert found["2000B/HL03", 0].origins == (Origin("guide", "the implementation guide"),)


def test_what_a_repair_changed_names_its_rule_first(world: World) -> None:
    world.decide_values([world.visit(coverages=(world.coverage(member_id="W-123 456 789"),))])
    world.decide_values([world.charge()])
    world.bill_and_batch()
    kinds = [(origin.kind, origin.place) for origin in explained(world)["2010BA/NM109", 0].origins]
    assert kinds[0] == ("rule", "ID-16")
    assert kinds[1][0] == "message"


def test_the_total_comes_from_every_charge(world: World) -> None:
    world.decide_values([world.visit()])
    world.decide_values(
        [
            world.charge("T1", origins=(("amount", "FT1[1]-11[1].1"),)),
            world.charge("T2", code="83036", amount=Decimal("65.00"), origins=(("amount", "FT1[2]-11[1].1"),)),
        ]
    )
    world.bill_and_batch()
    places = [origin.place for origin in explained(world)["2300/CLM02", 0].origins]
    assert places == ["FT1[1]-11[1].1", "FT1[2]-11[1].1"]


def test_a_hospital_claim_is_explained_too(world: World) -> None:
    set_practice(world)
    stay = Stay(diagnoses=("R079",), patient_status="01")
    visit = world.visit(
        attending_npi="1999000114", department="ED", stay=stay, origins=(("stay.diagnoses[0]", "DG1[1]-3[1].1"),)
    )
    world.decide_values([visit])
    line = world.charge(department="ED", revenue_code="0450", origins=(("revenue_code", "FT1[1]-7[1].4"),))
    world.decide_values([replace(line, performing_npi="")])
    world.bill_and_batch()
    found = explained(world)
    assert [origin.place for origin in found["2300/HI01-2", 0].origins] == ["DG1[1]-3[1].1"]
    assert [origin.place for origin in found["2400/SV201", 1].origins] == ["FT1[1]-7[1].4"]


def test_what_is_said_after_the_claim_was_made_explains_nothing_of_it(world: World) -> None:
    visit = world.visit(origins=(("coverages[0].member_id", "IN1[1]-36[1]"),))
    registered = world.decide_values([visit])
    charged = world.decide_values([world.charge(origins=(("code", "FT1[1]-25[1].1"),))])
    world.bill_and_batch()
    moved = world.visit(
        as_of=world.clock.now().isoformat(),
        visit_date=visit.visit_date,
        coverages=(world.coverage(member_id="W999999999"),),
        origins=(("coverages[0].member_id", "IN1[2]-36[1]"),),
    )
    world.decide_values([moved])
    found = explained(world)
    assert found["2010BA/NM109", 0].element.value == "W123456789"
    assert found["2010BA/NM109", 0].origins == (Origin("message", "IN1[1]-36[1]", registered),)
    assert found["2400/SV101-2", 1].origins == (Origin("message", "FT1[1]-25[1].1", charged),)


def test_numbers_besides_the_npi_name_the_files_that_say_them(world: World) -> None:
    payer = world.config.payers["90001"].model_copy(
        update={"secondary_id": "CM2", "provider_numbers": {"1999000114": "G2-1"}}
    )
    world.config.payers["90001"] = payer
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    found = explained(world)
    assert [origin.place for origin in found["2310B/REF02", 0].origins] == [
        "config/practice.toml, license or upin",
        "config/payers, 90001, [provider_numbers], [location_numbers]",
    ]
    assert found["2010BB/REF02", 0].origins[0].place.startswith("config/payers, 90001, secondary_id")


def test_what_the_patient_paid_leads_to_the_messages_that_said_it(world: World) -> None:
    world.decide_values([world.visit(weight=Decimal(180), origins=(("weight", "OBX[1]-5[1]"),))])
    about = {"account": "A1", "mrn": "M1", "authority": "ALDER", "amount": Decimal("10.00")}
    first = world.decide_values([PatientPayment(transaction="P1", origins=(("amount", "FT1[1]-11[1].1"),), **about)])
    second = world.decide_values([PatientPayment(transaction="P2", origins=(("amount", "FT1[3]-11[1].1"),), **about)])
    world.decide_values([world.charge(code="J0885", origins=(("referring_clia", "ZLB[1]-1"),), referring_clia="14D1")])
    world.bill_and_batch("ready")
    found = explained(world)
    assert found["2300/AMT02", 0].origins == (
        Origin("message", "FT1[1]-11[1].1", first),
        Origin("message", "FT1[3]-11[1].1", second),
    )
    assert [origin.place for origin in found["2000B/PAT08", 0].origins] == ["OBX[1]-5[1]"]
    assert [origin.place for origin in found["2400/REF02", 1].origins if origin.kind == "message"] == ["ZLB[1]-1"]
