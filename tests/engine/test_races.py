"""Order and uniqueness where two things happen at once: what memory believes, the store confirms."""

from __future__ import annotations

import json
from typing import Any

import pytest_twisted
from sqlalchemy import Engine, update
from twisted.internet.defer import Deferred

from hub.engine.contracts import DELIVERED, Failure, Outcome, Parcel
from hub.engine.deliveries import Deliveries
from hub.store.tables import delivery
from tests.engine.node import Held, MakeNode, Node, destination, pause, raw


def deliveries_of(node: Node) -> Deliveries:
    return node.engine._channels["visits"].deliveries["peer"]


@pytest_twisted.inlineCallbacks
def test_a_delivery_that_is_being_written_is_not_overtaken_by_a_later_one_of_its_lane(
    make_node: MakeNode, store: Engine
) -> Any:
    """The lane falls idle between the two: the later one could be sent with its own intent."""
    node = make_node(store, destinations=[destination(order="strict")])
    yield node.start()
    sending = deliveries_of(node)
    yield node.until(lambda: not (sending._behind or sending._loading))
    assert sending.reserve(b"strict")
    assert not sending.reserve(b"strict"), "the lane is taken"
    sending._lanes.release((b"strict",))
    sending._reserved -= 1
    assert not sending.reserve(b"strict"), "an earlier one is still being written"
    sending._expected.clear()
    assert sending.reserve(b"strict")
    sending._lanes.release((b"strict",))
    sending._reserved -= 1


@pytest_twisted.inlineCallbacks
def test_what_the_store_says_is_not_to_be_sent_is_not_sent(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    yield node.start()
    yield node.ask("pause", channel="visits", reason="to change it")
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.until(lambda: node.states() == ["queued", "queued"])
    with both_stores.begin() as connection:
        connection.execute(update(delivery).where(delivery.c.id == node.deliveries()[0].id).values(state="closed"))
    yield node.ask("resume", channel="visits")
    yield node.until(lambda: node.states() == ["closed", "delivered"])

    assert node.peer.ids == ["m2"]


@pytest_twisted.inlineCallbacks
def test_a_page_that_was_read_before_a_delivery_ended_does_not_bring_it_back(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    held = node.peer.answer = Held()
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: "m1" in held.waiting)
    sending = deliveries_of(node)
    read = sending._read_page(0)
    assert read == [], "what is being sent is on no page"
    yield node.ask("pause", channel="visits", reason="to wait")
    yield node.receive(raw("m2", "a"))
    yield node.until(lambda: len(node.deliveries()) == 2)
    stale = sending._read_page(0)
    yield node.ask("resume", channel="visits")
    held.give("m1")
    yield node.until(lambda: "m2" in held.waiting)
    sending._loading = True
    held.give("m2")
    yield node.settled_but_for_loading()
    sending._take_page(stale)
    yield pause(0.1)

    assert node.peer.ids == ["m1", "m2"]
    assert sending._ended_while_loading == set()


@pytest_twisted.inlineCallbacks
def test_stopping_waits_for_a_reserved_delivery_that_is_being_written(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    sending = deliveries_of(node)
    yield node.until(lambda: not (sending._behind or sending._loading))
    assert sending.reserve(b"a")
    stopped: Deferred[None] = sending.stop()
    assert not stopped.called

    sending._reserved -= 1
    sending._tell_idle()
    assert stopped.called


@pytest_twisted.inlineCallbacks
def test_a_wait_ends_by_itself_though_nothing_else_happens(make_node: MakeNode, store: Engine) -> Any:
    """An endpoint that was down is tried again by the clock alone, whichever delivery's turn it is."""
    node = make_node(store, destinations=[destination(order="any", concurrency=4, backoff_seconds=(0.02, 0.1))])
    down = {"m0": 2, "m1": 3, "m2": 1}

    def answer(parcel: Parcel) -> Outcome:
        name = json.loads(parcel.body)["id"]
        if down.get(name):
            down[name] -= 1
            return Outcome(Failure.TRANSIENT, "Nobody listens.")
        return DELIVERED

    node.peer.answer = answer
    yield node.start()
    for name in ("m0", "m1", "m2", "m3"):
        yield node.receive(raw(name))
    yield node.settled()
    assert set(node.states()) == {"delivered"}
