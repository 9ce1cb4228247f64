from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from hub.store.database import open_store
from hub.store.syncing import log_sync, unsynced


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return open_store(f"sqlite:///{tmp_path / 'hub.db'}")


def synchronous(connection: Connection) -> int:
    level: int = connection.execute(text("PRAGMA synchronous")).scalar_one()
    return level


def test_a_commit_waits_for_the_disk_unless_it_is_one_of_an_unsynced_connection(store: Engine) -> None:
    with unsynced(store) as apart:
        assert synchronous(apart) == 1
    with store.connect() as one, store.connect() as another:
        assert [synchronous(one), synchronous(another)] == [2, 2]


def test_a_sync_reaches_the_log_and_at_first_its_folder(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []

    def note(descriptor: int) -> None:
        reached.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr("hub.store.syncing._sync_data", note)
    monkeypatch.setattr(os, "fsync", note)
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("CREATE TABLE kept (number INTEGER)"))
    sync = log_sync(store)
    assert sync is not None
    sync()
    sync()
    assert reached == ["hub.db-wal", tmp_path.name, "hub.db-wal"]


def test_where_there_is_no_log_each_commit_is_waited_for() -> None:
    assert log_sync(create_engine("sqlite://")) is None
    assert log_sync(create_engine("postgresql+psycopg://hub@db.example/hub")) is None
