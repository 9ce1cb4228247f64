"""Whether a remittance adds up, exact to the cent (005010X221A1, section 1.10.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hub.core.money import shown
from hub.formats.x12.claim import Adjustment
from hub.formats.x12.envelope import Problem
from hub.formats.x12.remittance import Remittance, RemittanceClaim, RemittanceHeader
from hub.formats.x12.values import ZERO


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Two figures that must be equal and are not. *level* is ``service``, ``claim`` or ``transaction``."""

    level: str
    rule: str
    where: str
    claim: str
    expected: Decimal
    found: Decimal

    @property
    def difference(self) -> Decimal:
        """How much was found beyond what was expected."""
        return self.found - self.expected

    def __str__(self) -> str:
        about = f"claim {self.claim}, {self.where}" if self.claim else self.where
        figures = f"expected {shown(self.expected)}, found {shown(self.found)}, off by {shown(self.difference)}"
        return f"{self.rule} ({about}): {figures}."


@dataclass(frozen=True, slots=True)
class Balance:
    """What :func:`balance` found. Only a remittance that is :attr:`ok` may be posted whole."""

    imbalances: tuple[Imbalance, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """True when everything was readable and adds up."""
        return not self.imbalances and not self.problems


def balance(remittance: Remittance) -> Balance:
    """Check all three levels of *remittance*, exactly (section 1.10.2.1 of the guide).

    Service: charge less adjustments is what was paid. Claim: charge less all adjustments is what was paid,
    and the lines, where there are any, add up to the claim. Transaction: payments less provider adjustments
    are the amount of the transfer.
    """
    imbalances: list[Imbalance] = []
    problems = [*remittance.problems, *remittance.header.problems]
    paid = ZERO
    for claim in remittance.claims:
        imbalances += balance_claim(claim)
        problems += claim.problems
        paid += claim.paid
    withheld = sum((a.amount for a in remittance.provider_adjustments), ZERO)
    imbalances += balance_transfer(remittance.header, paid, withheld)
    return Balance(tuple(imbalances), tuple(problems))


def balance_transfer(header: RemittanceHeader, paid: Decimal, withheld: Decimal) -> tuple[Imbalance, ...]:
    """The imbalance of the transfer, if there is one: what the claims were *paid* less what was *withheld* outside."""
    if paid - withheld == header.amount:
        return ()
    rule = "What the claims pay, less the provider adjustments, must be the amount of the transfer"
    return (Imbalance("transaction", rule, "BPR02", "", paid - withheld, header.amount),)


def balance_claim(claim: RemittanceClaim) -> tuple[Imbalance, ...]:
    """The imbalances of one claim and its lines."""
    found: list[Imbalance] = []

    def compare(level: str, rule: str, where: str, expected: Decimal, actual: Decimal) -> None:
        if expected != actual:
            found.append(Imbalance(level, rule, where, claim.control_number, expected, actual))

    line_adjustments = ZERO
    for line in claim.lines:
        adjusted = _total(line.adjustments)
        line_adjustments += adjusted
        rule = "A line's charge less its adjustments must be what was paid for it"
        compare("service", rule, line.where, line.charge - adjusted, line.paid)
    claim_adjustments = _total(claim.adjustments)
    rule = "The claim's charge less all adjustments must be what was paid"
    compare("claim", rule, claim.where, claim.charge - claim_adjustments - line_adjustments, claim.paid)
    if claim.lines:
        charged = sum((line.charge for line in claim.lines), ZERO)
        compare("claim", "The lines' charges must add up to the claim's", claim.where, charged, claim.charge)
        paid = sum((line.paid for line in claim.lines), ZERO) - claim_adjustments
        rule = "The lines' payments less the claim's own adjustments must be the claim's payment"
        compare("claim", rule, claim.where, paid, claim.paid)
    return tuple(found)


def _total(adjustments: tuple[Adjustment, ...]) -> Decimal:
    return sum((a.amount for a in adjustments), ZERO)
