"""The ledger: entries, their postings, and closed months."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from hub.store.tables.columns import id_column, metadata, version_column

ledger_entry = Table(
    "ledger_entry",
    metadata,
    id_column("id", primary_key=True),
    Column("entry_key", String(120), nullable=False, unique=True),
    # charge | claim | payment | reversal | provider adjustment | write-off | transfer | patient payment | credit
    Column("kind", String(24), nullable=False),
    Column("business_at", BigInteger, nullable=False),
    Column("posted_on", String(10), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("rule", String(64), nullable=False, default=""),
    Column("claim_id", BigInteger),
    Column("remittance_id", BigInteger),
    Column("remittance_claim_id", BigInteger),
    Column("message_id", BigInteger),
    Column("reverses_id", BigInteger),
    Column("memo", Text, nullable=False, default=""),
    Index(None, "claim_id"),
    Index(None, "remittance_id"),
    Index(None, "posted_on"),
)

ledger_posting = Table(
    "ledger_posting",
    metadata,
    id_column("entry_id"),
    Column("ordinal", Integer, nullable=False),
    # receivable payer | receivable patient | unbilled | revenue | contractual | cash | clearing | provider level |
    # denied | other adjustment | write-off | interest
    Column("account", String(24), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),  # debit positive, credit negative; an entry sums to zero
    Column("patient_id", BigInteger),
    Column("claim_id", BigInteger),
    Column("charge_id", BigInteger),
    Column("payer_id", String(80), nullable=False, default=""),
    Column("code", String(24), nullable=False, default=""),  # CO-45, PR-2, WO ...
    Column("reference", String(80), nullable=False, default=""),
    PrimaryKeyConstraint("entry_id", "ordinal"),
    Index(None, "claim_id", "account"),
    Index(None, "patient_id", "account"),
    Index(None, "charge_id", "account"),
    Index(None, "account"),
)

closed_month = Table(
    "closed_month",
    metadata,
    Column("month", String(7), primary_key=True),  # 2026-03
    Column("closed_business_at", BigInteger, nullable=False),
    Column("closed_by", String(64), nullable=False),
    Column("last_entry_id", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # over every posting of the month, in its order
    Column("figures", Text, nullable=False),  # by account: brought forward, moved, carried forward; JSON
    Column("note", Text, nullable=False, default=""),
    version_column(),
)
