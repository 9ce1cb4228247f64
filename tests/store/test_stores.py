"""The store's promises, each kept on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, select

from hub.core.vault import Vault
from hub.store import tables
from hub.store.changes import Changes, StaleDecisionError, apply, from_json, to_json
from hub.store.contents import CHUNK, content_rows, read_content
from hub.store.counters import add_counts, add_rate
from hub.store.database import open_store, reading
from hub.store.numbers import take_numbers
from hub.store.schema import is_current, upgrade


@pytest.fixture
def empty(store_url: str) -> Iterator[Engine]:
    opened = open_store(store_url)
    yield opened
    opened.dispose()


@pytest.fixture
def store(empty: Engine) -> Engine:
    upgrade(empty)
    return empty


@pytest.fixture
def vault() -> Vault:
    return Vault({1: b"k" * 32}, b"i" * 32)


def due_row(number: int, key: str) -> dict[str, Any]:
    return {"id": number, "due_key": key, "kind": "delivered", "business_at": 0, "done": False, "version": 1}


def due_rows(store: Engine) -> dict[int, tuple[str, int]]:
    with reading(store) as connection:
        rows = connection.execute(select(tables.due.c.id, tables.due.c.due_key, tables.due.c.version))
        return {row.id: (row.due_key, row.version) for row in rows}


# ---------------------------------------------------------------- schema


def test_upgrading_an_empty_store_gives_exactly_the_tables_that_the_code_declares(store: Engine) -> None:
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}


def test_a_store_is_current_only_after_its_upgrade(empty: Engine) -> None:
    with empty.connect() as connection:
        assert not is_current(connection)
    upgrade(empty)
    with empty.connect() as connection:
        assert is_current(connection)


def test_a_second_upgrade_changes_nothing_and_keeps_what_is_there(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.setting), {"name": "kept", "value": "yes"})

    upgrade(store)

    with reading(store) as connection:
        assert connection.execute(select(tables.setting.c.value)).scalars().all() == ["yes"]


# ---------------------------------------------------------------- changes


def test_a_decision_is_applied_whole_after_its_way_between_processes(store: Engine) -> None:
    decided = Changes()
    decided.insert("due", due_row(1, "first"), due_row(2, "second"))
    decided.update("due", {"id": 1}, 1, due_key="changed")
    decided.insert("content", {"id": 7, "ordinal": 0, "key_id": 1, "body": b"\x00\xff"})

    with store.begin() as connection:
        apply(connection, from_json(to_json(decided)))

    assert due_rows(store) == {1: ("changed", 2), 2: ("second", 1)}
    with reading(store) as connection:
        assert connection.execute(select(tables.content.c.body)).scalar_one() == b"\x00\xff"


def test_a_decision_made_from_a_row_that_moved_on_leaves_nothing_behind(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.due), due_row(1, "first"))
        apply(connection, _changed(1, version=1, key="someone else"))

    stale = Changes()
    stale.insert("due", due_row(2, "second"))
    stale.update("due", {"id": 1}, 1, due_key="mine")

    with store.begin() as connection:
        savepoint = connection.begin_nested()
        with pytest.raises(StaleDecisionError):
            apply(connection, stale)
        savepoint.rollback()

    assert due_rows(store) == {1: ("someone else", 2)}


def test_a_row_that_should_be_new_but_exists_makes_the_decision_stale(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.due), due_row(1, "one cause"))

    again = Changes()
    again.insert("due", due_row(2, "one cause"))
    with store.begin() as connection:
        savepoint = connection.begin_nested()
        with pytest.raises(StaleDecisionError):
            apply(connection, again)
        savepoint.rollback()
        connection.execute(insert(tables.due), due_row(3, "a neighbour"))

    assert due_rows(store) == {1: ("one cause", 1), 3: ("a neighbour", 1)}


def test_two_changes_of_one_row_in_a_decision_are_one_version(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.due), due_row(1, "first"))
        decided = _changed(1, version=1, key="renamed")
        decided.update("due", {"id": 1}, 1, done=True)
        apply(connection, decided)

    assert due_rows(store) == {1: ("renamed", 2)}


def _changed(number: int, *, version: int, key: str) -> Changes:
    changes = Changes()
    changes.update("due", {"id": number}, version, due_key=key)
    return changes


# ---------------------------------------------------------------- counters


def test_counts_add_up_over_transactions_and_may_fall(store: Engine) -> None:
    held, done = ("visits", "2026-11-09", "held"), ("visits", "2026-11-09", "done")
    for counts in (Counter({held: 2, done: 1}), Counter({held: -1, done: 1})):
        with store.begin() as connection:
            add_counts(connection, counts)

    with reading(store) as connection:
        rows = connection.execute(select(tables.counter.c.name, tables.counter.c.value))
        assert {row.name: row.value for row in rows} == {"held": 1, "done": 2}


def test_a_count_that_nothing_moved_makes_no_row(store: Engine) -> None:
    with store.begin() as connection:
        add_counts(connection, Counter({("visits", "2026-11-09", "held"): 0}))

    with reading(store) as connection:
        assert connection.execute(select(tables.counter)).all() == []


def test_rates_add_up_by_channel(store: Engine) -> None:
    with store.begin() as connection:
        add_rate(connection, "visits", received=3)
        add_rate(connection, "visits", received=1, done=2, latency_ms=40)
        add_rate(connection, "claims", received=5)

    with reading(store) as connection:
        rows = connection.execute(select(tables.rate.c.channel, tables.rate.c.received, tables.rate.c.latency_ms))
        sums: Counter[tuple[str, str]] = Counter()
        for row in rows:  # the minute may have turned between the first call and the last
            sums[row.channel, "received"] += row.received
            sums[row.channel, "latency_ms"] += row.latency_ms
    assert sums == Counter({("visits", "received"): 4, ("visits", "latency_ms"): 40, ("claims", "received"): 5})


# ---------------------------------------------------------------- numbers


def test_numbers_follow_one_another_and_each_name_counts_for_itself(store: Engine) -> None:
    with store.begin() as connection:
        assert list(take_numbers(connection, "message", 3)) == [1, 2, 3]
        assert list(take_numbers(connection, "delivery", 1)) == [1]
    with store.begin() as connection:
        assert list(take_numbers(connection, "message", 2)) == [4, 5]


def test_numbers_of_a_transaction_that_was_rolled_back_are_given_again(store: Engine) -> None:
    with store.begin() as connection:
        take_numbers(connection, "message", 1)
    with store.connect() as connection, connection.begin() as transaction:
        take_numbers(connection, "message", 5)
        transaction.rollback()
    with store.begin() as connection:
        assert list(take_numbers(connection, "message", 1)) == [2]


@pytest.mark.postgresql
def test_a_later_number_cannot_be_taken_while_an_earlier_one_is_uncommitted(postgresql_url: str) -> None:
    """Otherwise a reader could see number 2 and, after it, number 1: the lane's order would be lost."""
    store = open_store(postgresql_url)
    upgrade(store)
    with store.begin() as connection:
        take_numbers(connection, "message", 1)
    order: list[str] = []

    def take_second() -> None:
        with store.begin() as other:
            taken = take_numbers(other, "message", 1)
            order.append(f"second took {taken.start}")

    with store.begin() as connection:
        take_numbers(connection, "message", 1)
        second = threading.Thread(target=take_second)
        second.start()
        second.join(timeout=0.3)  # it waits for the row, however long we hold it
        assert second.is_alive()
        order.append("first commits")
    second.join(timeout=30)
    store.dispose()

    assert order == ["first commits", "second took 3"]


