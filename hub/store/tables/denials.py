"""Denials: what payers refused, what was done about it, and which rows of the triage table are active."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

denial = Table(
    "denial",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    id_column("item_id"),
    id_column("claim_id"),
    id_column("chain_id"),
    Column("charge_id", BigInteger),
    id_column("patient_id"),
    Column("remittance_claim_id", BigInteger),
    Column("payer_id", String(80), nullable=False),
    Column("group", String(2), nullable=False),  # CAS01 of the code that decides
    Column("reason", String(8), nullable=False),  # CAS02 of it
    Column("codes", String(80), nullable=False),  # all of the line's, CO-50 PR-204
    Column("remarks", String(80), nullable=False, default=""),  # space separated
    Column("procedure", String(16), nullable=False, default=""),
    Column("cents", BigInteger, nullable=False),
    Column("rule", String(64), nullable=False),  # the row of the triage table
    Column("covered", Boolean, nullable=False),  # a row of the table knows the code
    Column("category", String(24), nullable=False),
    Column("action", String(16), nullable=False),
    Column("resubmit", String(1), nullable=False, default=""),
    Column("fix", String(16), nullable=False, default=""),
    Column("appeal", String(8), nullable=False, default="no"),
    Column("may_bill_patient", String(8), nullable=False, default="no"),
    Column("chance", Integer, nullable=False),  # the table's, of a hundred
    Column("denied_on", String(10), nullable=False),
    Column("deadline_on", String(10), nullable=False, default=""),
    # open | waiting | corrected | appealed | won | lost | accepted | patient | withdrawn
    Column("state", String(16), nullable=False),
    Column("recovered_cents", BigInteger, nullable=False, default=0),
    version_column(),
    Index(None, "state", "id"),
    Index(None, "claim_id"),
    Index(None, "chain_id"),
    Index(None, "item_id"),
    Index(None, "payer_id", "reason"),
)

denial_action = Table(
    "denial_action",
    metadata,
    id_column("id", primary_key=True),
    id_column("denial_id"),
    Column("kind", String(16), nullable=False),  # correction | appeal
    Column("rule", String(64), nullable=False),  # what proposed it: a row of the triage table, or a template
    Column("automatic", Boolean, nullable=False),
    Column("level", Integer, nullable=False, default=0),  # of an appeal
    # drafted | sent | won | lost | withdrawn
    Column("state", String(16), nullable=False),
    Column("claim_id", BigInteger),  # the claim that corrects
    Column("actor", String(64), nullable=False),
    Column("made_business_at", BigInteger, nullable=False),
    Column("sent_on", String(10), nullable=False, default=""),
    Column("due_on", String(10), nullable=False, default=""),
    Column("decided_business_at", BigInteger),
    Column("recovered_cents", BigInteger, nullable=False, default=0),
    Column("body", LargeBinary, nullable=False),  # the letter, its evidence, what was corrected
    version_column(),
    Index(None, "denial_id"),
    Index(None, "claim_id"),
    Index(None, "rule", "decided_business_at"),
    Index(None, "state", "due_on"),
)

denial_rule = Table(
    "denial_rule",
    metadata,
    Column("rule", String(64), primary_key=True),
    Column("state", String(16), nullable=False),  # active | suspended
    Column("changed_business_at", BigInteger, nullable=False),
    Column("changed_by", String(64), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    version_column(),
)
