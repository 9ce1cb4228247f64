"""The journal: group commit, isolation of a failing neighbour, and silence when the store has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import IntegrityError
from twisted.internet import reactor
from twisted.internet.defer import DeferredList

from hub.engine.journal import Journal, StoreFailedError
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