# ---------------------------------------------------------------- contents


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 17])
def test_content_comes_back_as_it_went_in(store: Engine, vault: Vault, size: int) -> None:
    body = bytes(i * 7 % 251 for i in range(1024)) * (size // 1024 + 1)
    body = body[:size]
    with store.begin() as connection:
        connection.execute(insert(tables.content), content_rows(vault, 42, body))

    with reading(store) as connection:
        assert read_content(connection, vault, 42) == body


def test_content_is_not_readable_in_the_table(store: Engine, vault: Vault) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.content), content_rows(vault, 42, b"PID|1||4711||QUIGLEY^NORA"))

    with reading(store) as connection:
        sealed = connection.execute(select(tables.content.c.body)).scalar_one()
    assert b"QUIGLEY" not in sealed
    assert b"4711" not in sealed


def test_content_that_was_pruned_is_said_to_be_absent(store: Engine, vault: Vault) -> None:
    with reading(store) as connection, pytest.raises(KeyError):
        read_content(connection, vault, 42)


# ---------------------------------------------------------------- reading


def test_a_reader_sees_one_snapshot_however_much_is_written_beside_it(store: Engine) -> None:
    with reading(store) as connection:
        before = connection.execute(select(tables.setting.c.name)).scalars().all()
        with store.begin() as writer:
            writer.execute(insert(tables.setting), {"name": "new", "value": "1"})
        after = connection.execute(select(tables.setting.c.name)).scalars().all()

    assert before == after == []
