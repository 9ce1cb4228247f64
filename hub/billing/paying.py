"""What a payment does: who pays what of every charge, to the cent, and what follows from it.

What is posted, per charge line: the payment moves from ``receivable payer`` against ``clearing``;
adjustments that the policy lists as contractual or other are written off; patient shares that it lists move
to ``receivable patient``. Every other adjustment is money that the payer refuses for a reason somebody has
to judge: it **stays open** with the payer, and an item in *denials* says so. Nothing is written off because
a payer says CO.

Interest (AMT*I) is not posted here: X221A1 pays it outside the claim payment, in PLB L6, and names it on
the claim for information.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import bindparam, func, select

from hub.billing import (
    early_reversals,
    events,
    ledger,
    next_payer,
    payer_news,
    results,
    silence,
    split_claims,
    variance,
)
from hub.billing.config import BillingPolicy
from hub.billing.decision import Decision
from hub.billing.denials.triage import triage
from hub.billing.matching import BilledClaim, Remitted, states_our_lines
from hub.billing.shares import LineShare, Refusal, account_of, is_spared, line_shares, refusals
from hub.billing.standing import SECONDARY, standing
from hub.core.money import from_cents, shown
from hub.store.tables import ledger_posting


def pay(decision: Decision, remitted: Remitted, ours: BilledClaim) -> None:
    """Post what *remitted* pays on *ours*, and do what follows from it: denials, the next payer, news to the EHR."""
    said, policy = remitted.claim, decision.config.policy
    spared = is_spared(said, policy, decision.config.payers.get(remitted.payer_id))
    shares = line_shares(said, ours.lines)
    before = _receivable(decision, ours)
    rule, postings = _payment(decision, remitted, ours, shares, spared)
    ledger.post(
        decision,
        key=f"payment:{remitted.key}",
        kind="payment",
        postings=postings,
        claim_id=ours.id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
        rule=rule,
    )
    left = before + sum(each.amount_cents for each in postings if each.account == ledger.PAYER)
    to_patient = sum(each.amount_cents for each in postings if each.account == ledger.PATIENT)
    part = _Part.of(decision, remitted, ours)
    goes_on = _goes_on(decision, remitted, ours, shares, to_patient + part.to_patient, spared, part)
    if ours.sequence == "P":
        refused = refusals(said, ours.lines, policy, spared=spared and not goes_on)
        triage(decision, remitted, ours, refused, spared=spared)
    elif left > 0:
        _report_rest(decision, remitted, ours, left, goes_on, spared)
    if rule == "policy" and (part.is_whole or states_our_lines(said, ours)):
        variance.report(decision, remitted, ours)
    payer_news.report(decision, remitted, ours)
    if left < 0:
        _report_overpayment(decision, remitted, ours, -left)
    opened = _record(decision, remitted, ours, left, to_patient, part)
    if not part.is_whole:
        silence.expect_rest(decision, opened, part.undecided)
    results.send(decision, remitted, ours, shares)
    early_reversals.plan(decision, remitted, ours)


@dataclass(frozen=True, slots=True)
class _Part:
    """How a payment stands to its claim: the whole, or a part beside which others *paid*; cents."""

    is_whole: bool = True
    undecided: int = 0
    paid: int = 0
    to_patient: int = 0

    @classmethod
    def of(cls, decision: Decision, remitted: Remitted, ours: BilledClaim) -> _Part:
        """How *remitted* stands to *ours*."""
        if not split_claims.is_part(remitted, ours):
            return cls()
        others = split_claims.paid_in_others(decision, remitted, ours)
        return cls(False, split_claims.left_after(decision, remitted, ours), *others)


def _payment(
    decision: Decision, remitted: Remitted, ours: BilledClaim, shares: Iterable[LineShare], spared: bool
) -> tuple[str, list[ledger.Posting]]:
    """By which rule the payment is posted, and the postings of its lines."""
    policy = decision.config.policy
    if ours.sequence != "P":
        owed = next_payer.balances(decision, ours.id)
        made = (_postings_of_next(remitted, ours, share, policy, owed, spared) for share in shares)
        return "next payer", [posting for of_line in made for posting in of_line]
    second = remitted.claim.status in SECONDARY and _paid_by_another(decision, remitted, ours)
    made = (_postings(remitted, ours, share, policy, second, spared) for share in shares)
    return "second payer" if second else "policy", [posting for of_line in made for posting in of_line]


def _record(
    decision: Decision, remitted: Remitted, ours: BilledClaim, left: int, to_patient: int, part: _Part
) -> events.OpenClaim:
    """Add to the claim's history what the payment came to, with *left* still open (cents)."""
    said = remitted.claim
    nothing = left > 0 and not remitted.paid_cents + part.paid and not to_patient + part.to_patient
    opened = events.open_claim(decision, ours.id)
    outcome = "partly paid" if left > 0 else "paid"
    if nothing:
        outcome = "pended" if part.undecided and opened.state in events.SENT else "denied"
    decision.update("claim", opened.row)  # its version guards the balance that was read here
    opened.record(
        "correction" if opened.state == "reversed" else "remit",
        f"remit:{remitted.key}",
        outcome=outcome,
        payer_claim_number=said.payer_claim_control_number[:64],
        trace=remitted.trace,
        paid=str(said.paid),
        open=str(from_cents(left)),
    )
    return opened


