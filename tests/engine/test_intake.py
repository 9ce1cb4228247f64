"""Intake: durable before anybody is told, once, and findable without naming anybody in clear."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, select, update
from twisted.internet.defer import DeferredList

from hub.engine import intake
from hub.engine.contracts import Mark, Stored
from hub.engine.marks import read_mark, write_mark
from hub.store import tables
from hub.store.contents import read_content
from hub.store.database import reading
from tests.engine.node import CHANNEL, VAULT, MakeNode, Node, raw


@pytest.fixture
def node(make_node: MakeNode, both_stores: Engine) -> Node:
    """A node that maps nothing, so that what stands in the store is intake's alone."""
    made = make_node(both_stores)
    made.engine._journal.start()
    made._running = True
    made.engine._intake._arrived = lambda arrival: None
    return made


@pytest_twisted.inlineCallbacks
def test_a_message_and_its_answer_are_in_the_store_when_the_source_is_told(node: Node) -> Any:
    stored: Stored = yield node.receive(raw("m1", "a"), answer=b"AA m1")

    assert not stored.repeated
    row = node.messages()["m1"]
    assert (row.id, row.onward, row.answer, row.size) == (
        stored.message_id,
        "in progress",
        "delivered",
        len(raw("m1", "a")),
    )
    with reading(node.store) as connection:
        assert read_content(connection, VAULT, row.raw_id) == raw("m1", "a")
        assert read_content(connection, VAULT, row.answer_id) == b"AA m1"


@pytest_twisted.inlineCallbacks
def test_a_repeat_gets_the_stored_answer_and_is_counted_but_makes_no_second_message(node: Node) -> Any:
    first = yield node.receive(raw("m1"), answer=b"the first answer")
    again = yield node.receive(raw("m1"), answer=b"another answer")

    assert again == Stored(first.message_id, True, b"the first answer")
    assert len(node.rows(select(tables.message))) == 1
    assert [row.repeats for row in node.rows(select(tables.duplicate))] == [1]
    assert node.counts() == {"received": 1, "in progress": 1, "repeated": 1}


@pytest_twisted.inlineCallbacks
def test_a_repeat_says_what_the_steps_have_come_to_by_now(node: Node) -> Any:
    first = yield node.receive(raw("m1"))
    ends = {"steps_outcome": "errored", "reason": "PID-3 is empty."}
    for ended in (ends, {"steps_outcome": "done"}):
        with node.store.execution_options(writes=True).begin() as connection:
            connection.execute(update(tables.message).where(tables.message.c.id == first.message_id).values(**ended))
        again = yield node.receive(raw("m1"))
        error = again.processed.error
        assert (error and error.what) == ended.get("reason")


@pytest_twisted.inlineCallbacks
def test_two_copies_that_wait_for_the_same_commit_are_one_message(node: Node) -> Any:
    results = yield DeferredList([node.receive(raw("m1")), node.receive(raw("m2")), node.receive(raw("m1"))])

    first, other, again = (stored for _, stored in results)
    assert (first.repeated, other.repeated, again.repeated) == (False, False, True)
    assert again.message_id == first.message_id
    assert again.answer == b"AA"
    assert node.counts() == {"received": 2, "in progress": 2, "repeated": 1}


@pytest_twisted.inlineCallbacks
def test_messages_that_wait_together_are_written_together(node: Node, monkeypatch: pytest.MonkeyPatch) -> Any:
    groups: list[int] = []
    insert = intake.StoreIntake._insert

    def watched(self: Any, connection: Any, fresh: Any, *more: Any) -> Any:
        groups.append(len(fresh))
        return insert(self, connection, fresh, *more)

    monkeypatch.setattr(intake.StoreIntake, "_insert", watched)
    yield DeferredList([node.receive(raw(f"m{number}")) for number in range(20)])

    assert sum(groups) == 20
    assert len(groups) < 20


@pytest_twisted.inlineCallbacks
def test_the_same_control_id_with_other_content_is_processed_and_flagged(node: Node) -> Any:
    yield node.receive(raw("m1", value=1))
    yield node.receive(raw("m1", value=2))

    flags = [row.flags for row in node.rows(select(tables.message).order_by(tables.message.c.sequence))]
    assert flags == ["", "control_id_reuse"]
    assert node.counts() == {"received": 2, "in progress": 2}


@pytest_twisted.inlineCallbacks
def test_reuse_of_a_control_id_is_flagged_within_one_commit_too(node: Node) -> Any:
    yield DeferredList([node.receive(raw("m1", value=1)), node.receive(raw("m1", value=2)), node.receive(raw("m2"))])

    flags = [row.flags for row in node.rows(select(tables.message).order_by(tables.message.c.sequence))]
    assert flags == ["", "control_id_reuse", ""]


@pytest_twisted.inlineCallbacks
def test_a_refusal_is_kept_but_never_repeated(node: Node) -> Any:
    refused = yield node.receive(raw("m1"), answer=b"AE", refusal="Nobody takes this kind.", refusal_code="H301")
    chance = yield node.receive(raw("m1"), answer=b"AA")

    assert (refused.repeated, refused.answer) == (False, b"AE")
    assert (chance.repeated, chance.answer) == (False, b"AA")
    rows = node.rows(select(tables.message).order_by(tables.message.c.sequence))
    assert [(row.onward, row.reason, row.reason_code, row.flags) for row in rows] == [
        ("rejected", "Nobody takes this kind.", "H301", ""),
        ("in progress", None, None, ""),
    ]
    assert node.counts() == {"received": 2, "rejected": 1, "in progress": 1}


