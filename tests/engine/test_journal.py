"""The journal: group commit, isolation of a failing neighbour, and silence when the store has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import IntegrityError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

import hub.engine.journal
from hub.engine.journal import AT_ONCE, MANY, Journal, StoreFailedError
from hub.store.database import open_store
from hub.store.tables import metadata, setting


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    opened = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    metadata.create_all(opened)
    return opened


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def journal(store: Engine, failures: list[BaseException]) -> Iterator[Journal]:
    made = Journal(store, reactor, failures.append)  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


def put(connection: Connection, name: str) -> str:
    connection.execute(insert(setting), {"name": name, "value": "x"})
    return name


def put_all(connection: Connection, names: Sequence[str]) -> list[str]:
    connection.execute(insert(setting), [{"name": name, "value": "x"} for name in names])
    return list(names)


def names_in(store: Engine) -> list[str]:
    with store.connect() as connection:
        return list(connection.execute(select(setting.c.name).order_by(setting.c.name)).scalars())


@pytest_twisted.inlineCallbacks
def test_a_write_is_committed_when_its_deferred_fires(journal: Journal, store: Engine) -> Any:
    result = yield journal.submit(lambda connection: put(connection, "one"))

    assert result == "one"
    assert names_in(store) == ["one"]


@pytest_twisted.inlineCallbacks
def test_a_write_that_fails_leaves_its_neighbours_alone(journal: Journal, store: Engine) -> Any:
    writes = [journal.submit(lambda connection, name=name: put(connection, name)) for name in ("a", "b", "a", "c")]

    results = yield DeferredList(writes, consumeErrors=True)

    assert [good for good, _ in results] == [True, True, False, True]
    assert results[2][1].check(IntegrityError)
    assert names_in(store) == ["a", "b", "c"]


@pytest_twisted.inlineCallbacks
def test_sqlite_is_written_by_one_connection_that_nobody_else_gets(journal: Journal, store: Engine) -> Any:
    used = []
    for _ in range(3):
        used.append((yield journal.submit(lambda connection: id(connection.connection.dbapi_connection))))
        names_in(store)

    with store.connect() as reader:
        assert id(reader.connection.dbapi_connection) not in used
    assert len(set(used)) == 1


@pytest_twisted.inlineCallbacks
def test_grouped_writes_fall_back_to_one_by_one_when_one_of_them_fails(journal: Journal, store: Engine) -> Any:
    writes = [journal.submit_grouped(put_all, name) for name in ("a", "b", "b", "c")]

    results = yield DeferredList(writes, consumeErrors=True)

    assert [good for good, _ in results].count(False) == 1
    assert names_in(store) == ["a", "b", "c"]


@pytest_twisted.inlineCallbacks
def test_a_store_that_cannot_commit_answers_nobody_and_stops_the_node(
    journal: Journal, store: Engine, failures: list[BaseException]
) -> Any:
    def break_the_transaction(connection: Connection) -> None:
        put(connection, "lost")
        connection.execute(text("ROLLBACK"))

    with pytest.raises(StoreFailedError):
        yield journal.submit(break_the_transaction)
    with pytest.raises(StoreFailedError):
        yield journal.submit(lambda connection: put(connection, "later"))

    assert len(failures) == 1
    assert names_in(store) == []


class Disk:
    """A disk whose syncs a test lets end, well or not."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.error: OSError | None = None

    def sync(self) -> None:
        self.begun.release()
        assert self.may_end.acquire(timeout=60)
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(hub.engine.journal, "log_sync", lambda _store: made.sync)
    return made


@pytest.fixture
def slow_journal(disk: Disk, store: Engine, failures: list[BaseException]) -> Iterator[Journal]:
    made = Journal(store, reactor, failures.append)  # type: ignore[arg-type]
    made.start()
    yield made
    disk.may_end.release(100)
    made.stop()


@pytest_twisted.inlineCallbacks
def until(condition: Callable[[], bool]) -> Any:
    """Let the reactor run until *condition* holds."""
    while not condition():
        yield deferLater(reactor, 0.001)  # type: ignore[arg-type]


