"""What a source said last stands, in whatever order it arrives: reads that overtake each other change nothing back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from hub.billing.values import Appointment
from hub.store import tables

AMOUNTS = ("150.00", "175.00", "150.00")
"""Three versions of one charge; the last says again what the first did."""


def at(world, minutes):
    return (world.clock.now() + timedelta(minutes=minutes)).isoformat()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_version_of_a_charge_stands_in_whatever_order_they_arrive(world, order):
    world.decide_values([world.visit()])
    for version in order:
        world.decide_values([world.charge(amount=Decimal(AMOUNTS[version]), as_of=at(world, version))])
    assert world.one(tables.charge)["amount_cents"] == 15000
    world.check_ledger()


def test_an_older_version_of_a_charge_is_counted_and_changes_nothing(world):
    world.decide_values([world.visit(), world.charge(as_of=at(world, 5))])
    world.decide_values([world.charge(amount=Decimal("99.00"), as_of=at(world, 4))])
    assert world.one(tables.charge)["amount_cents"] == 15000
    assert world.counts["stale updates"] == 1
    assert world.items() == []


def test_a_source_without_times_is_taken_as_it_comes(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([world.charge(amount=Decimal("99.00"))])
    assert world.one(tables.charge)["amount_cents"] == 9900


def test_a_credit_older_than_its_charge_takes_nothing_back(world):
    world.decide_values([world.visit(), world.charge(as_of=at(world, 5))])
    world.decide_values([replace(world.charge(as_of=at(world, 4)), kind="credit", credits="T1")])
    assert world.one(tables.charge)["state"] == "open"


def test_a_charge_that_the_visits_source_does_not_name_any_more_is_taken_back(world):
    world.decide_values(
        [world.visit(charged=("T1", "T2")), world.charge(), world.charge("T2", code="99214")], channel="rest"
    )
    world.decide_values([world.visit(as_of=at(world, 1), charged=("T1",)), world.charge()], channel="rest")
    assert [row["state"] for row in world.rows(tables.charge)] == ["open", "void"]
    assert world.balances() == {"unbilled": 15000, "revenue": -15000}
    world.check_ledger()


@pytest.mark.parametrize(("minutes", "channel"), [(-1, "rest"), (1, "another")])
def test_an_older_list_of_charges_or_one_of_another_source_takes_nothing_back(world, minutes, channel):
    world.decide_values([world.visit(charged=("T1",)), world.charge()], channel="rest")
    world.decide_values([world.visit(as_of=at(world, minutes), charged=())], channel=channel)
    assert world.one(tables.charge)["state"] == "open"


def test_a_charge_that_vanished_after_its_claim_was_sent_waits_for_a_person(world):
    world.decide_values([world.visit(charged=("T1",)), world.charge()], channel="rest")
    world.bill_and_batch()
    world.decide_values([world.visit(as_of=at(world, 1), charged=())], channel="rest")
    assert world.one(tables.charge)["state"] == "claimed"
    assert world.items()


def test_an_older_word_of_an_appointment_changes_nothing(world):
    starts = world.clock.now().isoformat()
    for state, minutes in (("booked", 0), ("cancelled", 2), ("booked", 1)):
        world.decide_values([Appointment(appointment="P1", starts=starts, state=state, as_of=at(world, minutes))])
    assert world.one(tables.appointment)["state"] == "cancelled"
