"""PLB: what a payer took or gave outside of any claim, posted to ``provider level`` (interest to ``interest``).

A positive amount lowers the payment. The deposit credited ``clearing`` with what arrived and the claims
debit it with what they were paid; each adjustment accounts for the rest, so that ``clearing`` ends at zero.
Source: X221A1, section 1.10.2.9 and PLB.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, or_, select

from hub.billing import ledger
from hub.billing.decision import Decision
from hub.billing.standing import REVERSAL
from hub.core.money import from_cents, shown, to_cents
from hub.formats.x12.remittance import ProviderAdjustment
from hub.store.tables import claim, forwarded_balance, remittance_claim

TAKE_BACK = "WO"
RETURN = "72"  # a refund that we sent, as the payer confirms it
FORWARDED_BALANCE = "FB"
INTEREST = "L6"


def post_all(
    decision: Decision,
    *,
    remittance_id: int,
    payer_id: str,
    payer_name: str,
    adjustments: list[ProviderAdjustment],
    interest: Decimal = Decimal(0),
) -> None:
    """Post every one of *adjustments*, one entry each; what the payer does not explain becomes an item for a person.

    A forwarded balance (FB) and interest (L6) explain themselves, and so do the reasons that the policy lists; a
    take-back (WO) does when it names a claim whose payment was reversed before, and a confirmed refund (72) with the
    take-back of the same reference that it meets. *interest* is what the claims say is in L6 (AMT*I).
    """
    returned = _returned(adjustments)
    for number, each in enumerate(adjustments, start=1):
        claim_id = _reversed_claim(decision.connection, each) if each.reason == TAKE_BACK else None
        _post(decision, remittance_id, payer_id, number, each, claim_id)
        explained = each.reason in {FORWARDED_BALANCE, INTEREST, *decision.config.policy.provider_adjustments}
        if each.amount and not explained and claim_id is None and each.reference not in returned:
            _report(decision, remittance_id, number, payer_name, each)
    booked = -sum((each.amount for each in adjustments if each.reason == INTEREST), Decimal(0))
    if interest and interest != booked:
        _report_interest(decision, remittance_id, payer_name, interest, booked)


def _post(
    decision: Decision, remittance_id: int, payer_id: str, number: int, each: ProviderAdjustment, claim_id: int | None
) -> None:
    """Post the remittance's adjustment *number*, and keep a forwarded balance until it is met."""
    cents, reference = to_cents(each.amount), each.reference[:80]
    account = ledger.INTEREST if each.reason == INTEREST else ledger.PROVIDER_LEVEL
    sides = ((account, cents), (ledger.CLEARING, -cents))
    ledger.post(
        decision,
        key=f"plb:{remittance_id}:{number}",
        kind="provider adjustment",
        postings=[
            ledger.Posting(
                account=side, amount_cents=amount, payer_id=payer_id, code=each.reason, reference=each.where[:80]
            )
            for side, amount in sides
        ],
        claim_id=claim_id,
        remittance_id=remittance_id,
        rule=each.reason,
        memo=reference,
    )
    if each.reason == FORWARDED_BALANCE:
        decision.insert(
            "forwarded_balance",
            remittance_id=remittance_id,
            number=number,
            payer_id=payer_id,
            provider=each.provider[:50],
            reference=reference,
            amount_cents=cents,
            posted_on=decision.today,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What a payer carries forward for one provider; it must come to nothing in the end.

    Negative *cents*: the payer paid that much too much by its own account, and will take it out of a later payment.
    *since* is the day of the first adjustment after the balances last met.
    """

    payer_id: str
    provider: str
    cents: int
    since: str

    @property
    def amount(self) -> Decimal:
        """The balance in dollars."""
        return from_cents(self.cents)


def forwarded_balances(connection: Connection) -> list[Forwarded]:
    """Each payer's and provider's forwarded balance (PLB FB) that does not come to nothing, in their order."""
    rows = connection.execute(
        select(
            forwarded_balance.c.payer_id,
            forwarded_balance.c.provider,
            forwarded_balance.c.amount_cents,
            forwarded_balance.c.posted_on,
        ).order_by(
            forwarded_balance.c.payer_id,
            forwarded_balance.c.provider,
            forwarded_balance.c.remittance_id,
            forwarded_balance.c.number,
        )
    )
    balances: dict[tuple[str, str], tuple[int, str]] = {}
    for payer_id, provider, cents, posted_on in rows:
        before, since = balances.get((payer_id, provider), (0, ""))
        balances[payer_id, provider] = (before + cents, since if before else posted_on)
    return [
        Forwarded(payer_id=payer_id, provider=provider, cents=cents, since=since)
        for (payer_id, provider), (cents, since) in balances.items()
        if cents
    ]


def _returned(adjustments: list[ProviderAdjustment]) -> set[str]:
    """The references under which a confirmed refund and its take-back come to nothing (X221A1, 1.10.2.17)."""
    sums: dict[str, Decimal] = {}
    for each in adjustments:
        if each.reason in {RETURN, TAKE_BACK}:
            sums[each.reference] = sums.get(each.reference, Decimal(0)) + each.amount
    confirmed = {each.reference for each in adjustments if each.reason == RETURN and each.reference}
    return {each for each in confirmed if not sums[each]}


def _reversed_claim(connection: Connection, adjustment: ProviderAdjustment) -> int | None:
    """The claim that *adjustment* refers to, by its number or the payer's, if a payment of it was reversed."""
    if not adjustment.reference:
        return None
    reference = adjustment.reference
    found = (
        select(remittance_claim.c.claim_id)
        .join(claim, claim.c.id == remittance_claim.c.claim_id)
        .where(
            remittance_claim.c.status == REVERSAL,
            remittance_claim.c.state == "posted",
            or_(
                remittance_claim.c.payer_claim_number == reference,
                claim.c.control_number == reference,
                claim.c.payer_claim_number == reference,
            ),
        )
        .limit(1)
    )
    return connection.execute(found).scalar()


def _report(
    decision: Decision, remittance_id: int, number: int, payer_name: str, adjustment: ProviderAdjustment
) -> None:
    who = payer_name or "A payer"
    amount = shown(abs(adjustment.amount))
    did = f"kept {amount} back" if adjustment.amount > 0 else f"paid {amount} more"
    why = (
        "as a take-back of a payment that we do not know"
        if adjustment.reason == TAKE_BACK
        else "that belongs to no claim"
    )
    decision.open_item(
        queue="unmatched payments",
        key=f"plb:{remittance_id}:{number}",
        kind="provider adjustment",
        sentence=f"{who} {did} {why} (reason {adjustment.reason or 'not given'}). It is booked at provider level.",
        money_cents=-to_cents(adjustment.amount),
        rule=adjustment.reason,
        evidence={"reference": adjustment.reference, "amount": str(from_cents(to_cents(adjustment.amount)))},
        remittance_id=remittance_id,
    )


def _report_interest(decision: Decision, remittance_id: int, payer_name: str, said: Decimal, booked: Decimal) -> None:
    decision.open_item(
        queue="unmatched payments",
        key=f"interest:{remittance_id}",
        kind="interest differs",
        sentence=(
            f"{payer_name or 'A payer'} says of its claims that they bear {shown(said)} of interest, "
            f"and {shown(booked)} came with the payment."
        ),
        money_cents=to_cents(said - booked),
        remittance_id=remittance_id,
    )
