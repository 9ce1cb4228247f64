"""Upkeep: everything that is due happens in small steps behind the work, and it ends when nothing is due."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import func, insert, select
from twisted.internet import reactor

from hub.core.clock import DAY_MS, BusinessClock
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.vault import Vault
from hub.engine.items import open_item
from hub.engine.journal import Journal
from hub.engine.upkeep import Upkeep
from hub.store import tables
from hub.store.contents import content_rows
from hub.store.database import open_store, reading
from hub.store.retention import Retention
from hub.store.schema import upgrade

NOW = 1_795_000_000_000
VAULT = Vault({1: b"k" * 32}, b"i" * 32)


class Kept:
    """A store with a journal, upkeep at a time that the test sets, and what it logged."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hub.db"
        self.store = open_store(f"sqlite:///{self.file}")
        upgrade(self.store)
        self.now = NOW
        self.log = StringIO()
        self.failures: list[BaseException] = []
        self.journal = Journal(self.store, reactor, self.failures.append)  # type: ignore[arg-type]
        self.journal.start()
        self.upkeep = Upkeep(
            self.store,
            self.journal,
            Retention(),
            Log(self.log),
            reactor,
            partial(open_item, IdMaker(), VAULT, BusinessClock(), "clinic"),
            every=0.001,
            now=lambda: self.now,
        )

    def fill(self, number: int, *, days: int) -> None:
        at = NOW - days * DAY_MS
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            for sequence in range(days * 10_000, days * 10_000 + number):
                connection.execute(
                    insert(tables.message),
                    {
                        "sequence": sequence, "id": sequence, "organisation": "c", "channel": "c", "kind": "ADT^A04",
                        "received_at": at, "received_on": "2026-01-01", "finished_at": at, "size": 1,
                        "lane_digest": b"", "onward": "done", "answer": "delivered", "raw_id": sequence,
                    },
                )  # fmt: skip
                connection.execute(insert(tables.content), content_rows(VAULT, sequence, b"MSH|" * 1000))
            row = {"channel": "c", "sender": "s", "control_id": str(days), "content_digest": b"1", "message_id": 1}
            connection.execute(insert(tables.duplicate), {**row, "expires_at": at})

    def number(self, table: str) -> int:
        with reading(self.store) as connection:
            return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.journal.stop()
    made.store.dispose()


@pytest_twisted.inlineCallbacks
def rest(kept: Kept) -> Any:
    steps = 0
    while (yield kept.upkeep.step()):
        steps += 1
        assert steps < 500
    return steps


@pytest_twisted.inlineCallbacks
def test_what_is_due_is_done_step_by_step_and_then_there_is_rest(kept: Kept) -> Any:
    kept.fill(40, days=100)
    kept.fill(7, days=800)
    kept.fill(3, days=10)

    steps = yield rest(kept)

    assert steps > 5
    assert (kept.number("message"), kept.number("content")) == (43, 3)
    assert kept.number("duplicate") == 0
    assert '"event": "upkeep.pruned", "chunks": 47, "messages": 7' in kept.log.getvalue()
    with reading(kept.store) as connection:
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar() == 0
        names = connection.execute(select(tables.setting.c.name)).scalars().all()
    assert [name.partition(" ")[0] for name in names] == ["size"]
    assert not (yield kept.upkeep.step())


@pytest_twisted.inlineCallbacks
def test_the_next_pass_comes_an_hour_later(kept: Kept) -> Any:
    yield rest(kept)
    kept.fill(5, days=100)
    yield rest(kept)
    assert kept.number("content") == 5
    kept.now += 3_600_000
    yield rest(kept)
    assert kept.number("content") == 0


@pytest_twisted.inlineCallbacks
def test_a_write_that_is_urgent_passes_between_two_slices(kept: Kept) -> Any:
    """Each step is one write of the journal; whoever comes while it runs is next."""
    kept.fill(60, days=100)
    order: list[str] = []
    while kept.number("content"):
        step = kept.upkeep.step().addCallback(lambda _: order.append("slice"))
        urgent = kept.journal.submit(lambda _: order.append("intake"), urgent=True)
        yield urgent
        yield step
    longest_run = max(len(run) for run in " ".join(order).split("intake"))
    assert longest_run <= len(" slice  slice ")


@pytest_twisted.inlineCallbacks
def test_the_log_is_folded_into_the_database_beside_the_writer(kept: Kept) -> Any:
    kept.fill(200, days=1)
    before = kept.file.stat().st_size
    yield kept.upkeep.step()
    assert kept.file.stat().st_size > before + 4096


@pytest_twisted.inlineCallbacks
def test_it_stops_after_the_slice_in_hand(kept: Kept) -> Any:
    kept.fill(60, days=100)
    kept.upkeep.start()
    yield kept.upkeep.stop()
    left = kept.number("content")
    yield kept.journal.submit(lambda _: None)
    assert kept.number("content") == left


@pytest_twisted.inlineCallbacks
def test_one_failure_is_logged_and_upkeep_goes_on_later(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Any:
    kept.fill(5, days=100)
    monkeypatch.setattr("hub.engine.upkeep.candidates", lambda *_: 1 / 0)
    kept.upkeep.start()
    while "upkeep.failed" not in kept.log.getvalue():
        yield kept.journal.submit(lambda _: None)
    monkeypatch.undo()
    kept.now += 60_000
    while kept.number("content"):
        yield kept.journal.submit(lambda _: None)
    yield kept.upkeep.stop()
    assert "ZeroDivisionError" in kept.log.getvalue()
