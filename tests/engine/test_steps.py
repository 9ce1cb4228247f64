"""Steps: everything that a message becomes is written at once, in order, exactly once, and no message fails another."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, select
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks

from hub.engine import steps
from hub.engine.workers import TaskFailedError, WorkerDiedError
from hub.store.contents import read_content
from hub.store.database import reading
from hub.store.tables import counter, delivery, message, work_item
from tests.engine.node import VAULT, MakeNode, Node, destination, raw, to


def result_per_id(results: dict[str, dict[str, Any]]) -> Any:
    """Steps whose result stands in *results* by the message's control id; without one they hand the message on."""
    return lambda one, body: results.get(one["control_id"], to("peer", body))


@pytest_twisted.inlineCallbacks
def test_outputs_deliveries_and_the_state_of_the_message_appear_together(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    node.peer.answer = lambda _parcel: Deferred()  # never
    seen: set[tuple[bool, int]] = set()
    yield node.start()
    yield node.ask("pause", channel="visits", reason="to look")

    def look() -> bool:
        with reading(node.store) as connection:  # one snapshot
            mapped = connection.execute(select(message.c.mapped)).scalar()
            made = len(connection.execute(select(delivery)).all())
        if mapped is not None:
            seen.add((bool(mapped), made))
        return made == 2

    node.workers.mapping = lambda _one, body: to("peer", body, b'{"id": "second"}')
    yield node.receive(raw("m1", "a"))
    yield node.until(look)
    assert seen <= {(False, 0), (True, 2)}
    with reading(node.store) as connection:
        bodies = [read_content(connection, VAULT, row.body_id) for row in node.deliveries()]
    assert bodies == [raw("m1", "a"), b'{"id": "second"}']
    assert node.messages()["m1"].bundle == "b1"


@pytest_twisted.inlineCallbacks
def test_each_way_to_end_has_its_outcome_its_reason_and_its_count(make_node: MakeNode, both_stores: Engine) -> Any:
    error = {"code": "H502", "what": "PID-3 is empty.", "where": "acme.py:7", "expected": "", "found": "", "fix": ""}
    node = make_node(both_stores, destinations=[destination()])
    node.workers.mapping = result_per_id(
        {
            "filtered": {"skipped": [{"reason": "A cancelled test order.", "path": ""}]},
            "nothing": {},
            "held": {"held": [{"queue": "charge review", "reason": "No fee for this code.", "path": "FT1[2]"}]},
            "rejected": {"rejected": {"reason": "Not our practice."}},
            "errored": {"error": error},
        }
    )
    yield node.start()
    yield DeferredList(
        [node.receive(raw(one, one)) for one in ("done", "filtered", "nothing", "held", "rejected", "errored")]
    )
    yield node.settled()

    assert {one: (row.onward, row.reason, row.reason_code) for one, row in node.messages().items()} == {
        "done": ("done", None, None),
        "filtered": ("filtered", "A cancelled test order.", None),
        "nothing": ("filtered", "No step of this channel takes it.", None),
        "held": ("held", "No fee for this code.", None),
        "rejected": ("rejected", "Not our practice.", None),
        "errored": ("errored", "PID-3 is empty. (acme.py:7)", "H502"),
    }
    assert all(row.mapped and row.finished_at for row in node.messages().values())
    (item,) = node.items()
    assert (item.queue, item.source_path, item.sentence) == ("charge review", "FT1[2]", "No fee for this code.")
    assert node.counts() == {"received": 6, "done": 1, "filtered": 2, "held": 1, "rejected": 1, "errored": 1}


@pytest_twisted.inlineCallbacks
def test_lines_have_a_balance_of_their_own(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    lines = {"lines": 5, "mapped": 3, "filtered": 1, "held": 1}
    node.workers.mapping = lambda _one, body: {**to("peer", body), "lines": lines}
    yield node.start()
    yield DeferredList([node.receive(raw("m1")), node.receive(raw("m2"))])
    yield node.settled()

    kept = {row.name: row.value for row in node.rows(select(counter)) if row.name.startswith("lines")}
    assert kept == {"lines": 10, "lines mapped": 6, "lines filtered": 2, "lines held": 2}


@pytest_twisted.inlineCallbacks
def test_two_lines_that_are_held_for_one_cause_are_one_item(make_node: MakeNode, store: Engine) -> Any:
    held = {"queue": "charge review", "reason": "No fee. " * 40, "path": "FT1[2]"}
    node = make_node(store, destinations=[destination()])
    node.workers.mapping = lambda _one, _body: {"held": [held, held, {**held, "path": "FT1[3]"}]}
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.settled()

    assert node.outcomes() == {"m1": "held"}
    assert [item.source_path for item in node.items()] == ["FT1[2]", "FT1[3]"]


@pytest_twisted.inlineCallbacks
def test_a_lane_is_mapped_in_order_over_batches_while_lanes_go_side_by_side(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(concurrency=8)])
    yield node.start()
    yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for number in range(70) for lane in "abc"])
    yield node.settled()

    for lane in "abc":
        expected = [f"{lane}{number}" for number in range(70)]
        assert [one for one in node.workers.mapped if one[0] == lane] == expected
        assert [one for one in node.peer.ids if one[0] == lane] == expected
    assert 1 < len(node.workers.batches) < 210


