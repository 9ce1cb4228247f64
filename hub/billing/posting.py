"""Posting one claim of a remittance: who pays what of every charge, to the cent, and how it is taken back.

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
from typing import Any

from sqlalchemy import bindparam, exists, func, select

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
    whole_payments,
)
from hub.billing.config import BillingPolicy
from hub.billing.decision import Decision
from hub.billing.denials.triage import triage, withdraw
from hub.billing.matching import BilledClaim, Match, Remitted, billed_claim, find_claim, states_our_lines
from hub.billing.shares import LineShare, Refusal, account_of, is_spared, line_shares, refusals
from hub.billing.standing import REVERSAL, SECONDARY, PaymentError, standing, stored_payment
from hub.core.money import from_cents, shown
from hub.formats.x12.remittance import RemittanceClaim, balance_claim
from hub.store.tables import (
    claim,
    ledger_entry,
    ledger_posting,
)

PREDETERMINATION = "25"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a claim of a remittance.

    Its new row *state*, with the *reason* where a person should know one.
    """

    state: str
    claim_id: int | None = None
    matched_by: str = ""
    reason: str | None = None
    reverses_id: int | None = None


def post_claim(decision: Decision, remitted: Remitted, match: Match) -> Outcome:
    """Post *remitted* to the claim that *match* names, or say why it cannot be.

    Adds ledger entries, claim events, work items and the message to the EHR to the decision; the caller
    stores the outcome. The claim must not have been touched by this decision before: its balance is read
    from the store.
    """
    said = remitted.claim
    if said.status == PREDETERMINATION and not remitted.paid_cents:
        return Outcome(state="closed", reason="An estimate only: nothing was paid.")
    if (wrong := _what_is_wrong(said)) is not None:
        return _kept_apart(decision, remitted, match, wrong)
    if match.claim is None:
        return _unmatched(decision, remitted, match)
    ours = next_payer.claim_for(decision, remitted.payer_id, match.claim)
    if said.status == REVERSAL:
        return _reverse(decision, remitted, ours, match.rule)
    if _posted_before(decision, remitted, ours):
        return _repeated(decision, remitted, ours, match.rule)
    _pay(decision, remitted, ours)
    return Outcome(state="posted", claim_id=ours.id, matched_by=match.rule)


def unmatch(decision: Decision, remittance_claim_id: int, reason: str) -> None:
    """Undo the posting of a payment to its claim: mirror entries, and the payment waits for a person again.

    Raises :class:`PaymentError` when it is not posted, takes back another one, or was taken back itself.
    """
    remitted, state = stored_payment(decision, remittance_claim_id)
    row = decision.row("remittance_claim", id=remittance_claim_id)
    if state != "posted" or row is None or row["claim_id"] is None:
        raise PaymentError(f"This payment is {state}, so there is no match to undo.")
    ours = billed_claim(decision, row["claim_id"])
    if remitted.id not in {each.id for each in standing(decision, ours.id)}:
        raise PaymentError("This payment was taken back, or takes back another one; its match cannot be undone.")
    for entry in _standing_entries(decision, ours, remitted.id):
        ledger.post(
            decision,
            key=f"reversal:{entry}",
            kind="reversal",
            postings=ledger.mirrored(ledger.postings_of(decision.connection, entry), remitted.claim.where),
            claim_id=ours.id,
            remittance_id=remitted.remittance_id,
            remittance_claim_id=remitted.id,
            reverses_id=entry,
            rule="match undone",
            memo=reason,
        )
    withdraw(decision, ours.id, remitted.id)
    decision.close_items("the match was undone", claim_id=ours.id, remittance_claim_id=remitted.id)
    next_payer.first_payer_took_back(decision, ours, f"{remitted.key}:{remitted.version}")
    store_outcome(decision, remitted, Outcome(state="unmatched", reason="A person undid its match."))
    move_count(decision, remitted, -1)
    _open_payment_item(decision, remitted, "unmatched payment", "A person undid its match.")
    opened = events.open_claim(decision, ours.id)
    decision.update("claim", opened.row)  # its version guards the balance that was read here
    opened.record("reversal", f"undone:{remitted.id}:{remitted.version}", trace=remitted.trace)
    results.send(decision, remitted, ours, line_shares(remitted.claim, ours.lines), undone=True)


