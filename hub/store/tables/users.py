"""Who uses the hub: accounts, sessions, and tokens for the API."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hub.store.tables.columns import metadata, version_column

user_account = Table(
    "user_account",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("title", String(128), nullable=False, default=""),
    Column("password_hash", String(256), nullable=False),
    Column("roles", String(200), nullable=False),  # space separated
    Column("channels", String(400), nullable=False, default=""),  # space separated; empty: all of them
    Column("organisations", String(400), nullable=False, default=""),  # space separated; empty: all of them
    Column("disabled", Boolean, nullable=False, default=False),
    Column("must_change_password", Boolean, nullable=False, default=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until_at", BigInteger, nullable=False, default=0),
    Column("created_at", BigInteger, nullable=False),
    version_column(),
)

session = Table(
    "session",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("user_name", String(64), ForeignKey("user_account.name"), nullable=False),
    Column("csrf_token", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revealed_until_at", BigInteger, nullable=False, default=0),
    Column("reveal_reason", Text, nullable=False, default=""),
    Column("broke_glass", Boolean, nullable=False, default=False),
    Index(None, "expires_at"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("name", String(64), nullable=False),  # what its owner calls it
    Column("user_name", String(64), ForeignKey("user_account.name"), nullable=False),
    Column("permissions", Text, nullable=False),  # space separated; never more than its owner has
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False, default=0),
    Column("revoked", Boolean, nullable=False, default=False),
    UniqueConstraint("user_name", "name"),
)
