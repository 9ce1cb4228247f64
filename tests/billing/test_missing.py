"""Visits and procedures without a charge are found, and forgotten when the charge comes after all."""

from __future__ import annotations

from hub.billing.values import Appointment
from hub.store import tables


def look(world, days):
    """Let *days* pass, with the daily look at their end."""
    world.start()
    world.advance(days=days)
    world.run_due("missing charges")
    return [(item["kind"], item["patient_id"]) for item in world.items("missing charges")]


def test_a_visit_that_was_kept_and_not_charged_is_found_after_its_time(world):
    world.decide_values([world.visit("A1")])
    assert look(world, 2) == []
    patient = world.one(tables.patient)["id"]
    assert look(world, 2) == [("visit without charge", patient)]
    assert look(world, 1) == [("visit without charge", patient)]


def test_the_charge_that_comes_late_closes_it(world):
    world.decide_values([world.visit("A1")])
    look(world, 4)
    world.decide_values([world.charge("T1", "A1")])
    assert look(world, 1) == []


def test_a_cancelled_visit_and_a_charged_one_lack_nothing(world):
    world.decide_values([world.visit("A1"), world.charge("T1", "A1")])
    world.decide_values([world.visit("A2", patient=world.patient("M2"), cancelled=True)])
    assert look(world, 5) == []


def test_a_charge_that_was_taken_back_leaves_its_visit_without_one(world):
    world.decide_values([world.visit("A1"), world.charge("T1", "A1")])
    world.decide_values([world.charge("C1", "A1", kind="credit", credits="T1")])
    assert [kind for kind, _ in look(world, 5)] == ["visit without charge"]


def test_a_documented_procedure_without_its_charge_is_found(world):
    world.decide_values([world.visit("A1", procedures=("99213", "36415")), world.charge("T1", "A1")])
    assert [kind for kind, _ in look(world, 5)] == ["procedure without charge"]
    (item,) = world.items("missing charges")
    assert "36415" in item["sentence"]
    world.decide_values([world.charge("T2", "A1", code="36415")])
    assert look(world, 1) == []


def test_an_appointment_that_nobody_took_back_and_no_visit_belongs_to_is_found(world):
    world.decide_values([world.visit("A1"), world.charge("T1", "A1")])
    for number, state in enumerate(("booked", "cancelled", "no show")):
        starts = world.clock.now().replace(day=11).isoformat()
        world.decide_values(
            [Appointment(appointment=f"P{number}", mrn="M1", authority="ALDER", starts=starts, state=state)]
        )
    assert [kind for kind, _ in look(world, 5)] == ["appointment without visit"]
    world.decide_values([world.visit("A2", visit_date=world.clock.today().replace(day=11)), world.charge("T2", "A2")])
    assert look(world, 1) == []


def test_an_item_that_a_person_closed_is_not_opened_again(world):
    world.decide_values([world.visit("A1")])
    look(world, 4)
    (item,) = world.items("missing charges")
    world.command("resolve_item", item_id=item["id"], version=item["version"], resolution="nothing to charge")
    assert look(world, 2) == []


def test_a_visit_that_is_cancelled_and_a_procedure_that_is_taken_back_are_forgotten(world):
    world.decide_values([world.visit("A1")])
    world.decide_values(
        [
            world.visit("A2", patient=world.patient("M2"), procedures=("99213", "36415")),
            world.charge("T1", "A2", mrn="M2"),
        ]
    )
    assert len(look(world, 4)) == 2
    world.decide_values([world.visit("A1", cancelled=True)])
    world.decide_values([world.visit("A2", patient=world.patient("M2"), procedures=("99213",))])
    assert look(world, 1) == []


def test_more_than_one_decision_may_hold_is_found_on_the_same_day(world, monkeypatch):
    monkeypatch.setattr("hub.billing.decision.CHUNK", 2)
    for number in range(4):
        world.decide_values([world.visit(f"A{number}", patient=world.patient(f"M{number}"))])
    assert len(look(world, 4)) == 2
    world.advance(hours=0.001)
    world.run_due("missing charges")
    assert len(world.items("missing charges")) == 4
