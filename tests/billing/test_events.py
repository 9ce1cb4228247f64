"""A claim is what its events add up to, in whatever order answers come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.billing.events import ADJUDICATED, SENT, UNSENT, next_state, rebuilt
from hub.store import tables

STATES = ("", *UNSENT, "batched", *SENT, "rejected", *ADJUDICATED, "reversed", "closed", "void")
CREATED = [("created", {}), ("edit_result", {"errors": 0, "approval": "automatic"}), ("batched", {})]

acknowledgements = st.one_of(
    st.just(("delivered", {})),
    st.builds(lambda yes: ("ta1", {"accepted": yes}), st.booleans()),
    st.builds(lambda yes: ("ack999", {"accepted": yes}), st.booleans()),
    st.builds(
        lambda kind, level, category: (kind, {"level": level, "category": category}),
        st.sampled_from(["claim_ack", "status277"]),
        st.sampled_from(["clearinghouse", "payer"]),
        st.sampled_from(["A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "P1", "R4", "F1", "E1", "D0", ""]),
    ),
)
anything = st.one_of(
    acknowledgements,
    st.builds(
        lambda kind, outcome: (kind, {"outcome": outcome, "errors": 0, "approval": "person"}),
        st.sampled_from(
            [
                *("created", "edit_result", "approved", "hold", "batched", "undelivered", "remit", "reversal"),
                *("correction", "closed", "void_request", "note", "unheard-of"),
            ]
        ),
        st.sampled_from(ADJUDICATED),
    ),
)


@given(st.lists(acknowledgements, max_size=8), st.randoms())
def test_acknowledgements_in_any_order_leave_a_claim_in_the_same_state(answers, random):
    shuffled = list(answers)
    random.shuffle(shuffled)
    assert rebuilt(CREATED + answers) == rebuilt(CREATED + shuffled)


@given(st.lists(acknowledgements, max_size=8), acknowledgements)
def test_an_acknowledgement_never_moves_a_claim_back(answers, late):
    ranks = ("batched", *SENT, "rejected")
    before, after = rebuilt(CREATED + answers), rebuilt([*CREATED, *answers, late])
    assert ranks.index(after) >= ranks.index(before)


@given(st.lists(anything, max_size=12), st.sampled_from(STATES))
def test_every_event_has_an_answer_in_every_state_and_only_money_moves_a_claim_by_an_anomaly(events, state):
    for kind, facts in events:
        after, anomaly = next_state(state, kind, facts)
        assert after in STATES
        if anomaly and kind not in {"remit", "correction"}:
            assert after == state
        state = after


@pytest.mark.parametrize("state", [*UNSENT, "batched", "rejected"])
def test_a_payment_for_a_claim_that_was_never_sent_is_an_anomaly_and_counts_all_the_same(state):
    assert next_state(state, "remit", {"outcome": "paid"}) == ("paid", True)


def test_a_claims_state_can_be_rebuilt_from_the_events_in_the_store(world):
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    claim = world.one(tables.claim)
    events = world.rows(tables.claim_event, claim_id=claim["id"])
    assert [event["kind"] for event in events] == ["created", "edit_result", "batched", "delivered"]
    assert rebuilt((event["kind"], json.loads(event["detail"])) for event in events) == claim["state"] == "sent"


def test_a_sent_claim_is_told_to_the_ehr_in_the_ehrs_own_terms(world):
    world.decide_values([world.visit(), world.charge()])
    world.bill_and_batch()
    (told,) = [emit for emit in world.emitted if emit.kind == "claim status"]
    said = json.loads(told.body)
    assert {name: said[name] for name in ("account", "visit_number", "mrn", "origin", "state", "total")} == {
        "account": "A1",
        "visit_number": "V-A1",
        "mrn": "M1",
        "origin": "ehr_visits",
        "state": "sent",
        "total": "150.00",
    }
