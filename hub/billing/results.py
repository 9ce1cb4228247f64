"""Telling the EHR what was posted: one *payment* event for each claim of a remittance, as a message of its own.

The body is JSON; amounts are text with two places, and negative where money is taken back. Channels whose
source is billing turn it into what their EHR wants (DFT^P03, ClaimResponse, ExplanationOfBenefit).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from hub.billing import events
from hub.billing.decision import Decision
from hub.billing.matching import BilledClaim, Remitted
from hub.billing.open_charge import opened
from hub.billing.shares import LineShare, account_of, is_spared, line_shares
from hub.billing.standing import stored_payment
from hub.core.money import from_cents
from hub.store.changes import Emit, Row
from hub.store.tables import ledger_entry


def send(
    decision: Decision,
    remitted: Remitted,
    ours: BilledClaim,
    shares: Sequence[LineShare],
    *,
    undone: bool = False,
    reverses: int | None = None,
) -> None:
    """Emit the *payment* event of *remitted*, which was posted to *ours* as *shares* say.

    With *undone* it says that a person found that it was not for this claim: the same amounts, taken back. *reverses*
    is the payment that this one takes back. Either way ``original`` repeats what the EHR was told then, so that a
    channel can withdraw it by its own name. ``segment`` says where in the remittance it stands. Its lane is the
    account, so that the EHR sees a payment, its reversal and its correction in that order.
    """
    claim = decision.row("claim", id=ours.id)
    assert claim is not None
    facts = events.identity(decision, claim)
    result = f"{named(remitted.key)}{'U' if undone else ''}"
    body = {
        "event": "payment",
        **facts,
        **_said(decision, remitted, ours, claim, shares, result, undone=undone),
        "reverses": "",
    }
    taken_back = remitted.id if undone else reverses
    if taken_back is not None:
        original = _original(decision, taken_back, ours, claim)
        body |= {"reverses": original["result"], "original": {**facts, **original}}
    decision.changes.emits.append(
        Emit(
            kind="payment",
            body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
            lane=facts["account"],
            name=result,
            identifiers=(
                ("account", facts["account"]),
                ("claim", ours.control_number),
                ("trace", remitted.trace),
                ("mrn", facts["mrn"]),
            ),
        )
    )


def named(key: str) -> str:
    """What the EHR knows the posting by that has *key* (a payment's id and, after an undone match, its attempt)."""
    return f"P{key.replace(':', '-')}"


# Built once: making a statement costs more than running it.
_PAYMENT = (
    select(ledger_entry.c.entry_key, ledger_entry.c.posted_on)
    .where(
        ledger_entry.c.claim_id == bindparam("claim"),
        ledger_entry.c.remittance_claim_id == bindparam("payment"),
        ledger_entry.c.kind == "payment",
    )
    .order_by(ledger_entry.c.id.desc())
    .limit(1)
)


def _told(decision: Decision, claim_id: int, remittance_claim_id: int) -> tuple[str, str]:
    """What the EHR knows the newest posting of that payment to the claim by, and the day of it."""
    row = decision.connection.execute(_PAYMENT, {"claim": claim_id, "payment": remittance_claim_id}).one()
    return named(row.entry_key.removeprefix("payment:")), row.posted_on


def _said(
    decision: Decision,
    remitted: Remitted,
    ours: BilledClaim,
    claim: Row,
    shares: Sequence[LineShare],
    result: str,
    *,
    undone: bool = False,
) -> dict[str, Any]:
    """What a payment event says of one posting; *undone*, with the amounts taken back."""
    payer = decision.config.payers.get(remitted.payer_id)
    told = remitted.claim
    spared = is_spared(told, decision.config.policy, payer)
    takes_back = told.is_reversal or undone
    sign = -1 if undone else 1
    return {
        "trace": remitted.trace,
        "remittance": str(remitted.remittance_id),
        "payer_id": remitted.payer_id,
        "payer_name": payer.name if payer else remitted.payer_name,
        "control_number": ours.control_number,
        "payer_claim_number": told.payer_claim_control_number,
        "form": claim["form"],
        "provider_npi": decision.config.practice.npi,
        "status": told.status,
        "paid_on": remitted.paid_on,
        "posted_on": decision.today,
        "reversal": takes_back,
        "undone": undone,
        "result": result,
        "segment": told.where,
        "remarks": list(told.remark_codes),
        "lines": [_line(decision, each, sign, takes_back, spared) for each in shares if _is_decided(each)],
    }


def _original(decision: Decision, remittance_claim_id: int, ours: BilledClaim, claim: Row) -> dict[str, Any]:
    """What the EHR was told of the payment that is taken back now."""
    remitted, _ = stored_payment(decision, remittance_claim_id)
    result, posted_on = _told(decision, ours.id, remittance_claim_id)
    told = _said(decision, remitted, ours, claim, line_shares(remitted.claim, ours.lines), result)
    return {**told, "posted_on": posted_on}


def _is_decided(share: LineShare) -> bool:
    return bool(share.paid_cents or share.adjustments)


def _line(decision: Decision, share: LineShare, sign: int, takes_back: bool, spared: bool) -> dict[str, Any]:
    """One line; an adjustment's ``account`` is the ledger account that took it, empty while the payer may owe it."""
    charge = decision.row("charge", id=share.line.charge_id)
    assert charge is not None
    policy = decision.config.policy
    patient = sum(cents for code, cents in share.adjustments if code.startswith("PR-") or code in policy.patient)
    return {
        "transaction": opened(decision, charge).said.transaction,
        "code": share.line.code,
        "modifiers": list(share.line.modifiers),
        "service_date": share.line.service_on,
        "charge": _text(-share.line.charge_cents if takes_back else share.line.charge_cents),
        "paid": _text(sign * share.paid_cents),
        "patient": _text(sign * patient),
        "adjustments": [
            {
                "group": code.partition("-")[0],
                "reason": code.partition("-")[2],
                "amount": _text(sign * cents),
                "account": account_of(code, policy, spared=spared) or "",
            }
            for code, cents in share.adjustments
        ],
        "remarks": share.remark_codes,
    }


def _text(cents: int) -> str:
    return f"{from_cents(cents):f}"
