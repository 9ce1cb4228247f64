"""Payments that no machine can post: a person names the claim, or says how the payment must read."""

from __future__ import annotations

from dataclasses import replace

from hub.billing import events, number_rules
from hub.billing.decision import Decision
from hub.billing.matching import Match, billed_claim, find_claim
from hub.billing.posting import Outcome, move_count, post_claim, store_outcome, stored
from hub.billing.standing import PaymentError, stored_payment
from hub.core.money import shown
from hub.formats.x12 import records
from hub.formats.x12.remittance import RemittanceClaim


def restate(decision: Decision, remittance_claim_id: int, said: RemittanceClaim, reason: str) -> Outcome:
    """Post a held payment as *said*, by which a person (the decision's actor) mends what does not add up in it.

    The money stays what the payer transferred. Raises :class:`PaymentError` when it does not, when the payment is not
    held, and when it still cannot be posted.
    """
    remitted, state = stored_payment(decision, remittance_claim_id)
    if state not in {"unmatched", "held"}:
        raise PaymentError(f"This payment is {state} already.")
    if (said.paid, said.status) != (remitted.claim.paid, remitted.claim.status):
        raise PaymentError(
            "What was paid cannot be changed.",
            expected=f"{shown(remitted.claim.paid)}, status {remitted.claim.status}",
            found=f"{shown(said.paid)}, status {said.status}",
        )
    row = decision.row("remittance_claim", id=remittance_claim_id)
    assert row is not None
    remitted = replace(remitted, claim=said)
    decision.update(
        "remittance_claim",
        row,
        charge_cents=remitted.charge_cents,
        patient_cents=remitted.patient_cents,
        body=decision.seal("remittance_claim", records.to_plain(said)),
    )
    outcome = post_claim(decision, remitted, find_claim(decision, remitted))
    if outcome.state != "posted":
        raise PaymentError(outcome.reason or "This payment cannot be posted as typed.")
    decision.update("remittance_claim", row, **stored(outcome))
    move_count(decision, remitted, 1)
    item = decision.row("work_item", item_key=f"payment:{remitted.id}")
    if item is not None:
        decision.note_item(item["id"], "comment", {"comment": f"Restated: {reason}"})
    decision.close_item(f"payment:{remitted.id}", "restated")
    return outcome


def match_by_hand(decision: Decision, remittance_claim_id: int, claim_id: int) -> Outcome:
    """Post an unmatched payment to the claim that a person (the decision's actor) names.

    What the payer did to the claim's number is proposed as a rule. Raises :class:`PaymentError` when there is no such
    payment, when it is posted already, or when this claim cannot take it, and
    :class:`~hub.billing.events.UnknownClaimError`.
    """
    remitted, state = stored_payment(decision, remittance_claim_id)
    if state not in {"unmatched", "held"}:
        raise PaymentError(f"This payment is {state} already.")
    events.open_claim(decision, claim_id)
    match = Match(claim=billed_claim(decision, claim_id), rule=f"by hand: {decision.actor}"[:48])
    outcome = post_claim(decision, remitted, match)
    if outcome.state != "posted":
        raise PaymentError(outcome.reason or "This claim cannot take the payment.")
    store_outcome(decision, remitted, outcome)
    move_count(decision, remitted, 1)
    decision.close_item(f"payment:{remitted.id}", "matched by hand")
    if match.claim is not None:
        theirs = remitted.claim.control_number
        number_rules.learn(decision, remitted.payer_id, remitted.payer_name, theirs, match.claim.control_number)
    return outcome
