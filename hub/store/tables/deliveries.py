"""Deliveries: what goes out, and each attempt at it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

delivery = Table(
    "delivery",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    id_column("id"),
    *owner_columns(),
    Column("message_sequence", BigInteger, ForeignKey("message.sequence"), nullable=False),
    id_column("message_id"),
    Column("channel", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(200), nullable=False, default=""),  # file name, control id: how the peer knows it
    Column("lane_digest", LargeBinary, nullable=False),
    # queued | sending | delivered | ambiguous | refused | closed | shadow
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", BigInteger, nullable=False, default=0),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    id_column("body_id"),
    Column("intent", Boolean, nullable=False, default=False),  # "attempt n, sending" is committed
    version_column(),
    UniqueConstraint("id"),
    Index(None, "channel", "destination", "state", "sequence"),
    Index(None, "message_sequence"),
    Index(None, "state", "sequence"),
)

attempt = Table(
    "attempt",
    metadata,
    id_column("delivery_id"),
    Column("number", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # sending | delivered | transient | ambiguous | permanent
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
    Column("actor", String(64), nullable=False, default="hub"),
    Column("answer_id", BigInteger),
    PrimaryKeyConstraint("delivery_id", "number"),
    sqlite_with_rowid=False,
)
