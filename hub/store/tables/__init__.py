"""Every table of the store, in one module for each subject; all of them are imported from here.

In the order of a message's life: :mod:`.channels`, :mod:`.messages` and :mod:`.deliveries`; :mod:`.patients`,
:mod:`.visits` and :mod:`.claims`; :mod:`.remittances`, :mod:`.ledger` and :mod:`.denials`; :mod:`.work`. Beside them:
:mod:`.refdata`, :mod:`.users`, :mod:`.audit_trail` and :mod:`.installation`. What many tables have stands in
:mod:`.columns`.

Conventions: ids are 63-bit numbers from :mod:`hub.core.ids`; ``*_at`` are milliseconds since 1970 UTC of real time,
``*_on`` are the practice's calendar days as ISO text, ``*_business_at`` are instants of the business clock; money is
integer cents, quantities integer thousandths. ``body`` columns are sealed JSON (see :mod:`hub.core.vault`, context
``<table>.body``); ``*_digest`` columns are blind indexes. Nothing that names a patient stands in a clear column.
``version`` counts a row's changes and guards every update that a worker decides.
"""

from __future__ import annotations

from hub.store.tables.audit_trail import audit, audit_checkpoint
from hub.store.tables.channels import channel_state, counter, rate, source_note
from hub.store.tables.claims import batch, claim, claim_event, claim_line, control_number
from hub.store.tables.columns import metadata
from hub.store.tables.deliveries import attempt, delivery
from hub.store.tables.denials import denial, denial_action, denial_rule
from hub.store.tables.installation import bundle, deployment, node, sequence, setting
from hub.store.tables.ledger import closed_month, ledger_entry, ledger_posting
from hub.store.tables.messages import content, duplicate, identifier, message
from hub.store.tables.patients import authorisation, coverage, eligibility, patient, patient_alias
from hub.store.tables.refdata import refdata_code, refdata_pair, refdata_set
from hub.store.tables.remittances import (
    bank_deposit,
    forwarded_balance,
    number_rule,
    remittance,
    remittance_claim,
    remittance_source,
)
from hub.store.tables.users import api_token, session, user_account
from hub.store.tables.visits import appointment, charge, visit
from hub.store.tables.work import alert, due, work_event, work_item

__all__ = [
    "alert",
    "api_token",
    "appointment",
    "attempt",
    "audit",
    "audit_checkpoint",
    "authorisation",
    "bank_deposit",
    "batch",
    "bundle",
    "channel_state",
    "charge",
    "claim",
    "claim_event",
    "claim_line",
    "closed_month",
    "content",
    "control_number",
    "counter",
    "coverage",
    "delivery",
    "denial",
    "denial_action",
    "denial_rule",
    "deployment",
    "due",
    "duplicate",
    "eligibility",
    "forwarded_balance",
    "identifier",
    "ledger_entry",
    "ledger_posting",
    "message",
    "metadata",
    "node",
    "number_rule",
    "patient",
    "patient_alias",
    "rate",
    "refdata_code",
    "refdata_pair",
    "refdata_set",
    "remittance",
    "remittance_claim",
    "remittance_source",
    "sequence",
    "session",
    "setting",
    "source_note",
    "user_account",
    "visit",
    "work_event",
    "work_item",
]