@pytest_twisted.inlineCallbacks
def test_a_merge_waits_for_both_patients_and_both_wait_for_it(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(order="any", concurrency=16)])
    yield node.start()
    for number in range(10):
        yield DeferredList(
            [
                node.receive(raw(f"a{number}", "a")),
                node.receive(raw(f"b{number}", "b")),
                node.receive(raw(f"merge{number}", "a", other="b")),
            ]
        )
    yield node.settled()

    order = node.workers.mapped
    for number in range(10):
        merge = order.index(f"merge{number}")
        assert max(order.index(f"a{number}"), order.index(f"b{number}")) < merge
        if number < 9:
            assert merge < min(order.index(f"a{number + 1}"), order.index(f"b{number + 1}"))


# ---------------------------------------------------------------- what goes wrong


@pytest_twisted.inlineCallbacks
def test_the_message_that_ends_its_worker_is_held_and_its_neighbours_are_done(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination()])

    def loops(one: dict[str, Any], body: bytes) -> dict[str, Any]:
        if one["control_id"] == "m3":
            raise WorkerDiedError("A worker was ended after 10 s.")
        return to("peer", body)

    node.workers.mapping = loops
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}", "a")) for number in range(8)])
    yield node.settled()

    assert node.outcomes() == {f"m{number}": "held" if number == 3 else "done" for number in range(8)}
    assert node.peer.ids == [f"m{number}" for number in range(8) if number != 3]
    (item,) = node.items()
    assert (item.queue, item.message_id) == ("messages", node.messages()["m3"].id)
    assert "10 s" in item.sentence


@pytest_twisted.inlineCallbacks
def test_a_worker_that_dies_once_blames_nobody(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    deaths = [WorkerDiedError("A worker process died while it ran this.")]

    def killed_from_outside(_one: dict[str, Any], body: bytes) -> dict[str, Any]:
        if deaths:
            raise deaths.pop()
        return to("peer", body)

    node.workers.mapping = killed_from_outside
    yield node.start()
    yield node.receive(raw("alone"))
    yield node.settled()

    assert node.outcomes() == {"alone": "done"}
    assert node.items() == []


@pytest_twisted.inlineCallbacks
def test_a_task_that_fails_as_a_whole_errors_the_guilty_message_alone(make_node: MakeNode, store: Engine) -> Any:
    told = {"code": "H150", "what": "The task map failed.", "where": "x.py:1", "expected": "", "found": "", "fix": ""}
    node = make_node(store, destinations=[destination()])

    def fails(one: dict[str, Any], body: bytes) -> dict[str, Any]:
        if one["control_id"] == "m3":
            raise TaskFailedError(told)
        return to("peer", body)

    node.workers.mapping = fails
    yield node.start()
    yield DeferredList([node.receive(raw(f"m{number}", "a")) for number in range(6)])
    yield node.settled()

    assert [one for one, outcome in node.outcomes().items() if outcome != "done"] == ["m3"]
    row = node.messages()["m3"]
    assert (row.onward, row.reason, row.reason_code) == ("errored", "The task map failed. (x.py:1)", "H150")


@pytest_twisted.inlineCallbacks
def test_a_result_that_cannot_be_written_errors_its_own_message_alone(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination(order="strict")])
    node.workers.mapping = result_per_id(
        {
            "nowhere": to("no such destination", b"x"),
            "unheard": {"lines": {"unheard of": 1}},
            "clash": {"held": [{"queue": None, "reason": "No queue.", "path": ""}]},
        }
    )
    yield node.start()
    ids = ["m1", "nowhere", "m2", "clash", "m3", "unheard", "m4"]
    yield DeferredList([node.receive(raw(one, "a")) for one in ids])
    yield node.settled()

    assert node.outcomes() == {one: "done" if one.startswith("m") else "errored" for one in ids}
    assert node.peer.ids == ["m1", "m2", "m3", "m4"]
    yield node.receive(raw("m5", "a"))
    yield node.settled()
    assert node.peer.ids[-1] == "m5", "the lane that was reserved for what could not be written is free again"


# ---------------------------------------------------------------- restarts, and more than fits


@pytest_twisted.inlineCallbacks
def test_messages_that_nobody_mapped_are_taken_up_after_a_restart(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, destinations=[destination()])
    first.workers.mapping = lambda _one, _body: Deferred()  # never comes back
    yield first.start()
    yield DeferredList([first.receive(raw(f"m{number}", "a")) for number in range(40)])
    yield first.until(lambda: first.workers.batches)
    yield first.stop()
    assert set(first.outcomes().values()) == {"in progress"}

    node = make_node(both_stores, destinations=[destination()])
    yield node.start()
    yield node.settled()
    assert node.peer.ids == [f"m{number}" for number in range(40)]
    assert node.counts() == {"received": 40, "done": 40}


