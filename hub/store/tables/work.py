"""People's work: items in queues, what falls due, and alerts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

from hub.store.tables.columns import id_column, metadata, owner_columns, version_column

work_item = Table(
    "work_item",
    metadata,
    id_column("id", primary_key=True),
    *owner_columns(),
    Column("queue", String(32), nullable=False),
    Column("item_key", String(160), nullable=False, unique=True),  # one cause, one item
    Column("kind", String(48), nullable=False),
    Column("sentence", Text, nullable=False),  # what is wrong, in a biller's words, naming nobody
    Column("rule", String(64), nullable=False, default=""),
    Column("money_cents", BigInteger, nullable=False, default=0),
    Column("claim_id", BigInteger),
    Column("charge_id", BigInteger),
    Column("patient_id", BigInteger),
    Column("message_id", BigInteger),
    Column("remittance_id", BigInteger),
    Column("remittance_claim_id", BigInteger),
    Column("delivery_id", BigInteger),
    Column("source_path", String(64), nullable=False, default=""),
    Column("opened_business_at", BigInteger, nullable=False),
    Column("due_on", String(10), nullable=False, default=""),
    Column("state", String(16), nullable=False),  # open | resolved
    Column("resolution", String(48), nullable=False, default=""),
    Column("assignee", String(64)),
    Column("snoozed_until", String(10), nullable=False, default=""),  # the practice's day; empty: not snoozed
    Column("body", LargeBinary, nullable=False),  # evidence
    version_column(),
    # the order of a queue, and what decides whether an item is in it, without reading a row
    Index("ix_work_item_order", "queue", "state", "due_on", "money_cents", "id", "snoozed_until", "assignee"),
    Index(None, "state", "id"),
    Index(None, "claim_id"),
    Index(None, "message_id"),
    Index(None, "charge_id"),
)

work_event = Table(
    "work_event",
    metadata,
    id_column("id", primary_key=True),
    id_column("item_id"),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("kind", String(24), nullable=False),  # opened | comment | assigned | resolved | reopened
    Column("body", LargeBinary, nullable=False),
    Index(None, "item_id", "id"),
)

due = Table(
    "due",
    metadata,
    id_column("id", primary_key=True),
    Column("due_key", String(120), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("business_at", BigInteger, nullable=False),
    Column("subject_id", BigInteger),
    Column("subject", String(64), nullable=False, default=""),
    Column("done", Boolean, nullable=False, default=False),
    version_column(),
    Index(None, "done", "business_at"),
)

alert = Table(
    "alert",
    metadata,
    Column("alert_key", String(160), primary_key=True),  # one cause, one alert
    Column("owner", String(64), nullable=False, default=""),
    Column("snoozed_until_at", BigInteger, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("actor", String(64), nullable=False, default=""),
    Column("changed_at", BigInteger, nullable=False, default=0),
    Column("sentence", Text, nullable=False, default="", server_default=""),  # naming nobody
    Column("first", Text, nullable=False, default="", server_default=""),
    Column("opened_at", BigInteger, nullable=False, default=0, server_default="0"),  # 0: it is over
    Column("gone_at", BigInteger, nullable=False, default=0, server_default="0"),  # since when it is not seen any more
    # how far people were told: 0 not at all, 1 that it opened, one more for each escalation
    Column("mailed", Integer, nullable=False, default=0, server_default="0"),
    Column("posted", Integer, nullable=False, default=0, server_default="0"),
    version_column(),
)
