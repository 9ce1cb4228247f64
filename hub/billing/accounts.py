"""Where the money of every charge has gone, as the ledger says."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, func, select

from hub.billing import ledger
from hub.core.money import from_cents
from hub.store.tables import ledger_posting


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Where what was charged has gone: ``charged = contractual + paid + patient + written_off + other + open``.

    *patient* is what the patient owes, *open* what a payer owes or nobody was asked for yet.
    """

    charged: Decimal
    contractual: Decimal
    paid: Decimal
    patient: Decimal
    written_off: Decimal
    other: Decimal
    open: Decimal

    @property
    def difference(self) -> Decimal:
        """What is not accounted for. Anything but zero is a defect."""
        known = self.contractual + self.paid + self.patient + self.written_off + self.other + self.open
        return self.charged - known


def totals(connection: Connection) -> Money:
    """The money of every charge there is. What a charge moved into ``clearing`` or ``cash`` was paid."""
    rows = connection.execute(
        select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.charge_id.is_not(None))
        .group_by(ledger_posting.c.account)
    )
    balances = {account: int(cents) for account, cents in rows}

    def of(*accounts: str) -> Decimal:
        return from_cents(sum(balances.get(account, 0) for account in accounts))

    return Money(
        charged=-of(ledger.REVENUE) + 0,
        contractual=of(ledger.CONTRACTUAL),
        paid=of(ledger.CLEARING, ledger.CASH),
        patient=of(ledger.PATIENT),
        written_off=of(ledger.WRITE_OFF),
        other=of(ledger.OTHER),
        open=of(ledger.UNBILLED, ledger.PAYER),
    )
