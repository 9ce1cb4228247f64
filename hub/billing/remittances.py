"""835 files become remittances: recognised when they come again, balanced whole, then posted claim by claim.

A remittance is taken in two movements. :func:`stage` decides about the whole: a copy of one that was taken
in changes nothing; one that does not add up to the cent, or is not for us, is **held whole**; any other is
stored with its claims and its deposit. :func:`continue_posting` then posts a bounded number of claims per
decision, so that a large file never blocks the store. Both may be repeated after a crash: rows and entries
are unique by remittance and ordinal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from hub.billing import ledger, posting, provider_adjustments
from hub.billing.decision import Decision
from hub.billing.matching import Remitted
from hub.core.money import shown, to_cents
from hub.formats.x12 import records
from hub.formats.x12.claim import Organisation
from hub.formats.x12.envelope import Transaction
from hub.formats.x12.remittance import (
    Balance,
    ProviderAdjustment,
    Remittance,
    RemittanceClaim,
    RemittanceHeader,
    balance,
    read_835,
)
from hub.store.changes import Row
from hub.store.tables import remittance_claim as claim_table

CLAIMS_STAGED_AT_ONCE = 100
CLAIMS_POSTED_AT_ONCE = 10
LINES_POSTED_AT_ONCE = 100
QUEUE = "unbalanced remittances"
_TAKEN = ("staged", "posting", "posted")


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a remittance is held whole: the work item's kind and the sentence."""

    kind: str
    sentence: str


def stage(decision: Decision, transaction: Transaction, ordinal: int) -> None:
    """Take in *transaction*, the 835 that is the *ordinal*-th ST of the decision's message.

    Stages at most one remittance per decision, because the next one must see what this one did: the
    decision is then not *complete*, and the same call is made again. Raises
    :class:`~hub.formats.x12.errors.WrongTransactionError` for a transaction of another kind.
    """
    if not decision.complete:
        return
    known = decision.row("remittance", message_id=decision.message_id, ordinal=ordinal)
    if known is not None:
        if known["state"] == "staged":
            _stage_more(decision, known, read_835(transaction))
        return
    remittance = read_835(transaction)
    payer_id = _payer_id(decision, remittance.header)
    digest = _content_digest(decision, remittance, payer_id)
    row = _new_row(decision, remittance, transaction, ordinal, payer_id, digest)
    earlier = decision.rows("remittance", content_digest=digest)
    if any(each["state"] in _TAKEN for each in earlier):
        row |= {"state": "duplicate", "reason": "The same remittance was taken in before; this copy changes nothing."}
        decision.insert("remittance", **row)
        return
    fault = _fault(decision, transaction, remittance, payer_id)
    if fault is not None:
        _hold(decision, row, fault, is_repeated=any(each["state"] == "held" for each in earlier))
        return
    _release_held(decision, payer_id, row["trace"])
    stored = decision.insert("remittance", **row)
    _deposit(decision, stored, remittance.header)
    _stage_more(decision, stored, remittance)


def continue_posting(decision: Decision) -> None:
    """Post the next claims of the remittances of the decision's message; not *complete* while any remain.

    Call it after :func:`stage` was called for every 835 of the message; in a decision that staged something
    it does nothing.
    """
    if not decision.complete:
        return
    waiting = decision.rows("remittance", message_id=decision.message_id, state="posting", order_by="ordinal")
    if not waiting:
        return
    row = waiting[0]
    if not _post_claims(decision, row):
        _post_provider_adjustments(decision, row)
        decision.update("remittance", row, state="posted")
        if len(waiting) == 1:
            return
    decision.complete = False


# ---------------------------------------------------------------- taking in


def _payer_id(decision: Decision, header: RemittanceHeader) -> str:
    """The payer's id, the one that our configuration knows where the remittance gives several."""
    ids = (header.payer.id, header.payer.reference("2U"), header.originator)
    known = next((each for each in ids if each in decision.config.payers), None)
    return (known or next(filter(None, ids), ""))[:80]


def _payer_name(header: RemittanceHeader) -> str:
    named = header.payer.party
    return named.name if isinstance(named, Organisation) else named.last


def _content_digest(decision: Decision, remittance: Remittance, payer_id: str) -> bytes:
    """What makes two remittances the same, whatever their file names and control numbers.

    Payer, trace, amount, every decision.
    """
    header = remittance.header
    content = hashlib.sha256(f"{payer_id}\0{header.trace}\0{header.amount}\0".encode())
    for each in remittance.claims:
        facts = (
            each.control_number,
            each.status,
            str(each.charge),
            str(each.paid),
            each.payer_claim_control_number,
            *(f"{a.group}{a.reason}{a.amount}" for a in each.adjustments),
            *(
                f"{line.code}{line.charge}{line.paid}{a.group}{a.reason}{a.amount}"
                for line in each.lines
                for a in line.adjustments
            ),
        )
        content.update("\0".join(facts).encode() + b"\1")
    for plb in remittance.provider_adjustments:
        content.update(f"{plb.reason}\0{plb.reference}\0{plb.amount}\1".encode())
    return decision.vault.digest("remittance", content.hexdigest())


