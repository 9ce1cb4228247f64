"""Deliveries: intent before the first byte, order per lane, and each kind of failure treated as what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, event, select, update
from twisted.internet.defer import Deferred, DeferredList

from hub.core.errors import HubError
from hub.engine import deliveries, journal
from hub.engine.contracts import DELIVERED, Failure, Outcome, Parcel
from hub.engine.plan import ChannelPlan
from hub.store.tables import attempt, delivery, message
from tests.engine.node import CHANNEL, Held, MakeNode, describe, destination, in_turn, pause, raw, to

REFUSED_CONNECTION = Outcome(Failure.TRANSIENT, "Nobody listens.")
BUSY = Outcome(Failure.TRANSIENT, "The receiver is busy.", answer=b"busy")
LOST = Outcome(Failure.AMBIGUOUS, "The connection was lost after the message.")
REJECTED = Outcome(Failure.PERMANENT, "The receiver refused it.", answer=b"AE")


def answers(by_id: dict[str, list[Outcome]]) -> Callable[[Parcel], Outcome]:
    """Answers per message, in turn; what is not named is delivered."""

    def answer(parcel: Parcel) -> Outcome:
        waiting = by_id.get(json.loads(parcel.body)["id"])
        return waiting.pop(0) if waiting else DELIVERED

    return answer


# ---------------------------------------------------------------- the good way


@pytest_twisted.inlineCallbacks
def test_what_is_about_to_be_sent_is_on_disk_before_the_destination_sees_it(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    seen: list[tuple[str, bool, list[tuple[int, str]]]] = []

    def look(parcel: Parcel) -> Outcome:
        (row,) = [row for row in node.deliveries() if row.id == parcel.delivery_id]
        rows = node.rows(select(attempt).where(attempt.c.delivery_id == parcel.delivery_id))
        seen.append((row.state, row.intent, [(one.number, one.outcome) for one in rows]))
        return DELIVERED

    node.peer.answer = look
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.settled()

    assert seen == [("sending", True, [(1, "sending")])] * 2
    assert node.states() == ["delivered", "delivered"]
    assert node.outcomes() == {"m1": "done", "m2": "done"}
    assert node.counts() == {"received": 2, "done": 2}


@pytest_twisted.inlineCallbacks
def test_one_lane_goes_in_order_and_never_two_at_a_time(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(concurrency=8)])
    yield node.start()
    yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for number in range(20) for lane in "abc"])
    yield node.settled()

    for lane in "abc":
        assert [one for one in node.peer.ids if one[0] == lane] == [f"{lane}{number}" for number in range(20)]
    assert node.peer.most_open <= 3


@pytest_twisted.inlineCallbacks
def test_no_more_go_at_a_time_than_the_destination_allows(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(order="any", concurrency=3)])
    node.peer.answer = held = Held()
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}")) for number in range(40)])
    yield node.until(lambda: len(held.waiting) == 3, "three under way")
    node.peer.answer = in_turn(*[BUSY] * 10)
    for control_id in list(held.waiting):
        held.give(control_id)
    yield node.settled()

    assert set(node.states()) == {"delivered"}
    assert node.peer.most_open == 3


@pytest_twisted.inlineCallbacks
def test_a_strict_destination_gets_everything_one_by_one_in_the_order_of_its_queue(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(order="strict")])
    yield node.start()
    for _ in range(6):
        yield DeferredList([node.receive(raw(f"m{number}-{_}", f"lane {number}")) for number in range(25)])
    yield node.settled()

    queue = [row.id for row in node.deliveries()]
    assert [parcel.delivery_id for parcel in node.peer.parcels] == queue
    assert node.peer.most_open == 1


@pytest_twisted.inlineCallbacks
def test_the_answer_of_a_fetch_becomes_a_message_that_is_linked_to_its_cause(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination("fetch", order="any", answers_to=CHANNEL), destination()])
    node.workers.mapping = lambda one, body: to("fetch" if one["kind"] == "NOTE" else "peer", body)
    node.peers["fetch"].answer = lambda _parcel: Outcome(None, answer=raw("whole", "a"))
    yield node.start()
    note = yield node.receive(raw("note", kind="NOTE"))
    yield node.until(lambda: node.outcomes() == {"note": "done", "whole": "done"})

    whole = node.messages()["whole"]
    assert (whole.parent_id, whole.relation) == (note.message_id, "fetched")
    assert node.peer.ids == ["whole"]


@pytest_twisted.inlineCallbacks
def test_an_answer_that_cannot_be_read_is_kept_as_a_rejected_message(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(answers_to=CHANNEL)])
    node.peer.answer = lambda _parcel: Outcome(None, answer=b"no message at all")
    yield node.start()
    yield node.receive(raw("note"))
    yield node.settled()

    assert sorted(row.onward for row in node.rows(select(message))) == ["done", "rejected"]


@pytest_twisted.inlineCallbacks
def test_billing_is_told_what_became_of_what_it_emitted(make_node: MakeNode, store: Engine) -> Any:
    claims = ChannelPlan(
        "claims", "Claims", describe, (), {"partner": destination("partner")}, takes=frozenset({"837P"})
    )
    node = make_node(store, channels=[claims], mapping=lambda _one, body: to("partner", body))
    node.peers["partner"].answer = in_turn(DELIVERED, REJECTED, LOST)
    due_kinds: list[dict[str, Any]] = []
    node.workers.decide = lambda header, _parts: due_kinds.append(header) or _done()
    yield node.start()
    for number in range(3):
        yield node.receive(raw(f"c{number}", "clearinghouse"), channel="claims", answer=None)
        yield node.settled()
    yield node.until(lambda: len(due_kinds) == 3)

    assert [one["subject"] for one in due_kinds] == ["delivered", "refused", "ambiguous"]
    assert [one["subject_id"] for one in due_kinds] == [row.id for row in node.deliveries()]


def _done() -> Any:
    from tests.engine.node import decided

    return decided()


# ---------------------------------------------------------------- failures


@pytest_twisted.inlineCallbacks
def test_a_transient_failure_keeps_its_lane_waiting_while_others_go(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"a1": [BUSY, BUSY, BUSY]})
    yield node.start()
    yield DeferredList([node.receive(raw(one, one[0])) for one in ("a1", "a2", "b1", "b2")])
    yield node.settled()

    ids = node.peer.ids
    assert [one for one in ids if one[0] == "a"] == ["a1"] * 4 + ["a2"]
    assert ids.index("b2") < len(ids) - 1 - ids[::-1].index("a1"), "the other lane had to wait"
    assert [row.attempts for row in node.deliveries() if row.message_id == node.messages()["a1"].id] == [4]


@pytest_twisted.inlineCallbacks
def test_an_endpoint_that_is_down_is_probed_by_one_message_at_a_time(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(order="any", backoff_seconds=(0.05,))])
    down = True
    open_when_down: list[int] = []

    def answer(_parcel: Parcel) -> Outcome:
        open_when_down.append(node.peer.open)
        return REFUSED_CONNECTION if down else DELIVERED

    node.peer.answer = answer
    yield node.start()
    yield node.receive(raw("first"))
    yield node.until(lambda: len(node.peer.parcels) == 1)
    yield DeferredList([node.receive(raw(f"m{number}")) for number in range(30)])
    yield node.until(lambda: len(node.peer.parcels) >= 6)
    assert open_when_down == [1] * len(open_when_down)

    down = False
    yield node.settled()
    assert set(node.states()) == {"delivered"}


@pytest_twisted.inlineCallbacks
def test_while_an_endpoint_is_down_few_messages_leave_the_queue(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(order="any", concurrency=2, backoff_seconds=(0.01,))])
    node.peer.answer = lambda _parcel: REFUSED_CONNECTION
    yield node.start()
    for number in range(30):
        yield node.receive(raw(f"m{number}"))
        yield pause(0.01)
    yield node.until(lambda: len(node.peer.parcels) >= 20)

    assert sum(row.attempts > 0 for row in node.deliveries()) <= 4
    node.peer.answer = lambda _parcel: DELIVERED
    yield node.settled()
    assert sorted(set(node.peer.ids)) == sorted(f"m{number}" for number in range(30))


@pytest_twisted.inlineCallbacks
def test_the_wait_grows_with_the_failures_of_the_endpoint_and_a_peer_may_ask_for_more(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(backoff_seconds=(0.01, 0.02, 30.0))])
    node.peer.answer = in_turn(BUSY, BUSY, BUSY)
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.until(lambda: [(row.state, row.attempts) for row in node.deliveries()] == [("queued", 3)])

    (row,) = node.deliveries()
    (last,) = [one for one in node.rows(select(attempt)) if one.number == 3]
    assert row.due_at - last.ended_at == 30_000
    assert row.reason == "The receiver is busy."


@pytest_twisted.inlineCallbacks
def test_a_peer_that_asks_for_a_longer_wait_gets_it(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = in_turn(Outcome(Failure.TRANSIENT, "Later.", answer=b"503", retry_after=40.0))
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.until(lambda: node.attempts() == [(1, "transient")])

    (row,) = node.deliveries()
    (last,) = node.rows(select(attempt))
    assert row.due_at - last.ended_at == 40_000


@pytest_twisted.inlineCallbacks
def test_what_may_have_arrived_goes_again_byte_for_byte_where_repeats_are_recognised(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(ambiguous="retry")])
    node.peer.answer = in_turn(LOST, LOST)
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.settled()

    assert node.peer.bodies == [raw("m1", "a")] * 3 + [raw("m2", "a")]
    assert len({parcel.name for parcel in node.peer.parcels[:3]}) == 1
    assert [parcel.attempt for parcel in node.peer.parcels] == [1, 2, 3, 1]
    assert node.items() == []


@pytest_twisted.inlineCallbacks
def test_what_may_have_arrived_waits_for_a_person_where_a_repeat_would_do_harm(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"a1": [LOST]})
    yield node.start()
    yield DeferredList([node.receive(raw(one, one[0])) for one in ("a1", "a2", "b1", "b2")])
    yield node.until(lambda: sorted(node.states()) == ["ambiguous", "delivered", "delivered", "queued"])

    (item,) = node.items()
    assert (item.queue, item.kind) == ("deliveries", "ambiguous delivery")
    assert node.outcomes() == {"a1": "held", "a2": "in progress", "b1": "done", "b2": "done"}
    yield pause(0.2)
    assert node.peer.ids.count("a1") == 1
    assert "a2" not in node.peer.ids

    yield node.ask(
        "replay", **{"from": "delivery", "delivery_id": item.delivery_id, "reason": "they say it never came"}
    )
    yield node.settled()
    assert [one for one in node.peer.ids if one[0] == "a"] == ["a1", "a1", "a2"]
    assert node.items() == []
    assert set(node.outcomes().values()) == {"done"}
    assert node.counts() == {"received": 4, "done": 4}


@pytest_twisted.inlineCallbacks
def test_a_person_who_closes_it_lets_its_lane_go_on(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"a1": [LOST]})
    yield node.start()
    yield DeferredList([node.receive(raw(one, "a")) for one in ("a1", "a2", "a3")])
    yield node.until(lambda: "ambiguous" in node.states())

    yield node.ask("close_delivery", delivery_id=node.items()[0].delivery_id, reason="they have it")
    yield node.settled()
    assert node.peer.ids == ["a1", "a2", "a3"]
    assert node.states() == ["closed", "delivered", "delivered"]
    assert set(node.outcomes().values()) == {"done"}


@pytest_twisted.inlineCallbacks
def test_a_refusal_goes_to_the_queue_and_the_next_one_goes_on(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"a1": [REJECTED]})
    yield node.start()
    yield DeferredList([node.receive(raw(one, "a")) for one in ("a1", "a2")])
    yield node.settled()

    assert node.outcomes() == {"a1": "errored", "a2": "done"}
    (item,) = node.items()
    assert (item.queue, item.kind) == ("deliveries", "refused delivery")
    assert "The receiver refused it." in item.sentence

    yield node.ask("replay", **{"from": "delivery", "delivery_id": item.delivery_id, "reason": "they mended it"})
    yield node.settled()
    assert node.peer.ids == ["a1", "a2", "a1"]
    assert node.outcomes() == {"a1": "done", "a2": "done"}


@pytest_twisted.inlineCallbacks
def test_after_its_last_allowed_attempt_a_delivery_is_refused(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(max_attempts=3, backoff_seconds=(0.01,))])
    node.peer.answer = answers({"a1": [BUSY] * 9})
    yield node.start()
    yield DeferredList([node.receive(raw(one, "a")) for one in ("a1", "a2")])
    yield node.settled()

    assert node.peer.ids == ["a1"] * 3 + ["a2"]
    assert node.outcomes() == {"a1": "errored", "a2": "done"}
    (item,) = node.items()
    assert "3 attempts" in item.sentence


@pytest_twisted.inlineCallbacks
def test_the_last_allowed_attempt_that_may_have_arrived_is_for_a_person_to_judge(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(max_attempts=2, ambiguous="retry")])
    node.peer.answer = in_turn(LOST, LOST)
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()

    assert node.states() == ["ambiguous"]
    assert len(node.peer.parcels) == 2


@pytest_twisted.inlineCallbacks
def test_a_connector_that_breaks_its_promise_leaves_its_delivery_with_a_person(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination()])

    def broken(parcel: Parcel) -> Outcome:
        if json.loads(parcel.body)["id"] == "a1":
            raise ValueError("with MRN 4711")
        return DELIVERED

    node.peer.answer = broken
    yield node.start()
    yield DeferredList([node.receive(raw(one, one[0])) for one in ("a1", "b1")])
    yield node.settled()

    assert node.outcomes() == {"a1": "held", "b1": "done"}
    assert "4711" not in node.lines.getvalue() + node.items()[0].sentence


@pytest_twisted.inlineCallbacks
def test_a_message_for_two_destinations_is_done_when_both_are(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination("fast"), destination("slow")])
    held = node.peers["slow"].answer = Held()
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.until(lambda: sorted(node.states()) == ["delivered", "sending"])
    assert node.outcomes() == {"m1": "in progress"}

    held.give("m1")
    yield node.settled()
    assert node.outcomes() == {"m1": "done"}


# ---------------------------------------------------------------- shadow, pause


@pytest_twisted.inlineCallbacks
def test_a_shadow_destination_is_built_and_kept_but_never_sent(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(shadow=True), destination("other")])
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.settled()

    assert node.peer.parcels == []
    assert node.peers["other"].ids == ["m1", "m2"]
    assert sorted(node.states()) == ["delivered", "delivered", "shadow", "shadow"]
    assert node.outcomes() == {"m1": "done", "m2": "done"}
    shadow = next(row for row in node.deliveries() if row.state == "shadow")
    with pytest.raises(HubError, match="shadow"):
        yield node.ask("replay", **{"from": "delivery", "delivery_id": shadow.id, "reason": "to see it"})
    assert node.peer.parcels == []


@pytest_twisted.inlineCallbacks
def test_messages_with_nothing_but_shadow_outputs_are_done_at_once(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(shadow=True)], billing=False)
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.settled()

    assert node.outcomes() == {"m1": "done"}
    assert node.counts() == {"received": 1, "done": 1}


@pytest_twisted.inlineCallbacks
def test_a_paused_destination_gets_nothing_until_it_is_resumed(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(), destination("other")])
    yield node.start()
    yield node.ask("pause", channel="visits", destination="peer", reason="they move")
    for number in range(3):
        yield node.receive(raw(f"m{number}", "a"))
    yield node.until(lambda: node.states().count("delivered") == 3)
    assert node.peers["other"].ids == ["m0", "m1", "m2"]
    assert node.peer.parcels == []

    yield node.ask("resume", channel="visits", destination="peer")
    yield node.settled()
    assert node.peer.ids == ["m0", "m1", "m2"]


@pytest_twisted.inlineCallbacks
def test_a_delivery_that_waits_for_its_next_attempt_respects_a_pause(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(backoff_seconds=(0.02,))])
    node.peer.answer = in_turn(BUSY)
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.until(lambda: node.attempts() == [(1, "transient")])
    yield node.ask("pause", channel="visits", reason="they move")
    yield pause(0.2)
    before = len(node.peer.parcels)
    yield pause(0.2)
    assert len(node.peer.parcels) == before <= 2

    yield node.ask("resume", channel="visits")
    yield node.settled()


@pytest_twisted.inlineCallbacks
def test_sending_an_ambiguous_delivery_again_waits_for_the_end_of_a_pause(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = in_turn(LOST)
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: node.states() == ["ambiguous"])
    yield node.ask("pause", channel="visits", destination="peer", reason="they move")
    yield node.ask("replay", **{"from": "delivery", "delivery_id": node.deliveries()[0].id, "reason": "again"})
    yield pause(0.1)
    assert len(node.peer.parcels) == 1

    yield node.ask("resume", channel="visits", destination="peer")
    yield node.settled()
    assert node.states() == ["delivered"]


# ---------------------------------------------------------------- more than fits


@pytest_twisted.inlineCallbacks
def test_a_queue_larger_than_memory_goes_out_whole_and_in_order(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(deliveries, "WINDOW", 10)
    node = make_node(store, destinations=[destination()])
    yield node.start()
    yield node.ask("pause", channel="visits", destination="peer", reason="they move")
    first = [f"{lane}{number}" for number in range(20) for lane in "abc"]
    yield DeferredList([node.receive(raw(one, one[0])) for one in first])
    yield node.until(lambda: len(node.deliveries()) == 60)
    yield node.ask("resume", channel="visits", destination="peer")
    later = [f"{lane}{number}" for number in range(20, 30) for lane in "abc"]
    for one in later:  # they arrive while pages are being loaded
        yield node.receive(raw(one, one[0]))
    yield node.settled()

    for lane in "abc":
        assert [one for one in node.peer.ids if one[0] == lane] == [f"{lane}{number}" for number in range(30)]


@pytest_twisted.inlineCallbacks
def test_one_stuck_lane_that_fills_the_memory_does_not_stop_the_others(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(deliveries, "WINDOW", 10)
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"a0": [LOST]})
    yield node.start()
    yield DeferredList([node.receive(raw(f"a{number}", "a")) for number in range(40)])
    yield node.until(lambda: len(node.deliveries()) == 40 and "ambiguous" in node.states())
    yield DeferredList([node.receive(raw(f"b{number}", "b")) for number in range(15)])
    yield node.until(lambda: node.peer.ids.count("b14") == 1, "the other lane goes on")

    yield node.ask("close_delivery", delivery_id=node.items()[0].delivery_id, reason="they have it")
    yield node.settled()
    for lane, many in (("a", 40), ("b", 15)):
        assert [one for one in node.peer.ids if one[0] == lane] == [f"{lane}{number}" for number in range(many)]


@pytest_twisted.inlineCallbacks
def test_what_was_done_is_forgotten_in_memory(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = answers({"m1": [BUSY], "m2": [REJECTED], "m3": [LOST]})
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}", "a")) for number in range(10)])
    yield node.until(lambda: "ambiguous" in node.states())
    (item,) = [item for item in node.items() if item.kind == "ambiguous delivery"]
    yield node.ask("close_delivery", delivery_id=item.delivery_id, reason="they have it")
    yield node.settled()

    assert node.engine._channels["visits"].deliveries["peer"]._known == set()


# ---------------------------------------------------------------- restarts


@pytest_twisted.inlineCallbacks
def _crash_while_sending(node: Any) -> Any:
    """Leave the store as a node does that dies while m1 is being sent: nothing more is written."""
    never: Deferred[Outcome] = Deferred()
    node.peer.answer = lambda _parcel: never
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.until(lambda: len(node.peer.parcels) == 1 and len(node.deliveries()) == 2)
    node.engine._timers.stop()
    node.engine._journal.stop()
    node._running = False


@pytest_twisted.inlineCallbacks
def test_after_a_crash_a_peer_that_recognises_repeats_gets_the_same_again(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    dead = make_node(both_stores, destinations=[destination(ambiguous="retry")])
    yield _crash_while_sending(dead)

    node = make_node(both_stores, destinations=[destination(ambiguous="retry")])
    yield node.start()
    yield node.settled()
    assert node.peer.bodies == [raw("m1", "a"), raw("m2", "a")]
    assert node.peer.parcels[0].name == dead.peer.parcels[0].name
    assert node.attempts()[0] == (1, "ambiguous")


@pytest_twisted.inlineCallbacks
def test_after_a_crash_what_may_have_arrived_waits_for_a_person_and_keeps_its_lane(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    yield _crash_while_sending(make_node(both_stores, destinations=[destination()]))

    node = make_node(both_stores, destinations=[destination()])
    yield node.start()
    yield node.receive(raw("b1", "b"))
    yield node.until(lambda: node.outcomes().get("b1") == "done")
    assert node.states() == ["ambiguous", "queued", "delivered"]
    assert node.outcomes()["m1"] == "held"

    yield node.ask("close_delivery", delivery_id=node.items()[0].delivery_id, reason="they have it")
    yield node.settled()
    assert node.peer.ids == ["b1", "m2"]


@pytest_twisted.inlineCallbacks
def test_a_node_that_stops_records_what_was_being_sent(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    held = node.peer.answer = Held()
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a"))
    yield node.until(lambda: "m1" in held.waiting)
    stopped = node.stop()
    yield pause(0.05)
    assert not stopped.called
    held.give("m1")
    yield stopped

    assert node.states() == ["delivered", "queued"]
    assert "sending" not in [outcome for _, outcome in node.attempts()]


@pytest_twisted.inlineCallbacks
def test_a_node_that_stops_while_a_delivery_waits_leaves_it_to_the_next(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(backoff_seconds=(60.0,))])
    node.peer.answer = in_turn(BUSY)
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: node.attempts() == [(1, "transient")])
    yield node.stop()

    after = make_node(store, destinations=[destination()])
    yield after.start()
    yield after.settled()
    assert after.peer.ids == ["m1"]
    assert after.attempts() == [(1, "transient"), (2, "delivered")]


# ---------------------------------------------------------------- the record and what follows it


@pytest_twisted.inlineCallbacks
def test_a_lane_goes_on_with_one_transaction_for_each_of_its_deliveries(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    node = make_node(both_stores, destinations=[destination(order="strict")])
    node.peer.answer = held = Held()
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}", f"lane {number}")) for number in range(9)])
    yield node.until(lambda: len(node.deliveries()) == 9 and held.waiting, "one under way, the others behind it")
    commits: list[bool] = []
    event.listen(both_stores, "commit", lambda one: commits.append("writes" in one.get_execution_options()))
    for number in range(8):
        held.give(f"m{number}")
        yield node.until(lambda: held.waiting, "the next one is under way")
        assert node.states() == ["delivered"] * (number + 1) + ["sending"] + ["queued"] * (7 - number)
    assert commits.count(True) == 8
    held.give("m8")
    yield node.settled()

    assert node.peer.ids == [f"m{number}" for number in range(9)]
    assert node.counts() == {"received": 9, "done": 9}


@pytest_twisted.inlineCallbacks
def test_a_lane_that_goes_on_lets_others_have_their_turn(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(concurrency=1)])
    yield node.start()
    yield node.ask("pause", channel="visits", destination="peer", reason="they move")
    for control_id, lane in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        yield node.receive(raw(control_id, lane))
    yield node.until(lambda: len(node.deliveries()) == 4)
    yield node.ask("resume", channel="visits", destination="peer")
    yield node.settled()

    assert node.peer.ids == ["a1", "b1", "a2", "a3"]


@pytest_twisted.inlineCallbacks
def test_what_the_store_says_is_not_waiting_any_more_does_not_undo_the_record_before_it(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    node.peer.answer = held = Held()
    yield node.start()
    for number in range(3):
        yield node.receive(raw(f"m{number}", "a"))
    yield node.until(lambda: len(node.deliveries()) == 3 and held.waiting, "one under way, two behind it")
    with both_stores.connect().execution_options(writes=True) as connection, connection.begin():
        second = node.deliveries()[1].id
        connection.execute(update(delivery).where(delivery.c.id == second).values(state="closed"))
    held.give("m0")
    yield node.until(lambda: "m2" in held.waiting, "the third is under way")
    held.give("m2")
    yield node.until(lambda: node.states() == ["delivered", "closed", "delivered"])

    assert node.peer.ids == ["m0", "m2"]


# ---------------------------------------------------------------- writes that gather


@pytest_twisted.inlineCallbacks
def test_a_delivery_that_waits_for_the_one_before_it_does_not_wait_for_company_too(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    node = make_node(store, destinations=[destination(ambiguous="retry")])
    node.peer.answer = held = Held()
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}", "a")) for number in range(5)])
    yield node.until(lambda: len(node.deliveries()) == 5 and held.waiting, "one under way, four behind it")
    monkeypatch.setattr(journal, "PATIENCE_SECONDS", 600)
    monkeypatch.setattr(journal, "LULL_SECONDS", 600)
    for number in range(5):
        yield node.until(lambda: held.waiting, "the next one is under way")
        held.give(f"m{number}")

    assert node.peer.ids == [f"m{number}" for number in range(5)]
    assert node.states()[:4] == ["delivered"] * 4
