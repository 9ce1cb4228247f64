"""Telling the EHR of a payment as a whole: *remittance* events, which say what a check or transfer was made of.

A remittance is told when its last claim is posted, in parts of so many claims, so that a large one is never one
message; what is posted, undone or mended later has its part told again, under the same name. The amount of a part is
what its claims, its provider adjustments and what waits for a person come to; the parts come to the payment.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, select

from hub.billing.decision import Decision
from hub.billing.results import named
from hub.billing.standing import REVERSAL
from hub.core.money import from_cents
from hub.formats.x12 import records
from hub.formats.x12.remittance import ProviderAdjustment
from hub.store.changes import Emit, Row
from hub.store.tables import claim, ledger_entry, remittance_claim

CLAIMS_IN_PART = 500
KIND = "tell payment"
_ON = "and on"


def plan(decision: Decision, remittance: Row) -> None:
    """Have the parts of *remittance*, which is posted, told one after the other."""
    _plan(decision, remittance["id"], 1, go_on=True)


def plan_again(decision: Decision, remittance_id: int, ordinal: int) -> None:
    """Something about the claim *ordinal* of a remittance has changed: have its part told again, if it was told."""
    part = (ordinal - 1) // CLAIMS_IN_PART + 1
    if decision.row("due", due_key=_key(remittance_id, part)) is not None:
        _plan(decision, remittance_id, part, go_on=False)


def _plan(decision: Decision, remittance_id: int, part: int, *, go_on: bool) -> None:
    decision.rearm(
        kind=KIND,
        key=_key(remittance_id, part),
        business_at=decision.now_ms,
        subject_id=remittance_id,
        subject=f"{part} {_ON}" if go_on else str(part),
    )


def _key(remittance_id: int, part: int) -> str:
    return f"{KIND}/{remittance_id}/{part}"


def tell(decision: Decision, due: Row) -> None:
    """Emit the *remittance* event of one part; a first telling has the next part follow."""
    row = decision.row("remittance", id=due["subject_id"])
    assert row is not None
    part = int(due["subject"].partition(" ")[0])
    parts = max(1, -(-row["claims"] // CLAIMS_IN_PART))
    _emit(decision, row, part, parts, again=due["version"])
    if due["subject"].endswith(_ON) and part < parts:
        _plan(decision, row["id"], part + 1, go_on=True)


def _emit(decision: Decision, row: Row, part: int, parts: int, *, again: int) -> None:
    result = f"R{row['id']}-{part}"
    whole: dict[str, Any] = decision.unseal("remittance", row["body"])
    told, waiting = _claims(decision, row["id"], part)
    beside = _adjustments(whole) if part == 1 else []
    amounts = (Decimal(each[name]) for name, listed in (("paid", told), ("amount", beside)) for each in listed)
    payer = decision.config.payers.get(row["payer_id"])
    body = {
        "event": "remittance",
        "result": result,
        "remittance": str(row["id"]),
        "part": part,
        "parts": parts,
        "trace": row["trace"],
        "payer_id": row["payer_id"],
        "payer_name": payer.name if payer else row["payer_name"],
        "originator": whole["originator"],
        "payee_npi": decision.config.practice.npi,
        "method": row["method"],
        "paid_on": row["paid_on"],
        "posted_on": decision.today,
        "total": _text(row["amount_cents"]),
        "amount": f"{sum(amounts, from_cents(sum(waiting))):f}",
        "claims": told,
        "adjustments": beside,
        "waiting": {"claims": len(waiting), "amount": _text(sum(waiting))},
    }
    decision.changes.emits.append(
        Emit(
            kind="remittance",
            body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
            lane=f"remittance {row['id']}",
            name=f"{result}v{again}",
            identifiers=(("trace", row["trace"]),),
        )
    )


# Built once: making a statement costs more than running it.
_CLAIMS = (
    select(
        remittance_claim.c.id,
        remittance_claim.c.ordinal,
        remittance_claim.c.status,
        remittance_claim.c.state,
        remittance_claim.c.paid_cents,
        remittance_claim.c.payer_claim_number,
        remittance_claim.c.reverses_id,
        claim.c.control_number,
    )
    .outerjoin(claim, claim.c.id == remittance_claim.c.claim_id)
    .where(
        remittance_claim.c.remittance_id == bindparam("remittance"),
        remittance_claim.c.ordinal > bindparam("after"),
        remittance_claim.c.ordinal <= bindparam("until"),
    )
    .order_by(remittance_claim.c.ordinal)
)
_KEYS = (
    select(ledger_entry.c.remittance_claim_id, ledger_entry.c.entry_key)
    .join(
        remittance_claim,
        (ledger_entry.c.claim_id == remittance_claim.c.claim_id)
        & ledger_entry.c.remittance_claim_id.in_((remittance_claim.c.id, remittance_claim.c.reverses_id))
        & (ledger_entry.c.kind == "payment"),
    )
    .where(
        remittance_claim.c.remittance_id == bindparam("remittance"),
        remittance_claim.c.ordinal > bindparam("after"),
        remittance_claim.c.ordinal <= bindparam("until"),
    )
    .order_by(ledger_entry.c.id)
)


def _claims(decision: Decision, remittance_id: int, part: int) -> tuple[list[dict[str, Any]], list[int]]:
    """The posted claims of a part, and what was paid for each that waits for a person, in cents."""
    until = part * CLAIMS_IN_PART
    place = {"remittance": remittance_id, "after": until - CLAIMS_IN_PART, "until": until}
    rows = decision.connection.execute(_CLAIMS, place).all()
    keys = {row.remittance_claim_id: row.entry_key for row in decision.connection.execute(_KEYS, place)}  # the newest

    def told_as(payment_id: int) -> str:
        return named(keys[payment_id].removeprefix("payment:") if payment_id in keys else str(payment_id))

    told = [
        {
            "result": told_as(row.id),
            "reverses": told_as(row.reverses_id) if row.reverses_id is not None else "",
            "kind": "reversal" if row.status == REVERSAL else "payment",
            "control_number": row.control_number,
            "payer_claim_number": row.payer_claim_number,
            "paid": _text(row.paid_cents),
            "ordinal": row.ordinal,
        }
        for row in rows
        if row.state == "posted"
    ]
    return told, [row.paid_cents for row in rows if row.state not in {"posted", "closed"}]


def _adjustments(whole: dict[str, Any]) -> list[dict[str, str]]:
    """What the payer took or gave outside claims, signed as it moves the payment: negative where it is withheld."""
    found = (records.from_plain(ProviderAdjustment, each) for each in whole["provider_adjustments"])
    return [
        {"code": each.reason, "reference": each.reference, "amount": f"{-each.amount:f}", "segment": each.where}
        for each in found
    ]


def _text(cents: int) -> str:
    return f"{from_cents(cents):f}"
