"""Visits: what was booked, what took place, and the charges for it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

visit = Table(
    "visit",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    id_column("patient_id"),
    Column("account_digest", LargeBinary, nullable=False, unique=True),
    Column("visit_on", String(10), nullable=False, default=""),
    Column("department", String(32), nullable=False, default=""),
    Column("state", String(16), nullable=False),  # expected | open | void
    Column("source_channel", String(64), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "patient_id"),
    Index(None, "visit_on"),
)

appointment = Table(
    "appointment",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("patient_id", BigInteger),
    Column("starts_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # booked | cancelled | no show
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "starts_at"),
)

charge = Table(
    "charge",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # source and transaction id
    id_column("visit_id"),
    id_column("patient_id"),
    Column("service_on", String(10), nullable=False),
    Column("code", String(16), nullable=False),
    Column("modifiers", String(16), nullable=False, default=""),  # space separated
    Column("units_milli", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("performing_npi", String(10), nullable=False, default=""),
    Column("place_of_service", String(2), nullable=False, default=""),
    Column("department", String(32), nullable=False, default=""),
    # open | held | claimed | void | self pay
    Column("state", String(16), nullable=False),
    Column("claim_id", BigInteger),
    Column("message_id", BigInteger, nullable=False),
    Column("source_path", String(64), nullable=False, default=""),
    Column("source_channel", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "visit_id"),
    Index(None, "claim_id"),
    Index(None, "patient_id"),
    Index(None, "state", "service_on"),
)
