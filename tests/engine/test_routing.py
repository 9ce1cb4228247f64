"""From channel to channel: what one hands on, or what its receivers answer, is a message of another, once."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from sqlalchemy import Engine, select

from hub.engine.contracts import Outcome
from hub.engine.plan import ChannelPlan
from hub.store.tables import attempt, delivery, message
from tests.engine.node import CHANNEL, MakeNode, describe, destination, raw, to


def second(**more: Any) -> ChannelPlan:
    """Another channel, whose messages go to an archive."""
    return ChannelPlan("second", "Second", describe, (), {"archive": destination("archive")}, **more)


@pytest_twisted.inlineCallbacks
def test_what_a_channel_hands_on_is_a_linked_message_of_the_other_one(make_node: MakeNode, both_stores: Engine) -> Any:
    onward = destination("onward", ambiguous="retry", answers_to="second", hands_on=True)
    node = make_node(both_stores, destinations=[onward], channels=[second()])
    node.peers["onward"].answer = lambda parcel: Outcome(None, answer=parcel.body)
    node.workers.mapping = lambda one, body: (
        to("archive", body) if one["control_id"] != "m1" else to("onward", raw("a", "x"), raw("b", "x"), raw("b", "x"))
    )
    yield node.start()
    node.workers.gate = None
    first = (yield node.receive(raw("m1", "x"))).message_id
    yield node.settled()

    rows = node.rows(select(message).where(message.c.channel == "second").order_by(message.c.sequence))
    assert [(row.control_id, row.relation, row.parent_id) for row in rows] == [
        ("a", "caused", first),
        ("b", "caused", first),
        ("b", "caused", first),  # two equal outputs are two: neither is taken for a repeat of the other
    ]
    assert {row.source for row in rows} == {f"{CHANNEL}.onward"}
    assert node.peers["archive"].ids == ["a", "b", "b"]
    answers = select(attempt.c.answer_id).join(delivery, delivery.c.id == attempt.c.delivery_id)
    assert {row.answer_id for row in node.rows(answers.where(delivery.c.destination == "onward"))} == {None}


@pytest_twisted.inlineCallbacks
def test_what_a_receiver_answers_is_a_message_of_the_channel_that_answers_go_to(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(answers_to="second")], channels=[second()])
    node.peer.answer = lambda parcel: Outcome(None, answer=raw("same answer", "x"))
    node.workers.mapping = lambda one, body: to("archive" if one["control_id"] == "same answer" else "peer", body)
    yield node.start()
    for number in range(2):
        yield node.receive(raw(f"m{number}"))
    yield node.settled()

    assert node.peers["archive"].ids == ["same answer"] * 2
    assert len(node.rows(select(attempt).where(attempt.c.answer_id.is_not(None)))) == 2


@pytest_twisted.inlineCallbacks
def test_kinds_that_the_other_channel_does_not_take_are_kept_and_counted_as_filtered(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(
        store, destinations=[destination(answers_to="second")], channels=[second(accepts=frozenset({"ADT"}))]
    )
    node.peer.answer = lambda parcel: Outcome(None, answer=raw("answer", kind="ACK"))
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.settled()

    (row,) = node.rows(select(message).where(message.c.channel == "second"))
    assert (row.onward, row.reason) == ("filtered", "The channel does not take ACK.")


@pytest_twisted.inlineCallbacks
def test_what_was_being_handed_on_in_a_crash_arrives_once(make_node: MakeNode, store: Engine) -> Any:
    onward = destination("onward", ambiguous="retry", answers_to="second", hands_on=True)
    node = make_node(store, destinations=[onward], channels=[second()])
    node.workers.mapping = lambda one, body: to("onward", body)
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.settled()  # delivered, with no answer: as a crash before the record leaves it, but for the state
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(delivery.update().values(state="sending", intent=True))
    yield node.stop()

    again = make_node(store, destinations=[onward], channels=[second()])
    again.peers["onward"].answer = lambda parcel: Outcome(None, answer=parcel.body)
    again.workers.mapping = lambda one, body: to("archive", body)
    yield again.start()
    yield again.until(lambda: again.peers["archive"].ids == ["m1"])
    yield again.settled()
    assert again.peers["archive"].ids == ["m1"]
