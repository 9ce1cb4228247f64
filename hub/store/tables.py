"""Every table of the store, in the order of a message's life: messages, deliveries, billing, money, people.

Conventions: ids are 63-bit numbers from :mod:`hub.core.ids`; ``*_at`` are milliseconds since 1970 UTC of real time,
``*_on`` are the practice's calendar days as ISO text, ``*_business_at`` are instants of the business clock; money is
integer cents, quantities integer thousandths. ``body`` columns are sealed JSON (see :mod:`hub.core.vault`, context
``<table>.body``); ``*_digest`` columns are blind indexes. Nothing that names a patient stands in a clear column.
``version`` counts a row's changes and guards every update that a worker decides.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=primary_key, nullable=nullable, autoincrement=False)


def _fence(context: Any) -> int:
    """The fence of the lease that the transaction writes under (see :mod:`hub.store.lease`); 0 without a lease."""
    fence: int = context.execution_options.get("fence", 0)
    return fence


def _owner() -> tuple[Column[str], Column[int], Column[int]]:
    """Whose row it is, which of 64 partitions it belongs to, and the fence it was made under."""
    return (
        Column("organisation", String(64), nullable=False),
        Column("partition", Integer, nullable=False, default=0),
        Column("fence", BigInteger, nullable=False, default=_fence),
    )


def _version() -> Column[int]:
    return Column("version", Integer, nullable=False, default=1)


# ---------------------------------------------------------------- the node itself

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

# ---------------------------------------------------------------- messages

content = Table(
    "content",
    metadata,
    _id("id"),
    Column("ordinal", Integer, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", "ordinal"),
)

message = Table(
    "message",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _id("id"),
    *_owner(),
    Column("channel", String(64), nullable=False),
    Column("bundle", String(64), nullable=False, default=""),
    Column("kind", String(32), nullable=False),  # ADT^A04, 835, claim status ...
    Column("control_id", String(200), nullable=False, default=""),
    Column("sender", String(200), nullable=False, default=""),
    Column("source", String(200), nullable=False, default=""),  # peer address or file name
    Column("received_at", BigInteger, nullable=False),
    Column("received_on", String(10), nullable=False),
    Column("finished_at", BigInteger),
    Column("size", Integer, nullable=False),
    Column("lane_digest", LargeBinary, nullable=False),
    Column("other_lane_digest", LargeBinary),  # a merge takes both patients' lanes
    # in progress | held | errored | rejected | done | filtered
    Column("onward", String(16), nullable=False),
    Column("mapped", Boolean, nullable=False, default=False),
    Column("steps_outcome", String(16), nullable=False, default=""),  # what the steps alone came to
    # owed | delivered | undelivered | not owed
    Column("answer", String(16), nullable=False),
    Column("reason", Text),
    Column("reason_code", String(32)),
    Column("flags", String(200), nullable=False, default=""),  # space separated: control_id_reuse ...
    Column("parent_id", BigInteger),
    Column("relation", String(16)),  # fetched | split | replayed | caused
    _id("raw_id"),
    Column("answer_id", BigInteger),
    Column("mapped_id", BigInteger),
    _version(),
    UniqueConstraint("id"),
    Index(None, "channel", "onward", "sequence"),
    Index(None, "channel", "sequence"),
    Index(None, "onward", "sequence"),
    Index(None, "kind", "sequence"),
    Index(None, "control_id", "sequence"),
    # what is seldom, and sought often
    Index(
        "ix_message_parent_id",
        "parent_id",
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    Index(
        "ix_message_answer",
        "answer",
        "sequence",
        sqlite_where=text("answer IN ('owed', 'undelivered')"),
        postgresql_where=text("answer IN ('owed', 'undelivered')"),
    ),
)

duplicate = Table(
    "duplicate",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("sender", String(200), nullable=False),
    Column("control_id", String(200), nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    _id("message_id"),
    Column("repeats", Integer, nullable=False, default=0),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "sender", "control_id", "content_digest"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

identifier = Table(
    "identifier",
    metadata,
    Column("stretch", BigInteger, nullable=False),  # see hub.store.identifiers
    Column("kind", String(16), nullable=False),  # mrn | account | name | claim | payer | trace ...
    Column("digest", LargeBinary, nullable=False),
    Column("message_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("stretch", "kind", "digest", "message_sequence"),
    sqlite_with_rowid=False,
)

delivery = Table(
    "delivery",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _id("id"),
    *_owner(),
    Column("message_sequence", BigInteger, ForeignKey("message.sequence"), nullable=False),
    _id("message_id"),
    Column("channel", String(64), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(200), nullable=False, default=""),  # file name, control id: how the peer knows it
    Column("lane_digest", LargeBinary, nullable=False),
    # queued | sending | delivered | ambiguous | refused | closed | shadow
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", BigInteger, nullable=False, default=0),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    _id("body_id"),
    Column("intent", Boolean, nullable=False, default=False),  # "attempt n, sending" is committed
    _version(),
    UniqueConstraint("id"),
    Index(None, "channel", "destination", "state", "sequence"),
    Index(None, "message_sequence"),
    Index(None, "state", "sequence"),
)

attempt = Table(
    "attempt",
    metadata,
    _id("delivery_id"),
    Column("number", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # sending | delivered | transient | ambiguous | permanent
    Column("outcome", String(16), nullable=False),
    Column("reason", Text),
    Column("actor", String(64), nullable=False, default="hub"),
    Column("answer_id", BigInteger),
    PrimaryKeyConstraint("delivery_id", "number"),
    sqlite_with_rowid=False,
)

counter = Table(
    "counter",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("day", String(10), nullable=False),  # the practice's day on which the message was received
    # received, in progress, held, errored, rejected, done, filtered, repeated;
    # lines, lines mapped, lines filtered, lines held; <destination>/sent, <destination>/waiting
    Column("name", String(96), nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "day", "name"),
)

rate = Table(
    "rate",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("minute", BigInteger, nullable=False),  # real minutes since 1970
    Column("received", Integer, nullable=False, default=0),
    Column("done", Integer, nullable=False, default=0),
    Column("latency_ms", BigInteger, nullable=False, default=0),  # summed over done
    PrimaryKeyConstraint("channel", "minute"),
)

channel_state = Table(
    "channel_state",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("destination", String(64), nullable=False, default=""),  # empty: the whole channel
    Column("paused", Boolean, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("draining", Boolean, nullable=False, default=False),  # takes nothing in, works off what is there
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("channel", "destination"),
)

source_note = Table(  # what a source keeps beside a message until it is over: see hub.engine.notes
    "source_note",
    metadata,
    Column("channel", String(64), nullable=False),
    Column("kind", String(32), nullable=False),  # part, nonce, answer ...
    Column("name", String(64), nullable=False),
    _id("message_id"),
    Column("text", String(200), nullable=False, default=""),  # for the source to read
    Column("until_at", BigInteger, nullable=False),
    Column("sentence", Text, nullable=False, default=""),  # what a person is told when that has passed; empty: nothing
    PrimaryKeyConstraint("channel", "kind", "name"),
    Index(None, "message_id"),
    Index(None, "until_at"),
)

# ---------------------------------------------------------------- billing: people and visits

patient = Table(
    "patient",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("merged_into", BigInteger),
    Column("as_of", String(32), nullable=False, default=""),  # time of the newest snapshot applied
    Column("name_digest", LargeBinary),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "name_digest"),
    Index(None, "updated_at"),
)

patient_alias = Table(
    "patient_alias",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # authority and medical record number
    _id("patient_id"),
    Column("retired", Boolean, nullable=False, default=False),
    _version(),
    Index(None, "patient_id"),
)

coverage = Table(
    "coverage",
    metadata,
    _id("id", primary_key=True),
    _id("patient_id"),
    Column("priority", Integer, nullable=False),
    Column("payer_id", String(32), nullable=False),
    Column("member_digest", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("expires_on", String(10), nullable=False, default=""),
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "patient_id"),
    Index(None, "member_digest"),
)

eligibility = Table(  # what payers answered about coverages, each answer once
    "eligibility",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # patient, payer and what was said
    _id("patient_id"),
    Column("payer_id", String(32), nullable=False),
    Column("answered_on", String(10), nullable=False),
    Column("message_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "patient_id"),
)

authorisation = Table(  # what payers authorised beforehand, as it stands now
    "authorisation",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("digest", LargeBinary, nullable=False),  # of the payer's number
    _id("patient_id"),
    Column("as_of", String(32), nullable=False, default=""),  # time of the newest snapshot applied
    Column("message_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "patient_id"),
)

visit = Table(
    "visit",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    _id("patient_id"),
    Column("account_digest", LargeBinary, nullable=False, unique=True),
    Column("visit_on", String(10), nullable=False, default=""),
    Column("department", String(32), nullable=False, default=""),
    Column("state", String(16), nullable=False),  # expected | open | void
    Column("source_channel", String(64), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "patient_id"),
    Index(None, "visit_on"),
)

appointment = Table(
    "appointment",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("patient_id", BigInteger),
    Column("starts_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # booked | cancelled | no show
    Column("body", LargeBinary, nullable=False),
    _version(),
    Index(None, "starts_at"),
)

charge = Table(
    "charge",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # source and transaction id
    _id("visit_id"),
    _id("patient_id"),
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
    _version(),
    Index(None, "visit_id"),
    Index(None, "claim_id"),
    Index(None, "patient_id"),
    Index(None, "state", "service_on"),
)

# ---------------------------------------------------------------- billing: claims

claim = Table(
    "claim",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    Column("control_number", String(20), nullable=False, unique=True),  # CLM01, CLP01
    _id("chain_id"),
    Column("frequency", String(1), nullable=False),
    Column("sequence", String(1), nullable=False, default="P"),  # SBR01: P, S, T ...
    Column("previous_id", BigInteger),  # the claim to the payer before, whose decision this one reports
    Column("form", String(8), nullable=False),  # 837P
    Column("payer_id", String(32), nullable=False),
    Column("partner", String(64), nullable=False),
    Column("environment", String(16), nullable=False),
    _id("patient_id"),
    _id("visit_id"),
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
    _version(),
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
    _id("claim_id"),
    Column("ordinal", Integer, nullable=False),
    Column("control_number", String(30), nullable=False, unique=True),  # REF*6R
    _id("charge_id"),
    Column("code", String(16), nullable=False),
    Column("modifiers", String(16), nullable=False, default=""),
    Column("units_milli", BigInteger, nullable=False),
    Column("charge_cents", BigInteger, nullable=False),
    Column("service_on", String(10), nullable=False),
    _version(),
    PrimaryKeyConstraint("claim_id", "ordinal"),
    Index(None, "charge_id"),
)

claim_event = Table(
    "claim_event",
    metadata,
    _id("id", primary_key=True),
    _id("claim_id"),
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
    _id("id", primary_key=True),
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
    _version(),
    UniqueConstraint("partner", "interchange_number"),
    UniqueConstraint("partner", "group_number"),
)

control_number = Table(
    "control_number",
    metadata,
    Column("partner", String(64), nullable=False),
    Column("name", String(32), nullable=False),  # interchange | group | reference
    Column("value", BigInteger, nullable=False),
    _version(),
    PrimaryKeyConstraint("partner", "name"),
)

# ---------------------------------------------------------------- money

remittance = Table(
    "remittance",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    _id("message_id"),
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
    _version(),
    Index(None, "trace"),
    Index(None, "content_digest"),
    Index(None, "state", "id"),
    UniqueConstraint("message_id", "ordinal"),
)

remittance_claim = Table(
    "remittance_claim",
    metadata,
    _id("id", primary_key=True),
    _id("remittance_id"),
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
    _version(),
    UniqueConstraint("remittance_id", "ordinal"),
    Index(None, "claim_id"),
    Index(None, "control_number"),
    Index(None, "payer_claim_number"),
    Index(None, "state", "id"),
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    _id("id", primary_key=True),
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
    _id("entry_id"),
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

remittance_source = Table(
    "remittance_source",
    metadata,
    _id("message_id"),
    Column("ordinal", Integer, nullable=False),  # which ST of the file
    # reading | read | told; told: its row in remittance says the rest
    Column("state", String(16), nullable=False),
    Column("place", Text, nullable=False),  # where reading goes on: bytes and counts, no content; JSON
    Column("claims", Integer, nullable=False, default=0),  # how many were read up to that place
    Column("body", LargeBinary, nullable=False),  # envelope, header, and what the claims so far come to
    _version(),
    PrimaryKeyConstraint("message_id", "ordinal"),
)

forwarded_balance = Table(
    "forwarded_balance",
    metadata,
    _id("remittance_id"),
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
    _id("id", primary_key=True),
    *_owner(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # the entry's content and which of its kind it is
    Column("trace", String(50), nullable=False),  # TRN02 of the addenda; empty when the bank gave none
    Column("originator", String(32), nullable=False, default=""),  # TRN03, or the company's id
    Column("amount_cents", BigInteger, nullable=False),
    Column("deposited_on", String(10), nullable=False),
    # open | matched | differs
    Column("state", String(16), nullable=False),
    Column("created_business_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the company's name and the bank's text
    _version(),
    Index(None, "trace"),
    Index(None, "state", "id"),
    Index(None, "deposited_on"),
)

number_rule = Table(
    "number_rule",
    metadata,
    _id("id", primary_key=True),
    Column("payer_id", String(80), nullable=False),
    Column("place", String(8), nullable=False),  # prefix | suffix
    Column("text", String(30), nullable=False),  # what the payer puts there
    Column("state", String(16), nullable=False),  # proposed | released | withdrawn
    Column("seen", Integer, nullable=False, default=1),
    Column("proposed_by", String(64), nullable=False),
    Column("released_by", String(64)),
    _version(),
    UniqueConstraint("payer_id", "place", "text"),
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
    _version(),
)

# ---------------------------------------------------------------- denials

denial = Table(
    "denial",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
    _id("item_id"),
    _id("claim_id"),
    _id("chain_id"),
    Column("charge_id", BigInteger),
    _id("patient_id"),
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
    _version(),
    Index(None, "state", "id"),
    Index(None, "claim_id"),
    Index(None, "chain_id"),
    Index(None, "item_id"),
    Index(None, "payer_id", "reason"),
)

denial_action = Table(
    "denial_action",
    metadata,
    _id("id", primary_key=True),
    _id("denial_id"),
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
    _version(),
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
    _version(),
)

# ---------------------------------------------------------------- people's work

work_item = Table(
    "work_item",
    metadata,
    _id("id", primary_key=True),
    *_owner(),
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
    _version(),
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
    _id("id", primary_key=True),
    _id("item_id"),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("kind", String(24), nullable=False),  # opened | comment | assigned | resolved | reopened
    Column("body", LargeBinary, nullable=False),
    Index(None, "item_id", "id"),
)

due = Table(
    "due",
    metadata,
    _id("id", primary_key=True),
    Column("due_key", String(120), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("business_at", BigInteger, nullable=False),
    Column("subject_id", BigInteger),
    Column("subject", String(64), nullable=False, default=""),
    Column("done", Boolean, nullable=False, default=False),
    _version(),
    Index(None, "done", "business_at"),
)

# ---------------------------------------------------------------- reference data

refdata_set = Table(
    "refdata_set",
    metadata,
    _id("id", primary_key=True),
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
    _id("set_id"),
    Column("code", String(32), nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("ends_on", String(10), nullable=False, default=""),  # the last date of service; empty: none
    Column("facts", Text, nullable=False, default="{}"),
    PrimaryKeyConstraint("set_id", "code", "effective_on"),
)

refdata_pair = Table(
    "refdata_pair",
    metadata,
    _id("set_id"),
    Column("first", String(16), nullable=False),
    Column("second", String(16), nullable=False),
    Column("effective_on", String(10), nullable=False, default=""),
    Column("ends_on", String(10), nullable=False, default=""),
    Column("facts", Text, nullable=False, default="{}"),
    PrimaryKeyConstraint("set_id", "first", "second", "effective_on"),
)

# ---------------------------------------------------------------- who uses the hub

user_account = Table(
    "user_account",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("title", String(128), nullable=False, default=""),
    Column("password_hash", String(256), nullable=False),
    Column("roles", String(200), nullable=False),  # space separated
    Column("channels", String(400), nullable=False, default=""),  # space separated; empty: all of them
    Column("organisations", String(400), nullable=False, default=""),  # space separated; empty: all of them
    Column("disabled", Boolean, nullable=False, default=False),
    Column("must_change_password", Boolean, nullable=False, default=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until_at", BigInteger, nullable=False, default=0),
    Column("created_at", BigInteger, nullable=False),
    _version(),
)

session = Table(
    "session",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("user_name", String(64), ForeignKey("user_account.name"), nullable=False),
    Column("csrf_token", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revealed_until_at", BigInteger, nullable=False, default=0),
    Column("reveal_reason", Text, nullable=False, default=""),
    Column("broke_glass", Boolean, nullable=False, default=False),
    Index(None, "expires_at"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True),
    Column("name", String(64), nullable=False),  # what its owner calls it
    Column("user_name", String(64), ForeignKey("user_account.name"), nullable=False),
    Column("permissions", Text, nullable=False),  # space separated; never more than its owner has
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False, default=0),
    Column("revoked", Boolean, nullable=False, default=False),
    UniqueConstraint("user_name", "name"),
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
    _version(),
)

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
