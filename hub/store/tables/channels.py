"""Channels: their counters and rates, what a person paused, and what sources keep beside their messages."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from hub.store.tables.columns import id_column, metadata

counter = Table(
    "counter",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("day", String(10), nullable=False),  # the practice's day on which the message was received
    # received, in progress, held, errored, rejected, done, filtered, repeated;
    # lines, lines mapped, lines filtered, lines held; <destination>/sent, <destination>/waiting
    Column("name", String(96), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "day", "name"),
)

rate = Table(
    "rate",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("minute", BigInteger, nullable=False),  # real minutes since 1970
    Column("received", Integer, nullable=False, default=0),
    Column("done", Integer, nullable=False, default=0),
    Column("latency_ms", BigInteger, nullable=False, default=0),  # summed over done
    PrimaryKeyConstraint("channel", "minute"),
)

channel_state = Table(
    "channel_state",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("destination", String(64), nullable=False, default=""),  # empty: the whole channel
    Column("paused", Boolean, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("draining", Boolean, nullable=False, default=False),  # takes nothing in, works off what is there
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "destination"),
)

source_note = Table(  # what a source keeps beside a message until it is over: see hub.engine.notes
    "source_note",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("kind", String(32), nullable=False),  # part, nonce, answer ...
    Column("name", String(64), nullable=False),
    id_column("message_id"),
    Column("text", String(200), nullable=False, default=""),  # for the source to read
    Column("until_at", BigInteger, nullable=False),
    Column("sentence", Text, nullable=False, default=""),  # what a person is told when that has passed; empty: nothing
    PrimaryKeyConstraint("channel", "kind", "name"),
    Index(None, "message_id"),
    Index(None, "until_at"),
)