def move_count(decision: Decision, remitted: Remitted, posted: int) -> None:
    """Count *posted* more of the remittance's claims as posted, and so many fewer as held; the EHR is told so."""
    whole = decision.row("remittance", id=remitted.remittance_id)
    assert whole is not None
    decision.update(
        "remittance",
        whole,
        claims_held=whole["claims_held"] - posted,
        claims_posted=whole["claims_posted"] + posted,
    )
    whole_payments.plan_again(decision, remitted.remittance_id, remitted.claim.ordinal)


def store_outcome(decision: Decision, remitted: Remitted, outcome: Outcome) -> None:
    """Write *outcome* to the row of *remitted*."""
    decision.changes.update(
        "remittance_claim",
        {"id": remitted.id},
        remitted.version,
        **stored(outcome),
    )


def stored(outcome: Outcome) -> dict[str, Any]:
    """The columns of a payment's row that say what became of it."""
    return {
        "state": outcome.state,
        "claim_id": outcome.claim_id,
        "matched_by": outcome.matched_by,
        "reason": outcome.reason,
        "reverses_id": outcome.reverses_id,
    }


# ---------------------------------------------------------------- paying


def _pay(decision: Decision, remitted: Remitted, ours: BilledClaim) -> None:
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


# ---------------------------------------------------------------- taking back


def _reverse(decision: Decision, remitted: Remitted, ours: BilledClaim, rule: str) -> Outcome:
    """Post the mirror of every entry that the payment taken back has caused, people's later moves of it included."""
    original = None
    for claim_id in _chain(decision, ours):
        original = _payment_taken_back(decision, remitted, claim_id)
        if original is not None:
            ours = ours if claim_id == ours.id else billed_claim(decision, claim_id)
            break
    if original is None:
        reason = "No posted payment of this claim has these amounts, so there is nothing to take back."
        _open_payment_item(decision, remitted, "reversal without payment", reason, claim_id=ours.id)
        return Outcome(state="held", claim_id=ours.id, matched_by=rule, reason=reason)
    for entry in _standing_entries(decision, ours, original):
        ledger.post(
            decision,
            key=f"reversal:{entry}",  # an entry is taken back once, whoever decides it at the same time
            kind="reversal",
            postings=ledger.mirrored(ledger.postings_of(decision.connection, entry), remitted.claim.where),
            claim_id=ours.id,
            remittance_id=remitted.remittance_id,
            remittance_claim_id=remitted.id,
            reverses_id=entry,
            rule="mirror",
        )
    withdraw(decision, ours.id, original)
    decision.close_items("the payer took the payment back", claim_id=ours.id, remittance_claim_id=original)
    next_payer.first_payer_took_back(decision, ours, f"{remitted.key}:{remitted.version}")
    payer_news.expect_correction(decision, ours, remitted.id)
    events.open_claim(decision, ours.id).record(
        "reversal", f"reversal:{remitted.id}", trace=remitted.trace, paid=str(remitted.claim.paid)
    )
    results.send(decision, remitted, ours, line_shares(remitted.claim, ours.lines), reverses=original)
    return Outcome(state="posted", claim_id=ours.id, matched_by=rule, reverses_id=original)


def _payment_taken_back(decision: Decision, remitted: Remitted, claim_id: int) -> int | None:
    """The newest payment of the claim with the same amounts that still stands.

    The payer's own number decides first.
    """
    rows = [
        row
        for row in standing(decision, claim_id)
        if row.charge_cents == -remitted.charge_cents
        and row.paid_cents == -remitted.paid_cents
        # of two payers of one claim, each takes back its own payment
        and (row.payer_id == remitted.payer_id or row.payer_id not in decision.config.payers)
    ]
    number = remitted.claim.payer_claim_control_number
    same_number = [row for row in rows if row.payer_claim_number == number]
    chosen = same_number or rows
    return int(chosen[0].id) if chosen else None


def _chain(decision: Decision, ours: BilledClaim) -> list[int]:
    """The ids of the claims that replaced each other, *ours* first: payers reverse under any of their numbers."""
    ids = decision.connection.execute(select(claim.c.id).where(claim.c.chain_id == ours.chain_id))
    return sorted(ids.scalars(), key=lambda each: (each != ours.id, -each))


def _standing_entries(decision: Decision, ours: BilledClaim, remittance_claim_id: int) -> list[int]:
    mirror = ledger_entry.alias("mirror")
    rows = decision.connection.execute(
        select(ledger_entry.c.id)
        .where(
            ledger_entry.c.claim_id == ours.id,
            ledger_entry.c.remittance_claim_id == remittance_claim_id,
            ~exists().where(mirror.c.claim_id == ours.id, mirror.c.reverses_id == ledger_entry.c.id),
            ledger_entry.c.kind != "reversal",
        )
        .order_by(ledger_entry.c.id)
    )
    return list(rows.scalars())


