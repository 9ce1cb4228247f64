"""Late charges of a hospital for payers that take them on a bill of their own (frequency 5)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from hub.billing.explain import explain
from hub.billing.values import AmountCode
from hub.formats.x12.institutional import read_837i
from hub.formats.x12.judge import judge
from hub.store import tables

from .conftest import World
from .payer import Desk, Line, Paid, Remit
from .test_acknowledgements import ack_277ca
from .test_discharges import comes_back, goes_home, taken_up
from .test_interim import ARRIVED, DAY, bed, leaves, nights, said_by, ward


@pytest.fixture
def stay(world: World):
    """A stay of five nights that was billed whole to a payer that takes late charges by themselves."""
    return billed(world)


def billed(world: World, **payer):
    arriving = ward(world, **{"interim": None, "late_charges": "5", **payer})
    nights(world, 0, 4)
    (made,) = goes_home(world, arriving, 5)
    assert made.frequency == "1"
    return arriving


def late(world: World) -> dict:
    """The bill of late charges that waits for a person."""
    (row,) = [row for row in world.rows(tables.claim, frequency="5") if row["state"] != "void"]
    return row


def approved(world: World) -> dict:
    row = late(world)
    return world.command("approve_claim", claim_id=row["id"], version=row["version"])


def sent(world: World) -> list:
    emitted = world.bill_and_batch()
    assert all(judge(emit.body).ok for emit in emitted)
    return [claim for emit in emitted for claim in read_837i(emit.body)]


def test_late_charges_go_alone_onto_a_bill_of_the_same_days_when_a_person_releases_it(world: World, stay) -> None:
    taken_up(world)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    bed(world, ARRIVED + 3 * DAY, "0300", "30.00")
    assert world.bill_and_batch() == []
    (item,) = world.items()
    assert (item["queue"], item["claim_id"], item["money_cents"]) == ("approval", late(world)["id"], 5000)
    assert "late-charge" in item["sentence"]
    assert approved(world)["ok"]
    (made,) = sent(world)
    said = made.institutional
    assert (made.frequency, said.facility_type, said.statement_from, said.statement_to) == (
        "5", "11", ARRIVED, ARRIVED + 5 * DAY,
    )  # fmt: skip
    assert [(line.revenue_code, line.charge) for line in made.lines] == [("0250", Decimal(20)), ("0300", Decimal(30))]
    assert (said.patient_status, made.payer_claim_control_number) == ("01", "")
    assert world.items() == []
    world.check_ledger()


def test_the_days_of_the_stay_are_not_counted_again(world: World) -> None:
    arriving = ward(world, interim=None, late_charges="5")
    nights(world, 0, 4)
    values = (AmountCode(code="80", amount=Decimal(5)), AmountCode(code="01", amount=Decimal("950.00")))
    leaves(world, arriving, ARRIVED + 5 * DAY, values=values)
    world.bill_and_batch()
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    assert [value.code for value in said_by(world, late(world)).values] == ["01"]


def test_a_payer_that_wants_its_number_of_the_first_claim_gets_it_and_not_before_it_gave_one(world: World) -> None:
    billed(world, late_charges_number=True)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    refused = approved(world)
    assert refused["error"]["fix"] == "Wait for the 277CA or the remittance."
    taken_up(world)
    assert approved(world)["ok"]
    (made,) = sent(world)
    first = world.one(tables.claim, frequency="1")
    assert (made.frequency, made.payer_claim_control_number) == ("5", first["payer_claim_number"])


def test_what_is_charged_before_the_bill_is_sent_joins_it(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    bed(world, ARRIVED + 3 * DAY, "0300", "30.00")
    world.bill_and_batch()
    assert late(world)["total_cents"] == 5000
    assert len(world.items()) == 1
    world.check_ledger()


def test_charges_that_come_later_still_are_another_bill(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    approved(world)
    sent(world)
    bed(world, ARRIVED + 3 * DAY, "0300", "30.00")
    world.bill_and_batch()
    rows = world.rows(tables.claim, frequency="5")
    assert [(row["state"], row["total_cents"]) for row in rows] == [("sent", 2000), ("held", 3000)]


def test_a_room_changes_the_days_and_is_a_replacement(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0150", "900.00")
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["1", "7"]


def test_a_change_of_what_was_billed_is_a_replacement(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0120", "990.00")
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["1", "7"]


def test_a_payer_that_takes_no_replacements_takes_late_charges(world: World) -> None:
    billed(world, accepts_replacement=False)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    assert late(world)["total_cents"] == 2000


def test_late_charges_of_a_bill_of_a_stay_that_went_on_replace_it_and_those_of_the_last_do_not(world: World) -> None:
    arriving = ward(world, late_charges="5")
    nights(world, 0, 14)
    goes_home(world, arriving, 15)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    bed(world, ARRIVED + 12 * DAY, "0300", "30.00")
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["2", "4", "7", "5"]
    assert said_by(world, late(world)).statement_from == ARRIVED + 10 * DAY


def test_a_professional_claim_of_such_a_payer_is_replaced(world: World) -> None:
    payers = {name: each.model_copy(update={"late_charges": "5"}) for name, each in world.config.payers.items()}
    world.config = replace(world.config, payers=payers)
    visit = world.visit()
    world.decide_values([visit, world.charge()])
    world.bill_and_batch()
    world.decide_values([world.charge("T2", code="83036", service_date=visit.visit_date)])
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["1", "7"]


def test_a_cancelled_discharge_takes_the_late_charges_back_and_the_true_end_has_them_all(world: World, stay) -> None:
    taken_up(world)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    comes_back(world, stay)
    assert [row["state"] for row in world.rows(tables.claim, frequency="5")] == ["void"]
    nights(world, 6, 7)
    goes_home(world, stay, 8)
    row = world.one(tables.claim, frequency="7")
    assert row["total_cents"] == 7 * 95000 + 2000
    assert said_by(world, row).statement_to == ARRIVED + 8 * DAY
    world.check_ledger()


def test_another_end_of_the_stay_takes_late_charges_that_wait_onto_the_replacement(world: World, stay) -> None:
    taken_up(world)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    assert goes_home(world, stay, 6) == []
    assert [row["state"] for row in world.rows(tables.claim, frequency="5")] == ["void"]
    row = world.one(tables.claim, frequency="7")
    assert (row["total_cents"], said_by(world, row).statement_to) == (5 * 95000 + 2000, ARRIVED + 6 * DAY)
    assert [item["claim_id"] for item in world.items()] == [row["id"]]
    world.check_ledger()


def test_late_charges_whose_replacement_a_person_discards_go_on_a_bill_of_their_own(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0150", "900.00")
    world.bill_and_batch()
    row = world.one(tables.claim, frequency="7")
    asked = {"claim_id": row["id"], "version": row["version"], "reason": "they want it by itself"}
    assert world.command("discard_replacement", **asked)["ok"]
    world.bill_and_batch()
    assert [row["frequency"] for row in world.rows(tables.claim) if row["state"] != "void"] == ["1", "5"]
    assert late(world)["total_cents"] == 90000


def test_late_charges_do_not_go_when_the_claim_that_they_came_late_to_was_rejected(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    first = world.one(tables.claim, frequency="1")
    world.decide_file(ack_277ca([(first["control_number"], ["STC*A3:21*20261111*U*250"], "")]))
    assert "no claim" in approved(world)["error"]["what"]
    first = world.one(tables.claim, frequency="1")
    assert world.command("rebill_claim", claim_id=first["id"], version=first["version"], reason="anew")["ok"]
    (made,) = sent(world)
    assert (made.frequency, made.charge) == ("1", Decimal("4770.00"))
    assert world.items() == []
    world.check_ledger()


def test_late_charges_are_paid_and_settled_like_any_claim(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    approved(world)
    sent(world)
    row, desk = late(world), Desk(world)
    lines = tuple(
        Line("0250", "20.00", "15.00", (("CO", "45", "5.00"),), control=each["control_number"], day="20261112")
        for each in desk.lines(row)
    )
    desk.send(Remit((Paid(row["control_number"], "20.00", "15.00", lines),)))
    assert desk.state(row) == "paid"
    assert world.balances(claim_id=row["id"]).get("receivable payer", 0) == 0
    assert world.items() == []
    world.check_ledger()


def test_what_the_first_payer_leaves_of_late_charges_waits_for_a_person_to_bill_it_to_the_second(world: World) -> None:
    arriving = ward(world, interim=None, late_charges="5")
    both = (world.coverage(), world.coverage("90003", "X1", priority=2))
    arriving = replace(arriving, coverages=both, as_of=world.clock.now().isoformat())
    world.decide_values([arriving])
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    approved(world)
    sent(world)
    row, desk = late(world), Desk(world)
    (each,) = desk.lines(row)
    line = Line("0250", "20.00", "15.00", (("PR", "2", "5.00"),), control=each["control_number"], day="20261112")
    desk.send(Remit((Paid(row["control_number"], "20.00", "15.00", (line,), patient="5.00"),)))
    world.run_due("next payer")
    (second,) = world.rows(tables.claim, frequency="5", payer_id="90003")
    assert second["state"] == "held"
    assert world.command("approve_claim", claim_id=second["id"], version=second["version"])["ok"]
    (made,) = sent(world)
    assert (made.frequency, made.subscriber.sequence) == ("5", "S")
    world.check_ledger()


def test_the_frequency_of_late_charges_is_explained_by_the_payers_file(world: World, stay) -> None:
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    row = late(world)
    with world.store.connect() as connection:
        found = explain(connection, world.vault, row["id"], world.open(tables.claim, row))
    places = {each.place: [origin.place for origin in each.origins] for each in found}
    assert places["2300/CLM05-3"] == ["config/payers, 90001, late_charges"]
    notes = [each["detail"] for each in world.rows(tables.claim_event, kind="note")]
    assert any(row["control_number"] in each for each in notes)
