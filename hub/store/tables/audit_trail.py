"""The audit trail, a chain of hashes, and its signed checkpoints."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text

from hub.store.tables.columns import metadata

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object_type", String(32), nullable=False, default=""),
    Column("object_id", String(64), nullable=False, default=""),
    Column("patient_id", BigInteger),
    Column("reason", Text, nullable=False, default=""),
    Column("detail", Text, nullable=False, default="{}"),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index(None, "actor", "sequence"),
    Index(None, "action", "sequence"),
    Index(None, "patient_id", "sequence"),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),  # of the record that it vouches for
    Column("at", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # Ed25519, over sequence, time and hash
)