def _new_row(
    decision: Decision,
    remittance: Remittance,
    transaction: Transaction,
    ordinal: int,
    payer_id: str,
    digest: bytes,
) -> Row:
    header = remittance.header
    return {
        "id": decision.ids.next(),
        **decision.owner(),
        "message_id": decision.message_id,
        "ordinal": ordinal,
        "content_digest": digest,
        "trace": header.trace[:50],
        "payer_id": payer_id,
        "payer_name": _payer_name(header)[:80],
        "payee_npi": header.payee_npi[:10],
        "amount_cents": to_cents(header.amount),
        "method": header.method[:8],
        "paid_on": header.paid_on.isoformat() if header.paid_on else "",
        "claims": len(remittance.claims),
        "claims_cents": sum(to_cents(each.paid) for each in remittance.claims),
        "provider_cents": sum(to_cents(each.amount) for each in remittance.provider_adjustments),
        "state": "staged",
        "reason": None,
        "created_business_at": decision.now_ms,
        "body": decision.seal(
            "remittance",
            {
                "handling": header.handling,
                "originator": header.originator,
                "produced": header.produced.isoformat() if header.produced else "",
                "interchange": transaction.isa.control_number,
                "transaction": header.control_number,
                "provider_adjustments": [records.to_plain(e) for e in remittance.provider_adjustments],
            },
        ),
    }


def _fault(decision: Decision, transaction: Transaction, remittance: Remittance, payer_id: str) -> _Fault | None:
    """Why *remittance* must not be posted, the gravest reason first; None when it may be."""
    header, practice = remittance.header, decision.config.practice
    about = _about(remittance)
    ours = "P" if decision.config.environment == "production" else "T"
    if transaction.isa.usage not in {"", ours}:
        theirs = "production" if transaction.isa.usage == "P" else "test"
        return _Fault(
            "other environment",
            f"{about} is a {theirs} file, and this site is a {decision.config.environment} site.",
        )
    if practice.npi != header.payee_npi and practice.tax_id != header.payee_tax_id:
        return _Fault("other payee", f"{about} is for another provider: neither its NPI nor its tax id is ours.")
    found = balance(remittance)
    if not found.ok:
        return _Fault("unbalanced remittance" if found.imbalances else "damaged remittance", _unbalanced(about, found))
    if header.handling == "P":
        return _Fault("test payment", f"{about} only announces a test of the bank account; no money moves.")
    if header.amount and (header.method == "NON" or header.handling == "H"):
        return _Fault("no payment", f"{about} says that no payment is made, and yet states an amount.")
    if header.amount and _trace_is_used(decision, payer_id, header.trace[:50]):
        return _Fault(
            "payment number used before",
            f"{about} has the number of a payment that was posted before with other content. "
            "One of the two is wrong, or the payer split one payment.",
        )
    return None


def _about(remittance: Remittance) -> str:
    header = remittance.header
    payer = _payer_name(header) or "a payer"
    trace = f" (payment {header.trace})" if header.trace else ""
    return f"The remittance of {payer} for {shown(header.amount)}{trace}"


def _unbalanced(about: str, found: Balance) -> str:
    if found.imbalances:
        first, more = found.imbalances[0], len(found.imbalances) - 1
        rest = f" {more} more figures do not agree." if more > 1 else " One more figure does not agree." if more else ""
        return f"{about} does not add up. {first}{rest}"
    problem, more = found.problems[0], len(found.problems) - 1
    rest = f", and {more} more" if more else ""
    return f"{about} is damaged ({problem.where}{rest}): {problem.message}"


def _trace_is_used(decision: Decision, payer_id: str, trace: str) -> bool:
    same = decision.rows("remittance", trace=trace)
    return any(each["payer_id"] == payer_id and each["state"] in _TAKEN for each in same)


def _hold(decision: Decision, row: Row, fault: _Fault, *, is_repeated: bool) -> None:
    """Store a remittance that is not posted. A copy of one that is held already needs no second look."""
    if is_repeated:
        reason = f"The same remittance is held already. {fault.sentence}"
        decision.insert("remittance", **row | {"state": "duplicate", "reason": reason})
        return
    stored = decision.insert("remittance", **row | {"state": "held", "reason": fault.sentence})
    decision.open_item(
        queue=QUEUE,
        key=f"remittance:{stored['id']}",
        kind=fault.kind,
        sentence=fault.sentence,
        money_cents=stored["amount_cents"],
        evidence={"trace": stored["trace"], "claims": stored["claims"]},
        remittance_id=stored["id"],
    )


