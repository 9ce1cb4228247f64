"""Discharges that are cancelled, or told anew, after the last bill of their stay was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.billing.claim_body import ClaimBody
from hub.billing.values import AmountCode
from hub.formats.x12.frequency import REPLACEMENT
from hub.store import tables

from .conftest import World
from .test_acknowledgements import ack_277ca
from .test_interim import ARRIVED, DAY, bed, billed_days, claims_of, leaves, nights, said_by, ward

WHOLE_STAYS = pytest.mark.parametrize("interim", [None, 30])


def goes_home(world: World, arriving, night: int, **said) -> list:
    """The patient leaves after so many nights; the bills that were sent then."""
    values = (AmountCode(code="80", amount=Decimal(night)),)
    leaves(world, arriving, ARRIVED + night * DAY, **{"values": values, **said})
    return claims_of([emit.body for emit in world.bill_and_batch()])


def comes_back(world: World, arriving) -> None:
    """The EHR cancels the discharge (ADT^A13): the stay has no end any more."""
    world.decide_values([replace(arriving, as_of=world.clock.now().isoformat())])


def taken_up(world: World) -> None:
    for row in world.rows(tables.claim):
        if row["state"] == "sent":
            answer = [(row["control_number"], ["STC*A2:20*20261111*WQ*250"], f"ICN{row['id']}")]
            world.decide_file(ack_277ca(answer))


def drafted(world: World) -> dict:
    (row,) = [row for row in world.rows(tables.claim, frequency=REPLACEMENT) if row["state"] != "void"]
    return row


def released(world: World) -> list:
    """A person approves the replacement that waits; the bills that were sent then."""
    row = drafted(world)
    answer = world.command("approve_claim", claim_id=row["id"], version=row["version"])
    assert answer["ok"], answer
    return claims_of([emit.body for emit in world.bill_and_batch()])


@WHOLE_STAYS
def test_a_last_bill_that_nobody_has_is_taken_back_and_made_anew_at_the_true_end(world: World, interim) -> None:
    arriving = ward(world, interim=interim)
    world.config = replace(world.config, policy=world.config.policy.model_copy(update={"approval": "person"}))
    nights(world, 0, 4)
    assert goes_home(world, arriving, 5) == []
    assert billed_days(world) == [("1", ARRIVED, ARRIVED + 5 * DAY)]
    comes_back(world, arriving)
    assert billed_days(world) == []
    nights(world, 5, 6)
    assert billed_days(world) == []
    goes_home(world, arriving, 7)
    assert billed_days(world) == [("1", ARRIVED, ARRIVED + 7 * DAY)]
    (row,) = [row for row in world.rows(tables.claim) if row["state"] != "void"]
    assert row["total_cents"] == 7 * 95000
    assert [item["kind"] for item in world.items()] == ["approval"]
    world.check_ledger()


@WHOLE_STAYS
def test_a_sent_last_bill_is_never_changed_but_replaced_by_a_person_with_the_true_end(world: World, interim) -> None:
    arriving = ward(world, interim=interim)
    nights(world, 0, 4)
    (first,) = goes_home(world, arriving, 5)
    taken_up(world)
    comes_back(world, arriving)
    (item,) = world.items()
    assert (item["queue"], item["kind"]) == ("charge review", "discharge cancelled")
    assert nights(world, 5, 8) == []
    assert len(world.rows(tables.claim)) == 1
    assert goes_home(world, arriving, 9, patient_status="03") == []
    (item,) = world.items()
    assert (item["queue"], item["kind"]) == ("approval", "replacement claim")
    assert "The end of the stay changed" in item["sentence"]
    (made,) = released(world)
    said = made.institutional
    assert (made.frequency, said.statement_from, said.statement_to) == ("7", ARRIVED, ARRIVED + 9 * DAY)
    assert (said.patient_status, said.discharge_time) == ("03", "1430")
    assert [(value.code, value.amount) for value in said.values] == [("80", Decimal(9))]
    assert (first.charge, made.charge, len(made.lines)) == (5 * Decimal(950), 9 * Decimal(950), 9)
    assert world.items() == []
    world.check_ledger()


def test_another_end_without_another_charge_is_a_replacement_too(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    taken_up(world)
    comes_back(world, arriving)
    assert goes_home(world, arriving, 5, patient_status="02") == []
    (made,) = released(world)
    assert (made.frequency, made.institutional.patient_status) == ("7", "02")
    assert made.charge == 5 * Decimal(950)
    world.check_ledger()


def test_a_discharge_that_is_told_again_as_it_was_leaves_the_bill_as_it_is(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    comes_back(world, arriving)
    assert goes_home(world, arriving, 5) == []
    assert world.items() == []
    assert [row["frequency"] for row in world.rows(tables.claim)] == ["1"]


def test_what_a_person_discarded_is_not_drafted_again_for_the_same_end(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    goes_home(world, arriving, 6)
    row = drafted(world)
    asked = {"claim_id": row["id"], "version": row["version"], "reason": "the ward was wrong"}
    assert world.command("discard_replacement", **asked)["ok"]
    goes_home(world, arriving, 6)
    assert [row["state"] for row in world.rows(tables.claim, frequency="7")] == ["void"]
    goes_home(world, arriving, 7)
    assert said_by(world, drafted(world)).statement_to == ARRIVED + 7 * DAY


def test_a_draft_with_late_charges_waits_for_the_end_when_the_discharge_is_cancelled(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    taken_up(world)
    bed(world, ARRIVED + 2 * DAY, "0250", "20.00")
    world.bill_and_batch()
    assert drafted(world)["total_cents"] == 5 * 95000 + 2000
    comes_back(world, arriving)
    assert [row["state"] for row in world.rows(tables.claim, frequency="7")] == ["void"]
    goes_home(world, arriving, 6)
    (made,) = released(world)
    assert (made.charge, made.institutional.statement_to) == (Decimal("4770.00"), ARRIVED + 6 * DAY)
    world.check_ledger()


def long_stay(world: World, interim: int = 10):
    """A stay that was billed in three parts, the last of them after 25 nights, and whose discharge is cancelled."""
    arriving = ward(world, interim=interim)
    nights(world, 0, 24)
    (last,) = goes_home(world, arriving, 25)
    assert last.frequency == "4"
    taken_up(world)
    comes_back(world, arriving)
    assert [item["kind"] for item in world.items()] == ["discharge cancelled"]
    return arriving


def test_a_stay_in_parts_that_ends_in_the_same_part_after_all_has_its_last_bill_replaced(world: World) -> None:
    arriving = long_stay(world)
    assert nights(world, 26, 27) == []
    assert goes_home(world, arriving, 28) == []
    (made,) = released(world)
    said = made.institutional
    assert (made.frequency, said.statement_from, said.statement_to) == ("7", ARRIVED + 20 * DAY, ARRIVED + 28 * DAY)
    assert (said.patient_status, made.charge) == ("01", 7 * Decimal(950))
    assert world.items() == []
    world.check_ledger()


def test_a_stay_in_parts_that_goes_on_has_its_last_bill_replaced_by_one_of_the_whole_part(world: World) -> None:
    arriving = long_stay(world)
    assert nights(world, 26, 33) == []
    (item,) = world.items()
    assert (item["queue"], item["kind"]) == ("approval", "replacement claim")
    (made,) = released(world)
    said = made.institutional
    assert (made.frequency, said.statement_from, said.statement_to) == ("7", ARRIVED + 20 * DAY, ARRIVED + 29 * DAY)
    assert (said.patient_status, said.discharge_time, made.charge) == ("30", "", 9 * Decimal(950))
    (last,) = goes_home(world, arriving, 34)
    assert (last.frequency, last.institutional.patient_status) == ("4", "01")
    assert last.institutional.statement_from == ARRIVED + 30 * DAY
    assert world.items() == []
    world.check_ledger()


def test_a_last_bill_in_parts_that_nobody_has_is_held_again_with_its_part(world: World) -> None:
    arriving = ward(world)
    nights(world, 0, 21)
    world.config = replace(world.config, policy=world.config.policy.model_copy(update={"approval": "person"}))
    assert goes_home(world, arriving, 22) == []
    comes_back(world, arriving)
    world.run_due("bill")
    assert [frequency for frequency, _, _ in billed_days(world)] == ["2", "3"]
    nights(world, 22, 31)
    assert [frequency for frequency, _, _ in billed_days(world)] == ["2", "3", "3"]
    assert billed_days(world)[-1][1:] == (ARRIVED + 20 * DAY, ARRIVED + 29 * DAY)
    world.check_ledger()


def test_a_payer_that_takes_no_replacements_is_for_a_person_to_tell(world: World) -> None:
    arriving = ward(world, interim=None, accepts_replacement=False)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    comes_back(world, arriving)
    (item,) = world.items()
    assert "takes no replacements" in item["sentence"]
    goes_home(world, arriving, 6)
    (item,) = world.items()
    assert (item["queue"], item["kind"]) == ("charge review", "another end of the stay")


def test_a_rejected_last_bill_is_made_anew_when_the_discharge_is_cancelled(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    (row,) = world.rows(tables.claim)
    world.decide_file(ack_277ca([(row["control_number"], ["STC*A3:21*20261111*U*250"], "")]))
    comes_back(world, arriving)
    assert [row["state"] for row in world.rows(tables.claim)] == ["void"]
    assert world.items() == []
    (made,) = goes_home(world, arriving, 6)
    assert (made.frequency, made.institutional.statement_to) == ("1", ARRIVED + 6 * DAY)


def test_a_visit_that_is_cancelled_after_its_claim_was_sent_is_for_a_person_until_it_is_registered_again(
    world: World,
) -> None:
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    world.decide_values([world.visit(cancelled=True)])
    (item,) = world.items()
    assert (item["queue"], item["kind"]) == ("charge review", "visit cancelled after billing")
    assert world.rows(tables.claim)[0]["state"] == "sent"
    world.advance(hours=1)
    world.decide_values([world.visit(visit_date=date(2026, 11, 10))])
    assert world.items() == []


def test_what_was_charged_for_a_cancelled_admission_waits_and_is_billed_when_the_admission_is_told_again(
    world: World,
) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 1)
    world.decide_values([replace(arriving, as_of=world.clock.now().isoformat(), cancelled=True)])
    assert {row["state"] for row in world.rows(tables.charge)} == {"held"}
    world.advance(hours=1)
    (made,) = goes_home(world, arriving, 2)
    assert (made.frequency, made.charge) == ("1", 2 * Decimal(950))


def test_the_body_of_every_bill_stays_as_it_was_sent(world: World) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    (sent,) = goes_home(world, arriving, 5)
    comes_back(world, arriving)
    nights(world, 5, 6)
    goes_home(world, arriving, 7)
    row = world.rows(tables.claim, frequency="1")[0]
    assert ClaimBody.from_plain(world.open(tables.claim, row)).claim == sent
