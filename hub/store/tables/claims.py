"""Claims: their lines and history, the batches they leave in, and the control numbers used up."""

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
)

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

claim = Table(
    "claim",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("control_number", String(20), nullable=False, unique=True),  # CLM01, CLP01
    id_column("chain_id"),
    Column("frequency", String(1), nullable=False),
    Column("sequence", String(1), nullable=False, default="P"),  # SBR01: P, S, T ...
    Column("previous_id", BigInteger),  # the claim to the payer before, whose decision this one reports
    Column("form", String(8), nullable=False),  # 837P
    Column("payer_id", String(32), nullable=False),
    Column("partner", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    id_column("patient_id"),
    id_column("visit_id"),
    Column("rendering_npi", String(10), nullable=False),
    Column("place_of_service", String(2), nullable=False),
    Column("service_on", String(10), nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("state", String(24), nullable=False),
    Column("state_business_at", BigInteger, nullable=False),
    Column("created_business_at", BigInteger, nullable=False),
    Column("hold_until_business_at", BigInteger, nullable=False, default=0),
    Column("approved_by", String(64)),
    Column("payer_claim_number", String(64)),
    Column("replaces_id", BigInteger),  # the claim that this one corrects or replaces; its charges are on this one
    Column("batch_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "state", "id"),
    Index("ix_claim_state_total", "state", "total_cents"),  # sums by state read no row
    Index(None, "partner", "state", "control_number"),
    Index(None, "patient_id"),
    Index(None, "visit_id"),
    Index(None, "batch_id"),
    Index(None, "payer_claim_number"),
    Index(None, "chain_id"),
    Index(None, "previous_id"),
    Index(None, "payer_id", "id"),
)

claim_line = Table(
    "claim_line",
    metadata,
    id_column("claim_id"),
    Column("ordinal", Integer, nullable=False),
    Column("control_number", String(30), nullable=False, unique=True),  # REF*6R
    id_column("charge_id"),
    Column("code", String(16), nullable=False),
    Column("modifiers", String(16), nullable=False, default=""),
    Column("units_milli", BigInteger, nullable=False),
    Column("charge_cents", BigInteger, nullable=False),
    Column("service_on", String(10), nullable=False),
    version_column(),
    PrimaryKeyConstraint("claim_id", "ordinal"),
    Index(None, "charge_id"),
)

claim_event = Table(
    "claim_event",
    metadata,
    id_column("id", primary_key=True),
    id_column("claim_id"),
    Column("event_key", String(120), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("business_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("message_id", BigInteger),
    Column("state_after", String(24), nullable=False),
    Column("anomaly", Boolean, nullable=False, default=False),
    Column("detail", Text, nullable=False, default="{}"),  # codes, numbers and our own sentences; JSON
    Index(None, "claim_id", "id"),
)

batch = Table(
    "batch",
    metadata,
    id_column("id", primary_key=True),
    Column("partner", String(64), nullable=False),
    Column("reference", String(30), nullable=False, unique=True),  # BHT03, echoed by 277CA
    Column("interchange_number", Integer, nullable=False),
    Column("group_number", Integer, nullable=False),
    Column("usage", String(1), nullable=False),
    Column("claims", Integer, nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("payload_digest", LargeBinary, nullable=False, unique=True),
    Column("message_id", BigInteger),
    Column("state", String(16), nullable=False),  # built | sent | acknowledged | rejected
    Column("created_business_at", BigInteger, nullable=False),
    version_column(),
    UniqueConstraint("partner", "interchange_number"),
    UniqueConstraint("partner", "group_number"),
)

control_number = Table(
    "control_number",
    metadata,
    Column("partner", String(64), nullable=False),
    Column("name", String(32), nullable=False),  # interchange | group | reference
    Column("value", BigInteger, nullable=False),
    version_column(),
    PrimaryKeyConstraint("partner", "name"),
)
