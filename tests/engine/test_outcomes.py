"""Outcomes: one rule for what a message comes to, and counters that always say the same as the rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, func, insert, select, update
from sqlalchemy.pool import StaticPool

from hub.engine.outcomes import OUTCOMES, outcome_of, settle
from hub.store.counters import Counts, add_counts
from hub.store.tables import counter, delivery, message, metadata, rate

DAY = "2026-11-09"
OPEN = ["queued", "sending"]
ENDED = {"delivered": "done", "closed": "done", "shadow": "done", "ambiguous": "held", "refused": "errored"}
STEPS = st.sampled_from(["", *OUTCOMES])
STATES = st.lists(st.sampled_from([*OPEN, *ENDED]), max_size=6)


@given(steps=STEPS, states=STATES)
def test_a_message_is_in_progress_while_any_of_it_is_open_and_then_the_first_outcome_that_applies(
    steps: str, states: list[str]
) -> None:
    outcome = outcome_of(steps, states)

    if not steps or set(states) & set(OPEN):
        assert outcome == "in progress"
        return
    present = {steps} | {ENDED[state] for state in states}
    assert outcome in present
    precedence = ["held", "errored", "rejected", "done", "filtered"]
    assert not present & set(precedence[: precedence.index(outcome)])


@pytest.mark.parametrize(
    ("steps", "states", "outcome"),
    [
        ("", [], "in progress"),
        ("done", ["delivered", "sending"], "in progress"),
        ("held", ["refused"], "held"),
        ("done", ["delivered", "ambiguous", "refused"], "held"),
        ("done", ["closed", "refused"], "errored"),
        ("filtered", ["shadow"], "done"),
        ("filtered", [], "filtered"),
    ],
)
def test_for_example(steps: str, states: list[str], outcome: str) -> None:
    assert outcome_of(steps, states) == outcome


def memory_store() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine, tables=[message, delivery, counter, rate])
    return engine


def receive(connection: Connection, sequence: int) -> None:
    row = {
        "sequence": sequence,
        "id": sequence,
        "organisation": "clinic",
        "channel": "visits",
        "kind": "ADT",
        "received_at": 1,
        "received_on": DAY,
        "size": 1,
        "lane_digest": b"",
        "onward": "in progress",
        "answer": "not owed",
        "raw_id": sequence,
    }
    connection.execute(insert(message), row)
    add_counts(connection, Counts({("visits", DAY, "received"): 1, ("visits", DAY, "in progress"): 1}))


def deliver(connection: Connection, sequence: int, number: int) -> None:
    row: dict[str, Any] = {
        "sequence": number,
        "id": number,
        "organisation": "clinic",
        "message_sequence": sequence,
        "message_id": sequence,
        "channel": "visits",
        "destination": "peer",
        "kind": "OUT",
        "lane_digest": b"",
        "state": "queued",
        "created_at": 1,
        "body_id": number,
    }
    connection.execute(insert(delivery), row)


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.just(0), st.just("")),
        st.tuples(st.just("steps"), st.integers(0, 5), st.sampled_from(OUTCOMES)),
        st.tuples(st.just("deliver"), st.integers(0, 5), st.just("")),
        st.tuples(st.just("state"), st.integers(0, 9), st.sampled_from([*OPEN, *ENDED])),
        st.tuples(st.just("settle all"), st.just(0), st.just("")),
    ),
    max_size=40,
)


@given(history=HISTORY)
def test_counters_equal_a_count_of_the_rows_whatever_happened(history: list[tuple[str, int, str]]) -> None:
    store = memory_store()
    messages = deliveries = 0
    owner: dict[int, int] = {}
    with store.begin() as connection:
        for action, which, word in history:
            touched: list[int] = []
            if action == "receive":
                messages += 1
                receive(connection, messages)
            elif action == "settle all":
                touched = list(range(1, messages + 1))
            elif action == "steps" and messages:
                touched = [which % messages + 1]
                connection.execute(
                    update(message).where(message.c.sequence == touched[0]).values(steps_outcome=word, mapped=True)
                )
            elif action == "deliver" and messages:
                deliveries += 1
                owner[deliveries] = which % messages + 1
                touched = [owner[deliveries]]
                deliver(connection, touched[0], deliveries)
            elif action == "state" and deliveries:
                number = which % deliveries + 1
                touched = [owner[number]]
                connection.execute(update(delivery).where(delivery.c.sequence == number).values(state=word))
            settle(connection, touched)

            rows = connection.execute(select(message.c.onward, func.count()).group_by(message.c.onward)).all()
            counted = {row[0]: row[1] for row in rows}
            kept = {row.name: row.value for row in connection.execute(select(counter))}
            assert {name: value for name, value in kept.items() if value and name != "received"} == counted
            assert kept.get("received", 0) == messages
            assert min(kept.values(), default=0) >= 0

        finished = connection.execute(select(message.c.onward, message.c.finished_at)).all()
        assert all((row.finished_at is None) == (row.onward == "in progress") for row in finished)
    store.dispose()


def test_what_became_done_this_minute_is_its_rate() -> None:
    store = memory_store()
    with store.begin() as connection:
        for sequence in (1, 2, 3):
            receive(connection, sequence)
        connection.execute(update(message).where(message.c.sequence < 3).values(steps_outcome="done"))
        settle(connection, [1, 2, 3])
        settle(connection, [1, 2, 3])

        sums = Counter[str]()
        for row in connection.execute(select(rate)):
            sums["done"] += row.done
        assert sums == {"done": 2}
    store.dispose()
