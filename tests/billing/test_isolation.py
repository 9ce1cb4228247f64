"""A 999 that sends a whole batch back names its bad claims; the good ones go again, under new numbers."""

from __future__ import annotations

import pytest

from hub.billing.isolation import claims_at
from hub.formats.x12.envelope import read_interchanges
from hub.store import tables
from tests.billing.test_acknowledgements import ack_277ca, ack_999, interchange


def send_three(world):
    """Three claims in one batch; returns their numbers as they stand in it, and the transaction's segments."""
    for number in range(3):
        patient = world.patient(f"M{number}")
        coverage = world.coverage(member_id=f"W10000000{number}")
        visit = world.visit(f"A{number}", patient=patient, coverages=(coverage,))
        world.decide_values([visit, world.charge(f"T{number}", f"A{number}", mrn=f"M{number}")])
    (batch,) = world.bill_and_batch()
    (sent,) = read_interchanges(batch.body)
    (transaction,) = sent.transactions
    numbers = [segment[1] for segment in transaction.segments if segment.id == "CLM"]
    return numbers, transaction.segments


def position(segments, identifier, occurrence):
    """The place of the *occurrence*-th segment of that name, counted from ST as 1."""
    places = [place for place, segment in enumerate(segments, start=1) if segment.id == identifier]
    return places[occurrence]


def states(world):
    return {row["control_number"]: row["state"] for row in world.rows(tables.claim)}


def refusal(segments, numbers, how):
    if how == "named":
        return ["IK3*CLM*25*2300*8", f"CTX*CLM01:{numbers[1]}", "IK4*5:1*1331*7"]
    if how == "by its place":
        return [f"IK3*SV1*{position(segments, 'SV1', 1)}*2400*8", "IK4*2*782*6"]
    return [f"IK3*NM1*{position(segments, 'SBR', 1) + 1}*2010BA*8", "IK4*9*67*6"]


@pytest.mark.parametrize("how", ["named", "by its place", "before its CLM"])
def test_the_bad_claim_is_named_and_the_good_ones_go_again_under_new_numbers(world, how):
    numbers, segments = send_three(world)
    good = {numbers[0], numbers[2]}
    world.decide_file(ack_999("R", *refusal(segments, numbers, how)))
    assert states(world) == {numbers[1]: "rejected", **dict.fromkeys(good, "ready")}
    (item,) = world.items("rejections")
    assert item["claim_id"] == world.one(tables.claim, control_number=numbers[1])["id"]
    assert "other 2 claims" in item["sentence"]

    (again,) = world.bill_and_batch()
    (sent,) = read_interchanges(again.body)
    assert {segment[1] for segment in sent.transactions[0].segments if segment.id == "CLM"} == good
    assert (sent.isa.control_number, again.name) == ("000000002", "B000000002")
    world.decide_file(ack_999("A", group=2))
    assert states(world) == {numbers[1]: "rejected", **dict.fromkeys(good, "accepted 999")}


def test_the_same_refusal_a_second_time_moves_nothing(world):
    numbers, segments = send_three(world)
    refused = ack_999("R", *refusal(segments, numbers, "named"))
    world.decide_file(refused)
    world.decide_file(refused)
    assert sorted(states(world).values()) == ["ready", "ready", "rejected"]
    assert len(world.items()) == 1


def test_a_refusal_that_is_repeated_after_its_claims_went_again_asks_for_nothing(world):
    numbers, segments = send_three(world)
    refused = ack_999("R", *refusal(segments, numbers, "named"))
    world.decide_file(refused)
    row = world.one(tables.claim, control_number=numbers[1])
    world.command("resend_claim", claim_id=row["id"], version=row["version"], reason="their converter was broken")
    world.bill_and_batch()
    world.decide_file(refused)
    assert set(states(world).values()) == {"sent"}
    assert world.items() == []


