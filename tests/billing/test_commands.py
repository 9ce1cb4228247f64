"""What people decide, and what keeps them from deciding about what they have not seen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub.store import tables
from tests.billing.conftest import billing_config

pytestmark = pytest.mark.both_stores


@pytest.fixture
def held(world):
    """A world whose claims a person approves, with one held."""
    world.config = billing_config(approval="person")
    world.decide_values([world.visit(), world.charge()])
    world.advance(days=1.1)
    world.run_due("bill")
    return world


def test_a_claim_waits_for_approval_and_then_goes_under_the_approvers_name(held):
    assert held.bill_and_batch() == []
    (item,) = held.items("approval")
    claim = held.one(tables.claim)
    assert (claim["state"], item["claim_id"]) == ("held", claim["id"])
    assert held.command("approve_claim", claim_id=claim["id"], version=claim["version"], actor="ada")["ok"]
    assert held.one(tables.claim)["approved_by"] == "ada"
    assert len(held.bill_and_batch()) == 1
    assert held.items() == []


def test_a_command_about_a_version_that_is_gone_changes_nothing(held):
    claim = held.one(tables.claim)
    answer = held.command("approve_claim", claim_id=claim["id"], version=claim["version"] + 1)
    assert answer["ok"] is False
    assert answer["error"]["fix"].startswith("Load it again")
    assert held.one(tables.claim) == claim


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("no_such_command", {}),
        ("approve_claim", {}),
        ("approve_claim", {"claim_id": 1, "version": 1}),
        ("write_off", {"account": "nobody"}),
        ("resolve_item", {"item_id": 1, "version": 1}),
    ],
)
def test_a_command_that_cannot_be_done_says_why(world, name, args):
    answer = world.command(name, **args)
    assert answer["ok"] is False
    assert answer["error"]["what"].endswith(".")


def test_a_ready_claim_can_be_held_and_approved_again(world):
    world.decide_values([world.visit(), world.charge()])
    world.advance(days=1.1)
    world.run_due("bill")
    claim = world.one(tables.claim)
    assert world.command("hold_claim", claim_id=claim["id"], version=claim["version"], reason="ask first")["ok"]
    assert world.bill_and_batch() == []
    claim = world.one(tables.claim)
    assert world.command("approve_claim", claim_id=claim["id"], version=claim["version"])["ok"]
    assert len(world.bill_and_batch()) == 1


def test_an_item_whose_claim_or_charge_still_waits_is_not_resolved_by_saying_so(held):
    day = held.clock.today() - timedelta(days=1)
    held.decide_values([held.visit("A2"), held.charge("T2", "A2", service_date=day)])
    for item in held.items():
        answer = held.command("resolve_item", item_id=item["id"], version=item["version"], resolution="done")
        assert "still held" in answer["error"]["what"]
    assert len(held.items()) == 2


def test_an_obstacle_that_comes_back_opens_its_item_again(world):
    world.decide_values([world.visit(coverages=(world.coverage("66666"),)), world.charge()])
    world.bill_and_batch()
    (item,) = world.items("claim edits")
    charge = world.one(tables.charge)
    assert world.command("release_charge", charge_id=charge["id"], version=charge["version"])["ok"]
    assert world.items() == []
    world.bill_and_batch()
    assert [each["id"] for each in world.items("claim edits")] == [item["id"]]


def test_an_item_is_commented_assigned_resolved_and_reopened_with_its_history(world):
    held = world
    held.decide_values([held.visit(), held.charge()])
    held.bill_and_batch()
    held.decide_values([held.charge(code="99214")])
    (item,) = held.items()
    assert held.command("comment_item", item_id=item["id"], comment="called the payer")["ok"]
    assert held.command("assign_item", item_id=item["id"], version=1, assignee="bo")["ok"]
    assert held.command("resolve_item", item_id=item["id"], version=2, resolution="done", comment="")["ok"]
    assert held.items() == []
    assert not held.command("resolve_item", item_id=item["id"], version=3, resolution="done")["ok"]
    assert held.command("reopen_item", item_id=item["id"], version=3, comment="not yet")["ok"]
    kinds = [event["kind"] for event in held.rows(tables.work_event)]
    assert kinds == ["comment", "assigned", "resolved", "reopened"]
    assert held.one(tables.work_item)["assignee"] == "bo"


def test_a_balance_is_written_off_once_with_its_reason_and_actor(world):
    world.decide_values([world.visit(coverages=()), world.charge()])
    world.bill_and_batch()
    charge = world.one(tables.charge)
    args = {"account": "patient", "charge_id": charge["id"], "version": charge["version"], "reason": "small"}
    assert not world.command("write_off", **args, amount="150.01")["ok"]
    assert world.command("write_off", **args, amount="50.00")["ok"]
    assert not world.command("write_off", **args, amount="50.00")["ok"]
    args["version"] += 1
    assert world.command("write_off", **args, actor="ada") == {"ok": True, "amount": "100.00"}
    assert world.balances() == {"write-off": 15000, "revenue": -15000}
    assert world.rows(tables.ledger_entry, kind="write-off")[-1]["actor"] == "ada"
    world.check_ledger()


def test_a_claims_balance_is_written_off_line_by_line(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2", code="83036")])
    world.bill_and_batch()
    claim = world.one(tables.claim)
    args = {"account": "payer", "claim_id": claim["id"], "version": claim["version"], "reason": "too late"}
    assert world.command("write_off", **args)["amount"] == "300.00"
    assert world.balances() == {"write-off": 30000, "revenue": -30000}
    world.check_ledger()


def test_a_charge_that_should_not_be_is_taken_back_by_a_person(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2")])
    held = world.one(tables.charge, state="held")
    assert world.command("void_charge", charge_id=held["id"], version=held["version"], reason="duplicate")["ok"]
    assert world.items() == []
    assert world.balances() == {"unbilled": 15000, "revenue": -15000}
    world.check_ledger()


def test_taking_a_charge_back_ends_its_item_in_whatever_queue(world):
    world.decide_values([world.visit(coverages=(world.coverage(payer_id="60000"),)), world.charge()])
    assert world.bill_and_batch() == []
    assert [item["queue"] for item in world.items()] == ["claim edits"]
    held = world.one(tables.charge, state="held")
    assert world.command("void_charge", charge_id=held["id"], version=held["version"], reason="not ours")["ok"]
    assert world.items() == []
