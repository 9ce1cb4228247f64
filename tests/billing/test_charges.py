"""Charges once, twice, changed, taken back, and before their visit."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.billing.control_numbers import is_intact
from hub.billing.explain import explain
from hub.billing.values import Address
from hub.core.codec import to_plain
from hub.store import tables
from tests.billing.conftest import StaleDecisionError, make_world

pytestmark = pytest.mark.both_stores


def credit(world, transaction="C1", of="T1", **fields):
    return replace(world.charge(transaction, **fields), kind="credit", credits=of)


def test_the_same_charge_twice_is_one_charge(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([world.charge(source_path="FT1[2]")])
    assert world.one(tables.charge)["state"] == "open"
    assert world.counts == {"duplicate charges": 1}
    assert world.items() == []


def test_a_charge_that_changes_before_it_is_billed_takes_the_new_content_and_keeps_the_old(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([world.charge(amount=Decimal("175.00"))])
    row = world.one(tables.charge)
    assert row["amount_cents"] == 17500
    assert world.open(tables.charge, row)["history"][0]["amount"] == "150.00"
    assert world.balances() == {"unbilled": 17500, "revenue": -17500}
    world.check_ledger()


def test_a_charge_that_changes_on_an_unsent_claim_is_billed_anew(world):
    world.decide_values([world.visit(), world.charge()])
    world.advance(days=1.1)
    world.run_due("bill")
    world.decide_values([world.charge(amount=Decimal("175.00"))])
    world.advance(days=1.1)
    world.run_due("bill")
    assert [(row["state"], row["total_cents"]) for row in world.rows(tables.claim)] == [
        ("void", 15000),
        ("ready", 17500),
    ]
    assert world.balances() == {"receivable payer": 17500, "revenue": -17500}
    world.check_ledger()


def test_a_charge_that_moves_to_another_day_after_its_claim_was_sent_goes_to_review_and_changes_nothing(world):
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    world.decide_values([world.charge(service_date=world.clock.today())])
    (item,) = world.items("charge review")
    assert item["kind"] == "changed after billing"
    assert world.one(tables.charge)["amount_cents"] == 15000


@pytest.mark.parametrize(
    ("first", "again", "kind"),
    [
        ("credit", {"amount": Decimal("9.00")}, "changed after credit"),
        ("", {"account": "A2"}, "moved to another visit"),
    ],
)
def test_a_charge_that_comes_again_and_cannot_be_changed_goes_to_review(world, first, again, kind):
    world.decide_values([world.visit(), world.visit("A2"), world.charge()])
    if first:
        world.decide_values([credit(world)])
    before = world.one(tables.charge)
    world.decide_values([world.charge(**again)])
    assert [item["kind"] for item in world.items("charge review")] == [kind]
    assert world.one(tables.charge) == before


def test_a_credit_voids_a_charge_that_was_not_sent(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([credit(world)])
    world.decide_values([credit(world)])
    assert world.one(tables.charge)["state"] == "void"
    assert world.balances() == {}
    assert world.counts == {"credited charges": 1, "duplicate credits": 1}


def test_a_negative_amount_is_a_credit(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([world.charge("T9", amount=Decimal("-150.00"), units=Decimal(-1))])
    assert world.one(tables.charge)["state"] == "void"


@pytest.mark.parametrize(
    ("of", "amount", "kind"),
    [
        ("T404", "150.00", "credit without charge"),
        ("T1", "10.00", "partial credit"),
    ],
)
def test_a_credit_that_cannot_be_carried_out_goes_to_a_person(world, of, amount, kind):
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    world.decide_values([credit(world, of=of, amount=Decimal(amount))])
    world.decide_values([credit(world, of=of, amount=Decimal(amount))])
    (item,) = world.items("credits")
    assert item["kind"] == kind
    assert world.one(tables.charge)["state"] == "claimed"


def test_a_charge_under_another_key_for_the_same_service_waits_for_a_person(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2")])
    assert [row["state"] for row in world.rows(tables.charge)] == ["open", "held"]
    (item,) = world.items("charge review")
    held = world.rows(tables.charge)[1]
    assert item["charge_id"] == held["id"]
    assert world.command("release_charge", charge_id=held["id"], version=held["version"])["ok"]
    assert world.items() == []
    world.check_ledger()


def test_other_modifiers_make_it_another_service(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2", modifiers=("76",))])
    assert {row["state"] for row in world.rows(tables.charge)} == {"open"}


def test_a_charge_before_its_visit_waits_and_joins_it(world):
    world.decide_values([world.charge()])
    assert world.one(tables.charge)["state"] == "held"
    assert world.one(tables.visit)["state"] == "expected"
    world.check_ledger()
    world.decide_values([world.visit()])
    assert world.one(tables.charge)["state"] == "open"
    (batch,) = world.bill_and_batch()
    assert batch.kind == "837P"
    world.advance(days=4)
    world.run_due("orphan", "bill")
    assert world.items() == []


def test_a_charge_whose_visit_never_comes_goes_to_a_person_once(world):
    world.decide_values([world.charge()])
    world.advance(days=2)
    world.run_due()
    assert world.items() == []
    world.advance(days=2)
    world.run_due()
    (item,) = world.items("charge review")
    assert (item["kind"], item["money_cents"]) == ("charge held: visit", 15000)
    world.decide_values([world.visit()])
    assert world.items() == []


def corrected(world, **said):
    held = next(row for row in world.rows(tables.charge) if row["state"] == "held")
    about = {"charge_id": held["id"], "version": held["version"], "reason": "read off the note"}
    return world.command("correct_charge", **about, **said)


@pytest.mark.parametrize(
    ("wrong", "field", "value"),
    [
        ({"performing_npi": "1999009999"}, "performing_npi", "NPI"),
        ({"department": "ATTIC"}, "department", "fm"),
        ({"department": "ATTIC"}, "place_of_service", "11"),
    ],
)
def test_a_held_charge_goes_on_when_a_person_has_corrected_what_held_it(world, wrong, field, value):
    right = world.charge()
    world.decide_values([world.visit(), world.charge(**wrong)])
    assert corrected(world, field=field, value=right.performing_npi if value == "NPI" else value)["ok"]
    assert world.items() == []
    assert world.one(tables.charge)["state"] == "open"
    (batch,) = world.bill_and_batch()
    assert batch.kind == "837P"
    world.check_ledger()


def test_a_source_that_repeats_itself_does_not_undo_a_correction_and_one_that_says_something_else_does(world):
    right, wrong = world.charge(), world.charge(performing_npi="1999009999")
    world.decide_values([world.visit(), wrong])
    assert corrected(world, field="performing_npi", value=right.performing_npi)["ok"]
    world.decide_values([wrong])
    assert world.one(tables.charge)["performing_npi"] == right.performing_npi
    world.decide_values([world.charge(performing_npi="1999009999", units=Decimal(2))])
    kept = world.one(tables.charge)
    assert (kept["performing_npi"], kept["units_milli"], kept["state"]) == (right.performing_npi, 2000, "open")
    world.decide_values([world.charge(performing_npi="1888008888", units=Decimal(2))])
    assert world.one(tables.charge)["state"] == "held"
    world.check_ledger()


def test_two_like_services_are_told_apart_by_a_modifier_that_a_person_adds(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2")])
    assert corrected(world, field="modifiers", value="76")["ok"]
    assert world.items() == []
    assert {row["state"] for row in world.rows(tables.charge)} == {"open"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("performing_npi", "1888008888"),
        ("department", "cellar"),
        ("place_of_service", "office"),
        ("modifiers", "two five"),
        ("amount", "1.00"),
    ],
)
def test_a_correction_is_held_against_what_the_practice_knows(world, field, value):
    world.decide_values([world.visit(), world.charge(department="ATTIC")])
    answer = corrected(world, field=field, value=value)
    assert answer["ok"] is False
    assert answer["error"]["expected"]
    assert len(world.items("charge review")) == 1


def test_a_corrected_charge_tells_whose_word_it_is(world):
    right = world.charge()
    world.decide_values([world.visit(), world.charge(performing_npi="1999009999")])
    assert corrected(world, field="performing_npi", value=right.performing_npi)["ok"]
    world.bill_and_batch()
    claim = world.one(tables.claim)
    with world.store.connect() as connection:
        found = explain(connection, world.vault, claim["id"], world.open(tables.claim, claim))
    told = {origin.kind: origin.place for each in found for origin in each.origins if origin.kind == "person"}
    assert "corrected performing npi" in told["person"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"performing_npi": "1999009999"}, "performer"),
        ({"department": "ATTIC"}, "place"),
        ({"mrn": "M2"}, "patient"),
    ],
)
def test_a_charge_that_does_not_fit_is_held_with_its_reason(world, fields, reason):
    world.decide_values([world.visit(), world.charge(**fields)])
    (item,) = world.items("charge review")
    assert item["kind"] == f"charge held: {reason}"
    answer = world.command("release_charge", charge_id=item["charge_id"], version=1)
    assert answer["ok"] is False
    assert world.one(tables.charge)["state"] == "held"
    world.check_ledger()


def test_an_uninsured_visit_is_the_patients_own_debt_until_insurance_becomes_known(world):
    world.decide_values([world.visit(coverages=()), world.charge()])
    world.bill_and_batch()
    assert world.one(tables.charge)["state"] == "self pay"
    assert world.balances() == {"receivable patient": 15000, "revenue": -15000}
    world.check_ledger()
    world.decide_values([world.visit()])
    assert world.one(tables.charge)["state"] == "open"
    assert len(world.bill_and_batch()) == 1
    world.check_ledger()


def test_an_unknown_payer_stops_the_bill_until_the_registration_is_corrected(world):
    world.decide_values([world.visit(coverages=(world.coverage("66666"),)), world.charge()])
    assert world.bill_and_batch() == []
    (item,) = world.items("claim edits")
    assert item["kind"] == "charge held: payer"
    world.advance(hours=1)
    world.decide_values([world.visit()])
    assert world.items() == []
    assert len(world.bill_and_batch()) == 1


def test_a_claim_with_a_wrong_member_id_waits_for_the_registration_and_then_goes(world):
    world.decide_values([world.visit(coverages=(world.coverage(member_id="NOTONE"),)), world.charge()])
    assert world.bill_and_batch() == []
    (item,) = world.items("claim edits")
    assert "member id" in item["sentence"]
    assert world.one(tables.claim)["state"] == "needs fix"
    world.decide_values([world.visit()])
    (batch,) = world.bill_and_batch()
    assert world.items() == []
    assert is_intact(world.rows(tables.claim)[1]["control_number"])
    assert batch.body.count(b"CLM*") == 1
    world.check_ledger()


def test_an_older_registration_changes_nothing(world):
    world.decide_values([world.visit(), world.charge()])
    past = (world.clock.now() - timedelta(days=1)).isoformat()
    elsewhere = world.patient(address=Address(line="1 Old Road", city="Springfield", state="IL", postal_code="62701"))
    world.decide_values([world.visit(as_of=past, patient=elsewhere, coverages=())])
    assert world.open(tables.patient, world.one(tables.patient))["patient"]["address"]["line"] == "42 Elm Avenue"
    assert len(world.rows(tables.coverage, active=True)) == 1


def test_a_cancelled_visit_holds_what_was_charged_for_it(world):
    world.decide_values([world.visit(), world.charge()])
    world.decide_values([world.visit(cancelled=True)])
    (item,) = world.items("charge review")
    assert item["kind"] == "charge held: cancelled"
    assert world.bill_and_batch() == []
    world.check_ledger()


def test_two_messages_decided_at_the_same_time_cannot_both_make_the_visit(world):
    plain = json.dumps([["Visit", to_plain(world.visit())], ["Charge", to_plain(world.charge())]]).encode()
    header = {
        "work": "values",
        "message_id": world.add_message(channel="ehr_visits", kind="x"),
        "channel": "ehr_visits",
    }
    first, _ = world.decided(header, (plain,))
    second, _ = world.decided(header, (plain,))
    world.apply(first)
    with pytest.raises(StaleDecisionError):
        world.apply(second)
    again, _ = world.decided(header, (plain,))
    world.apply(again)
    assert len(world.rows(tables.visit)) == len(world.rows(tables.charge)) == 1
    assert world.counts == {"duplicate charges": 1}
    world.check_ledger()


def test_a_late_charge_puts_the_bill_off_so_that_both_are_on_one_claim(world):
    world.decide_values([world.visit(), world.charge("T1")])
    world.advance(days=0.9)
    day = (world.clock.now() - timedelta(days=0.9)).date()
    world.decide_values([world.charge("T2", code="83036", service_date=day)])
    world.advance(days=0.9)
    world.run_due("bill")
    assert world.rows(tables.claim) == []
    world.bill_and_batch()
    claim = world.one(tables.claim)
    assert len(world.rows(tables.claim_line, claim_id=claim["id"])) == 2


AMOUNTS = ("150.00", "175.00")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("charge"), st.sampled_from(["T1", "T2"]), st.sampled_from(AMOUNTS)),
        st.tuples(st.just("credit"), st.sampled_from(["T1", "T2", "T3"]), st.sampled_from(AMOUNTS)),
        st.tuples(st.just("visit"), st.booleans(), st.booleans()),
        st.tuples(st.just("bill"), st.just(0), st.just(0)),
    ),
    max_size=7,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_whatever_comes_in_whatever_order_every_charge_stays_accounted_for(events):
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        day = world.clock.today()
        for kind, one, two in events:
            match kind:
                case "charge":
                    code = "99213" if one == "T1" else "83036"
                    said = world.charge(one, amount=Decimal(two), code=code, service_date=day)
                    world.decide_values([said])
                    before = world.rows(tables.ledger_posting)
                    world.decide_values([said])
                    assert world.rows(tables.ledger_posting) == before
                case "credit":
                    world.decide_values([credit(world, f"C{one}", of=one, amount=Decimal(two), service_date=day)])
                case "visit":
                    coverages = (world.coverage(),) if one else ()
                    world.decide_values([world.visit(coverages=coverages, cancelled=two)])
                case "bill":
                    world.bill_and_batch()
            world.check_ledger()
        world.store.dispose()
