"""Counts that are kept, not computed: each transaction that moves a message moves its counters too."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from hub.core.clock import real_ms
from hub.store.tables import counter, rate

Counts = Counter[tuple[str, str, str]]  # (channel, day, name)


def add_counts(connection: Connection, counts: Counts) -> None:
    """Add *counts* to the kept counters."""
    rows = [
        {"channel": channel, "day": day, "name": name, "value": value}
        for (channel, day, name), value in counts.items()
        if value
    ]
    if rows:
        connection.execute(_ADD_COUNT[connection.dialect.name], rows)


def add_rate(connection: Connection, channel: str, *, received: int = 0, done: int = 0, latency_ms: int = 0) -> None:
    """Add to this minute's rate of *channel*; *latency_ms* is summed over the *done* ones."""
    connection.execute(
        _ADD_RATE[connection.dialect.name],
        {
            "channel": channel,
            "minute": real_ms() // 60_000,
            "received": received,
            "done": done,
            "latency_ms": latency_ms,
        },
    )


def _adding(table: Table, *sums: str) -> dict[str, Any]:
    """By dialect, the statement that inserts a row of *table* or adds its *sums* to the one that is there."""
    statements: dict[str, Any] = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement: Any = dialect.insert(table)  # the same by two unrelated classes
        statements[name] = statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={column: table.c[column] + statement.excluded[column] for column in sums},
        )
    return statements


# Built once: making a statement costs more than running it.
_ADD_COUNT = _adding(counter, "value")
_ADD_RATE = _adding(rate, "received", "done", "latency_ms")
