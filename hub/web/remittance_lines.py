"""A remittance as its payer sent it, checked anew at every level: service lines, claims, the whole payment.

It is read from the stored 835 and not from what was posted, so that it also shows why one is held.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hub.core.errors import HubError
from hub.core.money import to_cents
from hub.core.vault import Vault
from hub.formats.x12.balance import balance
from hub.formats.x12.claim import Adjustment
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.remittance import RemittanceClaim, RemittanceLine, read_835
from hub.store.contents import read_content
from hub.web.queries import messages
from hub.web.queries.remittances import Remittance

_LARGEST = 8 << 20


@dataclass(frozen=True, slots=True)
class Level:
    """One level at which a remittance must be even: *left* and *right* of its rule, and what is not even.

    *uneven* says in words where; the sums may agree although single lines do not.
    """

    name: str
    rule: str
    left: int
    right: int
    uneven: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineView:
    """One service line: its charge less its adjustments is what was paid; in cents."""

    code: str
    modifiers: str
    service_on: str
    charge: int
    adjusted: int
    paid: int
    adjustments: tuple[tuple[str, int], ...]
    remarks: str

    @property
    def difference(self) -> int:
        """What the line lacks; 0 when it is even."""
        return self.charge - self.adjusted - self.paid


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One claim with its own adjustments and its lines, in cents."""

    ordinal: int
    control_number: str
    charge: int
    adjusted: int
    paid: int
    adjustments: tuple[tuple[str, int], ...]
    lines: tuple[LineView, ...]

    @property
    def difference(self) -> int:
        """What the claim lacks: its charge less all adjustments, its own and its lines', less what was paid."""
        return self.charge - self.adjusted - sum(line.adjusted for line in self.lines) - self.paid


@dataclass(frozen=True, slots=True)
class Checked:
    """All levels and all claims; or *problem*, why they cannot be shown."""

    levels: tuple[Level, ...] = ()
    claims: tuple[ClaimView, ...] = ()
    problem: str = ""


def checked(connection: Connection, vault: Vault, remittance: Remittance) -> Checked:
    """Read the 835 of *remittance* again and check every level of it."""
    message = messages.get(connection, remittance.message_id)
    if message is None or message.size > _LARGEST:
        return Checked(problem="The file is not kept any more." if message is None else "The file is very large.")
    try:
        body = read_content(connection, vault, message.raw_id)
        transactions = (t for number, t in enumerate(read_transactions(body), 1) if number == remittance.ordinal)
        found = read_835(next(transactions))
    except (KeyError, StopIteration, HubError):
        return Checked(problem="The payer's file cannot be read any more.")
    claims = tuple(_claim(claim) for claim in found.claims)
    lines = [line for claim in claims for line in claim.lines]
    uneven = balance(found).imbalances
    paid = sum(claim.paid for claim in claims)
    provider = sum(to_cents(each.amount) for each in found.provider_adjustments)

    def places(level: str) -> tuple[str, ...]:
        return tuple(f"{each.rule} ({each.claim or each.where})." for each in uneven if each.level == level)

    return Checked(
        levels=(
            Level(
                "Service lines",
                "each line's charge less its adjustments is what was paid for it",
                sum(line.charge - line.adjusted for line in lines),
                sum(line.paid for line in lines),
                places("service"),
            ),
            Level(
                "Claims",
                "each claim's charge less all adjustments is what was paid, and its lines add up to it",
                sum(claim.charge - claim.adjusted - sum(line.adjusted for line in claim.lines) for claim in claims),
                paid,
                places("claim"),
            ),
            Level(
                "Payment",
                "what the claims are paid less the provider level is the transfer",
                paid - provider,
                to_cents(found.header.amount),
                places("transaction"),
            ),
        ),
        claims=claims,
    )


def _claim(claim: RemittanceClaim) -> ClaimView:
    return ClaimView(
        ordinal=claim.ordinal,
        control_number=claim.control_number,
        charge=to_cents(claim.charge),
        adjusted=_sum(claim.adjustments),
        paid=to_cents(claim.paid),
        adjustments=_shown(claim.adjustments),
        lines=tuple(_line(line) for line in claim.lines),
    )


def _line(line: RemittanceLine) -> LineView:
    return LineView(
        code=line.code or line.revenue_code,
        modifiers=" ".join(line.modifiers),
        service_on=line.service_from.isoformat() if line.service_from else "",
        charge=to_cents(line.charge),
        adjusted=_sum(line.adjustments),
        paid=to_cents(line.paid),
        adjustments=_shown(line.adjustments),
        remarks=" ".join(line.remark_codes),
    )


def _sum(adjustments: tuple[Adjustment, ...]) -> int:
    return sum(to_cents(each.amount) for each in adjustments)


def _shown(adjustments: tuple[Adjustment, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((f"{each.group}-{each.reason}", to_cents(each.amount)) for each in adjustments)