def test_claims_that_another_answer_took_up_never_go_again_by_themselves(world):
    numbers, segments = send_three(world)
    world.decide_file(ack_277ca([(numbers[0], ["STC*A2:20*20261111*WQ*150"], "ICN1")]))
    world.decide_file(ack_999("R", *refusal(segments, numbers, "named")))
    assert world.bill_and_batch() == []
    assert [item["kind"] for item in world.items("rejections")] == ["batch refused"]


def test_a_997_blames_by_place_too(world):
    numbers, segments = send_three(world)
    world.decide_file(ack_999("R", f"AK3*CLM*{position(segments, 'CLM', 2)}**8", "AK4*2*782*6", kind="997"))
    assert states(world)[numbers[2]] == "rejected"


@pytest.mark.parametrize("errors", [(), ("IK3*NM1*4*1000A*8", "IK4*9*67*1"), ("IK3*PRV*8*2000A*8", "IK4*3*127*7")])
def test_where_no_claim_is_to_blame_nothing_goes_again_before_a_person_says_so(world, errors):
    send_three(world)
    world.decide_file(ack_999("R", *errors))
    assert set(states(world).values()) == {"rejected"}
    (item,) = world.items("rejections")
    assert world.bill_and_batch() == []
    asked = {"item_id": item["id"], "version": item["version"]}
    assert not world.command("resend_batch", **asked)["ok"]
    assert world.command("resend_batch", **asked, reason="the submitter id is corrected")["claims"] == 3
    assert not world.command("resend_batch", **asked, reason="again")["ok"]
    assert len(world.bill_and_batch()) == 1
    assert set(states(world).values()) == {"sent"}
    assert [row["interchange_number"] for row in world.rows(tables.batch)] == [1, 2]
    assert world.items() == []
    world.check_ledger()


def test_a_group_refused_as_a_whole_is_refused_even_where_its_transaction_is_not_named(world):
    send_three(world)
    body = ["AK1*HC*1*005010X222A1", "AK9*R*1*1*0*1"]
    world.decide_file(interchange(body, "999", "005010X231A1"))
    assert set(states(world).values()) == {"rejected"}


def test_an_answer_that_takes_a_part_and_does_not_say_which_is_for_a_person(world):
    send_three(world)
    world.decide_file(interchange(["AK1*HC*1*005010X222A1", "AK9*P*1*1*0"], "999", "005010X231A1"))
    assert set(states(world).values()) == {"sent"}
    (item,) = world.items("anomalies")
    assert item["kind"] == "unclear acknowledgement"


def test_a_place_outside_of_every_claim_is_nobodys(world):
    numbers, segments = send_three(world)
    assert claims_at(segments, 0) == claims_at(segments, len(segments) + 1) == claims_at(segments, 1) == ()
    assert claims_at(segments, position(segments, "HL", 0)) == ()
    assert claims_at(segments, position(segments, "HL", 1)) == (numbers[0],)
    assert claims_at(segments, len(segments) - 1) == (numbers[2],)


def test_what_is_wrong_with_a_subscriber_concerns_each_of_their_claims(world):
    for number in range(2):
        world.decide_values([world.visit(f"A{number}"), world.charge(f"T{number}", f"A{number}", code=f"9920{number}")])
    (batch,) = world.bill_and_batch()
    segments = next(iter(read_interchanges(batch.body))).transactions[0].segments
    both = tuple(segment[1] for segment in segments if segment.id == "CLM")
    assert claims_at(segments, position(segments, "NM1", 3)) == both


def test_a_rejected_claim_goes_again_as_it_is_and_a_sent_one_does_not(world):
    numbers, segments = send_three(world)
    row = world.one(tables.claim, control_number=numbers[0])
    asked = {"claim_id": row["id"], "version": row["version"], "reason": "please"}
    assert not world.command("resend_claim", **asked)["ok"]
    world.decide_file(ack_999("R", *refusal(segments, numbers, "named")))
    row = world.one(tables.claim, control_number=numbers[1])
    asked = {"claim_id": row["id"], "version": row["version"], "reason": "their converter was broken"}
    assert world.command("resend_claim", **asked)["state"] == "ready"
    assert world.items() == []
    assert not world.command("resend_claim", **asked)["ok"]
