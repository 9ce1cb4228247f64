"""Answers from clearinghouses and payers: TA1, 999 and 997, 277CA and 277 move claims; 835 go to the money side.

A 271 tells of coverages. A file may hold any number of interchanges and transactions; each is read by itself, and
what cannot be read, or speaks of nothing that is known here, is put in front of a person. Sentences are our own, one
for every reason that the answer gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from hub.billing import (
    eligibility,
    isolation,
    receipts,
    rejections,
    remittance_sources,
    remittances,
    silence,
    split_claims,
    status_actions,
)
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim, find_claim
from hub.billing.values import PartnerFile
from hub.core.money import from_cents, shown
from hub.formats.x12 import vocabulary
from hub.formats.x12.acks import read_999, read_ta1
from hub.formats.x12.claim_status import BatchStatus, ClaimStatus, Status, read_277ca
from hub.formats.x12.envelope import Interchange, Transaction, read_interchanges
from hub.formats.x12.errors import X12Error
from hub.store.changes import Row
from hub.store.contents import stream_content
from hub.store.tables import message

_GROUP_REFUSED = frozenset({"R", "M", "W", "X"})  # AK901
_SETUP = "Something is set up otherwise with the partner; correct it in the partner's file, then send the batch again."
_DEFECT = "Nothing is wrong with the claims. Report it, and send the batch again when it is corrected."
_SEEN_BEFORE = "025"  # the interchange's number was used before: what it carried may have been taken then
_ADVICE = {
    **dict.fromkeys(("005", "006", "007", "008", "009", "010", "011", "012", "013", "020"), _SETUP),
    _SEEN_BEFORE: "Ask whether the earlier interchange of that number was processed before anything is sent again.",
}
_NOT_FILED = "none of it counts as filed"
_LEVELS = {"AY": "clearinghouse", "PR": "payer"}


def read_file(decision: Decision, file: PartnerFile) -> None:
    """Take in everything that the message's file holds.

    What is too much for one transaction of the store is left for the next decision, which finds what was done.
    Payments come last, because their reading goes on where it ended.
    """
    if not remittance_sources.is_begun(decision):
        payments = _take_answers(decision, file.partner)
        if not decision.complete:
            return
        remittance_sources.begin(decision, payments)
    remittances.go_on(decision)


def _take_answers(decision: Decision, partner: str) -> list[tuple[int, Transaction]]:
    """Take in what the file holds besides payments; returns those, of which nothing is kept in memory but the ST."""
    raw_id = decision.connection.execute(
        select(message.c.raw_id).where(message.c.id == decision.message_id)
    ).scalar_one()
    raw = stream_content(decision.connection, decision.vault, raw_id)
    payments: list[tuple[int, Transaction]] = []
    received: list[Interchange] = []
    ordinal = 0
    try:
        for interchange in read_interchanges(raw, skimmed=("835",)):
            if not _is_for_us(decision, interchange):
                continue
            received.append(interchange)
            for segment in interchange.acknowledgements:
                ta1 = read_ta1(segment)
                _take_ta1(decision, partner, ta1.control_number, ta1.code, ta1.note)
            for transaction in interchange.transactions:
                ordinal += 1
                if transaction.st.id == "835":
                    payments.append((ordinal, transaction))
                    continue
                _take(decision, partner, transaction, ordinal)
                if not decision.complete:
                    return []
    except X12Error as error:
        _anomaly(decision, "unreadable file", f"A partner's file cannot be read to its end: {error.what}", "file")
    if decision.complete:
        receipts.answer(decision, partner, received)
    return payments


def _is_for_us(decision: Decision, interchange: Interchange) -> bool:
    """Whether the interchange's answers may be taken in: tests and production never mix.

    What does not add up in an envelope is told; its answers are taken all the same. Payments are judged by
    the money side, by stricter rules.
    """
    if any(transaction.st.id == "835" for transaction in interchange.transactions):
        return True
    control_number = interchange.isa.control_number
    if (interchange.isa.usage == "P") != (decision.config.environment == "production"):
        said = "production" if interchange.isa.usage == "P" else "test"
        sentence = f"A partner's file is marked as {said} and this site is not. Nothing in it was taken in."
        _anomaly(decision, "wrong environment", sentence, f"usage/{control_number}")
        return False
    if interchange.problems:
        sentence = " ".join(dict.fromkeys(problem.message for problem in interchange.problems))
        _anomaly(decision, "damaged file", f"A partner's file is damaged: {sentence}", f"damage/{control_number}")
    return True


def _take(decision: Decision, partner: str, transaction: Transaction, ordinal: int) -> None:
    match transaction.st.id:
        case "999" | "997":
            _take_999(decision, partner, transaction, ordinal)
        case "277":
            _take_277(decision, transaction, ordinal)
        case "271":
            eligibility.take_271(decision, transaction)
        case _:
            _anomaly(
                decision,
                "unexpected transaction",
                f"A partner sent a transaction that nothing here reads ({transaction.kind}).",
                str(ordinal),
            )


def _take_ta1(decision: Decision, partner: str, control_number: str, code: str, note: str) -> None:
    number = int(control_number) if control_number.isdecimal() else -1
    batch = decision.row("batch", partner=partner, interchange_number=number)
    if batch is None:
        _anomaly(decision, "unknown interchange", "A TA1 answers an interchange that was not sent.", f"TA1 {number}")
        return
    reason = f"{vocabulary.interchange_error(note)} {_ADVICE.get(note, _DEFECT) if code == 'R' else ''}".rstrip()
    filed = "whether any of it counts as filed is not certain" if note == _SEEN_BEFORE else _NOT_FILED
    _answer_batch(decision, batch, "ta1", f"ta1/{decision.message_id}", code != "R", reason, filed)


def _take_999(decision: Decision, partner: str, transaction: Transaction, ordinal: int) -> None:
    answer = read_999(transaction)
    number = int(answer.control_number) if answer.control_number.isdecimal() else -1
    batch = decision.row("batch", partner=partner, group_number=number)
    if batch is None:
        _anomaly(decision, "unknown group", "A 999 answers a group that was not sent.", f"999 {ordinal}")
        return
    # Partners may leave out transactions that they accept, and every batch is one transaction.
    silence.acknowledged(decision, batch)
    said = answer.transactions[0] if answer.transactions else None
    key = f"999/{decision.message_id}/{ordinal}"
    if said is None and answer.code not in {"A", "E", "R"}:
        sentence = "A 999 accepts a part of a group of one transaction and does not name it. Ask what was taken."
        _anomaly(decision, "unclear acknowledgement", sentence, f"999 {ordinal}")
        return
    accepted = answer.code not in _GROUP_REFUSED and (said is None or said.accepted)
    if said is not None and not accepted and isolation.refuse(decision, batch, said, key):
        return
    reason = isolation.reasons(said.code, said.errors) if said else vocabulary.acknowledgement(answer.code)
    _answer_batch(decision, batch, "ack999", key, accepted, reason)


def _answer_batch(
    decision: Decision,
    batch: Row,
    kind: str,
    key: str,
    accepted: bool,
    reason: str,
    filed: str = _NOT_FILED,
    **facts: Any,
) -> None:
    """One answer for all claims of *batch*: it moves each, and a refusal is one item, because it has one cause."""
    rows, moved = decision.rows("claim", batch_id=batch["id"], order_by="id"), False
    for row in rows:
        if decision.full:
            decision.complete = False
            return
        before = row["state"]
        OpenClaim(decision, row).record(kind, key, accepted=accepted, sentence=reason, **facts)
        moved = moved or row["state"] != before
    state = "acknowledged" if accepted else "rejected"
    if batch["state"] not in {state, "rejected"}:
        decision.update("batch", batch, state=state)
    if moved and not accepted:  # a refusal that is repeated, or whose claims went again, asks for nothing new
        count, total = len(rows), sum(row["total_cents"] for row in rows)
        decision.open_item(
            queue="rejections",
            key=f"batch/{batch['id']}/{kind}",
            kind="batch refused",
            sentence=(
                f"A batch of {count} claim{'s' if count != 1 else ''} over {shown(from_cents(total))} "
                f"was sent back whole; {filed}. {reason}"
            ),
            money_cents=total,
            claim_id=rows[0]["id"] if count == 1 else None,
            evidence={"claims": [row["control_number"] for row in rows]},
        )


def _take_277(decision: Decision, transaction: Transaction, ordinal: int) -> None:
    answer = read_277ca(transaction)
    level = _LEVELS.get(answer.source.role, "payer")
    kind = "claim_ack" if answer.kind == "277CA" else "status277"
    if not answer.claims:
        _answer_whole_batches(decision, answer.batches, level, ordinal)
    for place, about in enumerate(answer.claims, start=1):
        if decision.full:
            decision.complete = False
            return
        claim = find_claim(decision, about.control_number)
        if claim is None:
            _anomaly(
                decision,
                "unknown claim",
                "A claim status names a claim that was not sent from here.",
                f"{ordinal}/{place}",
                {"control_number": about.control_number, "where": about.where},
            )
            continue
        _move(decision, claim, about, kind, level, f"277/{decision.message_id}/{ordinal}/{place}")
        silence.answered(decision, claim)
    if kind == "claim_ack":
        named = {about.control_number for about in answer.claims}
        for batch in answer.batches:
            silence.compare(decision, batch, named, level, len(answer.claims) - len(named))


def _answer_whole_batches(decision: Decision, batches: Iterable[BatchStatus], level: str, ordinal: int) -> None:
    """A 277CA that speaks of no claim refuses its batch at the receiver's door, or says nothing."""
    for said in batches:
        batch = decision.row("batch", reference=said.reference)
        category = _category(said.statuses)
        if batch is None:
            _anomaly(decision, "unknown batch", "A claim status names a batch that was not sent.", f"277 {ordinal}")
        elif category in rejections.REFUSED:
            key = f"277/{decision.message_id}/{ordinal}"
            reason = _sentence(said.statuses)
            _answer_batch(decision, batch, "claim_ack", key, False, reason, level=level, category=category)