@inlineCallbacks
def _all_once_and_in_order(node: Node, numbers: int) -> Any:
    yield node.settled()
    for lane in "abc":
        assert [one for one in node.workers.mapped if one[0] == lane] == [
            f"{lane}{number}" for number in range(numbers)
        ]


@pytest_twisted.inlineCallbacks
def test_more_messages_than_fit_in_memory_are_all_mapped_once_and_in_order(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(steps, "WINDOW", 20)
    monkeypatch.setattr(steps, "BATCH", 4)
    node = make_node(store, destinations=[destination(order="any")])
    yield node.start()
    yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for number in range(60) for lane in "abc"])
    yield _all_once_and_in_order(node, 60)


@pytest_twisted.inlineCallbacks
def test_messages_that_arrive_while_a_page_is_loading_are_mapped_once_and_in_order(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(steps, "WINDOW", 20)
    monkeypatch.setattr(steps, "BATCH", 4)
    node = make_node(store, destinations=[destination(order="any")])
    yield node.start()
    for number in range(60):  # one by one: each commit has a chance to fall into a page that is being read
        yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for lane in "abc"])
    yield _all_once_and_in_order(node, 60)


@pytest_twisted.inlineCallbacks
def test_a_message_that_a_page_brings_before_its_arrival_is_told_is_mapped_once(
    make_node: MakeNode, store: Engine
) -> Any:
    """The page is read in one thread and the arrival told by another; either may come first."""
    node = make_node(store, destinations=[destination()])
    yield node.start()
    running = node.engine._channels["visits"].steps
    assert running is not None
    arrived: list[Any] = []
    node.engine._intake._arrived = arrived.append
    yield node.receive(raw("m1", "a"))
    running._load()
    yield node.settled()
    running.arrived(arrived[0])
    yield node.settled()

    assert node.workers.mapped == ["m1"]
    assert len(node.deliveries()) == 1


@pytest_twisted.inlineCallbacks
def test_a_page_that_cannot_be_read_is_read_again(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(steps, "PAGE_AGAIN", 0.01)
    node = make_node(store, destinations=[destination()])
    read, failures = steps.Steps._read_page, [OSError("no more file handles")]

    def fails_once(self: steps.Steps, after: int) -> Any:
        if failures:
            raise failures.pop()
        return read(self, after)

    monkeypatch.setattr(steps.Steps, "_read_page", fails_once)
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()
    assert node.workers.mapped == ["m1"]


@pytest_twisted.inlineCallbacks
def test_a_message_that_is_too_large_to_keep_in_memory_is_read_when_its_turn_comes(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination()])
    large = raw("large", "a", text="x" * 200_000)
    yield node.start()
    yield DeferredList([node.receive(large), node.receive(raw("small", "a"))])
    yield node.settled()
    assert node.peer.bodies == [large, raw("small", "a")]


@pytest_twisted.inlineCallbacks
def test_what_a_mapping_shows_is_kept_with_the_message(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    call = node.workers._map

    @inlineCallbacks
    def with_trace(header: dict[str, Any], parts: tuple[bytes, ...]) -> Any:
        reply = yield call(header, parts)
        reply.header["results"][0]["mapped"] = len(reply.parts)
        return type(reply)(reply.header, (*reply.parts, json.dumps(["shown"]).encode()))

    node.workers._map = with_trace  # type: ignore[method-assign]
    yield node.start()
    yield node.receive(raw("m1"))
    yield node.settled()

    with reading(node.store) as connection:
        assert read_content(connection, VAULT, node.messages()["m1"].mapped_id) == b'["shown"]'
    assert node.rows(select(work_item)) == []


# ---------------------------------------------------------------- the sender hears of it


@pytest_twisted.inlineCallbacks
def test_what_is_owed_to_a_sender_is_undelivered_until_it_was_said(make_node: MakeNode, both_stores: Engine) -> Any:
    def steps(message: dict[str, Any], body: bytes) -> dict[str, Any]:
        error = {"what": "It has no patient.", "where": "", "code": "H430"} if message["control_id"] == "bad" else None
        return {"error": error}

    node = make_node(both_stores, destinations=[destination()], mapping=steps)
    yield node.start()
    heard = {}
    for name in ("good", "bad", "gone"):
        stored = yield node.receive(raw(name), owes=True)
        if name != "gone":
            heard[name] = yield node.engine._intake.processed(stored.message_id)
            node.engine._intake.answered(stored.message_id, delivered=True)
    yield node.settled()
    yield node.until(lambda: node.messages()["bad"].answer == "delivered")
    assert heard["good"].error is None
    assert heard["bad"].error.what == "It has no patient."
    assert {name: row.answer for name, row in node.messages().items()} == {
        "good": "delivered", "bad": "delivered", "gone": "undelivered",
    }  # fmt: skip
