"""835 files become remittances: recognised when they come again, balanced whole, then posted claim by claim.

A remittance is taken in two movements, each in as many decisions as it needs, so that a large file never blocks the
store. :func:`go_on` reads it, judges the whole (a copy of one that was taken in changes nothing; one that does not
add up to the cent, or is not for us, is **held whole**), stores its claims and its deposit, and then posts a bounded
number of claims at a time. All of it may be repeated after a crash: rows and entries are unique by remittance and
ordinal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from hub.billing import bank, ledger, posting, provider_adjustments, remittance_sources, whole_payments
from hub.billing.decision import Decision
from hub.billing.matching import Remitted
from hub.billing.remittance_sources import Reading
from hub.billing.standing import PaymentError
from hub.core.money import from_cents, shown, to_cents
from hub.formats.x12 import records
from hub.formats.x12.claim import Organisation
from hub.formats.x12.remittance import ProviderAdjustment, RemittanceClaim, RemittanceHeader
from hub.store.changes import Row
from hub.store.tables import remittance_claim as claim_table

CLAIMS_STAGED_AT_ONCE = 100
CLAIMS_POSTED_AT_ONCE = 10
LINES_POSTED_AT_ONCE = 100
QUEUE = "unbalanced remittances"
REUSED = "payment number used before"
SOME_CLAIMS = "unbalanced claims"
RELEASABLE = frozenset({REUSED, SOME_CLAIMS, "no payment", "other payee"})
_TAKEN = ("staged", "posting", "posted")


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a remittance is held whole: the work item's kind and the sentence."""

    kind: str
    sentence: str


def go_on(decision: Decision) -> None:
    """Do the next piece of work on the 835s of the decision's message; not *complete* while any remains.

    Judges at most one remittance per decision, because the next one must see what this one did.
    """
    source = remittance_sources.unfinished(decision)
    if source is not None:
        decision.complete = False
        reading = remittance_sources.read_on(decision, source)
        if reading is not None:
            _judge(decision, source, reading)
        return
    rows = decision.rows(
        "remittance", message_id=decision.message_id, state=("staged", "posting"), order_by="ordinal", limit=2
    )
    if rows:
        _move_on(decision, rows[0])
        if rows[0]["state"] != "posted" or len(rows) > 1:
            decision.complete = False


def resume(decision: Decision, due: Row) -> None:
    """Go on with the remittance that *due* names: one that a person released or typed in."""
    row = decision.row("remittance", id=due["subject_id"])
    if row is not None and row["state"] in {"staged", "posting"}:
        decision.message_id = row["message_id"] if row["message_id"] != row["id"] else None
        _move_on(decision, row)
        decision.complete = row["state"] == "posted"


def release(decision: Decision, remittance_id: int, reason: str) -> Row:
    """Take in, for *reason*, a remittance that is held for something a person may vouch for; returns its row.

    Of one in which some claims do not add up, those are kept apart and the others are posted.
    Raises :class:`~hub.billing.standing.PaymentError`: a payment that does not add up as a whole is never released.
    """
    row = decision.row("remittance", id=remittance_id)
    if row is None:
        raise PaymentError("There is no such remittance.", found=str(remittance_id))
    item = decision.row("work_item", item_key=f"remittance:{remittance_id}")
    if row["state"] != "held" or item is None:
        raise PaymentError(f"This remittance is {row['state']} and not held.")
    if item["kind"] not in RELEASABLE:
        raise PaymentError(
            "This remittance cannot be released.",
            found=item["kind"],
            fix="Ask the payer for a good one; it closes this one by itself.",
        )
    decision.note_item(item["id"], "comment", {"comment": reason})
    decision.close_item(f"remittance:{remittance_id}", "released")
    _take(decision, row)
    return row