# ---------------------------------------------------------------- what cannot be posted


def _posted_before(decision: Decision, remitted: Remitted, ours: BilledClaim) -> bool:
    """Say whether the same decision of the same payment stands posted already."""
    said = remitted.claim
    mine = (
        said.status,
        said.payer_claim_control_number,
        remitted.charge_cents,
        remitted.paid_cents,
        remitted.patient_cents,
        remitted.trace,
        remitted.payer_id,
    )
    return any(
        _is_same(row, mine) and not split_claims.is_another(decision, remitted, ours, row)
        for row in standing(decision, ours.id)
        if row.id != remitted.id
    )


def _is_same(row: Any, facts: tuple[str | int, ...]) -> bool:
    amounts = (row.charge_cents, row.paid_cents, row.patient_cents)
    return (row.status, row.payer_claim_number, *amounts, row.trace, row.payer_id) == facts


def _what_is_wrong(said: RemittanceClaim) -> str | None:
    """Why a claim of a remittance can never be posted as it stands: it does not add up, or cannot be read."""
    if found := balance_claim(said):
        return str(found[0])
    return f"{said.problems[0].message} ({said.problems[0].where})" if said.problems else None


def _kept_apart(decision: Decision, remitted: Remitted, match: Match, reason: str) -> Outcome:
    claim_id = match.claim.id if match.claim else None
    _open_payment_item(decision, remitted, "unbalanced claim", reason, claim_id=claim_id)
    return Outcome(state="held", claim_id=claim_id, matched_by=match.rule, reason=reason)


def _repeated(decision: Decision, remitted: Remitted, ours: BilledClaim, rule: str) -> Outcome:
    reason = "The same payment of this claim is posted already; this copy changes nothing."
    if remitted.paid_cents:
        _open_payment_item(decision, remitted, "payment posted before", reason, claim_id=ours.id)
    return Outcome(state="duplicate", claim_id=ours.id, matched_by=rule, reason=reason)


def _unmatched(decision: Decision, remitted: Remitted, match: Match) -> Outcome:
    candidates = [
        {
            "claim_id": each.claim_id,
            "control_number": each.control_number,
            "score": each.score,
            "reasons": list(each.reasons),
        }
        for each in match.candidates
    ]
    _open_payment_item(decision, remitted, "unmatched payment", match.reason, candidates=candidates)
    return Outcome(state="unmatched", reason=match.reason)


def _open_payment_item(
    decision: Decision,
    remitted: Remitted,
    kind: str,
    reason: str,
    *,
    claim_id: int | None = None,
    candidates: Iterable[object] = (),
) -> None:
    """Open an item for a payment that is not posted.

    Its money stays in ``clearing``, where it is shown as unapplied.
    """
    said = remitted.claim
    what = "A reversal" if said.status == REVERSAL else "A payment"
    decision.open_item(
        queue="unmatched payments",
        key=f"payment:{remitted.id}",
        kind=kind,
        sentence=(
            f"{what} of {shown(said.paid)} by {remitted.payer_name or 'a payer'} "
            f"for a claim of {shown(abs(said.charge))} is not posted. {reason}"
        ),
        money_cents=remitted.paid_cents,
        evidence={
            "control_number": said.control_number,
            "payer_claim_number": said.payer_claim_control_number,
            "trace": remitted.trace,
            "candidates": list(candidates),
        },
        again=True,
        claim_id=claim_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )


def _chain_of(decision: Decision, claim_id: int) -> int:
    return int(events.open_claim(decision, claim_id).row["chain_id"])


def post_next(decision: Decision, remitted: Remitted, touched: set[int]) -> Outcome | None:
    """Match and post *remitted*; None when its claim, or one that comes close, is among *touched*.

    Then a later decision, which sees what was posted, must take it up.
    """
    match = find_claim(decision, remitted)
    near = [match.claim.chain_id] if match.claim else [_chain_of(decision, each.claim_id) for each in match.candidates]
    if not touched.isdisjoint(near):
        return None
    if match.claim is not None:
        touched.add(match.claim.chain_id)
    outcome = post_claim(decision, remitted, match)
    store_outcome(decision, remitted, outcome)
    return outcome