def _move(decision: Decision, claim: OpenClaim, about: ClaimStatus, kind: str, level: str, key: str) -> None:
    statuses = (*about.statuses, *(status for line in about.lines for status in line.statuses))
    category = _category(statuses)
    sentence = _sentence(statuses)
    facts: dict[str, Any] = {"level": level, "category": category, "sentence": sentence}
    facts["codes"] = [
        ":".join(part for part in (reason.category, reason.status, reason.entity) if part)
        for status in statuses
        for reason in status.reasons
    ]
    if about.payer_claim_control_number:
        facts["payer_claim_number"] = about.payer_claim_control_number
    facts |= _about_part(decision, claim, about, category)
    said = {"said": [status.text for status in statuses if status.text], "codes": facts["codes"]}
    if not claim.record(kind, key, **facts):
        return
    if category not in rejections.REFUSED:
        status_actions.tell(decision, claim, category, sentence, said)
        return
    if facts.get("part"):
        _refuse_part(decision, claim, about.payer_claim_control_number, sentence, said)
        return
    rejections.send_back(
        decision,
        claim,
        [reason for status in statuses for reason in status.reasons],
        sentence,
        kind=f"rejected by the {level}",
        evidence=said,
    )


def _about_part(decision: Decision, claim: OpenClaim, about: ClaimStatus, category: str) -> dict[str, Any]:
    """What is said of a claim that the payer took apart, and whether of a *part* that cannot speak for all."""
    if category == split_claims.SPLIT:
        amount = next((status.amount for status in about.statuses if status.amount), None)
        return {"charge": str(amount)} if amount else {}
    number = about.payer_claim_control_number
    if category in rejections.REFUSED and number and split_claims.is_announced(decision, claim.row["id"]):
        return {"part": True}
    return {}


