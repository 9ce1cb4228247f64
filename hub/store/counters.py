"""Counts that are kept, not computed: each transaction that moves a message moves its counters too."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection

from hub.core.clock import real_ms
from hub.store.hot import InsertMany
from hub.store.tables import counter, rate

Counts = Counter[tuple[str, str, str]]  # (channel, day, name)


_ADD_COUNTS = InsertMany(counter, "channel", "day", "name", "value", adding=["value"])
_ADD_RATES = InsertMany(
    rate, "channel", "minute", "received", "done", "latency_ms", adding=["received", "done", "latency_ms"]
)


def add_counts(connection: Connection, counts: Counts) -> None:
    """Add *counts* to the kept counters."""
    _ADD_COUNTS(connection, [(*key, value) for key, value in counts.items() if value])


def add_rate(connection: Connection, channel: str, *, received: int = 0, done: int = 0, latency_ms: int = 0) -> None:
    """Add to this minute's rate of *channel*; *latency_ms* is summed over the *done* ones."""
    _ADD_RATES(connection, [(channel, real_ms() // 60_000, received, done, latency_ms)])
