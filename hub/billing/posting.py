"""Posting one claim of a remittance: which claim it pays, whether it may be posted, and how it is taken back.

What a payment does to the ledger is in :mod:`hub.billing.paying`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select

from hub.billing import events, ledger, next_payer, payer_news, results, split_claims, whole_payments
from hub.billing.decision import Decision
from hub.billing.denials.triage import withdraw
from hub.billing.matching import BilledClaim, Match, Remitted, billed_claim, find_claim
from hub.billing.paying import pay
from hub.billing.shares import line_shares
from hub.billing.standing import REVERSAL, PaymentError, standing, stored_payment
from hub.core.money import shown
from hub.formats.x12.balance import balance_claim
from hub.formats.x12.remittance import RemittanceClaim
from hub.store.tables import claim, ledger_entry

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
    pay(decision, remitted, ours)
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