def _goes_on(
    decision: Decision,
    remitted: Remitted,
    ours: BilledClaim,
    shares: Iterable[LineShare],
    to_patient: int,
    spared: bool,
    part: _Part,
) -> bool:
    """Whether what was left to the patient is for another payer; then the claim to it is made next.

    Of a claim that the payer took apart it is made once all parts are decided: one claim reports them.
    """
    listed = decision.config.policy.patient
    withheld = spared and any(code in listed and cents > 0 for each in shares for code, cents in each.adjustments)
    if to_patient <= 0 and not withheld:
        return False
    if not next_payer.is_left_to(decision, ours, remitted.payer_id):
        return False
    if not part.undecided:
        next_payer.plan(decision, ours, remitted.key)
    return True


def _postings(
    remitted: Remitted, ours: BilledClaim, share: LineShare, policy: BillingPolicy, second: bool, spared: bool
) -> list[ledger.Posting]:
    """The postings of one line.

    What a *second* payer pays that we never billed comes off what the first one left to the patient; its repetition of
    the first payer's decision (OA-23) and of the patient's share moves nothing.
    """
    owing = ledger.PATIENT if second else ledger.PAYER
    made = [_posting(remitted, ours, share, ledger.CLEARING, share.paid_cents)]
    for code, cents in share.adjustments:
        account = account_of(code, policy, spared=spared)
        if account is None or (second and account != ledger.CONTRACTUAL):
            continue
        made.append(_posting(remitted, ours, share, account, cents, code))
    moved = sum(each.amount_cents for each in made)
    return [*made, _posting(remitted, ours, share, owing, -moved)]


def _postings_of_next(
    remitted: Remitted,
    ours: BilledClaim,
    share: LineShare,
    policy: BillingPolicy,
    owed: next_payer.Balances,
    spared: bool,
) -> list[ledger.Posting]:
    """The postings of one line of a claim to a second or further payer.

    Its adjustments are of the whole charge, most of which the payers before dealt with (OA-23): the patient's share and
    then the contract take off what it was left, and no more.
    """
    made = [_posting(remitted, ours, share, ledger.CLEARING, share.paid_cents)]
    rest = max(owed.get((ledger.PAYER, share.line.charge_id), 0) - share.paid_cents, 0)
    known = [(account_of(code, policy, spared=spared), code, cents) for code, cents in share.adjustments]
    for account in (ledger.PATIENT, ledger.CONTRACTUAL):
        for code, cents in ((code, cents) for found, code, cents in known if found == account):
            taken = min(max(cents, 0), rest)
            made.append(_posting(remitted, ours, share, account, taken, code))
            rest -= taken
    moved = sum(each.amount_cents for each in made)
    return [*made, _posting(remitted, ours, share, ledger.PAYER, -moved)]


def _posting(
    remitted: Remitted, ours: BilledClaim, share: LineShare, account: str, cents: int, code: str = ""
) -> ledger.Posting:
    return ledger.Posting(
        account=account,
        amount_cents=cents,
        patient_id=ours.patient_id,
        claim_id=ours.id,
        charge_id=share.line.charge_id,
        payer_id=remitted.payer_id if account == ledger.CLEARING else ours.payer_id,
        code=code,
        reference=share.where[:80],
    )


def _paid_by_another(decision: Decision, remitted: Remitted, ours: BilledClaim) -> bool:
    """Say whether another payer's payment of this claim stands."""
    return any(each.payer_id != remitted.payer_id for each in standing(decision, ours.id))


# Built once: making a statement costs more than running it.
_RECEIVABLE = select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0)).where(
    ledger_posting.c.claim_id == bindparam("claim"), ledger_posting.c.account == ledger.PAYER
)


def _receivable(decision: Decision, ours: BilledClaim) -> int:
    """What the payer owes for the claim before this decision, in cents."""
    return int(decision.connection.execute(_RECEIVABLE, {"claim": ours.id}).scalar_one())


def _report_overpayment(decision: Decision, remitted: Remitted, ours: BilledClaim, cents: int) -> None:
    decision.open_item(
        queue="credits",
        key=f"overpaid:{remitted.key}",
        kind="overpaid claim",
        due_on=(decision.clock.today() + timedelta(days=decision.config.policy.refund_days)).isoformat(),
        sentence=(
            f"{remitted.payer_name or 'The payer'} has paid {shown(from_cents(cents))} more than was open "
            "for this claim. It may be taken back, or must be refunded."
        ),
        money_cents=cents,
        claim_id=ours.id,
        patient_id=ours.patient_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )


def _report_rest(
    decision: Decision, remitted: Remitted, ours: BilledClaim, cents: int, goes_on: bool, spared: bool
) -> None:
    """Tell of what a second or further payer leaves open: why it refuses it or, where it does not say, that it does."""
    listed: list[Refusal] = []
    for each in refusals(remitted.claim, ours.lines, decision.config.policy, spared=spared and not goes_on):
        if part := min(each.cents, cents):
            listed.append(replace(each, cents=part))
            cents -= part
    triage(decision, remitted, ours, listed, spared=spared)
    if cents and not goes_on:
        decision.open_item(
            queue=next_payer.QUEUE,
            key=f"rest:{remitted.key}",
            kind="rest after another payer",
            sentence=(
                f"{remitted.payer_name or 'The payer'} leaves {shown(from_cents(cents))} "
                "of what the payer before left, and does not say who owes it."
            ),
            money_cents=cents,
            claim_id=ours.id,
            patient_id=ours.patient_id,
            remittance_id=remitted.remittance_id,
            remittance_claim_id=remitted.id,
        )
