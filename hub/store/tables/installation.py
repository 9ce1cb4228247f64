"""The installation itself: settings, versions of the site's files and their deployments, the sequence, the lease."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table, Text

from hub.store.tables.columns import metadata

setting = Table(
    "setting",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

bundle = Table(  # a version of the site's files
    "bundle",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("files", LargeBinary, nullable=False),
)

deployment = Table(
    "deployment",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("deployed_at", BigInteger, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # start | deploy | rollback
    Column("actor", String(64), nullable=False),
    Column("reason", Text, nullable=False),
)

sequence = Table(
    "sequence",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

node = Table(
    "node",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("lease_until_at", BigInteger, nullable=False),
)
