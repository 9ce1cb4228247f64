"""The state words of the architecture as pages show them: shape, colour and word together, everywhere the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """How a state looks.

    *word* for people, *shape* (a symbol of the sprite), *tone* (a meaning of the stylesheet).
    """

    word: str
    shape: str
    tone: str = ""


_SIGNS = {
    # messages
    "in progress": Sign("In progress", "progress", "info"),
    "held": Sign("Held", "held", "warn"),
    "errored": Sign("Errored", "failed", "bad"),
    "rejected": Sign("Rejected", "rejected", "bad"),
    "done": Sign("Done", "done", "ok"),
    "filtered": Sign("Filtered", "filtered"),
    "owed": Sign("Owed", "queued"),
    "undelivered": Sign("Undelivered", "failed", "bad"),
    "not owed": Sign("Not owed", "none"),
    # deliveries and attempts
    "queued": Sign("Queued", "queued"),
    "sending": Sign("Sending", "out", "info"),
    "delivered": Sign("Delivered", "done", "ok"),
    "ambiguous": Sign("Ambiguous", "ask", "ask"),
    "refused": Sign("Refused", "rejected", "bad"),
    "closed": Sign("Closed", "closed", "ok"),
    "shadow": Sign("Shadow", "shadow"),
    "transient": Sign("Transient", "retrying", "warn"),
    "permanent": Sign("Refused", "rejected", "bad"),
    # channels and endpoints
    "running": Sign("Running", "running", "ok"),
    "paused": Sign("Paused", "paused", "info"),
    "failed": Sign("Failed", "failed", "bad"),
    "draining": Sign("Draining", "draining", "info"),
    "stopped": Sign("Stopped", "stopped"),
    "unknown": Sign("Not known", "quiet", "warn"),
    "quiet": Sign("Quiet", "quiet", "warn"),
    "listening": Sign("Listening", "running", "ok"),
    "connected": Sign("Connected", "running", "ok"),
    "idle": Sign("Idle", "running", "ok"),
    "retrying": Sign("Retrying", "retrying", "warn"),
    "login failed": Sign("Login failed", "failed", "bad"),
    # claims
    "draft": Sign("Draft", "stopped"),
    "needs fix": Sign("Needs fix", "held", "warn"),
    "ready": Sign("Ready", "progress", "info"),
    "forwarded": Sign("Passed on by payer", "out", "info"),
    "batched": Sign("Batched", "queued", "info"),
    "sent": Sign("Sent", "out", "info"),
    "accepted 999": Sign("Accepted (999)", "done", "info"),
    "received": Sign("Received", "in", "info"),
    "accepted clearinghouse": Sign("At clearinghouse", "done", "ok"),
    "accepted payer": Sign("Accepted by payer", "done", "ok"),
    "pended": Sign("Pended", "queued", "warn"),
    "paid": Sign("Paid", "closed", "ok"),
    "partly paid": Sign("Partly paid", "money", "info"),
    "denied": Sign("Denied", "denied", "bad"),
    "reversed": Sign("Reversed", "retrying", "warn"),
    "void": Sign("Void", "stopped"),
    # charges, remittances, items
    "open": Sign("Open", "progress", "info"),
    "claimed": Sign("On a claim", "done", "ok"),
    "self pay": Sign("Self pay", "person", "info"),
    "staged": Sign("Staged", "queued"),
    "posting": Sign("Posting", "progress", "info"),
    "posted": Sign("Posted", "done", "ok"),
    "duplicate": Sign("Duplicate", "shadow"),
    "unmatched": Sign("Unmatched", "ask-none", "warn"),
    "resolved": Sign("Resolved", "closed", "ok"),
    "built": Sign("Built", "queued"),
    "acknowledged": Sign("Acknowledged", "done", "ok"),
    "drained": Sign("Drained", "stopped", "info"),
    "silent": Sign("Silent", "quiet", "warn"),
    "filling": Sign("Filling up", "held", "warn"),
    "ends soon": Sign("Ends soon", "held", "warn"),
    "even": Sign("even", "bal", "ok"),
    "balanced": Sign("Balanced", "bal", "ok"),
    "expected": Sign("Expected", "queued"),
    "out of balance": Sign("Out of balance", "unbal", "bad"),
}

#: The queues in the order of a biller's day, with what stands in each.
QUEUES = {
    "charge review": "Charges that a person must look at before they are billed.",
    "missing charges": "Visits that were kept, and procedures that were documented, without a charge.",
    "claim edits": "Claims that a rule stopped before they were sent.",
    "approval": "Claims that wait for somebody's approval.",
    "rejections": "Claims that a clearinghouse or payer did not take in.",
    "coding": "Claims that came back for a code that a coder must decide.",
    "enrolment": "Payers that do not know the practice yet. Claims to them wait.",
    "lost claims": "Claims that were sent and that nobody speaks of.",
    "documents": "Claims for which a payer asks for documents or other information.",
    "denials": "Lines that a payer decided not to pay.",
    "unmatched payments": "Payments for claims that are not ours, or not yet known.",
    "unbalanced remittances": "Remittances that do not add up. Nothing of them is posted.",
    "credits": "Charges taken back after they were billed.",
    "secondary": "Balances that another insurer may owe.",
    "messages": "Messages that a mapping could not finish.",
    "deliveries": "Sends that were refused, or that may have arrived.",
    "anomalies": "Events that should not be possible. They changed no state.",
}


def sign(state: str) -> Sign:
    """How *state* looks. A word that is not in the table is shown as it is, with the idle shape."""
    return _SIGNS.get(state, Sign(state[:1].upper() + state[1:], "none"))


#: What a role is for, beside its name.
ROLE_WORDS = {
    "viewer": "looks, and changes nothing",
    "operator": "channels, messages, sending again",
    "engineer": "channels and sending again, data masked",
    "biller": "claims, queues, payments",
    "manager": "as a biller, and the figures",
    "auditor": "who saw and changed what",
    "admin": "people and their rights",
}
#: What a segment of an acknowledgement, a status or a remittance holds (X12), in our own words.
SEGMENT_WORDS = {
    "ISA": "Interchange, from whom to whom",
    "GS": "Group of one kind",
    "ST": "Transaction begins",
    "SE": "Transaction ends",
    "GE": "Group ends",
    "IEA": "Interchange ends",
    "TA1": "Answer about an interchange",
    "AK1": "Answer about a group",
    "AK2": "Answer about a transaction",
    "AK5": "The transaction: taken or not",
    "AK9": "The group: taken or not, and how many",
    "IK3": "A segment with an error",
    "IK4": "An element with an error",
    "IK5": "The transaction: taken or not",
    "CTX": "Where the error stands",
    "BHT": "What the transaction is for",
    "BPR": "The payment",
    "TRN": "Trace number",
    "CUR": "Currency",
    "REF": "Reference number",
    "DTM": "Day",
    "DTP": "Day",
    "N1": "Party",
    "N3": "Street",
    "N4": "City, state, postal code",
    "PER": "Whom to ask",
    "HL": "Level",
    "NM1": "Name",
    "DMG": "Birth and sex",
    "LX": "Number",
    "TS3": "Totals of a provider",
    "TS2": "Totals of a provider's stays",
    "CLP": "What is decided of a claim",
    "CAS": "What is not paid, and why",
    "MIA": "Remarks on a stay",
    "MOA": "Remarks on the claim",
    "SVC": "What is decided of a service line",
    "AMT": "Amount",
    "QTY": "Quantity",
    "LQ": "Remark code",
    "PLB": "What belongs to no claim",
    "STC": "Status",
    "SVD": "Another payer's decision",
}
#: What a payment is by the code of its handling (BPR01), in our own words.
HANDLING_WORDS = {
    "C": "money and remittance together",
    "D": "money only",
    "H": "a notice; no money moves",
    "I": "remittance only; the money comes by itself",
    "P": "a test of the bank account",
    "U": "money and remittance apart",
    "X": "the receiver decides how they travel",
}
#: What the codes say by which a payer explains what belongs to no claim (PLB03-1), in our own words.
PROVIDER_WORDS = {
    "50": "a fee for filing late",
    "51": "interest that is charged",
    "72": "a refund that was sent back",
    "AM": "applied to what is borrowed",
    "B2": "a rebate",
    "CS": "an adjustment",
    "FB": "a balance carried forward",
    "IR": "tax withheld",
    "J1": "not reimbursable",
    "L6": "interest that the payer owes",
    "LE": "a levy",
    "WO": "an overpayment is taken back",
}
