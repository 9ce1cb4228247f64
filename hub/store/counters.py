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
        statement = _insert(connection, counter)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["channel", "day", "name"],
                set_={"value": counter.c.value + statement.excluded.value},
            ),
            rows,
        )


def add_rate(connection: Connection, channel: str, *, received: int = 0, done: int = 0, latency_ms: int = 0) -> None:
    """Add to this minute's rate of *channel*; *latency_ms* is summed over the *done* ones."""
    statement = _insert(connection, rate)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["channel", "minute"],
            set_={
                "received": rate.c.received + statement.excluded.received,
                "done": rate.c.done + statement.excluded.done,
                "latency_ms": rate.c.latency_ms + statement.excluded.latency_ms,
            },
        ),
        {
            "channel": channel,
            "minute": real_ms() // 60_000,
            "received": received,
            "done": done,
            "latency_ms": latency_ms,
        },
    )


def _insert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