class Door:
    """Keeps a write in the journal's thread until a test has submitted what should wait meanwhile."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def put(self, connection: Connection, name: str) -> str:
        self.entered.set()
        assert self.open.wait(60)
        return put(connection, name)


@pytest_twisted.inlineCallbacks
def test_nobody_hears_of_a_commit_before_it_is_synced_and_many_writes_go_on_meanwhile(
    slow_journal: Journal, disk: Disk, store: Engine
) -> Any:
    written, door = threading.Event(), Door()
    names = [f"two {number:02}" for number in range(MANY)]

    def second(connection: Connection, name: str) -> str:
        written.set()
        return put(connection, name)

    one: Deferred[str] = slow_journal.submit(partial(door.put, name="one"))
    yield until(door.entered.is_set)
    two = [slow_journal.submit(partial(second, name=name)) for name in names]
    door.open.set()
    yield until(written.is_set)
    yield until(lambda: disk.begun.acquire(blocking=False))

    assert not one.called
    assert names_in(store) == ["one"]  # their commit waits for the sync of the first

    disk.may_end.release(2)
    assert (yield one) == "one"
    yield DeferredList(two)
    assert names_in(store) == ["one", *names]


@pytest_twisted.inlineCallbacks
def test_few_writes_wait_for_a_sync_and_share_the_next_transaction(slow_journal: Journal, disk: Disk) -> Any:
    written: list[str] = []
    one: Deferred[str] = slow_journal.submit(lambda connection: put(connection, "one"))
    yield until(lambda: disk.begun.acquire(blocking=False))
    few = [slow_journal.submit(lambda _connection: written.append("few")) for _ in range(MANY - 1)]
    yield deferLater(reactor, 0.05)  # type: ignore[arg-type]
    assert not written

    disk.may_end.release(2)
    assert (yield one) == "one"
    yield DeferredList(few)
    assert len(written) == MANY - 1
    assert disk.begun.acquire(blocking=False)
    assert not disk.begun.acquire(blocking=False)


@pytest.mark.parametrize("waiting", [MANY, 1])
@pytest_twisted.inlineCallbacks
def test_a_sync_that_fails_answers_nobody_and_stops_the_node_once(
    slow_journal: Journal, disk: Disk, store: Engine, failures: list[BaseException], waiting: int
) -> Any:
    written, door = threading.Event(), Door()
    disk.error = OSError(5, "Input/output error")
    writes = [slow_journal.submit(partial(door.put, name="one"))]
    yield until(door.entered.is_set)
    writes += [slow_journal.submit(lambda _connection: written.set()) for _ in range(waiting)]
    door.open.set()
    yield until(lambda: disk.begun.acquire(blocking=False))
    yield until(lambda: written.is_set() or waiting < MANY)

    disk.may_end.release()
    results = yield DeferredList(writes, consumeErrors=True)

    assert not any(good for good, _ in results)
    assert all(failure.check(StoreFailedError) for _, failure in results)
    assert failures == [disk.error]


@pytest_twisted.inlineCallbacks
def test_a_mistake_of_the_journal_itself_stops_the_node_instead_of_leaving_everybody_waiting(
    journal: Journal, failures: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> Any:
    mistake = RuntimeError("a mistake")

    def fail(_jobs: object) -> Any:
        raise mistake

    yield journal.submit(lambda connection: put(connection, "before"))
    monkeypatch.setattr(hub.engine.journal, "_alike", fail)
    journal.submit(lambda connection: put(connection, "never"))
    yield until(lambda: failures)

    assert failures == [mistake]
    with pytest.raises(StoreFailedError):
        yield journal.submit(lambda connection: put(connection, "after"))


def patience(monkeypatch: pytest.MonkeyPatch, *, seconds: float, lull: float, along: float = 600) -> None:
    monkeypatch.setattr(hub.engine.journal, "PATIENCE_SECONDS", seconds)
    monkeypatch.setattr(hub.engine.journal, "ALONG_SECONDS", along)
    monkeypatch.setattr(hub.engine.journal, "LULL_SECONDS", lull)


@pytest_twisted.inlineCallbacks
def test_writes_that_nobody_waits_for_gather_while_messages_keep_coming(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> Any:
    patience(monkeypatch, seconds=600, lull=600)
    written: list[int] = []
    yield journal.submit(lambda connection: put(connection, "message 1"), urgent=True)
    few = [journal.submit(lambda _connection: written.append(1), patient=True) for _ in range(MANY - 2)]
    yield journal.submit(lambda connection: put(connection, "message 2"), urgent=True)
    yield journal.submit(lambda connection: put(connection, "waited for"))
    assert not written

    more = [journal.submit(lambda _connection: written.append(1), patient=True) for _ in range(2)]
    yield DeferredList([*few, *more])
    assert len(written) == MANY


@pytest_twisted.inlineCallbacks
def test_what_has_gathered_for_a_while_goes_along_with_the_next_message(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> Any:
    patience(monkeypatch, seconds=600, lull=600, along=0)
    written: list[str] = []
    yield journal.submit(lambda connection: put(connection, "message 1"), urgent=True)
    few = [journal.submit(lambda _connection: written.append("other"), patient=True) for _ in range(MANY - 2)]
    yield journal.submit(lambda _connection: written.append("message 2"), urgent=True)

    assert written == ["message 2", *["other"] * (MANY - 2)]
    yield DeferredList(few)


@pytest.mark.parametrize(("seconds", "lull"), [(0.01, 600), (600, 0.01)])
@pytest_twisted.inlineCallbacks
def test_they_gather_no_longer_than_for_a_moment_and_not_when_messages_stay_away(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, seconds: float, lull: float
) -> Any:
    patience(monkeypatch, seconds=seconds, lull=lull)
    yield journal.submit(lambda connection: put(connection, "message"), urgent=True)

    result = yield journal.submit(lambda connection: put(connection, "its delivery"), patient=True)

    assert result == "its delivery"


def test_what_gathers_is_written_before_the_journal_stops(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, seconds=600, lull=600)
    journal = Journal(store, reactor, lambda _error: None)  # type: ignore[arg-type]
    journal.submit(lambda connection: put(connection, "message"), urgent=True)
    journal.submit(lambda connection: put(connection, "its delivery"), patient=True)
    journal.start()
    journal.stop()
    assert names_in(store) == ["its delivery", "message"]


@pytest_twisted.inlineCallbacks
def test_a_sender_waits_for_a_limited_number_of_writes_that_gathered(slow_journal: Journal, disk: Disk) -> Any:
    door, order = Door(), list[str]()
    writes = [slow_journal.submit(partial(door.put, name="first"))]
    yield until(door.entered.is_set)
    writes += [slow_journal.submit(lambda _: order.append("other"), patient=True) for _ in range(3 * AT_ONCE)]
    door.open.set()
    yield until(lambda: disk.begun.acquire(blocking=False))
    writes.append(slow_journal.submit(lambda _connection: order.append("message"), urgent=True))
    disk.may_end.release(100)
    yield DeferredList(writes)

    assert order.index("message") <= AT_ONCE
    assert len(order) == 3 * AT_ONCE + 1
