"""Statements of the hot path: many rows at once, on both stores, as the tables say."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, Table, select
from sqlalchemy.exc import IntegrityError

from hub.store.database import reading
from hub.store.hot import LARGEST, InsertMany, UpdateMany, run
from hub.store.tables import attempt, counter, delivery

INSERT_ATTEMPTS = InsertMany(attempt, "delivery_id", "number", "started_at", "outcome")


def rows_of(store: Engine, table: Table) -> list[tuple[object, ...]]:
    with reading(store) as connection:
        return [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]


def test_any_number_of_rows_is_inserted_and_changed_whole(store: Engine) -> None:
    end = UpdateMany(attempt, ["delivery_id", "number"], ["ended_at", "reason"], also="outcome = 'delivered'")
    many = 2 * LARGEST + 13
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        INSERT_ATTEMPTS(connection, [(number, 1, 5, "sending") for number in range(many)])
        found = end(connection, [(number, 1, number + 6, None) for number in range(1, many + 1)])

    assert found == many - 1
    expected = [(number, 1, 5, number + 6, "delivered", None, "hub", None) for number in range(1, many)]
    assert rows_of(store, attempt) == [(0, 1, 5, None, "sending", None, "hub", None), *expected]


def test_sums_are_added_to_the_row_that_is_there(store: Engine) -> None:
    add = InsertMany(counter, "channel", "day", "name", "value", adding=["value"])
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        add(connection, [("a", "2026-03-02", "received", 2), ("a", "2026-03-02", "done", 1)])
        add(connection, [("a", "2026-03-02", "received", 3)])

    assert rows_of(store, counter) == [("a", "2026-03-02", "done", 1), ("a", "2026-03-02", "received", 5)]


def test_an_error_is_that_of_sqlalchemy_and_holds_no_values(store: Engine) -> None:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        INSERT_ATTEMPTS(connection, [(1, 1, 5, "CANARY")])
        run(connection, "SAVEPOINT job")
        with pytest.raises(IntegrityError) as caught:
            INSERT_ATTEMPTS(connection, [(2, 1, 5, "CANARY"), (1, 1, 5, "CANARY")])
        run(connection, "ROLLBACK TO SAVEPOINT job")

    assert caught.value.params is None
    assert len(rows_of(store, attempt)) == 1


def test_a_column_without_a_default_cannot_be_forgotten() -> None:
    with pytest.raises(ValueError, match=r"delivery\.sequence has no default"):
        InsertMany(delivery, "id", "state")
    with pytest.raises(KeyError):
        UpdateMany(delivery, ["id"], ["stat"])
