"""Claims that a payer took apart: every part is known, posts, and is missed when nobody decides it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from hub.billing.split_claims import parts
from hub.billing.standing import payments_of
from hub.store import tables

from .payer import Desk, Line, Paid, Remit
from .test_acknowledgements import ack_277ca

pytestmark = pytest.mark.both_stores


@pytest.fixture
def desk(world) -> Desk:
    return Desk(world)


@pytest.fixture
def claim(desk):
    """A claim of two lines over 250.00 of which the payer says that it took it apart."""
    row = desk.claim("A1", ("150.00", "100.00"))
    split_up(desk, row)
    return row


def split_up(desk, row) -> None:
    said = [
        (row["control_number"], ["STC*A5:20*20261111*WQ*160"], "ICN1"),
        (row["control_number"], ["STC*A5:20*20261111*WQ*90"], "ICN2"),
    ]
    totals = ["QTY*90*2", "AMT*YU*250"]
    desk.world.decide_file(ack_277ca(said, totals=totals))


def part(row, icn: str, charge: str, paid: str, patient: str = "", **fields) -> Paid:
    """A part that says of no line what it is: 2.50 of the charge is contractual for every 10.00."""
    left = Decimal(charge) - Decimal(paid) - Decimal(patient or "0")
    cas = [("CO", "45", f"{left:f}")] if left else []
    cas += [("PR", "2", patient)] if patient else []
    return Paid(row["control_number"], charge, paid, cas=tuple(cas), icn=icn, patient=patient, **fields)


def shown(world, row):
    """The parts, as number, status, charge and payment."""
    events = world.rows(tables.claim_event, claim_id=row["id"])
    statuses = [json.loads(each["detail"]) for each in events if each["kind"] in {"claim_ack", "status277"}]
    with world.store.connect() as connection:
        payments = list(reversed(payments_of(connection, row["id"])))
    found = parts(statuses, payments, row["total_cents"])
    return [(each.number, each.category, each.charge_cents, each.paid_cents) for each in found]


def test_a_split_claim_is_with_its_payer_and_its_parts_are_known_by_number(desk, claim):
    assert desk.state(claim) == "accepted payer"
    assert shown(desk.world, claim) == [("ICN1", "A5", 16000, None), ("ICN2", "A5", 9000, None)]
    assert desk.world.items() == []  # totals that count the parts are those of the batch


def test_the_parts_post_one_by_one_and_together_they_settle_the_claim(desk, claim):
    desk.send(Remit((part(claim, "ICN1", "160.00", "120.00"),)))
    assert desk.state(claim) == "partly paid"
    assert shown(desk.world, claim) == [("ICN1", "A5", 16000, 12000), ("ICN2", "A5", 9000, None)]
    desk.send(Remit((part(claim, "ICN2", "90.00", "70.00"),), trace="EFT2"))
    assert desk.state(claim) == "paid"
    assert shown(desk.world, claim) == [("ICN1", "A5", 16000, 12000), ("ICN2", "A5", 9000, 7000)]
    assert desk.world.balances(claim_id=claim["id"]).get("receivable payer", 0) == 0
    assert desk.world.items() == []
    desk.world.check_ledger()


def test_a_remittance_that_comes_to_the_claim_in_parts_needs_no_announcement(desk):
    row = desk.claim("A1", ("150.00", "100.00"))
    desk.send(Remit((part(row, "ICN1", "160.00", "120.00"), part(row, "ICN2", "90.00", "70.00"))))
    assert desk.state(row) == "paid"
    assert shown(desk.world, row) == [("ICN1", "", 16000, 12000), ("ICN2", "", 9000, 7000)]
    assert desk.world.items() == []


def test_a_part_says_by_its_remark_that_it_is_one(desk):
    row = desk.claim("A1", ("150.00", "100.00"))
    desk.send(Remit((part(row, "ICN1", "160.00", "120.00", remark="MA15"),)))
    assert desk.state(row) == "partly paid"


def test_less_than_the_charge_is_no_part_of_a_claim_that_nobody_split(desk):
    row = desk.claim("A1", ("150.00", "100.00"))
    desk.send(Remit((part(row, "ICN1", "160.00", "120.00"),)))
    assert desk.state(row) == "sent"
    assert [item["queue"] for item in desk.world.items()] == ["unmatched payments"]


def test_two_parts_alike_in_one_remittance_are_two(desk):
    row = desk.claim("A1", ("150.00", "100.00"))
    split_up(desk, row)
    desk.send(Remit((part(row, "ICN1", "125.00", "100.00"), part(row, "ICN1", "125.00", "100.00"))))
    assert desk.state(row) == "paid"
    assert desk.world.items() == []
    desk.world.check_ledger()


def test_a_part_that_comes_again_moves_no_money(desk, claim):
    said = Remit((part(claim, "ICN1", "160.00", "120.00"),))
    desk.send(said)
    desk.send(said)
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 25000 - 16000
    desk.send(replace(said, trace="EFT2"))
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 25000 - 16000
    assert [item["queue"] for item in desk.world.items()] == ["unmatched payments"]


def test_parts_that_come_to_more_than_the_claim_are_for_a_person(desk, claim):
    desk.send(Remit((part(claim, "ICN1", "160.00", "120.00"),)))
    desk.send(Remit((part(claim, "ICN3", "100.00", "70.00"),), trace="EFT2"))
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"]) == ("unmatched payments", "unmatched payment")


def test_a_part_that_is_denied_leaves_the_claim_with_its_payer_until_the_others_are_decided(desk, claim):
    denied = Paid(claim["control_number"], "160.00", "0", cas=(("CO", "50", "160.00"),), status="4", icn="ICN1")
    desk.send(Remit((denied,)))
    assert desk.state(claim) == "pended"
    (item,) = desk.world.items()
    assert (item["queue"], item["money_cents"]) == ("denials", 16000)
    desk.send(Remit((part(claim, "ICN2", "90.00", "70.00"),), trace="EFT2"))
    assert desk.state(claim) == "partly paid"
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 16000


def test_the_payer_takes_one_part_back_and_decides_it_anew(desk, claim):
    first = part(claim, "ICN1", "160.00", "120.00")
    desk.send(Remit((first, part(claim, "ICN2", "90.00", "70.00"))))
    again = part(claim, "ICN1", "160.00", "130.00")
    desk.send(Remit((first.reversed(), again), trace="EFT3"))
    assert desk.state(claim) == "paid"
    assert shown(desk.world, claim) == [("ICN2", "A5", 9000, 7000), ("ICN1", "A5", 16000, 13000)]
    assert desk.world.balances(claim_id=claim["id"]).get("receivable payer", 0) == 0
    desk.world.check_ledger()


def test_a_part_that_is_never_decided_is_missed_with_its_money_and_closes_with_its_answer(desk, claim):
    world = desk.world
    world.run_due("silence")
    desk.send(Remit((part(claim, "ICN1", "160.00", "120.00"),)))
    world.advance(days=world.config.payers["90001"].decides_within + 1)
    world.run_due("silence")
    (item,) = world.items("lost claims")
    assert (item["kind"], item["money_cents"]) == ("part not decided", 9000)
    desk.send(Remit((part(claim, "ICN2", "90.00", "70.00"),), trace="EFT2"))
    assert world.items() == []


def test_a_person_waits_for_a_part_and_is_reminded_of_it(desk, claim):
    world = desk.world
    desk.send(Remit((part(claim, "ICN1", "160.00", "120.00"),)))
    world.advance(days=world.config.payers["90001"].decides_within + 1)
    world.run_due("silence")
    (item,) = world.items("lost claims")
    asked = {"item_id": item["id"], "version": item["version"], "days": 5, "reason": "they look for it"}
    assert world.command("wait_longer", **asked)["ok"]
    world.advance(days=6)
    world.run_due("missed")
    assert [each["id"] for each in world.items("lost claims")] == [item["id"]]


def test_a_refused_part_is_for_a_person_and_does_not_reject_the_others(desk, claim):
    refusal = [(claim["control_number"], ["STC*A7:562:82*20261112*U*90"], "ICN2")]
    desk.world.decide_file(ack_277ca(refusal))
    assert desk.state(claim) == "accepted payer"
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"]) == ("rejections", "part refused")
    assert [each[1] for each in shown(desk.world, claim)] == ["A5", "A7"]


def test_the_next_payer_is_billed_once_all_parts_are_decided(desk):
    world = desk.world
    both = (world.coverage(), world.coverage("90003", "N1", priority=2))
    row = desk.claim("A1", ("150.00", "100.00"), coverages=both)
    split_up(desk, row)
    desk.send(Remit((part(row, "ICN1", "160.00", "120.00", "20.00"),)))
    world.run_due("next payer")
    assert len(world.rows(tables.claim)) == 1
    desk.send(Remit((part(row, "ICN2", "90.00", "70.00"),), trace="EFT2"))
    world.run_due("next payer")
    made = world.one(tables.claim, previous_id=row["id"])
    assert world.balances(claim_id=made["id"]) == {"receivable payer": 2000}
    world.check_ledger()


def test_a_part_of_a_line_is_no_underpayment_of_the_whole(desk, claim):
    world = desk.world
    world.config = replace(world.config, contracts={("90001", "99213"): Decimal("120.00")})
    line = Line("99213", "60.00", "48.00", (("CO", "45", "12.00"),))
    desk.send(Remit((Paid(claim["control_number"], "60.00", "48.00", (line,), icn="ICN1"),)))
    assert desk.state(claim) == "partly paid"
    assert world.items() == []
