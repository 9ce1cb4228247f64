"""Claims wait for the signature of their visit (edit CL-27) where the EHR tells of signatures."""

from __future__ import annotations

import pytest

from hub.billing.values import Document
from hub.store import tables


def note(state, document="N1", as_of=""):
    return Document(document=document, account="A1", mrn="M1", authority="ALDER", state=state, as_of=as_of)


def billed(world, *said, **visit):
    world.decide_values([world.visit(**visit), world.charge(), *said])
    world.advance(days=1.1)
    world.run_due("bill")
    return world.one(tables.claim)


def test_a_visit_of_which_nothing_is_said_waits_for_no_signature(world):
    assert billed(world)["state"] == "ready"


def test_a_claim_whose_visit_has_an_unsigned_note_waits_and_goes_by_itself_when_it_is_signed(world):
    assert billed(world, note("unsigned"))["state"] == "needs fix"
    (item,) = world.items("claim edits")
    assert item["rule"] == "CL-27"
    world.decide_values([note("signed")])
    assert world.one(tables.claim)["state"] == "ready"
    assert world.items() == []
    world.check_ledger()


def test_every_note_of_a_visit_must_be_signed_and_a_withdrawn_one_counts_no_more(world):
    assert billed(world, note("signed"), note("unsigned", document="N2"))["state"] == "needs fix"
    world.decide_values([note("withdrawn", document="N2")])
    assert world.one(tables.claim)["state"] == "ready"


def test_a_claim_that_was_not_sent_is_stopped_when_a_note_is_opened_again(world):
    assert billed(world, note("signed"))["state"] == "ready"
    world.decide_values([note("unsigned")])
    assert world.one(tables.claim)["state"] == "needs fix"


def test_an_older_word_of_a_note_changes_nothing(world):
    billed(world, note("signed", as_of="2026-11-10T10:00:00-06:00"))
    world.decide_values([note("unsigned", as_of="2026-11-10T09:59:00-06:00")])
    assert world.one(tables.claim)["state"] == "ready"
    assert world.counts["stale updates"] == 1


def test_a_note_may_come_before_its_visit_and_outlives_the_visits_updates(world):
    world.decide_values([note("unsigned")])
    assert billed(world)["state"] == "needs fix"
    world.decide_values([world.visit(attending_npi="1999000221")])
    assert world.one(tables.claim)["state"] == "needs fix"


@pytest.mark.parametrize(("signed", "state"), [(True, "ready"), (False, "needs fix")])
def test_a_visit_may_say_itself_whether_it_is_signed(world, signed, state):
    assert billed(world, signed=signed)["state"] == state
    world.decide_values([world.visit(signed=True)])
    assert world.one(tables.claim)["state"] == "ready"


def test_where_every_visit_is_to_be_signed_one_that_nothing_was_said_of_waits(world):
    policy = world.config.policy.model_copy(update={"needs_signature": True})
    object.__setattr__(world.config, "policy", policy)
    assert billed(world)["state"] == "needs fix"
    world.decide_values([note("signed")])
    assert world.one(tables.claim)["state"] == "ready"


def test_what_a_person_approved_stays_approved_when_a_note_is_signed(world):
    policy = world.config.policy.model_copy(update={"approval": "person"})
    object.__setattr__(world.config, "policy", policy)
    claim = billed(world, note("signed"))
    world.command("approve_claim", claim_id=claim["id"], version=claim["version"])
    world.decide_values([note("signed", document="N2")])
    assert world.one(tables.claim)["state"] == "ready"
