"""Remittances: what payers say they paid, what the bank shows, and what is needed to match the two to claims."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
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

remittance_source = Table(
    "remittance_source",
    metadata,
    id_column("message_id"),
    Column("ordinal", Integer, nullable=False),  # which ST of the file
    # reading | read | told; told: its row in remittance says the rest
    Column("state", String(16), nullable=False),
    Column("place", Text, nullable=False),  # where reading goes on: bytes and counts, no content; JSON
    Column("claims", Integer, nullable=False, default=0),  # how many were read up to that place
    Column("body", LargeBinary, nullable=False),  # envelope, header, and what the claims so far come to
    version_column(),
    PrimaryKeyConstraint("message_id", "ordinal"),
)

remittance = Table(
    "remittance",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    id_column("message_id"),
    Column("ordinal", Integer, nullable=False),  # which ST of the file
    Column("content_digest", LargeBinary, nullable=False),
    Column("trace", String(50), nullable=False),  # TRN02
    Column("payer_id", String(80), nullable=False),
    Column("payer_name", String(80), nullable=False),
    Column("payee_npi", String(10), nullable=False, default=""),
    Column("amount_cents", BigInteger, nullable=False),  # BPR02
    Column("method", String(8), nullable=False),  # BPR04
    Column("paid_on", String(10), nullable=False),
    Column("claims", Integer, nullable=False),
    Column("claims_posted", Integer, nullable=False, default=0),
    Column("claims_held", Integer, nullable=False, default=0),
    Column("claims_cents", BigInteger, nullable=False),  # sum of CLP04
    Column("provider_cents", BigInteger, nullable=False),  # sum of PLB amounts
    # staged | posting | posted | held | duplicate | closed
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("created_business_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # header, balance, provider adjustments
    version_column(),
    Index(None, "trace"),
    Index(None, "content_digest"),
    Index(None, "state", "id"),
    UniqueConstraint("message_id", "ordinal"),
)

remittance_claim = Table(
    "remittance_claim",
    metadata,
    id_column("id", primary_key=True),
    id_column("remittance_id"),
    Column("ordinal", Integer, nullable=False),
    Column("control_number", String(50), nullable=False),  # CLP01 as the payer sent it
    Column("payer_claim_number", String(64), nullable=False, default=""),  # CLP07
    Column("status", String(4), nullable=False),  # CLP02
    Column("charge_cents", BigInteger, nullable=False),
    Column("paid_cents", BigInteger, nullable=False),
    Column("patient_cents", BigInteger, nullable=False),
    Column("claim_id", BigInteger),
    Column("matched_by", String(48), nullable=False, default=""),
    # staged | posted | held | unmatched | duplicate | closed
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("reverses_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    version_column(),
    UniqueConstraint("remittance_id", "ordinal"),
    Index(None, "claim_id"),
    Index(None, "control_number"),
    Index(None, "payer_claim_number"),
    Index(None, "state", "id"),
)

number_rule = Table(
    "number_rule",
    metadata,
    id_column("id", primary_key=True),
    Column("payer_id", String(80), nullable=False),
    Column("place", String(8), nullable=False),  # prefix | suffix
    Column("text", String(30), nullable=False),  # what the payer puts there
    Column("state", String(16), nullable=False),  # proposed | released | withdrawn
    Column("seen", Integer, nullable=False, default=1),
    Column("proposed_by", String(64), nullable=False),
    Column("released_by", String(64)),
    version_column(),
    UniqueConstraint("payer_id", "place", "text"),
)

forwarded_balance = Table(
    "forwarded_balance",
    metadata,
    id_column("remittance_id"),
    Column("number", Integer, nullable=False),  # which of the remittance's provider adjustments
    Column("payer_id", String(80), nullable=False),
    Column("provider", String(50), nullable=False),  # PLB01
    Column("reference", String(80), nullable=False, default=""),  # PLB03-2
    Column("amount_cents", BigInteger, nullable=False),  # negative: to be taken back later
    Column("posted_on", String(10), nullable=False),
    PrimaryKeyConstraint("remittance_id", "number"),
    Index(None, "payer_id", "provider"),
)

bank_deposit = Table(
    "bank_deposit",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # the entry's content and which of its kind it is
    Column("trace", String(50), nullable=False),  # TRN02 of the addenda; empty when the bank gave none
    Column("originator", String(32), nullable=False, default=""),  # TRN03, or the company's id
    Column("amount_cents", BigInteger, nullable=False),
    Column("deposited_on", String(10), nullable=False),
    # open | matched | differs
    Column("state", String(16), nullable=False),
    Column("created_business_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the company's name and the bank's text
    version_column(),
    Index(None, "trace"),
    Index(None, "state", "id"),
    Index(None, "deposited_on"),
)
