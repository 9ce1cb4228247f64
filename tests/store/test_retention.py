"""What leaves the store, and what must not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, update

from hub.core.clock import DAY_MS
from hub.core.ids import id_floor
from hub.core.vault import Vault
from hub.store import tables
from hub.store.contents import CHUNK, content_rows, read_content
from hub.store.counters import Counts, add_counts
from hub.store.database import open_store, reading
from hub.store.retention import (
    Expired,
    Retention,
    candidates,
    expired,
    give_back_pages,
    prune,
    remove_expired,
)
from hub.store.schema import upgrade

NOW = 1_795_000_000_000
KEPT = Retention(
    done_ms=90 * DAY_MS,
    filtered_ms=30 * DAY_MS,
    rejected_ms=60 * DAY_MS,
    evidence_ms=3650 * DAY_MS,
    metadata_ms=730 * DAY_MS,
)


class Archive:
    """A store of messages of every age and outcome."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        upgrade(self.store)
        self.vault = Vault({1: b"k" * 32}, b"i" * 32)
        self._ids = itertools.count(1)

    def keep(self, onward: str, days: float, *, kind: str = "ADT^A04", raw: bytes = b"MSH|", **values: Any) -> int:
        """A message that came and ended *days* ago, with its answer and what was mapped; its sequence."""
        sequence, message_id, raw_id, answer_id, mapped_id = (next(self._ids) for _ in range(5))
        at = NOW - int(days * DAY_MS)
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(
                insert(tables.message),
                {
                    "sequence": sequence,
                    "id": message_id,
                    "organisation": "clinic",
                    "channel": "ehr_visits",
                    "kind": kind,
                    "received_at": at,
                    "received_on": "2026-01-01",
                    "finished_at": None if onward == "in progress" else at,
                    "size": len(raw),
                    "lane_digest": b"",
                    "onward": onward,
                    "answer": "delivered",
                    "raw_id": raw_id,
                    "answer_id": answer_id,
                    "mapped_id": mapped_id,
                    **values,
                },
            )
            for content_id, body in ((raw_id, raw), (answer_id, b"MSA|AA"), (mapped_id, b"[]")):
                connection.execute(insert(tables.content), content_rows(self.vault, content_id, body))
            connection.execute(
                insert(tables.identifier),
                {"stretch": 0, "kind": "mrn", "digest": self.vault.digest("mrn", "1"), "message_sequence": sequence},
            )
            add_counts(connection, Counts({("ehr_visits", "2026-01-01", onward): 1}))
        return sequence

    def deliver(self, sequence: int, state: str) -> int:
        """A delivery of that message with one answered attempt; the id of its body."""
        delivery_id, body_id, answer_id = (next(self._ids) for _ in range(3))
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(
                insert(tables.delivery),
                {
                    "sequence": delivery_id,
                    "id": delivery_id,
                    "organisation": "clinic",
                    "message_sequence": sequence,
                    "message_id": self.message_id(sequence),
                    "channel": "ehr_visits",
                    "destination": "ehr",
                    "kind": "DFT^P03",
                    "lane_digest": b"",
                    "state": state,
                    "created_at": NOW,
                    "body_id": body_id,
                },
            )
            connection.execute(
                insert(tables.attempt),
                {"delivery_id": delivery_id, "number": 1, "started_at": 1, "outcome": state, "answer_id": answer_id},
            )
            for content_id in (body_id, answer_id):
                connection.execute(insert(tables.content), content_rows(self.vault, content_id, b"MSH|"))
        return body_id

    def open_item(self, sequence: int, state: str = "open") -> None:
        """A work item about that message."""
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(
                insert(tables.work_item),
                {
                    "id": next(self._ids),
                    "organisation": "clinic",
                    "queue": "messages",
                    "item_key": f"item/{sequence}/{state}",
                    "kind": "mapping hold",
                    "sentence": "A department is unknown.",
                    "message_id": self.message_id(sequence),
                    "opened_business_at": 1,
                    "state": state,
                    "body": b"",
                },
            )

    @staticmethod
    def message_id(sequence: int) -> int:
        return sequence + 1

    def prune(self, retention: Retention = KEPT) -> int:
        """A whole pass; how many slices it took."""
        slices, after = 0, 0
        while True:
            with reading(self.store) as connection:
                page = candidates(connection, retention, NOW, after)
            left = page.sequences
            while left:
                with self.store.connect().execution_options(writes=True) as connection, connection.begin():
                    left = prune(connection, retention, NOW, left).again
                slices += 1
            if page.after is None:
                return slices
            after = page.after

    def messages(self) -> set[int]:
        with reading(self.store) as connection:
            return set(connection.execute(select(tables.message.c.sequence)).scalars())

    def readable(self) -> set[int]:
        """The messages whose raw bytes are there."""
        found = set()
        with reading(self.store) as connection:
            for sequence, raw_id in connection.execute(
                select(tables.message.c.sequence, tables.message.c.raw_id)
            ).all():
                try:
                    read_content(connection, self.vault, raw_id)
                except KeyError:
                    continue
                found.add(sequence)
        return found

    def number(self, table: str) -> int:
        with reading(self.store) as connection:
            return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one()