def _release_held(decision: Decision, payer_id: str, trace: str) -> None:
    """A good remittance has come for a payment whose first one was held: that one is closed, and its item with it."""
    for held in decision.rows("remittance", trace=trace, state="held"):
        if trace and held["payer_id"] == payer_id:
            decision.close_item(f"remittance:{held['id']}", "a good remittance came for the same payment")
            decision.update("remittance", held, state="closed")


def _deposit(decision: Decision, row: Row, header: RemittanceHeader) -> None:
    """Debit what the payment brings to ``cash``; ``clearing`` owes it to claims and provider adjustments.

    The entry's key is the payment, so that of two copies that are decided at the same time only one is applied.
    """
    cents = to_cents(header.amount)
    if not cents:
        return
    payment = decision.vault.digest("deposit", f"{row['payer_id']}|{row['trace']}")
    sides = ((ledger.CASH, cents), (ledger.CLEARING, -cents))
    ledger.post(
        decision,
        key=f"deposit:{payment.hex()}",
        kind="deposit",
        postings=[
            ledger.Posting(account=account, amount_cents=amount, payer_id=row["payer_id"], reference=row["trace"])
            for account, amount in sides
        ],
        remittance_id=row["id"],
        rule=header.method,
    )


def _stage_more(decision: Decision, row: Row, remittance: Remittance) -> None:
    """Store the next claims of a remittance; when all are stored, posting may begin."""
    count = select(func.count()).where(claim_table.c.remittance_id == row["id"])
    stored = int(decision.connection.execute(count).scalar_one())
    chunk = remittance.claims[stored : stored + CLAIMS_STAGED_AT_ONCE]
    decision.changes.insert("remittance_claim", *(_claim_row(decision, row["id"], each) for each in chunk))
    if stored + len(chunk) == len(remittance.claims):
        decision.update("remittance", row, state="posting")
    decision.complete = False


def _claim_row(decision: Decision, remittance_id: int, said: RemittanceClaim) -> Row:
    patient = said.patient_responsibility
    return {
        "id": decision.ids.next(),
        "remittance_id": remittance_id,
        "ordinal": said.ordinal,
        "control_number": said.control_number[:50],
        "payer_claim_number": said.payer_claim_control_number[:64],
        "status": said.status[:4],
        "charge_cents": to_cents(said.charge),
        "paid_cents": to_cents(said.paid),
        "patient_cents": to_cents(patient) if patient is not None else 0,
        "state": "staged",
        "body": decision.seal("remittance_claim", records.to_plain(said)),
    }


# ---------------------------------------------------------------- posting


def _post_claims(decision: Decision, row: Row) -> bool:
    """Post the next staged claims of a remittance; False when none is left.

    A claim that comes twice (a reversal and its correction) waits for the next decision, which sees what
    this one did.
    """
    staged = decision.connection.execute(
        select(claim_table)
        .where(claim_table.c.remittance_id == row["id"], claim_table.c.state == "staged")
        .order_by(claim_table.c.ordinal)
        .limit(CLAIMS_POSTED_AT_ONCE)
    ).all()
    touched: set[int] = set()
    posted = held = lines = 0
    for each in staged:
        remitted = Remitted(
            id=each.id,
            version=each.version,
            remittance_id=row["id"],
            trace=row["trace"],
            payer_id=row["payer_id"],
            payer_name=row["payer_name"],
            claim=records.from_plain(RemittanceClaim, decision.unseal("remittance_claim", each.body)),
        )
        lines += len(remitted.claim.lines)
        if lines > LINES_POSTED_AT_ONCE and posted + held:
            break
        outcome = posting.post_next(decision, remitted, touched)
        if outcome is None:
            break
        if outcome.state in {"posted", "closed"}:
            posted += 1
        else:
            held += 1
    if staged:
        decision.update(
            "remittance",
            row,
            claims_posted=row["claims_posted"] + posted,
            claims_held=row["claims_held"] + held,
        )
    return bool(staged)


def _post_provider_adjustments(decision: Decision, row: Row) -> None:
    body: dict[str, Any] = decision.unseal("remittance", row["body"])
    provider_adjustments.post_all(
        decision,
        remittance_id=row["id"],
        payer_id=row["payer_id"],
        payer_name=row["payer_name"],
        adjustments=[records.from_plain(ProviderAdjustment, e) for e in body["provider_adjustments"]],
    )
