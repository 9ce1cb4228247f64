"""What the bank took in against what the remittances say was paid: same payment number, same payer, same amount.

CAQH CORE rule 370 has the 835 and its transfer arrive within three business days of each other. What lacks its other
half after that, or differs from it, is for a person.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select

from hub.billing.decision import Decision
from hub.core.money import from_cents, shown, to_cents
from hub.formats.bank import BankEntry, read_bank_file
from hub.store.changes import Row
from hub.store.tables import bank_deposit, remittance

QUEUE = "unmatched payments"
BUSINESS_DAYS = 3
SATURDAY = 5
_ELECTRONIC = ("ACH", "FWT", "BOP")
_TAKEN = ("staged", "posting", "posted")
_DAY_MS = 86_400_000


def load(decision: Decision, text: str) -> dict[str, Any]:
    """Take in a bank's file; deposits that are known already change nothing. Says what it holds.

    Raises :class:`~hub.formats.bank.BankFileError`. What is too much for one decision is left for the next.
    """
    file = read_bank_file(text)
    seen: dict[tuple[Any, ...], int] = {}
    traces: dict[str, None] = {}
    for entry in file.entries:
        facts = (entry.on.isoformat(), entry.trace, entry.originator, to_cents(entry.amount))
        seen[facts] = seen.get(facts, 0) + 1
        digest = decision.vault.digest("bank", "|".join(map(str, (*facts, seen[facts]))))
        if decision.row("bank_deposit", digest=digest) is None:
            if decision.full:
                decision.complete = False
                break
            _keep(decision, entry, digest)
            traces[entry.trace] = None
    for trace in traces:
        settle(decision, trace)
    if decision.complete:
        look(decision)
    return {"entries": len(file.entries), "new": len(traces), "others": file.others}


def look(decision: Decision) -> None:
    """Open an item for everything that lacks its other half after three business days, and look again tomorrow."""
    limit = _business_days_before(date.fromisoformat(decision.today), BUSINESS_DAYS).isoformat()
    for deposit in decision.rows("bank_deposit", state="open"):
        if deposit["deposited_on"] < limit:
            _report_deposit(decision, deposit)
    first = decision.connection.execute(select(func.min(bank_deposit.c.deposited_on))).scalar()
    if first is not None:
        for row in _unpaid(decision, first, limit):
            _report_remittance(decision, row)
    decision.rearm(kind="bank", key="bank", business_at=decision.now_ms + _DAY_MS)


def look_again(decision: Decision, due: Row) -> None:
    """What :func:`look` arranged has come due; *due* is rearmed by it."""
    assert due["due_key"] == "bank"
    look(decision)


def settle(decision: Decision, trace: str) -> None:
    """Hold the deposits of payment number *trace* against its remittances, now that one of them has come."""
    deposits = decision.rows("bank_deposit", trace=trace) if trace else []
    paid = [each for each in decision.rows("remittance", trace=trace) if each["state"] in _TAKEN] if deposits else []
    for origin in dict.fromkeys(each["originator"] for each in deposits):
        ours = [each for each in deposits if each["originator"] == origin]
        theirs = [each for each in paid if _is_from(decision, each, origin)]
        if theirs:
            _compare(decision, ours, theirs)


def deposited(decision: Decision, payer_id: str, originator: str, trace: str) -> int | None:
    """What the bank took in from a payer under the payment number *trace*, in cents; None when it has not told."""
    deposits = decision.rows("bank_deposit", trace=trace) if trace else []
    fitting = [each for each in deposits if not each["originator"] or each["originator"] in {originator, payer_id}]
    return sum(each["amount_cents"] for each in fitting) if fitting else None


def _keep(decision: Decision, entry: BankEntry, digest: bytes) -> None:
    decision.insert(
        "bank_deposit",
        id=decision.ids.next(),
        **decision.owner(),
        digest=digest,
        trace=entry.trace,
        originator=entry.originator,
        amount_cents=to_cents(entry.amount),
        deposited_on=entry.on.isoformat(),
        state="open",
        created_business_at=decision.now_ms,
        body=decision.seal("bank_deposit", {"company": entry.company, "text": entry.text}),
    )


def _is_from(decision: Decision, row: Row, originator: str) -> bool:
    """Whether the remittance of *row* is the payer's that the bank names; a bank may name none."""
    said = decision.unseal("remittance", row["body"]).get("originator", "")
    return not originator or not said or originator in {said, row["payer_id"]}


def _compare(decision: Decision, deposits: list[Row], paid: list[Row]) -> None:
    found = sum(each["amount_cents"] for each in deposits)
    expected = sum(each["amount_cents"] for each in paid)
    state = "matched" if found == expected else "differs"
    for deposit in deposits:
        if deposit["state"] != state:
            decision.update("bank_deposit", deposit, state=state)
        decision.close_item(f"bank:{deposit['id']}", "its remittance came")
    for row in paid:
        decision.close_item(f"bank:remittance:{row['id']}", "its deposit came")
    key = f"bank:amount:{deposits[0]['id']}"
    if state == "matched":
        decision.close_item(key, "the amounts agree")
        return
    decision.open_item(
        queue=QUEUE,
        key=key,
        kind="deposit amount differs",
        sentence=(
            f"The bank took in {shown(from_cents(found))} for a payment of {paid[0]['payer_name'] or 'a payer'}, "
            f"and its remittances come to {shown(from_cents(expected))}."
        ),
        money_cents=found - expected,
        evidence={"trace": deposits[0]["trace"]},
        again=True,
        remittance_id=paid[0]["id"],
    )


def _unpaid(decision: Decision, first: str, limit: str) -> list[Row]:
    """The electronic payments since the bank's *first* word that no deposit came for by *limit*."""
    deposit = select(bank_deposit.c.id).where(bank_deposit.c.trace == remittance.c.trace)
    rows = decision.connection.execute(
        select(remittance.c.id, remittance.c.payer_name, remittance.c.amount_cents, remittance.c.trace).where(
            remittance.c.state.in_(_TAKEN),
            remittance.c.method.in_(_ELECTRONIC),
            remittance.c.amount_cents != 0,
            remittance.c.paid_on >= first,
            remittance.c.paid_on < limit,
            ~deposit.exists(),
        )
    )
    return [dict(row) for row in rows.mappings()]


def _report_deposit(decision: Decision, deposit: Row) -> None:
    decision.open_item(
        queue=QUEUE,
        key=f"bank:{deposit['id']}",
        kind="payment without remittance",
        sentence=(
            f"The bank took in {shown(from_cents(deposit['amount_cents']))} on {deposit['deposited_on']}, "
            "and no remittance says what it is for. Ask the payer or the clearinghouse for the 835."
        ),
        money_cents=deposit["amount_cents"],
        evidence={"trace": deposit["trace"], "originator": deposit["originator"]},
    )


def _report_remittance(decision: Decision, row: Row) -> None:
    decision.open_item(
        queue=QUEUE,
        key=f"bank:remittance:{row['id']}",
        kind="remittance without payment",
        sentence=(
            f"The remittance of {row['payer_name'] or 'a payer'} says that {shown(from_cents(row['amount_cents']))} "
            "was transferred, and the bank has not seen it. Ask the payer to trace the payment."
        ),
        money_cents=row["amount_cents"],
        evidence={"trace": row["trace"]},
        remittance_id=row["id"],
    )


def _business_days_before(day: date, count: int) -> date:
    while count:
        day -= timedelta(days=1)
        count -= day.weekday() < SATURDAY
    return day