@pytest.fixture
def archive(store_url: str) -> Iterator[Archive]:
    made = Archive(store_url)
    yield made
    made.store.dispose()


def test_exactly_the_content_whose_time_has_passed_leaves(archive: Archive) -> None:
    kept = {
        archive.keep("done", 89),
        archive.keep("filtered", 29),
        archive.keep("rejected", 59),
        archive.keep("done", 400, kind="837P"),
        archive.keep("done", 400, kind="835"),
        archive.keep("done", 400, kind="277CA"),
    }
    lost = {archive.keep("done", 91), archive.keep("filtered", 31), archive.keep("rejected", 61)}

    archive.prune()

    assert archive.readable() == kept
    assert archive.messages() == kept | lost
    assert archive.number("content") == 3 * len(kept)


def test_what_is_unresolved_never_leaves(archive: Archive) -> None:
    held, errored, moving = (archive.keep(onward, 5000) for onward in ("held", "errored", "in progress"))
    ambiguous, refused, queued = (archive.keep("done", 5000) for _ in range(3))
    for sequence, state in ((ambiguous, "ambiguous"), (refused, "refused"), (queued, "queued")):
        archive.deliver(sequence, state)
    rejected = archive.keep("rejected", 5000)
    archive.open_item(rejected)
    before = archive.number("content")

    archive.prune()

    assert archive.messages() == {held, errored, moving, ambiguous, refused, queued, rejected}
    assert archive.number("content") == before


def test_a_message_leaves_whole_after_the_longer_time_and_its_counts_stay(archive: Archive) -> None:
    gone = archive.keep("done", 731)
    archive.deliver(gone, "delivered")
    archive.open_item(gone, "resolved")
    stays = archive.keep("done", 729)
    archive.deliver(stays, "closed")

    archive.prune()

    assert archive.messages() == {stays}
    assert [archive.number(name) for name in ("delivery", "attempt", "identifier", "content")] == [1, 1, 1, 0]
    with reading(archive.store) as connection:
        assert connection.execute(select(tables.counter.c.value)).scalars().all() == [2]


def test_a_message_that_a_remittance_came_from_is_evidence_whatever_its_kind(archive: Archive) -> None:
    sequence = archive.keep("done", 800, kind="X12")
    with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(
            insert(tables.remittance),
            {
                "id": 1, "organisation": "clinic", "message_id": archive.message_id(sequence), "ordinal": 1,
                "content_digest": b"d", "trace": "T1", "payer_id": "90001", "payer_name": "Example Mutual",
                "amount_cents": 0, "method": "ACH", "paid_on": "2026-01-01", "claims": 0, "claims_cents": 0,
                "provider_cents": 0, "state": "posted", "created_business_at": 1, "body": b"",
            },
        )  # fmt: skip

    archive.prune()

    assert archive.readable() == {sequence}


def test_evidence_leaves_too_when_even_its_time_has_passed(archive: Archive) -> None:
    archive.keep("done", 3651, kind="837P")
    archive.prune()
    assert archive.messages() == set()
    assert archive.number("content") == 0


