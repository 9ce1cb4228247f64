"""The ledger: double entry, append only; each entry's postings sum to zero.

Accounts (debit positive, credit negative): ``unbilled``, ``receivable payer``, ``receivable patient`` hold
what is owed to the practice; ``revenue`` what was charged; ``contractual``, ``write-off``, ``other
adjustment`` what will not be paid; ``cash`` what arrived; ``clearing`` a remittance between its deposit and
its claims, zero when it is posted whole; ``provider level`` what payers took or gave outside claims (PLB);
``interest``. A reversal is a mirror entry, never a deletion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from hub.billing.decision import Decision
from hub.core.errors import HubError
from hub.store.tables import ledger_posting

UNBILLED = "unbilled"
PAYER = "receivable payer"
PATIENT = "receivable patient"
REVENUE = "revenue"
CONTRACTUAL = "contractual"
WRITE_OFF = "write-off"
OTHER = "other adjustment"
CASH = "cash"
CLEARING = "clearing"
PROVIDER_LEVEL = "provider level"
INTEREST = "interest"
ACCOUNTS = (
    UNBILLED,
    PAYER,
    PATIENT,
    REVENUE,
    CONTRACTUAL,
    WRITE_OFF,
    OTHER,
    CASH,
    CLEARING,
    PROVIDER_LEVEL,
    INTEREST,
)


class LedgerError(HubError):
    """An entry does not sum to zero or names an unknown account: a defect of ours, never of the data."""

    code = "H600"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One side of an entry, in cents: debit positive, credit negative.

    *reference* says where the amount stands: the segment of an 835 for a payment, its trace for a deposit.
    """

    account: str
    amount_cents: int
    patient_id: int | None = None
    claim_id: int | None = None
    charge_id: int | None = None
    payer_id: str = ""
    code: str = ""
    reference: str = ""


def mirrored(postings: Sequence[Posting], reference: str = "") -> list[Posting]:
    """The postings of the reversal of an entry that had *postings*.

    *reference* is where what caused it stands, if that is known.
    """
    return [
        replace(posting, amount_cents=-posting.amount_cents, reference=reference[:80] or posting.reference)
        for posting in postings
    ]


def postings_of(connection: Connection, entry_id: int) -> list[Posting]:
    """The postings of the stored entry *entry_id*, in their order."""
    rows = connection.execute(
        select(ledger_posting).where(ledger_posting.c.entry_id == entry_id).order_by(ledger_posting.c.ordinal)
    )
    return [
        Posting(
            account=row.account,
            amount_cents=row.amount_cents,
            patient_id=row.patient_id,
            claim_id=row.claim_id,
            charge_id=row.charge_id,
            payer_id=row.payer_id,
            code=row.code,
            reference=row.reference,
        )
        for row in rows
    ]


def balances(decision: Decision, account: str, charges: Sequence[int]) -> dict[int, int]:
    """What is still owed on *account* for each of *charges* (cents), as far as it is anything."""
    found = decision.connection.execute(
        select(ledger_posting.c.charge_id, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.charge_id.in_(charges), ledger_posting.c.account == account)
        .group_by(ledger_posting.c.charge_id)
    )
    return {int(charge_id): int(cents) for charge_id, cents in found if cents > 0}


def post(
    decision: Decision,
    *,
    key: str,
    kind: str,
    postings: Sequence[Posting],
    claim_id: int | None = None,
    remittance_id: int | None = None,
    remittance_claim_id: int | None = None,
    reverses_id: int | None = None,
    rule: str = "",
    memo: str = "",
) -> int:
    """Add one entry to the decision's writes; returns its id. *key* makes it impossible to post the same cause twice.

    Postings of zero are left out. Raises :class:`LedgerError` when the rest does not sum to zero.
    """
    if decision.row("closed_month", month=decision.today[:7]) is not None:
        raise LedgerError("This day's month is closed.", where=kind, expected="a day after it", found=decision.today)
    kept = [posting for posting in postings if posting.amount_cents]
    total = sum(posting.amount_cents for posting in kept)
    unknown = {posting.account for posting in kept} - set(ACCOUNTS)
    if total or unknown:
        raise LedgerError("An entry's postings do not sum to zero.", where=kind, expected="0", found=str(total))
    entry_id = decision.ids.next()
    decision.changes.insert(
        "ledger_entry",
        {
            "id": entry_id,
            "entry_key": key,
            "kind": kind,
            "business_at": decision.now_ms,
            "posted_on": decision.today,
            "recorded_at": decision.real_ms,
            "actor": decision.actor,
            "rule": rule,
            "claim_id": claim_id,
            "remittance_id": remittance_id,
            "remittance_claim_id": remittance_claim_id,
            "message_id": decision.message_id,
            "reverses_id": reverses_id,
            "memo": memo,
        },
    )
    decision.changes.insert(
        "ledger_posting",
        *(
            {
                "entry_id": entry_id,
                "ordinal": ordinal,
                "account": posting.account,
                "amount_cents": posting.amount_cents,
                "patient_id": posting.patient_id,
                "claim_id": posting.claim_id,
                "charge_id": posting.charge_id,
                "payer_id": posting.payer_id,
                "code": posting.code,
                "reference": posting.reference,
            }
            for ordinal, posting in enumerate(kept, start=1)
        ),
    )
    return entry_id