def release_by_bank(decision: Decision) -> int:
    """Take in what is held because its payment number was used, and is a part by what the bank says; returns how many.

    It is a part when everything under the number comes to exactly what the bank took in.
    """
    released = 0
    for item in decision.rows("work_item", queue=QUEUE, state="open", kind=REUSED):
        row = decision.row("remittance", id=item["remittance_id"])
        if row is None or row["state"] != "held":
            continue
        originator = decision.unseal("remittance", row["body"]).get("originator", "")
        whole = sum(each["amount_cents"] for each in (row, *_taken_with(decision, row)))
        if whole == bank.deposited(decision, row["payer_id"], originator, row["trace"]):
            decision.close_item(item["item_key"], "the bank took in this much")
            _take(decision, row)
            released += 1
    return released


def _take(decision: Decision, row: Row) -> None:
    """Have a remittance that was held stored and posted."""
    decision.update("remittance", row, state="staged")
    _deposit(decision, row)
    post_later(decision, row)


def enter(decision: Decision, reading: Reading, claims: Sequence[RemittanceClaim], payer_id: str) -> Row:
    """Take in a remittance that somebody typed from paper. It is judged and posted as an 835 is; returns its row.

    Raises :class:`~hub.billing.standing.PaymentError` when it would be held or is a copy: whoever types it can mend it.
    """
    assert reading.header is not None
    row = _new_row(decision, reading, {"id": 0, "ordinal": 1}, payer_id)
    decision.message_id, row["message_id"] = None, row["id"]
    if any(each["state"] in _TAKEN for each in decision.rows("remittance", content_digest=row["content_digest"])):
        raise PaymentError("This payment was entered before.")
    fault = _fault(decision, reading, row)
    if fault is not None:
        raise PaymentError(fault.sentence)
    stored = decision.insert("remittance", **row | {"state": "posting"})
    _deposit(decision, stored)
    decision.changes.insert("remittance_claim", *(_claim_row(decision, stored["id"], each) for each in claims))
    post_later(decision, stored)
    return stored


def post_later(decision: Decision, row: Row) -> None:
    """Have the remittance of *row* posted by a decision of its own."""
    decision.later(
        kind="remittance",
        key=f"remittance/{row['id']}/{row['version']}",
        business_at=decision.now_ms,
        subject_id=row["id"],
    )


# ---------------------------------------------------------------- judging


def _judge(decision: Decision, source: Row, reading: Reading) -> None:
    """Take a remittance in, or say why not, now that everything in it is added up."""
    assert reading.header is not None
    row = _new_row(decision, reading, source, _payer_id(decision, reading.header))
    earlier = decision.rows("remittance", content_digest=row["content_digest"])
    if any(each["state"] in _TAKEN for each in earlier):
        row |= {"state": "duplicate", "reason": "The same remittance was taken in before; this copy changes nothing."}
        decision.insert("remittance", **row)
        return
    fault = _fault(decision, reading, row)
    if fault is not None:
        _hold(decision, row, fault, is_repeated=any(each["state"] == "held" for each in earlier))
        return
    _close_held(decision, row["payer_id"], row["trace"])
    stored = decision.insert("remittance", **row)
    _deposit(decision, stored)
    _stage_more(decision, stored, source)


def _payer_id(decision: Decision, header: RemittanceHeader) -> str:
    """The payer's id, the one that our configuration knows where the remittance gives several."""
    ids = (header.payer.id, header.payer.reference("2U"), header.originator)
    known = next((each for each in ids if each in decision.config.payers), None)
    return (known or next(filter(None, ids), ""))[:80]


def _payer_name(decision: Decision, header: RemittanceHeader, payer_id: str) -> str:
    """The payer's name as the practice writes it; as the remittance does, in capitals, where it is none of ours."""
    if payer_id in decision.config.payers:
        return decision.config.payers[payer_id].name
    named = header.payer.party
    return named.name if isinstance(named, Organisation) else named.last


