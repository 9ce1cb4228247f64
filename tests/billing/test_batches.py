"""Batches: numbers used once, the environment kept, nothing sent twice, and what the guide refuses taken out."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from hub.billing import batches
from hub.core.secret import SecretName
from hub.formats.x12.claim import Address, Claim
from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p
from hub.formats.x12.shapes import shape_judge
from hub.store import tables
from tests.billing.conftest import StaleDecisionError

pytestmark = pytest.mark.both_stores


def visit_and_charge(world, number, **fields):
    account = f"A{number}"
    world.decide_values([world.visit(account, **fields), world.charge(f"T{number}", account, code=f"9920{number}")])


def test_each_partner_gets_its_own_interchange_with_its_own_numbers(world):
    visit_and_charge(world, 1)
    direct = world.patient("M5")
    world.decide_values(
        [
            world.visit("A5", patient=direct, coverages=(world.coverage("90005", "GR1"),)),
            world.charge("T5", "A5", mrn="M5"),
        ]
    )
    made = {emit.lane: emit for emit in world.bill_and_batch()}
    assert set(made) == {"clearway", "granite"}
    for emit in made.values():
        (interchange,) = read_interchanges(emit.body)
        assert judge(emit.body).ok
        assert (interchange.isa.control_number, interchange.isa.usage) == ("000000001", "T")
    assert made["clearway"].name != made["granite"].name


def test_numbers_go_on_from_batch_to_batch(world):
    visit_and_charge(world, 1)
    world.bill_and_batch()
    visit_and_charge(world, 2)
    world.bill_and_batch()
    rows = world.rows(tables.batch)
    assert [(row["interchange_number"], row["group_number"], row["reference"]) for row in rows] == [
        (1, 1, "B000000001"),
        (2, 2, "B000000002"),
    ]


def test_nothing_is_made_when_nothing_is_ready(world):
    world.start()
    world.advance(hours=1)
    world.run_due("batch")
    assert world.emitted == []
    assert world.rows(tables.control_number) == []
    assert not any(row["done"] for row in world.rows(tables.due))


def test_two_decisions_from_one_snapshot_cannot_both_send_the_claims(world):
    visit_and_charge(world, 1)
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")
    due = world.one(tables.due, due_key="batch/clearway")
    header = {"work": "due", "due_id": due["id"], "kind": "batch", "subject": "clearway", "subject_id": None}
    first, _ = world.decided(header)
    second, _ = world.decided(header)
    world.apply(first)
    with pytest.raises(StaleDecisionError):
        world.apply(second)
    assert len(world.emitted) == 1


def test_a_partner_of_another_environment_gets_nothing(world):
    world.config.partners["clearway"] = world.config.partners["clearway"].model_copy(
        update={"environment": "production"}
    )
    visit_and_charge(world, 1)
    assert world.bill_and_batch() == []
    (item,) = world.items("anomalies")
    assert item["kind"] == "wrong environment"
    assert world.one(tables.claim)["state"] == "ready"


@pytest.fixture
def with_password(world):
    named = {"authorisation": SecretName("clearway_code"), "password": SecretName("clearway_password")}
    world.config.partners["clearway"] = world.config.partners["clearway"].model_copy(
        update={**named, "wants": ("TA1",)}
    )
    (world.folder / "secrets").mkdir()
    (world.folder / "secrets/clearway_code").write_text("SITE7")
    return world


def test_a_partner_gets_what_it_assigned_for_the_head_of_its_files(with_password):
    world = with_password
    (world.folder / "secrets/clearway_password").write_text("Open2026\n")
    visit_and_charge(world, 1)
    (emit,) = world.bill_and_batch()
    assert emit.body.startswith(b"ISA*03*SITE7     *01*Open2026  *ZZ*ALDERST01      *")
    assert judge(emit.body).ok
    assert shape_judge().judge(emit.body).ok
    world.decide_file(ta1_wanted())
    (answer,) = [each for each in world.emitted if each.kind == "TA1"]
    assert answer.body.startswith(b"ISA*03*SITE7     *01*Open2026  *")


@pytest.mark.parametrize("password", ["", "too long for an element", "a*b"])
def test_nothing_goes_to_a_partner_whose_password_is_not_there_until_it_is(with_password, password):
    world, file = with_password, with_password.folder / "secrets/clearway_password"
    if password:
        file.write_text(password)
    visit_and_charge(world, 1)
    assert world.bill_and_batch() == []
    (item,) = world.items("anomalies")
    assert item["kind"] == "password missing"
    assert "clearway_password" in item["sentence"]
    assert not password or password not in item["sentence"]
    assert world.one(tables.claim)["state"] == "ready"
    world.decide_file(ta1_wanted())
    assert world.emitted == []
    file.write_text("Open2026")
    world.advance(hours=1)
    world.run_due("batch")
    assert len(world.emitted) == 1
    assert world.items("anomalies") == []


def ta1_wanted() -> bytes:
    """A file of the partner's that asks for a TA1, with a 999 in it that concerns nothing."""
    return (
        b"ISA*00*          *00*          *ZZ*CLEARWAY01     *ZZ*ALDERST01      *261110*0931*^*00501*000000009*1*T*:~"
        b"GS*HB*CLEARWAY01*ALDERST01*20261110*0931*9*X*005010X279A1~ST*271*0001*005010X279A1~"
        b"BHT*0022*11*R1*20261110*0931~SE*3*0001~GE*1*9~IEA*1*000000009~"
    )


