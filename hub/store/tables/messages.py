"""Messages: what came in, its sealed content, and what it is found by."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

content = Table(
    "content",
    metadata,
    id_column("id"),
    Column("ordinal", Integer, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", "ordinal"),
)

message = Table(
    "message",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    id_column("id"),
    *owner_columns(),
    Column("channel", String(64), nullable=False),
    Column("bundle", String(64), nullable=False, default=""),
    Column("kind", String(32), nullable=False),  # ADT^A04, 835, claim status ...
    Column("control_id", String(200), nullable=False, default=""),
    Column("sender", String(200), nullable=False, default=""),
    Column("source", String(200), nullable=False, default=""),  # peer address or file name
    Column("received_at", BigInteger, nullable=False),
    Column("received_on", String(10), nullable=False),
    Column("finished_at", BigInteger),
    Column("size", Integer, nullable=False),
    Column("lane_digest", LargeBinary, nullable=False),
    Column("other_lane_digest", LargeBinary),  # a merge takes both patients' lanes
    # in progress | held | errored | rejected | done | filtered
    Column("onward", String(16), nullable=False),
    Column("mapped", Boolean, nullable=False, default=False),
    Column("steps_outcome", String(16), nullable=False, default=""),  # what the steps alone came to
    # owed | delivered | undelivered | not owed
    Column("answer", String(16), nullable=False),
    Column("reason", Text),
    Column("reason_code", String(32)),
    Column("flags", String(200), nullable=False, default=""),  # space separated: control_id_reuse ...
    Column("parent_id", BigInteger),
    Column("relation", String(16)),  # fetched | split | replayed | caused
    id_column("raw_id"),
    Column("answer_id", BigInteger),
    Column("mapped_id", BigInteger),
    version_column(),
    UniqueConstraint("id"),
    Index(None, "channel", "onward", "sequence"),
    Index(None, "channel", "sequence"),
    Index(None, "onward", "sequence"),
    Index(None, "kind", "sequence"),
    Index(None, "control_id", "sequence"),
    # what is seldom, and sought often
    Index(
        "ix_message_parent_id",
        "parent_id",
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    Index(
        "ix_message_answer",
        "answer",
        "sequence",
        sqlite_where=text("answer IN ('owed', 'undelivered')"),
        postgresql_where=text("answer IN ('owed', 'undelivered')"),
    ),
)

duplicate = Table(
    "duplicate",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("sender", String(200), nullable=False),
    Column("control_id", String(200), nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    id_column("message_id"),
    Column("repeats", Integer, nullable=False, default=0),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "sender", "control_id", "content_digest"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

identifier = Table(
    "identifier",
    metadata,
    Column("stretch", BigInteger, nullable=False),  # see hub.store.identifiers
    Column("kind", String(16), nullable=False),  # mrn | account | name | claim | payer | trace ...
    Column("digest", LargeBinary, nullable=False),
    Column("message_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("stretch", "kind", "digest", "message_sequence"),
    sqlite_with_rowid=False,
)