def _new_row(decision: Decision, reading: Reading, source: Row, payer_id: str) -> Row:
    header = reading.header
    assert header is not None
    return {
        "id": decision.ids.next(),
        **decision.owner(),
        "message_id": decision.message_id,
        "ordinal": source["ordinal"],
        "content_digest": decision.vault.digest("remittance", f"{payer_id}|{reading.digest}"),
        "trace": header.trace[:50],
        "payer_id": payer_id,
        "payer_name": _payer_name(decision, header, payer_id)[:80],
        "payee_npi": header.payee_npi[:10],
        "amount_cents": to_cents(header.amount),
        "method": header.method[:8],
        "paid_on": header.paid_on.isoformat() if header.paid_on else "",
        "claims": reading.claims,
        "claims_cents": to_cents(reading.paid),
        "provider_cents": sum(to_cents(each.amount) for each in reading.adjustments),
        "state": "staged",
        "reason": None,
        "created_business_at": decision.now_ms,
        "body": decision.seal(
            "remittance",
            {
                "handling": header.handling,
                "originator": header.originator,
                "produced": header.produced.isoformat() if header.produced else "",
                "interchange": reading.interchange,
                "transaction": header.control_number,
                "interest": f"{reading.interest:f}",
                "provider_adjustments": [records.to_plain(each) for each in reading.adjustments],
                "typed_by": decision.actor if reading.usage == TYPED else "",
            },
        ),
    }


TYPED = "paper"  # the usage of a remittance that was typed in


def _fault(decision: Decision, reading: Reading, row: Row) -> _Fault | None:
    """Why a remittance must not be posted, the gravest reason first; None when it may be."""
    header, practice = reading.header, decision.config.practice
    assert header is not None
    about = _about(row)
    ours = "P" if decision.config.environment == "production" else "T"
    if reading.usage not in {"", ours, TYPED}:
        theirs = "production" if reading.usage == "P" else "test"
        return _Fault(
            "other environment",
            f"{about} is a {theirs} file, and this site is a {decision.config.environment} site.",
        )
    if practice.npi != header.payee_npi and practice.tax_id != header.payee_tax_id:
        return _Fault("other payee", f"{about} is for another provider: neither its NPI nor its tax id is ours.")
    if reading.faults:
        kind = "unbalanced remittance" if reading.imbalances else "damaged remittance"
        if reading.faults == reading.claim_faults:  # the payment as a whole adds up
            kind = SOME_CLAIMS
        return _Fault(kind, _unbalanced(about, reading))
    if header.handling == "P":
        return _Fault("test payment", f"{about} only announces a test of the bank account; no money moves.")
    if header.amount and (header.method == "NON" or header.handling == "H"):
        return _Fault("no payment", f"{about} says that no payment is made, and yet states an amount.")
    return _reused(decision, about, row, header.originator) if header.amount else None


def _about(row: Row) -> str:
    payer = row["payer_name"] or "a payer"
    trace = f" (payment {row['trace']})" if row["trace"] else ""
    return f"The remittance of {payer} for {shown(from_cents(row['amount_cents']))}{trace}"


def _unbalanced(about: str, reading: Reading) -> str:
    more = reading.faults - 1
    if reading.imbalances:
        rest = f" {more} more figures do not agree." if more > 1 else " One more figure does not agree." if more else ""
        return f"{about} does not add up. {reading.imbalances[0]}{rest}"
    problem = reading.problems[0]
    rest = f", and {more} more" if more else ""
    return f"{about} is damaged ({problem.where}{rest}): {problem.message}"