def test_encounters_are_reported_in_batches_of_their_own_and_may_charge_nothing(world):
    world.config.payers["90003"] = world.config.payers["90003"].model_copy(update={"encounters": True})
    visit_and_charge(world, 1)
    other = world.patient("M5")
    encounter = world.visit("A5", patient=other, coverages=(world.coverage("90003", "NW1"),))
    world.decide_values([encounter, world.charge("T5", "A5", mrn="M5", amount=Decimal("0.00"))])
    world.bill_and_batch()
    world.advance(hours=0.001)
    world.run_due("batch")
    made = [emit for emit in world.emitted if emit.kind == "837P"]
    said = {emit.body.split(b"BHT*")[1].split(b"~")[0].split(b"*")[5]: read_837p(emit.body) for emit in made}
    assert {kind: [claim.payer.id for claim in claims] for kind, claims in said.items()} == {
        b"CH": ["90001"],
        b"RP": ["90003"],
    }
    assert all(judge(emit.body).ok for emit in made)


def test_a_claim_that_asks_for_nothing_waits_where_its_payer_takes_no_encounters(world):
    world.decide_values([world.visit(), world.charge(amount=Decimal("0.00"))])
    assert world.bill_and_batch() == []
    assert [item["rule"] for item in world.items("claim edits")] == ["CL-03"]


def test_what_the_guide_refuses_is_taken_out_and_the_rest_goes(world, monkeypatch):
    for number in (1, 2, 3):
        visit_and_charge(world, number)
    spoiled: list[str] = []

    def content(decision, claim, read=batches.claims.content):
        said: Claim = read(decision, claim)
        if not spoiled or spoiled == [said.control_number]:
            spoiled[:] = [said.control_number]
            said = replace(said, place_of_service="1")
        return said

    monkeypatch.setattr(batches.claims, "content", content)
    (emit,) = world.bill_and_batch()
    assert judge(emit.body).ok
    assert len(read_837p(emit.body)) == 2
    (item,) = world.items("claim edits")
    claim = world.one(tables.claim, id=item["claim_id"])
    assert (claim["control_number"], claim["state"], claim["batch_id"]) == (spoiled[0], "needs fix", None)
    (finding,) = world.open(tables.work_item, item)["findings"]
    place = [finding[name] for name in ("snip", "loop", "segment", "element")]
    assert place == [2, "2300", "CLM", "05-1"]
    assert finding["value_hash"] == world.vault.digest("2300/CLM05-1", "1").hex()
    assert f"hub explain-claim {spoiled[0]} --element 2300/CLM05-1" in finding["fix"]
    (event,) = [e for e in world.rows(tables.claim_event, kind="edit_result") if e["claim_id"] == claim["id"]][1:]
    assert json.loads(event["detail"])["found"] == [finding]
    world.check_ledger()


def test_a_fault_above_the_claim_is_found_by_asking_about_each_claim_alone(world, monkeypatch):
    visit_and_charge(world, 1)
    visit_and_charge(world, 2, patient=world.patient("M1"))

    def content(decision, claim, read=batches.claims.content):
        said: Claim = read(decision, claim)
        if said.lines[0].code == "99201":
            bad = replace(said.subscriber, address=Address("1 ROAD", "TOWN", "ILLINOIS", "62701"))
            said = replace(said, subscriber=bad)
        return said

    monkeypatch.setattr(batches.claims, "content", content)
    (emit,) = world.bill_and_batch()
    assert [claim.lines[0].code for claim in read_837p(emit.body)] == ["99202"]
    assert len(world.items("claim edits")) == 1


def test_a_refused_delivery_leaves_the_claims_batched_and_they_can_be_billed_anew(world):
    visit_and_charge(world, 1)
    world.start()
    world.advance(days=1.2)
    world.run_due("bill")
    world.run_due("batch")
    claim = world.one(tables.claim)
    assert not world.command("rebill_claim", claim_id=claim["id"], version=claim["version"], reason="x")["ok"]
    world.deliver(world.emitted[0], "refused")
    world.run_due("delivered")
    claim = world.one(tables.claim)
    assert claim["state"] == "batched"
    assert world.command("rebill_claim", claim_id=claim["id"], version=claim["version"], reason="x")["ok"]
    assert len(world.bill_and_batch()) == 1
    world.check_ledger()


def test_a_dependants_claim_and_a_large_claim_are_written_as_the_guide_wants(world):
    insured = world.coverage(
        relationship="child",
        insured_name=world.patient().name,
        insured_birth_date=world.patient().birth_date,
        insured_sex="F",
        insured_address=world.patient().address,
    )
    charges = [
        world.charge(f"T{n}", code=f"{90000 + n}", amount=Decimal(n + 1), diagnoses=(f"E{100 + n % 9}", "I10"))
        for n in range(53)
    ]
    world.decide_values([world.visit(coverages=(insured,)), *charges])
    (emit,) = world.bill_and_batch()
    assert judge(emit.body).ok
    made = read_837p(emit.body)
    assert sorted(len(claim.lines) for claim in made) == [3, 50]
    assert {claim.patient.relationship for claim in made} == {"19"}
    world.check_ledger()
