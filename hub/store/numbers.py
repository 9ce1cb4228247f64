"""Sequence numbers that follow the order of commits: what lane order is kept by."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from hub.store.hot import run
from hub.store.tables import sequence


def take_numbers(connection: Connection, name: str, count: int) -> range:
    """*count* new numbers of the sequence *name*.

    The row is locked until the transaction ends, so that a higher number is never visible before a lower one.
    """
    taken = run(connection, "UPDATE sequence SET value = value + ? WHERE name = ? RETURNING value", (count, name))
    row = taken.fetchone()
    if row is None:
        connection.execute(insert(sequence).values(name=name, value=count))
        return range(1, count + 1)
    taken.close()
    return range(row[0] - count + 1, row[0] + 1)