def test_what_became_unresolved_between_looking_and_deleting_stays(archive: Archive) -> None:
    sequence = archive.keep("done", 100)
    with reading(archive.store) as connection:
        page = candidates(connection, KEPT, NOW, 0)
    assert page.sequences == (sequence,)
    with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(tables.message).values(onward="in progress", finished_at=None))
        assert prune(connection, KEPT, NOW, page.sequences).chunks == 0

    assert archive.readable() == {sequence}


def test_a_large_content_leaves_in_many_slices_and_is_never_taken_for_whole_in_between(archive: Archive) -> None:
    sequence = archive.keep("done", 100, raw=os.urandom(5 * CHUNK))
    left: tuple[int, ...] = (sequence,)
    slices = 0
    while left:
        with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
            pruned = prune(connection, KEPT, NOW, left)
        assert pruned.chunks <= 3
        left, slices = pruned.again, slices + 1
        assert (archive.readable() == {sequence}) == (slices < 2)

    assert slices >= 5
    assert archive.number("content") == 0


def test_many_messages_leave_in_slices_that_are_small(archive: Archive) -> None:
    for _ in range(60):
        archive.keep("done", 800)
    assert archive.prune() >= 5
    assert archive.messages() == set()


def test_what_only_mattered_for_a_time_expires(archive: Archive) -> None:
    past, later = NOW - 1, NOW + 1
    old_id, new_id = id_floor(NOW - 40 * DAY_MS), id_floor(NOW - DAY_MS)
    with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
        for digest, expires in ((b"1", past), (b"2", later)):
            row = {"channel": "c", "sender": "s", "control_id": "1", "content_digest": digest, "message_id": 1}
            connection.execute(insert(tables.duplicate), {**row, "expires_at": expires})
        for name, value in (
            ("token spent long ago", str(NOW - 31 * DAY_MS)),
            ("token spent now", str(NOW)),
            ("bundle", "abc"),
        ):
            connection.execute(insert(tables.setting), {"name": name, "value": value})
        for minute in (NOW // 60_000, (NOW - 16 * DAY_MS) // 60_000):
            connection.execute(insert(tables.rate), {"channel": "c", "minute": minute})
        for number, done, kind in (
            (old_id, True, "delivered"),
            (old_id + 1, False, "delivered"),
            (old_id + 2, True, "follow-up"),
            (new_id, True, "delivered"),
        ):
            row = {"id": number, "due_key": str(number), "kind": kind, "business_at": 0, "done": done}
            connection.execute(insert(tables.due), row)

    with reading(archive.store) as connection:
        found = expired(connection, NOW)
    for each in found:
        with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
            assert not remove_expired(connection, NOW, each)

    with reading(archive.store) as connection:
        assert connection.execute(select(tables.duplicate.c.content_digest)).scalars().all() == [b"2"]
        assert set(connection.execute(select(tables.setting.c.name)).scalars()) == {"token spent now", "bundle"}
        assert connection.execute(select(tables.rate.c.minute)).scalars().all() == [NOW // 60_000]
        assert set(connection.execute(select(tables.due.c.id)).scalars()) == {old_id + 1, old_id + 2, new_id}


def test_a_row_whose_time_was_prolonged_meanwhile_stays(archive: Archive) -> None:
    with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
        row = {"channel": "c", "sender": "s", "control_id": "1", "content_digest": b"1", "message_id": 1}
        connection.execute(insert(tables.duplicate), {**row, "expires_at": NOW + 1})
        remove_expired(connection, NOW, Expired("duplicate", (("c", "s", "1", b"1"),)))
    assert archive.number("duplicate") == 1


def test_freed_pages_go_back_to_the_disk_a_few_at_a_time(tmp_path: Any) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'hub.db'}")
    archive.keep("done", 100, raw=os.urandom(CHUNK))
    archive.prune()

    def free(store: Engine) -> int:
        with reading(store) as connection:
            return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)

    before = free(archive.store)
    assert before > 200
    with archive.store.connect().execution_options(writes=True) as connection, connection.begin():
        assert give_back_pages(connection, 64) == 64
    assert free(archive.store) == before - 64
