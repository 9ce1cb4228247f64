"""What was sent and never spoken of is found, with its money, and nothing is sent again by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from hub.billing import calendars
from hub.store import tables
from tests.billing.conftest import ZONE
from tests.billing.test_acknowledgements import ack_277ca, ack_999


@pytest.fixture
def sent(world):
    """A world in which three claims over 450.00 went in one batch on a Wednesday."""
    for number in range(3):
        patient = world.patient(f"M{number}")
        world.decide_values(
            [world.visit(f"A{number}", patient=patient), world.charge(f"T{number}", f"A{number}", mrn=f"M{number}")]
        )
    world.bill_and_batch()
    return world


def numbers(world):
    return [row["control_number"] for row in world.rows(tables.claim)]


def yes(*claims, totals=()):
    return ack_277ca([(number, ["STC*A2:20*20261111*WQ*150"], "") for number in claims], role="AY", totals=totals)


def test_a_batch_that_nobody_acknowledges_is_missed_after_a_business_day(sent):
    sent.advance(hours=20)
    sent.run_due("silence")
    assert sent.items() == []
    sent.advance(hours=5)
    sent.run_due("silence")
    (item,) = sent.items("lost claims")
    assert (item["kind"], item["money_cents"]) == ("no acknowledgement", 45000)
    assert "interchange 1" in item["sentence"]
    sent.decide_file(ack_999("A"))
    assert sent.items() == []


def test_every_claim_that_no_277ca_names_is_found_with_its_money(sent):
    sent.decide_file(ack_999("A"))
    sent.decide_file(yes(*numbers(sent)[:2]))
    sent.advance(days=3)
    sent.run_due("silence")
    (item,) = sent.items("lost claims")
    assert (item["kind"], item["money_cents"]) == ("lost claim", 15000)
    assert item["claim_id"] == sent.rows(tables.claim)[2]["id"]
    assert sent.bill_and_batch() == []


def test_a_batch_that_a_person_found_arrived_is_waited_for_like_any_other(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2", code="83036")])
    world.bill_and_batch("closed")
    world.decide_file(ack_999("A"))
    world.advance(days=3)
    world.run_due("silence")
    (item,) = world.items("lost claims")
    assert item["money_cents"] == 30000


def test_an_answer_that_comes_late_closes_what_was_missed(sent):
    sent.advance(days=5)
    sent.run_due("silence")
    assert {item["kind"] for item in sent.items()} == {"no acknowledgement", "no claim acknowledgement"}
    sent.decide_file(yes(*numbers(sent)))
    assert sent.items() == []


def test_totals_that_leave_a_claim_out_are_told_at_once_and_the_claim_when_its_time_is_over(sent):
    first = numbers(sent)[:2]
    sent.decide_file(yes(*first, totals=("QTY*90*2", "AMT*YU*300")))
    (item,) = sent.items("lost claims")
    assert (item["kind"], item["money_cents"]) == ("totals differ", 15000)
    assert "1 claim over 150.00" in item["sentence"]
    sent.advance(days=3)
    sent.run_due("silence")
    assert [item["kind"] for item in sent.items()] == ["lost claim"]


def test_a_second_answer_that_brings_the_rest_closes_the_difference(sent):
    known = numbers(sent)
    sent.decide_file(yes(*known[:2], totals=("QTY*90*2", "AMT*YU*300")))
    sent.decide_file(yes(known[2], totals=("QTY*90*1", "AMT*YU*150")))
    assert sent.items() == []


def test_totals_that_agree_to_the_cent_vouch_for_what_is_not_named(sent):
    bad = numbers(sent)[0]
    totals = ("QTY*90*2", "QTY*AA*1", "AMT*YU*300", "AMT*YY*150")
    sent.decide_file(ack_277ca([(bad, ["STC*A7:164:IL*20261111*U*150"], "")], role="AY", totals=totals))
    assert [row["state"] for row in sent.rows(tables.claim)] == ["rejected", "received", "received"]
    assert [item["queue"] for item in sent.items()] == ["rejections"]


@pytest.mark.parametrize("said", [("QTY*90*5",), ("QTY*90*3", "AMT*YU*400"), ("QTY*90*2", "AMT*YU*100")])
def test_totals_that_cannot_be_are_for_a_person(sent, said):
    sent.decide_file(yes(*numbers(sent)[:2], totals=said))
    (item,) = sent.items("lost claims")
    assert item["kind"] == "totals differ"
    assert [row["state"] for row in sent.rows(tables.claim)][2] == "sent"


def test_a_lost_claim_is_sent_again_by_a_person_only(sent):
    sent.decide_file(yes(*numbers(sent)[:2]))
    sent.advance(days=3)
    sent.run_due("silence")
    row = sent.rows(tables.claim)[2]
    assert sent.command("resend_claim", claim_id=row["id"], version=row["version"], reason="they do not have it")["ok"]
    assert sent.items() == []
    assert len(sent.bill_and_batch()) == 1
    assert [row["state"] for row in sent.rows(tables.claim)][2] == "sent"


def test_a_person_may_wait_longer_and_is_reminded_unless_the_answer_came(sent):
    sent.decide_file(yes(*numbers(sent)[:2]))
    sent.advance(days=3)
    sent.run_due("silence")
    (item,) = sent.items("lost claims")
    asked = {"item_id": item["id"], "version": item["version"], "reason": "they are late today"}
    assert not sent.command("wait_longer", **asked, days="0")["ok"]
    assert sent.command("wait_longer", **asked, days="2")["ok"]
    assert sent.items() == []
    sent.advance(days=2.1)
    sent.run_due("missed")
    (item,) = sent.items("lost claims")
    sent.command("wait_longer", item_id=item["id"], version=item["version"], reason="still late", days="2")
    sent.decide_file(yes(numbers(sent)[2]))
    sent.advance(days=2.1)
    sent.run_due("missed")
    assert sent.items() == []


def test_a_claim_that_is_never_decided_is_missed(sent):
    sent.decide_file(yes(*numbers(sent)))
    sent.advance(days=46)
    sent.run_due("silence")
    assert [item["kind"] for item in sent.items("lost claims")] == ["no decision"] * 3


def lost(sent):
    """The item of the one claim of three that no 277CA named in time."""
    sent.decide_file(yes(*numbers(sent)[:2]))
    sent.advance(days=3)
    sent.run_due("silence")
    (item,) = sent.items("lost claims")
    return item


def of_claim(sent, claim_id):
    return [item for item in sent.items("lost claims") if item["claim_id"] == claim_id]


def test_a_claim_with_neither_277ca_nor_835_stands_once_and_its_item_says_both(sent):
    first = lost(sent)
    rests = {"item_id": first["id"], "version": first["version"], "until": "2026-11-30"}
    assert sent.command("snooze_item", **rests)["ok"]
    sent.advance(days=43)
    sent.run_due("silence")
    (item,) = of_claim(sent, first["claim_id"])
    assert (item["id"], item["kind"], item["money_cents"]) == (first["id"], "no decision", 15000)
    assert "in no answer (277CA)" in item["sentence"]
    assert "has not decided this claim in time" in item["sentence"]
    assert item["snoozed_until"] == ""
    assert len(sent.items("lost claims")) == 3
    row = sent.rows(tables.claim)[2]
    assert sent.command("resend_claim", claim_id=row["id"], version=row["version"], reason="they do not have it")["ok"]
    assert of_claim(sent, first["claim_id"]) == []


def test_an_item_that_says_two_things_comes_back_until_the_payer_decides(sent):
    first = lost(sent)
    sent.advance(days=43)
    sent.run_due("silence")
    (item,) = of_claim(sent, first["claim_id"])
    asked = {"item_id": item["id"], "version": item["version"], "reason": "they look for it"}
    assert sent.command("wait_longer", **asked, days="2")["ok"]
    sent.decide_file(yes(numbers(sent)[2]))
    sent.advance(days=2.1)
    sent.run_due("missed")
    assert [each["id"] for each in of_claim(sent, first["claim_id"])] == [first["id"]]


def test_a_wait_that_ends_while_the_claim_is_missed_otherwise_opens_no_second_item(sent):
    first = lost(sent)
    asked = {"item_id": first["id"], "version": first["version"], "reason": "they look for it"}
    assert sent.command("wait_longer", **asked, days="60")["ok"]
    sent.advance(days=43)
    sent.run_due("silence")
    (since,) = of_claim(sent, first["claim_id"])
    assert (since["id"] != first["id"], since["kind"]) == (True, "no decision")
    sent.advance(days=20)
    sent.run_due("missed")
    (item,) = of_claim(sent, first["claim_id"])
    assert item["id"] == since["id"]
    assert "in no answer (277CA)" in item["sentence"]


def test_a_lost_claim_that_its_payer_does_not_find_stands_once_and_comes_back_after_a_wait(sent):
    first = lost(sent)
    not_found = ack_277ca([(numbers(sent)[2], ["STC*A4:35*20261113*WQ*150"], "")])
    sent.decide_file(not_found)
    sent.decide_file(not_found)
    (item,) = of_claim(sent, first["claim_id"])
    assert (item["id"], item["kind"]) == (first["id"], "claim not found")
    assert item["sentence"].count("Compare the payer and the member id.") == 1
    asked = {"item_id": item["id"], "version": item["version"], "reason": "they look for it"}
    assert sent.command("wait_longer", **asked, days="2")["ok"]
    sent.advance(days=2.1)
    sent.run_due("missed")
    assert [each["id"] for each in of_claim(sent, first["claim_id"])] == [first["id"]]


def test_a_batch_that_is_missed_twice_goes_again_once(sent):
    sent.advance(days=5)
    sent.run_due("silence")
    first, second = sent.items("lost claims")
    waits = {"item_id": second["id"], "version": second["version"], "reason": "they look for it"}
    again = {"item_id": first["id"], "version": first["version"], "reason": "they do not have it"}
    assert sent.command("wait_longer", **waits, days="2")["ok"]
    assert sent.command("resend_batch", **again)["claims"] == 3
    assert sent.items() == []
    assert len(sent.bill_and_batch()) == 1
    sent.advance(days=2.1)
    sent.run_due("missed")
    assert sent.items() == []  # the claims are on their way in a batch of its own time


def test_nobody_sends_again_what_went_in_a_later_batch(sent):
    sent.advance(days=5)
    sent.run_due("silence")
    for item in sent.items("lost claims"):
        sent.command("resend_batch", item_id=item["id"], version=item["version"], reason="they do not have it")
        sent.bill_and_batch()
    assert len(sent.rows(tables.batch)) == 2
    assert sent.items() == []


def test_a_batch_that_was_acknowledged_meanwhile_is_not_missed_again(sent):
    sent.advance(hours=25)
    sent.run_due("silence")
    (item,) = sent.items("lost claims")
    sent.command("wait_longer", item_id=item["id"], version=item["version"], reason="they are late", days="2")
    sent.decide_file(ack_999("A"))
    sent.advance(days=2.1)
    sent.run_due("missed")
    assert sent.items() == []


# ---------------------------------------------------------------- calendars


def when(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


def shown(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, ZONE).strftime("%a %d %H:%M")


def deciding(world):
    """What calendars need of a decision."""
    return type("Deciding", (), {"clock": world.clock})()


@pytest.mark.parametrize(
    ("start", "days", "late"),
    [
        ("2026-11-10T09:00", 1, "Wed 11 09:00"),
        ("2026-11-13T17:00", 1, "Mon 16 17:00"),
        ("2026-11-14T09:00", 1, "Mon 16 23:59"),
        ("2026-11-25T09:00", 1, "Fri 27 09:00"),
        ("2026-11-25T09:00", 2, "Mon 30 09:00"),
    ],
)
def test_answers_are_late_by_the_partners_business_days(world, start, days, late):
    partner = world.config.partners["clearway"].model_copy(update={"closed_on": (date(2026, 11, 26),)})
    assert shown(calendars.answer_due(deciding(world), partner, when(start), days)) == late


@pytest.mark.parametrize(
    ("now", "fields", "then"),
    [
        ("2026-11-10T09:00", {}, "Tue 10 09:15"),
        ("2026-11-13T23:50", {"every_day": False}, "Mon 16 00:00"),
        ("2026-11-10T09:00", {"cut_offs": ("17:00", "11:00")}, "Tue 10 10:45"),
        ("2026-11-10T10:45", {"cut_offs": ("11:00", "17:00")}, "Tue 10 16:45"),
        ("2026-11-13T17:00", {"cut_offs": ("11:00",), "every_day": False}, "Mon 16 10:45"),
        ("2026-11-13T17:00", {"cut_offs": ("11:00",)}, "Sat 14 10:45"),
    ],
)
def test_batches_are_made_in_time_for_cut_offs_and_on_open_days(world, now, fields, then):
    partner = world.config.partners["clearway"].model_copy(update=fields)
    assert shown(calendars.next_batch(deciding(world), partner, when(now))) == then


def test_a_batch_of_more_bytes_or_claims_than_the_partner_takes_is_parted_and_the_rest_follows_at_once(world):
    for number in range(6):
        world.decide_values([world.visit(f"A{number}"), world.charge(f"T{number}", f"A{number}", code=f"9920{number}")])
    partner = world.config.partners["clearway"]
    partners = {**world.config.partners, "clearway": partner.model_copy(update={"max_bytes": 2_500, "max_claims": 4})}
    world.config = replace(world.config, partners=partners)
    made = world.bill_and_batch()
    for _ in range(3):
        world.advance(hours=0.001)
        world.run_due("batch")
    made += [emit for emit in world.emitted if emit.kind == "837P" and emit not in made]
    assert sum(row["claims"] for row in world.rows(tables.batch)) == 6
    assert len(made) > 1
    assert all(len(emit.body) <= 2_500 for emit in made)
    assert {row["state"] for row in world.rows(tables.claim)} == {"sent", "batched"}


def test_a_person_may_have_a_batch_made_now(world):
    world.decide_values([world.visit(), world.charge()])
    world.start()
    world.run_due("batch")
    world.advance(days=1.1)
    world.run_due("bill")
    world.config = replace(
        world.config,
        partners={
            name: partner.model_copy(update={"batch_every": timedelta(days=30).total_seconds()})
            for name, partner in world.config.partners.items()
        },
    )
    assert not world.command("batch_now", partner="nobody")["ok"]
    assert world.command("batch_now", partner="clearway")["ok"]
    world.run_due("batch")
    assert [row["state"] for row in world.rows(tables.claim)] == ["batched"]
