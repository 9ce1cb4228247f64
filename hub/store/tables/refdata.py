"""Reference data: sets of codes and pairs of codes, by edition."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hub.store.tables.columns import id_column, metadata

refdata_set = Table(
    "refdata_set",
    metadata,
    id_column("id", primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("edition", String(64), nullable=False),  # as its publisher names it: 2027, 2026Q4
    Column("effective_on", String(10), nullable=False),  # the first date of service that it is for
    Column("digest", LargeBinary, nullable=False),  # of the file
    Column("rows", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # loading | ready
    Column("loaded_at", BigInteger, nullable=False),
    Column("loaded_by", String(64), nullable=False),
    UniqueConstraint("kind", "edition"),
)

refdata_code = Table(
    "refdata_code",
    metadata,
    id_column("set_id"),
    Column("code", String(32), nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("ends_on", String(10), nullable=False, default=""),  # the last date of service; empty: none
    Column("facts", Text, nullable=False, default="{}"),
    PrimaryKeyConstraint("set_id", "code", "effective_on"),
)

refdata_pair = Table(
    "refdata_pair",
    metadata,
    id_column("set_id"),
    Column("first", String(16), nullable=False),
    Column("second", String(16), nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("ends_on", String(10), nullable=False, default=""),
    Column("facts", Text, nullable=False, default="{}"),
    PrimaryKeyConstraint("set_id", "first", "second", "effective_on"),
)
