"""Billing as a destination: exactly once or not at all; and what falls due by the business clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, select, update
from twisted.internet.defer import Deferred, DeferredList

from hub.core.errors import HubError
from hub.engine import timers, transactions
from hub.engine.contracts import Reply
from hub.engine.plan import ChannelPlan
from hub.engine.workers import TaskFailedError, WorkerDiedError
from hub.store.changes import Changes, Emit
from hub.store.tables import due, setting
from tests.engine.node import MakeNode, Node, decided, describe, destination, raw, to

TOLD = {"code": "H310", "what": "The payer is unknown.", "where": "IN1-3", "expected": "", "found": "", "fix": ""}


def note(name: str) -> Changes:
    """A decision whose effect a test can count: a row that must be new."""
    changes = Changes()
    changes.insert("setting", {"name": name, "value": "x"})
    return changes


def due_work(number: int, **columns: Any) -> dict[str, Any]:
    return {"due_key": f"work {number}", "kind": "bill", "business_at": number, "subject": f"s{number}", **columns}


def notes(node: Node) -> list[str]:
    names = (row.name for row in node.rows(select(setting).order_by(setting.c.name)))
    return [name for name in names if name.startswith(("effect ", "chunk ", "hold "))]


def per_delivery(node: Node) -> Callable[[dict[str, Any], tuple[bytes, ...]], Reply]:
    return lambda header, _parts: decided(note(f"effect {header['delivery_id']}"))


@pytest_twisted.inlineCallbacks
def test_a_decision_is_applied_with_the_delivery_that_it_completes(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, billing=True)
    seen: list[tuple[dict[str, Any], tuple[bytes, ...]]] = []
    node.workers.decide = lambda header, parts: seen.append((header, parts)) or per_delivery(node)(header, parts)
    yield node.start()
    stored = yield node.receive(raw("m1", "a"))
    yield node.settled()

    (row,) = node.deliveries()
    assert (row.state, row.attempts) == ("delivered", 1)
    assert notes(node) == [f"effect {row.id}"]
    expected = {
        "work": "values",
        "delivery_id": row.id,
        "message_id": stored.message_id,
        "channel": "visits",
        "kind": "OUT",
    }
    assert seen == [(expected, (raw("m1", "a"),))]
    assert node.outcomes() == {"m1": "done"}


@pytest_twisted.inlineCallbacks
def test_a_decision_that_was_overtaken_is_made_anew(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, billing=True, first_work=[due_work(2**60)])
    versions = [1, 1]

    def decide(_header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        (row,) = node.dues()
        changes = Changes()
        changes.update("due", {"id": row.id}, versions.pop() - 1 if versions else row.version, subject="moved")
        return decided(changes)

    node.workers.decide = decide
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()

    assert len(node.workers.decisions) == 3
    assert [(row.subject, row.version) for row in node.dues()] == [("moved", 2)]
    assert node.states() == ["delivered"]


@pytest_twisted.inlineCallbacks
def test_work_in_chunks_is_called_again_until_it_is_complete(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, billing=True)
    chunk = iter(range(10))
    states: list[list[str]] = []

    def decide(_header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        states.append(node.states())
        number = next(chunk)
        return decided(note(f"chunk {number}"), complete=number == 3)

    node.workers.decide = decide
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()

    assert notes(node) == [f"chunk {number}" for number in range(4)]
    assert states == [["queued"]] * 4
    assert node.states() == ["delivered"]


@pytest_twisted.inlineCallbacks
def test_what_billing_emits_is_a_message_of_each_channel_that_takes_it(make_node: MakeNode, both_stores: Engine) -> Any:
    claims = ChannelPlan(
        "claims", "Claims", describe, (), {"partner": destination("partner")}, takes=frozenset({"837P"})
    )
    node = make_node(both_stores, billing=True, channels=[claims])
    node.workers.mapping = lambda one, body: to("partner" if one["kind"] == "837P" else "billing", body)

    def decide(header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        changes = Changes()
        if header["work"] == "values":
            changes.emits.append(Emit("837P", raw("ISA1"), "clearway", "B1", (("claim", "C-1"),)))
            changes.emits.append(Emit("nobody takes this", b"x", "", "B2"))
        return decided(changes)

    node.workers.decide = decide
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: node.outcomes() == {"m1": "done", "B1": "done"})

    row = node.messages()["B1"]
    assert (row.channel, row.kind, row.source, row.answer) == ("claims", "837P", "billing", "not owed")
    assert row.lane_digest
    assert node.peers["partner"].ids == ["ISA1"]


@pytest_twisted.inlineCallbacks
def test_a_decision_that_fails_leaves_nothing_but_an_item_and_an_errored_message(
    make_node: MakeNode, both_stores: Engine
) -> Any:
    node = make_node(both_stores, billing=True)

    def decide(_header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        raise TaskFailedError(TOLD)

    node.workers.decide = decide
    yield node.start()
    yield DeferredList([node.receive(raw("m1", "a")), node.receive(raw("m2", "b"))])
    yield node.settled()

    assert node.outcomes() == {"m1": "errored", "m2": "errored"}
    assert [(item.queue, item.kind) for item in node.items()] == [("anomalies", "billing refused")] * 2
    assert "The payer is unknown. (IN1-3)" in node.items()[0].sentence

    node.workers.decide = per_delivery(node)
    yield node.ask("replay", **{"from": "delivery", "delivery_id": node.deliveries()[0].id, "reason": "mended"})
    yield node.until(lambda: node.outcomes() == {"m1": "done", "m2": "errored"})
    assert len(notes(node)) == 1
    assert len(node.items()) == 1


@pytest_twisted.inlineCallbacks
def test_an_unforeseen_error_does_not_block_the_lane(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, billing=True)
    replies: list[Any] = [Reply({"complete": True, "no changes": "MRN 4711"})]
    node.workers.decide = lambda header, parts: replies.pop() if replies else per_delivery(node)(header, parts)
    yield node.start()
    yield DeferredList([node.receive(raw("m1", "a")), node.receive(raw("m2", "a"))])
    yield node.settled()

    assert node.outcomes() == {"m1": "errored", "m2": "done"}
    assert "4711" not in node.lines.getvalue() + node.items()[0].sentence


@pytest_twisted.inlineCallbacks
def test_a_billing_worker_that_dies_once_is_asked_again_and_twice_is_refused(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, billing=True)
    deaths = 1

    def decide(header: dict[str, Any], parts: tuple[bytes, ...]) -> Reply:
        nonlocal deaths
        if deaths:
            deaths -= 1
            raise WorkerDiedError("A worker process died while it ran this.")
        return per_delivery(node)(header, parts)

    node.workers.decide = decide
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()
    assert node.outcomes() == {"m1": "done"}

    deaths = 2
    yield node.receive(raw("m2", "a"))
    yield node.settled()
    assert node.outcomes() == {"m1": "done", "m2": "errored"}
    assert len(notes(node)) == 1


@pytest_twisted.inlineCallbacks
def test_a_delivery_that_is_taken_up_twice_has_its_effect_once(make_node: MakeNode, both_stores: Engine) -> Any:
    """However it came to be twice in memory: the store has the last word."""
    node = make_node(both_stores, billing=True)
    effects = iter(range(100))
    node.workers.decide = lambda _header, _parts: decided(note(f"effect {next(effects)}"))
    yield node.start()
    billing = node.engine._channels["visits"].billing["billing"]
    twice: list[Any] = []
    made = billing.made
    billing.made = lambda news: (twice.extend(news), made(news))[1]  # type: ignore[method-assign]
    yield node.receive(raw("m1", "a"))
    yield node.settled()
    billing.again(twice[0])
    yield node.settled()
    yield node.until(lambda: billing.is_idle)

    assert len(notes(node)) == 1
    assert node.states() == ["delivered"]
    assert node.outcomes() == {"m1": "done"}


@pytest_twisted.inlineCallbacks
def test_a_queue_for_billing_larger_than_memory_is_decided_once_and_in_order(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(transactions, "WINDOW", 10)
    node = make_node(store, billing=True)
    order: list[bytes] = []
    node.workers.decide = lambda header, parts: order.append(parts[0]) or per_delivery(node)(header, parts)
    yield node.start()
    yield node.ask("pause", channel="visits", destination="billing", reason="to fill it")
    yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for number in range(20) for lane in "ab"])
    yield node.until(lambda: len(node.deliveries()) == 40)
    assert order == []
    yield node.ask("resume", channel="visits", destination="billing")
    for number in range(20, 30):
        yield DeferredList([node.receive(raw(f"{lane}{number}", lane)) for lane in "ab"])
    yield node.settled()

    for lane in "ab":
        mine = [body for body in order if describe(body).lane == lane]
        assert mine == [raw(f"{lane}{number}", lane) for number in range(30)]
    assert len(notes(node)) == 60
    assert node.engine._channels["visits"].billing["billing"]._known == set()


@pytest_twisted.inlineCallbacks
def test_what_was_undecided_at_a_stop_is_decided_by_the_next_start(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, billing=True)
    first.workers.decide = lambda _header, _parts: Deferred()
    yield first.start()
    yield first.receive(raw("m1", "a"))
    yield first.until(lambda: first.workers.decisions)
    yield first.stop()

    node = make_node(both_stores, billing=True)
    node.workers.decide = per_delivery(node)
    yield node.start()
    yield node.settled()
    assert len(notes(node)) == 1


# ---------------------------------------------------------------- commands


@pytest_twisted.inlineCallbacks
def test_a_command_is_decided_and_answered(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, billing=True)
    node.workers.decide = lambda header, _parts: decided(
        note("hold lifted"), answer={"ok": True, "said": header["args"]}
    )
    yield node.start()
    answer = yield node.ask("billing", name="lift_hold", args={"claim": 7})

    assert answer == {"answer": {"ok": True, "said": {"claim": 7}}}
    assert notes(node) == ["hold lifted"]
    assert node.workers.decisions == [{"work": "command", "name": "lift_hold", "args": {"claim": 7}, "actor": "nora"}]


@pytest_twisted.inlineCallbacks
def test_a_command_that_others_keep_overtaking_fails_in_words(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, billing=True)
    changes = Changes()
    changes.update("due", {"id": 1}, 1, done=True)
    node.workers.decide = lambda _header, _parts: decided(changes)
    yield node.start()
    with pytest.raises(HubError, match="changed since"):
        yield node.ask("billing", name="lift_hold")
    assert len(node.workers.decisions) == transactions.TRIES


# ---------------------------------------------------------------- what falls due


@pytest_twisted.inlineCallbacks
def test_what_is_due_is_done_once_and_what_is_not_due_waits(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, first_work=[due_work(1), due_work(2**60)])
    yield node.start()
    yield node.until(lambda: [row.done for row in node.dues()] == [True, False])
    yield node.until(lambda: node.engine._timers.is_idle)

    due_header = {"work": "due", "due_id": node.dues()[0].id, "kind": "bill", "subject": "s1", "subject_id": None}
    assert node.workers.decisions == [due_header]
    yield node.stop()
    after = make_node(both_stores, first_work=[due_work(1), due_work(2**60)])
    yield after.start()
    with both_stores.begin() as connection:
        connection.execute(update(due).where(due.c.business_at == 2**60).values(business_at=5))
    yield after.until(lambda: all(row.done for row in after.dues()))
    assert [one["subject"] for one in after.workers.decisions] == [f"s{2**60}"]


@pytest_twisted.inlineCallbacks
def test_a_due_row_that_its_decision_arms_again_is_kept(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, first_work=[due_work(1)])

    def decide(header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        (row,) = node.dues()
        changes = Changes()
        changes.update("due", {"id": row.id}, row.version, business_at=2**60)
        return decided(changes)

    node.workers.decide = decide
    yield node.start()
    yield node.until(lambda: node.dues()[0].version == 2)
    yield node.until(lambda: node.engine._timers.is_idle)
    assert [(row.done, row.business_at) for row in node.dues()] == [(False, 2**60)]


@pytest_twisted.inlineCallbacks
def test_rows_that_keep_failing_starve_nobody_and_are_tried_again(
    make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(timers, "DUE_IN_HAND", 4)
    monkeypatch.setattr(timers, "DUE_AGAIN_SECONDS", (0.05,))
    broken = {f"s{number}" for number in range(12)}
    node = make_node(store, first_work=[due_work(number) for number in range(20)])

    def decide(header: dict[str, Any], _parts: tuple[bytes, ...]) -> Reply:
        if header["subject"] in broken:
            raise TaskFailedError(TOLD)
        return decided()

    node.workers.decide = decide
    node.engine._timers._every = 0.02
    yield node.start()
    yield node.until(lambda: sum(row.done for row in node.dues()) == 8)
    yield node.until(lambda: sum(one["subject"] == "s0" for one in node.workers.decisions) > 1)
    broken.clear()
    yield node.until(lambda: all(row.done for row in node.dues()))
    yield node.until(lambda: node.engine._timers.is_idle)
    assert node.engine._timers._failures == {}


@pytest_twisted.inlineCallbacks
def test_a_look_that_fails_is_not_the_last(make_node: MakeNode, store: Engine, monkeypatch: pytest.MonkeyPatch) -> Any:
    node = make_node(store, first_work=[due_work(1)])
    take_up, failures = timers.Timers._take_up, [ValueError("once")]

    def fails_once(self: timers.Timers, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return take_up(self, *arguments)

    monkeypatch.setattr(timers.Timers, "_take_up", fails_once)
    node.engine._timers._every = 0.02
    yield node.start()
    yield node.until(lambda: all(row.done for row in node.dues()))
