"""The edits that a claim passes before it may leave: data in ``edits.csv``, one small function each.

They find what the implementation guide's syntax cannot: identifiers that are none, facts that are missing or do not
fit. Form is repaired and recorded; codes, amounts, dates and identities are a person's to correct.
"""

from __future__ import annotations

from hub.billing.edits.context import Authorised, Context, Eligibility, History, PastService
from hub.billing.edits.facts import is_npi
from hub.billing.edits.registry import CHECKS, REPAIRS, Proposal
from hub.billing.edits.scrub import Finding, Repaired, Scrubbed, Unchecked, findings, scrub
from hub.billing.edits.table import EDITS, ERROR, INFO, REPAIR, WARNING, Edit

__all__ = [
    "CHECKS",
    "EDITS",
    "ERROR",
    "INFO",
    "REPAIR",
    "REPAIRS",
    "WARNING",
    "Authorised",
    "Context",
    "Edit",
    "Eligibility",
    "Finding",
    "History",
    "PastService",
    "Proposal",
    "Repaired",
    "Scrubbed",
    "Unchecked",
    "findings",
    "is_npi",
    "scrub",
]
