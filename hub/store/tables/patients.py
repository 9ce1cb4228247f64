"""Patients: who they are, what covers them, and what payers answered and authorised beforehand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

patient = Table(
    "patient",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("merged_into", BigInteger),
    Column("as_of", String(32), nullable=False, default=""),  # time of the newest snapshot applied
    Column("name_digest", LargeBinary),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "name_digest"),
    Index(None, "updated_at"),
)

patient_alias = Table(
    "patient_alias",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # authority and medical record number
    id_column("patient_id"),
    Column("retired", Boolean, nullable=False, default=False),
    version_column(),
    Index(None, "patient_id"),
)

coverage = Table(
    "coverage",
    metadata,
    id_column("id", primary_key=True),
    id_column("patient_id"),
    Column("priority", Integer, nullable=False),
    Column("payer_id", String(32), nullable=False),
    Column("member_digest", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("expires_on", String(10), nullable=False, default=""),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "patient_id"),
    Index(None, "member_digest"),
)

eligibility = Table(  # what payers answered about coverages, each answer once
    "eligibility",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # patient, payer and what was said
    id_column("patient_id"),
    Column("payer_id", String(32), nullable=False),
    Column("answered_on", String(10), nullable=False),
    Column("message_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "patient_id"),
)

authorisation = Table(  # what payers authorised beforehand, as it stands now
    "authorisation",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("digest", LargeBinary, nullable=False),  # of the payer's number
    id_column("patient_id"),
    Column("as_of", String(32), nullable=False, default=""),  # time of the newest snapshot applied
    Column("message_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    Index(None, "patient_id"),
)