def _refuse_part(decision: Decision, claim: OpenClaim, number: str, sentence: str, said: dict[str, Any]) -> None:
    decision.open_item(
        queue="rejections",
        key=f"claim/{claim.row['id']}/part/{number}",
        kind="part refused",
        sentence="The payer took this claim apart and refuses one part; the others stand. Correct what it names, then "
        f"replace the claim once they are decided. {sentence}",
        money_cents=claim.row["total_cents"],
        claim_id=claim.row["id"],
        patient_id=claim.row["patient_id"],
        evidence=said,
    )


def _category(statuses: Iterable[Status]) -> str:
    """The category that counts: a refusal anywhere, else the last that was said of the claim as a whole."""
    said = [reason.category for status in statuses for reason in status.reasons]
    refused = [category for category in said if category in rejections.REFUSED]
    return refused[0] if refused else (said[0] if said else "")


def _sentence(statuses: Iterable[Status]) -> str:
    """Every reason that was given, in our words, with the status codes that a caller to the payer needs."""
    reasons = [reason for status in statuses for reason in status.reasons]
    said = [vocabulary.category(reason.category) for reason in reasons]
    for reason in reasons:
        about = f", about {vocabulary.entity(reason.entity)}" if reason.entity else ""
        why = vocabulary.status(reason.status).rstrip(".")
        said.append(f"{why} (status {reason.status or 'none'}{about}).")
    return " ".join(dict.fromkeys(said)) or "The answer gives no reason."


def _anomaly(decision: Decision, kind: str, sentence: str, key: str, evidence: dict[str, Any] | None = None) -> None:
    decision.open_item(
        queue="anomalies",
        key=f"message/{decision.message_id}/{key}",
        kind=kind,
        sentence=sentence,
        evidence=evidence,
    )