def _reused(decision: Decision, about: str, row: Row, originator: str) -> _Fault | None:
    """Why a payment number that was posted before cannot be the same payment's; None when it can, or is new.

    A payer may split one payment over several remittances. What the bank says decides: the parts may not come to
    more than the deposit. Where the bank says nothing, parts come in one file.
    """
    before = _taken_with(decision, row)
    if not before:
        return None
    deposit = bank.deposited(decision, row["payer_id"], originator, row["trace"])
    posted = sum(each["amount_cents"] for each in before)
    if deposit is None and all(each["message_id"] == row["message_id"] for each in before):
        return None
    if deposit is not None and posted + row["amount_cents"] <= deposit:
        return None
    if deposit is not None:
        return _Fault(
            REUSED,
            f"{about} has the number of a payment of which {shown(from_cents(posted))} was posted before, and the "
            f"bank took in {shown(from_cents(deposit))} for it: this would be too much.",
        )
    return _Fault(
        REUSED,
        f"{about} has the number of a payment that was posted before with other content. "
        "One of the two is wrong, or the payer split one payment.",
    )


def _taken_with(decision: Decision, row: Row) -> list[Row]:
    """The remittances of the same payer and payment number that were taken in before."""
    same = decision.rows("remittance", trace=row["trace"])
    return [
        each
        for each in same
        if each["payer_id"] == row["payer_id"] and each["state"] in _TAKEN and each["id"] != row["id"]
    ]


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


def _close_held(decision: Decision, payer_id: str, trace: str) -> None:
    """A good remittance has come for a payment whose first one was held: that one is closed, and its item with it.

    One that is held because its number was used may be a part of the same payment, and stays.
    """
    for held in decision.rows("remittance", trace=trace, state="held"):
        item = decision.row("work_item", item_key=f"remittance:{held['id']}")
        if trace and held["payer_id"] == payer_id and (item is None or item["kind"] != REUSED):
            decision.close_item(f"remittance:{held['id']}", "a good remittance came for the same payment")
            decision.update("remittance", held, state="closed")


def _deposit(decision: Decision, row: Row) -> None:
    """Debit what the payment brings to ``cash``; ``clearing`` owes it to claims and provider adjustments.

    The entry's key is the payment, or the part of it, so that of two copies that are decided at the same time only
    one is applied.
    """
    cents = row["amount_cents"]
    if not cents:
        return
    part = f"|{row['content_digest'].hex()}" if _taken_with(decision, row) else ""
    payment = decision.vault.digest("deposit", f"{row['payer_id']}|{row['trace']}{part}")
    sides = ((ledger.CASH, cents), (ledger.CLEARING, -cents))
    interchange = decision.unseal("remittance", row["body"])["interchange"]
    place = f"ISA {interchange}, segment 2 BPR" if interchange else TYPED
    ledger.post(
        decision,
        key=f"deposit:{payment.hex()}",
        kind="deposit",
        postings=[
            ledger.Posting(account=account, amount_cents=amount, payer_id=row["payer_id"], reference=place)
            for account, amount in sides
        ],
        remittance_id=row["id"],
        rule=row["method"],
    )
    bank.settle(decision, row["trace"])


# ---------------------------------------------------------------- storing the claims


def _move_on(decision: Decision, row: Row) -> None:
    """Store the next claims of a remittance or, when all are stored, post the next."""
    if row["state"] == "staged":
        source = decision.row("remittance_source", message_id=row["message_id"], ordinal=row["ordinal"])
        assert source is not None
        _stage_more(decision, row, source)
    elif not _post_claims(decision, row):
        _post_provider_adjustments(decision, row)
        decision.update("remittance", row, state="posted")
        whole_payments.plan(decision, row)


def _stage_more(decision: Decision, row: Row, source: Row) -> None:
    chunk = remittance_sources.next_claims(decision, source, CLAIMS_STAGED_AT_ONCE)
    if chunk:
        decision.changes.insert("remittance_claim", *(_claim_row(decision, row["id"], each) for each in chunk))
    if not chunk or chunk[-1].ordinal == row["claims"]:
        decision.update("remittance", row, state="posting")


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
        .where(
            claim_table.c.remittance_id == row["id"],
            claim_table.c.ordinal > row["claims_posted"] + row["claims_held"],  # they are taken up in order
            claim_table.c.state == "staged",
        )
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
            paid_on=row["paid_on"],
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
        interest=Decimal(body.get("interest", "0")),
    )
