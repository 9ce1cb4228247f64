"""What a 999 that refuses a whole transaction means for each of its claims: the bad are named, the good go again.

One claim that the receiver cannot read has its whole ST sent back (005010X231A1, IK5 ``R``). The 999 names the claim
by a CTX, or says at which segment of the transaction it stumbled; that place is looked up in the bytes that were sent.
Claims that are not blamed go again in a later batch, under new interchange, group and batch numbers. Where no claim is
to blame, nothing goes again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from sqlalchemy import select

from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.core.money import from_cents, shown
from hub.formats.x12 import vocabulary
from hub.formats.x12.acks import SegmentError, TransactionAcknowledgement
from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.segments import Segment
from hub.store.changes import Row
from hub.store.contents import stream_content
from hub.store.tables import message

RULE = "isolation"
_NOBODY_HAS_IT = ("batched", "sent")
_SENT_BACK = ("rejected", "void", "closed")


def refuse(decision: Decision, batch: Row, said: TransactionAcknowledgement, key: str) -> bool:
    """Part the claims of a refused *batch*: blamed ones are rejected with the reason, the others go again.

    False, and nothing is done, when the answer blames no claim, or another answer took claims of the batch up.
    """
    blamed = _blamed(decision, batch, said)
    rows = decision.rows("claim", batch_id=batch["id"], order_by="id")
    if not blamed or any(row["state"] not in (*_NOBODY_HAS_IT, *_SENT_BACK) for row in rows):
        return False
    again = batch["claims"] - len(blamed)
    for row in rows:
        if decision.full:
            decision.complete = False
            return True
        claim = OpenClaim(decision, row)
        errors = blamed.get(row["control_number"])
        if errors is not None:
            sentence = reasons(said.code, errors)
            if claim.record("ack999", key, accepted=False, sentence=sentence):
                _tell(decision, claim, sentence, again)
        elif row["state"] in _NOBODY_HAS_IT:
            send_again(decision, claim, f"{key}/again", "Another claim of its batch could not be read.", rule=RULE)
            decision.count("claims sent again")
    if batch["state"] != "rejected":
        decision.update("batch", batch, state="rejected")
    return True


def send_again(decision: Decision, claim: OpenClaim, key: str, sentence: str, **facts: Any) -> bool:
    """Let a claim that nobody has on file go with the next batch, as it is. False when that was done before."""
    before = decision.row("batch", id=claim.row["batch_id"]) if claim.row["batch_id"] else None
    if not claim.record("requeued", key, sentence=sentence, batch=before["reference"] if before else "", **facts):
        return False
    decision.update("claim", claim.row, batch_id=None)
    decision.close_items("sent again", claim_id=claim.row["id"], queue=("rejections", "lost claims"))
    return True


def reasons(code: str, errors: Iterable[SegmentError]) -> str:
    """What a 999 or 997 says, in sentences of our own; *code* is its IK501."""
    said = [vocabulary.acknowledgement(code)]
    for error in errors:
        where = f"{error.loop} {error.segment}".strip()
        sentences = [vocabulary.element_error(element.code) for element in error.elements]
        said += (f"At {where}: {sentence}" for sentence in sentences or [vocabulary.segment_error(error.code)])
    return " ".join(dict.fromkeys(said))


def _tell(decision: Decision, claim: OpenClaim, sentence: str, again: int) -> None:
    others = {0: "", 1: " The other claim of its batch goes again by itself."}.get(
        again, f" The other {again} claims of its batch go again by themselves."
    )
    row = claim.row
    amount = shown(from_cents(row["total_cents"]))
    decision.open_item(
        queue="rejections",
        key=f"claim/{row['id']}/999/{row['batch_id']}",
        kind="unreadable claim",
        sentence=f"The receiver could not read this claim of {amount}. {sentence}{others}",
        rule=RULE,
        money_cents=row["total_cents"],
        claim_id=row["id"],
        patient_id=row["patient_id"],
    )


def _blamed(decision: Decision, batch: Row, said: TransactionAcknowledgement) -> dict[str, list[SegmentError]]:
    """The claims of *batch* that the answer blames, by control number, each with what is wrong with it."""
    ours = {row["control_number"] for row in decision.rows("claim", batch_id=batch["id"])}
    if batch["claims"] == 1:
        return {number: list(said.errors) for number in ours}
    places = [error for error in said.errors if not error.claim]
    sent = _sent(decision, batch, said.control_number) if places else []
    found: dict[str, list[SegmentError]] = {}
    for error in said.errors:
        numbers = (error.claim,) if error.claim else claims_at(sent, error.position)
        if not ours.intersection(numbers):
            return {}  # something above the claims is wrong: whatever goes again would come back
        for number in numbers:
            found.setdefault(number, []).append(error)
    return found


def _sent(decision: Decision, batch: Row, control_number: str) -> Sequence[Segment]:
    """The transaction of *batch* as it was sent; empty when its bytes are not kept any more."""
    raw_id = decision.connection.execute(
        select(message.c.raw_id).where(message.c.id == batch["message_id"])
    ).scalar_one_or_none()
    if raw_id is None:
        return []
    raw = stream_content(decision.connection, decision.vault, raw_id)
    try:
        transactions = [each for interchange in read_interchanges(raw) for each in interchange.transactions]
    except KeyError:
        return []
    named = [each for each in transactions if each.st.control_number == control_number]
    chosen = named or (transactions if len(transactions) == 1 else [])
    return chosen[0].segments if chosen else []


def claims_at(segments: Sequence[Segment], position: int) -> tuple[str, ...]:
    """Whose claim the segment at *position* (IK302, ST is 1) belongs to; nobody's when it belongs to the whole batch.

    A segment of a subscriber or patient level before its first CLM belongs to every claim of that level; one of the
    submitter, the receiver or the billing provider to all.
    """
    if not 0 < position <= len(segments):
        return ()
    for segment in reversed(segments[:position]):
        if segment.id == "CLM":
            return (segment[1],)
        if segment.id == "HL":
            if segment[3] not in {"22", "23"}:
                return ()
            below = takewhile(lambda each: each.id != "HL" or each[3] == "23", segments[position:])
            return tuple(each[1] for each in below if each.id == "CLM")
    return ()
