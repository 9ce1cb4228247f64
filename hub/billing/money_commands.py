"""What people decide about money that came in: matches undone, payers' ways released, paper typed in, bank files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hub.billing import bank, by_hand, next_payer, number_rules, paper, posting, remittances
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.billing.matching import billed_claim
from hub.billing.standing import PaymentError
from hub.core.money import from_cents
from hub.formats.x12 import records
from hub.formats.x12.remittance import RemittanceClaim
from hub.store.changes import Row

Args = dict[str, Any]
Answer = dict[str, Any]


def unmatch_payment(decision: Decision, args: Args) -> Answer:
    """``remittance_claim_id``, ``version``, ``reason``: a payment was posted to the wrong claim; take it off again.

    Its entries are mirrored, the EHR is told, and the payment waits to be matched.
    """
    row = _row(decision, "remittance_claim", args)
    posting.unmatch(decision, row["id"], _reason(args))
    return {"state": "unmatched"}


def release_remittance(decision: Decision, args: Args) -> Answer:
    """``remittance_id``, ``version``, ``reason``: take in a remittance that is held for what a person may vouch for."""
    row = remittances.release(decision, _row(decision, "remittance", args)["id"], _reason(args))
    return {"state": row["state"]}


def release_normalisation(decision: Decision, args: Args) -> Answer:
    """``number_rule_id``, ``version``: match by what this payer does to our control numbers, from now on."""
    rule = _row(decision, "number_rule", args)
    number_rules.release(decision, rule)
    return {"state": rule["state"]}


def withdraw_normalisation(decision: Decision, args: Args) -> Answer:
    """``number_rule_id``, ``version``: match by this rule no longer; what it matched stays."""
    rule = _row(decision, "number_rule", args)
    number_rules.withdraw(decision, rule)
    return {"state": rule["state"]}


def enter_payment(decision: Decision, args: Args) -> Answer:
    """``payer_id``, ``trace``, ``amount``, ``paid_on``, ``claims`` and what else an 835 says: a remittance on paper.

    It is judged and posted by the same rules as an 835, and marked as typed by the decision's actor.
    """
    reading, claims, payer_id = paper.read(decision.config, args)
    row = remittances.enter(decision, reading, claims, payer_id)
    return {"remittance_id": row["id"], "state": row["state"], "amount": f"{from_cents(row['amount_cents']):f}"}


def restate_payment(decision: Decision, args: Args) -> Answer:
    """``remittance_claim_id``, ``version``, ``reason``, ``claim``: post a held payment whose own figures do not add up.

    ``claim`` says it as it must be (as in ``enter_payment``); the amount that was paid cannot be changed.
    """
    row = _row(decision, "remittance_claim", args)
    said = args.get("claim")
    if not isinstance(said, dict):
        raise PaymentError("The command does not say how the payment must read.", expected="claim")
    before = records.from_plain(RemittanceClaim, decision.unseal("remittance_claim", row["body"]))
    outcome = by_hand.restate(decision, row["id"], paper.restated(before, said), _reason(args))
    return {"state": outcome.state}


def bill_next_payer(decision: Decision, args: Args) -> Answer:
    """``claim_id``, ``version``: bill what the claim's payer left to the patient's next insurance.

    Of a claim that waits because the payer before passed it on: send it all the same.
    """
    claim = OpenClaim(decision, _row(decision, "claim", args))
    if claim.state == "forwarded":
        next_payer.send_on(decision, claim)
        return {"claim": claim.row["control_number"], "state": claim.state}
    made = next_payer.bill_next(decision, billed_claim(decision, claim.row["id"]))
    if made is None:
        raise PaymentError(
            "No claim to another payer can be made.",
            expected="something left to the patient, and an insurance on the day of service that was not asked yet",
            fix="Register the other insurance, or look for an item in the queue secondary that says what is wrong.",
        )
    return {"claim": made.row["control_number"], "state": made.state}


def load_bank_file(decision: Decision, args: Args) -> Answer:
    """``text``: take in what the bank says of deposits (NACHA, BAI2 or CSV), and hold it against the remittances."""
    said = bank.load(decision, str(args.get("text") or ""))
    return {**said, "released": remittances.release_by_bank(decision) if decision.complete else 0}


COMMANDS: dict[str, Callable[[Decision, Args], Answer]] = {
    command.__name__: command
    for command in (
        unmatch_payment,
        release_remittance,
        release_normalisation,
        withdraw_normalisation,
        enter_payment,
        restate_payment,
        bill_next_payer,
        load_bank_file,
    )
}


def _row(decision: Decision, table: str, args: Args) -> Row:
    """The row that *args* name, provided that it still has the version that the user saw."""
    name = f"{table}_id"
    if name not in args or "version" not in args:
        raise PaymentError("The command does not say what it is about.", expected=f"{name} and version")
    row = decision.row(table, id=int(args[name]))
    if row is None:
        raise PaymentError("There is no such entry.", where=table, found=str(args[name]))
    if row["version"] != int(args["version"]):
        raise PaymentError(
            "Somebody changed this since you opened it.",
            expected=f"version {row['version']}",
            found=f"version {args['version']}",
            fix="Load it again and look before you decide.",
        )
    return row


def _reason(args: Args) -> str:
    reason = str(args.get("reason") or "").strip()
    if not reason:
        raise PaymentError("A reason is required.")
    return reason