@pytest_twisted.inlineCallbacks
def test_a_refusal_that_no_peer_hears_stands_in_a_queue(node: Node) -> Any:
    yield node.receive(raw("m1"), answer=b"AE", refusal="This cannot be read.")
    yield node.receive(raw("m2"), refusal="This cannot be read.", unheard=True)

    (item,) = node.rows(select(tables.work_item))
    assert (item.queue, item.kind, item.state) == ("messages", "unreadable", "open")
    assert item.message_id == node.messages()["m2"].id


@pytest_twisted.inlineCallbacks
def test_what_nothing_takes_is_filtered_with_the_reason(node: Node) -> Any:
    yield node.receive(raw("m1"), filtered="No step takes it.")

    row = node.messages()["m1"]
    assert (row.onward, row.reason, row.mapped) == ("filtered", "No step takes it.", True)
    assert row.finished_at is not None
    assert node.counts() == {"received": 1, "filtered": 1}


@pytest_twisted.inlineCallbacks
def test_after_thirty_days_the_same_message_is_a_new_one(node: Node) -> Any:
    yield node.receive(raw("m1"))
    with node.store.begin() as connection:
        connection.execute(update(tables.duplicate).values(expires_at=1))
    later = yield node.receive(raw("m1"))
    again = yield node.receive(raw("m1"))

    assert not later.repeated
    assert again == Stored(later.message_id, True, b"AA")
    assert node.messages()["m1"].flags == ""
    assert len(node.rows(select(tables.duplicate))) == 1


@pytest_twisted.inlineCallbacks
def test_identifiers_are_kept_as_digests_alone(node: Node) -> Any:
    yield node.receive(raw("m1", "lane-4711", mrn="4711"))

    (row,) = node.rows(select(tables.identifier))
    assert (row.kind, row.digest) == ("mrn", VAULT.digest("mrn", "4711"))
    for table in tables.metadata.sorted_tables:
        for one in node.rows(select(table)):
            assert not any("4711" in str(value) or (isinstance(value, bytes) and b"4711" in value) for value in one)


@pytest_twisted.inlineCallbacks
def test_a_merge_takes_the_lanes_of_both_patients(node: Node) -> Any:
    yield node.receive(raw("m1", "a"))
    yield node.receive(raw("m2", "a", other="b"))
    yield node.receive(raw("m3", "b"))

    rows = node.messages()
    assert rows["m2"].lane_digest == rows["m1"].lane_digest
    assert rows["m2"].other_lane_digest == rows["m3"].lane_digest
    assert rows["m1"].lane_digest == VAULT.digest("lane", f"{CHANNEL}\0a")


@pytest_twisted.inlineCallbacks
def test_one_that_cannot_be_written_fails_alone(node: Node) -> Any:
    results = yield DeferredList(
        [
            node.receive(raw("m1")),
            node.receive(raw("m2"), parent_id="no number" * 40, source=object()),
            node.receive(raw("m3")),
        ],
        consumeErrors=True,
    )

    assert [good for good, _ in results] == [True, False, True]
    assert sorted(node.messages()) == ["m1", "m3"]
    assert node.counts() == {"received": 2, "in progress": 2}


@pytest_twisted.inlineCallbacks
def test_a_peer_that_sends_what_no_column_can_hold_is_stored_and_answered(node: Node) -> Any:
    stored = yield node.receive(raw("m\x001\udc80", kind="K" * 50), source="s" * 300)

    (row,) = node.rows(select(tables.message))
    assert row.id == stored.message_id
    assert "\x00" not in row.control_id


@pytest_twisted.inlineCallbacks
def test_arrivals_of_a_minute_are_its_rate(node: Node) -> Any:
    yield DeferredList([node.receive(raw(f"m{number}")) for number in range(5)])

    assert sum(row.received for row in node.rows(select(tables.rate))) == 5


@pytest_twisted.inlineCallbacks
def test_how_far_a_source_came_is_kept_with_the_message_or_not_at_all(node: Node) -> Any:
    intake = node.engine._intake
    assert (yield intake.place(CHANNEL, "rows")) is None
    yield node.receive(raw("m1"), mark=Mark("rows", "1"))
    yield node.receive(raw("m1"), mark=Mark("rows", "2"))  # a repeat is dealt with too
    assert (yield intake.place(CHANNEL, "rows")) == "2"
    with pytest.raises(TypeError):
        yield node.receive(raw("m2"), answer="no bytes", mark=Mark("rows", "3"))
    assert (yield intake.place(CHANNEL, "rows")) == "2"
    yield intake.keep(CHANNEL, Mark("rows", "4"))
    assert (yield intake.place(CHANNEL, "rows")) == "4"
    assert (yield intake.place("another", "rows")) is None


def test_long_names_of_marks_stay_apart(both_stores: Engine) -> None:
    with both_stores.begin() as connection:
        for number in range(2):
            write_mark(connection, CHANNEL * 20, Mark(f"rows {number}", str(number)))
        assert [read_mark(connection, CHANNEL * 20, f"rows {number}") for number in range(2)] == ["0", "1"]
