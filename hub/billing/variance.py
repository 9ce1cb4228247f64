"""Whether a payer allows what its contract says: what it allowed of each line, against ``config/contracts.csv``."""

from __future__ import annotations

from decimal import Decimal

from hub.billing.decision import Decision
from hub.billing.matching import BilledClaim, Remitted
from hub.core.money import shown, to_cents
from hub.formats.x12.remittance import RemittanceLine


def allowed(line: RemittanceLine) -> Decimal:
    """What the payer allowed of *line*: AMT*B6, or where it does not say, what it paid and left to the patient."""
    if line.allowed is not None:
        return line.allowed
    return line.paid + sum((each.amount for each in line.adjustments if each.group == "PR"), Decimal(0))


def report(decision: Decision, remitted: Remitted, ours: BilledClaim) -> None:
    """Open an item for each line of which the payer allowed less than its contract says.

    Lines that it refuses altogether are denials, and no variance.
    """
    contracts, policy = decision.config.contracts, decision.config.policy
    if not contracts or remitted.claim.is_reversal:
        return
    for number, line in enumerate(remitted.claim.lines, start=1):
        code = line.original_code or line.code
        rate = contracts.get((ours.payer_id, code))
        found = allowed(line)
        if rate is None or found <= 0:
            continue
        expected = rate * (line.original_units or line.units)
        if expected - found <= policy.variance_tolerance:
            continue
        decision.open_item(
            queue="denials",
            key=f"underpaid:{remitted.key}:{number}",
            kind="underpaid",
            sentence=(
                f"{remitted.payer_name or 'The payer'} allows {shown(found)} of line {number}; "
                f"its contract says {shown(expected)}."
            ),
            money_cents=to_cents(expected - found),
            rule="contract",
            evidence={"code": code, "expected": str(expected), "allowed": str(found)},
            claim_id=ours.id,
            patient_id=ours.patient_id,
            remittance_id=remitted.remittance_id,
            remittance_claim_id=remitted.id,
        )
