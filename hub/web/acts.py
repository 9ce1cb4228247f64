"""What a person can do about a work item: each a command of billing, with the fields that it asks for.

A page shows whatever of these fits the item; nothing here knows how a page looks.
"""

from __future__ import annotations

from dataclasses import dataclass

REASON_LENGTH = 5


@dataclass(frozen=True, slots=True)
class Ask:
    """A field of a form. *kind*: ``text``, ``number``, ``long``, or ``choice`` among *choices* (word, label)."""

    name: str
    label: str
    kind: str = "text"
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True
    hint: str = ""
    least: int = 1

    def objection(self, text: str) -> str:
        """Why *text* cannot be taken; empty when it can."""
        if self.name == "reason" and len(text) < self.least:
            return "Say why, in a few words."
        if not text:
            return f"{self.label}: this is needed." if self.required else ""
        if self.kind == "number" and not (text.isascii() and text.isdigit() and len(text) < 10):
            return f"{self.label}: a whole number."
        if self.kind == "choice" and text not in {word for word, _ in self.choices}:
            return f"{self.label}: choose one."
        return f"{self.label}: say it in a few words." if len(text) < self.least else ""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done. *key* is its word in addresses, *subject* the row whose version it names.

    *queues* are those in which it is offered, empty for all; *states* those of the subject. *cautious* marks what is
    hard to undo, *folded* what is needed seldom.
    """

    key: str
    command: str
    label: str
    hint: str
    subject: str
    permission: str
    states: tuple[str, ...]
    asks: tuple[Ask, ...] = ()
    queues: tuple[str, ...] = ()
    cautious: bool = False
    folded: bool = False


def _why(label: str = "Why") -> Ask:
    return Ask("reason", label, least=REASON_LENGTH)


UNSENT = ("draft", "held", "needs fix", "ready")
_DENIED = ("open", "waiting", "lost")
#: What of a claim a biller corrects most, by the name that billing knows it under.
_CLAIM_FIELDS = (
    ("modifiers", "Modifiers of a line"),
    ("diagnoses", "Diagnoses"),
    ("prior_authorisation", "Authorization number"),
    ("referral_number", "Referral number"),
    ("payer_claim_number", "Payer's claim number"),
    ("place_of_service", "Place of service"),
    ("member_id", "Member number"),
    ("code", "Procedure of a line"),
    ("units", "Units of a line"),
    ("note", "Note to the payer"),
)

_CHARGE_FIELDS = (
    ("performing_npi", "Performing provider (NPI)"),
    ("department", "Department"),
    ("place_of_service", "Place of service"),
    ("modifiers", "Modifiers"),
)

#: Offered on the claim's page, too.
VOID_CLAIM = Act(
    "void-claim", "void_claim", "Void the claim",
    "The payer is to forget it: its void waits for approval, and its charges are billed anew once that has gone.",
    "claim", "claims.correct",
    ("batched", "sent", "accepted 999", "received", "accepted clearinghouse", "accepted payer", "pended", "paid",
     "partly paid", "denied", "reversed", "closed"),
    (_why(),), queues=("charge review",), cautious=True, folded=True,
)  # fmt: skip

ACTS: dict[str, Act] = {
    act.key: act
    for act in (
        Act(
            "release", "release_charge", "Release the charge",
            "It goes on to be billed. Whatever else stood against it must be corrected first.",
            "charge", "claims.correct", ("held",),
        ),
        Act(
            "correct-charge", "correct_charge", "Correct the charge",
            "It goes on by itself once nothing stands against it. What the EHR said is kept beside your word.",
            "charge", "claims.correct", ("held",),
            (
                Ask("field", "What is corrected", "choice", _CHARGE_FIELDS),
                Ask("value", "New value", hint="Several modifiers with blanks between."),
                _why(),
            ),
            queues=("charge review",),
        ),
        Act(
            "void", "void_charge", "Take the charge back", "It is not billed to anybody.",
            "charge", "claims.correct", ("held", "open"), (_why(),), cautious=True,
        ),
        Act(
            "approve", "approve_claim", "Approve the claim", "It goes out with the next batch.",
            "claim", "claims.approve", ("held",),
        ),
        Act(
            "correct", "correct_claim", "Correct and check again",
            "The change is yours and stands on the claim's history; every rule looks at the claim again.",
            "claim", "claims.correct", UNSENT,
            (
                Ask("field", "What is corrected", "choice", _CLAIM_FIELDS),
                Ask("line", "Line", "number", required=False, hint="Of a line only; empty for the claim."),
                Ask("value", "New value", hint="Several with blanks between."),
                _why(),
            ),
            queues=("claim edits", "approval"),
        ),
        Act(
            "discard", "discard_replacement", "Discard the replacement",
            "The claim that was sent stays as it is. Charges that came late are billed on a claim of their own.",
            "claim", "claims.approve", ("held", "needs fix"), (_why(),), queues=("approval",), cautious=True,
        ),
        Act(
            "hold", "hold_claim", "Hold the claim", "It waits until somebody approves it.",
            "claim", "claims.correct", ("ready",), (_why(),),
        ),
        Act(
            "resend", "resend_claim", "Send again as it is",
            "For what had nothing to do with the claim itself. It goes with the next batch.",
            "claim", "claims.correct", ("rejected", "sent", "accepted 999", "received"), (_why(),),
            queues=("rejections", "lost claims"),
        ),
        Act(
            "rebill", "rebill_claim", "Bill anew",
            "The claim is withdrawn, and a new one is made of its charges as they are now.",
            "claim", "claims.correct", (*UNSENT, "rejected"), (_why(),), cautious=True,
        ),
        VOID_CLAIM,
        Act(
            "next-payer", "bill_next_payer", "Bill the next insurance",
            "What the payer left goes to the patient's next insurance, with the decision of the one before.",
            "claim", "claims.approve", ("paid", "partly paid", "denied", "forwarded"), queues=("secondary",),
        ),
        Act(
            "resend-batch", "resend_batch", "Send the whole batch again",
            "All of its claims as they are, under new numbers.",
            "item", "claims.correct", ("open",), (_why(),),
            queues=("rejections", "lost claims", "enrolment"), cautious=True,
        ),
        Act(
            "wait", "wait_longer", "Wait longer", "The receiver has it and needs time.",
            "item", "queues.work", ("open",), (Ask("days", "Days", "number"), _why()), queues=("lost claims",),
        ),
        Act(
            "send-appeal", "send_appeal", "The appeal was sent", "The denial then waits for the payer's answer.",
            "denial action", "claims.correct", ("drafted",),
            (
                Ask("how", "Sent by", "choice", (("letter", "letter"), ("fax", "fax"), ("portal", "payer's portal"))),
                Ask("reference", "Reference", required=False, hint="Tracking, fax or portal number."),
            ),
        ),
        Act(
            "withdraw-appeal", "withdraw_appeal", "Withdraw the draft", "The letter is not sent after all.",
            "denial action", "claims.correct", ("drafted",), folded=True,
        ),
        Act(
            "decide-appeal", "decide_appeal", "Record the payer's answer",
            "The money itself comes by remittance. Lost: it comes back into the queue if there is a further level.",
            "denial action", "claims.correct", ("sent",),
            (
                Ask(
                    "outcome", "The payer", "choice",
                    (("won", "pays all of it"), ("partly", "pays a part"), ("lost", "pays nothing")),
                ),
                Ask("amount", "Amount", required=False, hint="What it pays, if a part."),
            ),
        ),
        Act(
            "correct-denied", "correct_denied_claim", "Draft the corrected claim",
            "It has the same charges and waits in approval, where its fields are corrected.",
            "denial", "claims.correct", _DENIED,
            (
                Ask(
                    "frequency", "Send it as", "choice",
                    (("7", "a replacement of the claim (7)"), ("1", "a new claim (1): the payer has none on file")),
                ),
            ),
        ),
        Act(
            "appeal", "write_appeal", "Write an appeal",
            "A letter of the facts and proofs on file, with your argument. It is not sent yet.",
            "denial", "claims.correct", _DENIED, (Ask("argument", "Your argument", "long", least=20),), folded=True,
        ),
        Act(
            "wait-payer", "wait_for_payer", "Leave it to the payer", "It comes back when the days are over.",
            "denial", "queues.work", ("open",), (Ask("days", "Days", "number"),), folded=True,
        ),
        Act(
            "bill-patient", "bill_patient", "The patient owes it", "The patient may be asked for what was denied.",
            "denial", "money.post", _DENIED, (_why(),), cautious=True, folded=True,
        ),
        Act(
            "accept-denial", "accept_denial", "Accept, and write off", "The payer is right. What was denied is lost.",
            "denial", "money.post", _DENIED, (_why(),), cautious=True, folded=True,
        ),
        Act(
            "release-remittance", "release_remittance", "Take it in all the same",
            "You vouch for what it was held for. It is posted like any other.",
            "remittance", "money.post", ("held",), (_why(),), queues=("unbalanced remittances",), cautious=True,
        ),
        Act(
            "use-rule", "release_normalisation", "Use it from now on",
            "Payments of this payer are matched without what it puts there.",
            "number_rule", "money.post", ("proposed", "withdrawn"), queues=("unmatched payments",),
        ),
        Act(
            "drop-rule", "withdraw_normalisation", "It is no rule", "Nothing is matched by it.",
            "number_rule", "money.post", ("proposed", "released"), queues=("unmatched payments",),
        ),
        Act(
            "write-off", "write_off", "Write off", "What is owed is given up. The ledger keeps who did it and why.",
            "claim", "money.post", (), (_why(),), queues=("denials", "secondary"), cautious=True,
        ),
    )
}  # fmt: skip
#: Accepting what a rule proposes; offered once for each proposal of an item.
ACCEPT = Act(
    "accept", "accept_proposal", "Accept", "The claim is examined again with it.", "claim", "claims.correct", UNSENT,
    (Ask("rule", "Rule"), Ask("line", "Line", "number", required=False)),
)  # fmt: skip
