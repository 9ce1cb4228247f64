"""Telling the EHR what was posted: one *payment* event for each claim of a remittance, as a message of its own.

The body is JSON; amounts are text with two places, and negative where money is taken back. Channels whose
source is billing turn it into what their EHR wants (DFT^P03, ClaimResponse).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hub.billing import events
from hub.billing.decision import Decision
from hub.billing.matching import BilledClaim, Remitted
from hub.billing.open_charge import opened
from hub.billing.shares import LineShare, account_of, is_spared
from hub.core.money import from_cents
from hub.store.changes import Emit


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
    is the payment that this one takes back. ``segment`` says where in the remittance it stands. Its lane is the
    account, so that the EHR sees a payment, its reversal and its correction in that order.
    """
    claim = decision.row("claim", id=ours.id)
    assert claim is not None
    facts = events.identity(decision, claim)
    result = f"P{remitted.id}{remitted.attempt.replace(':', '-')}{'U' if undone else ''}"
    payer = decision.config.payers.get(remitted.payer_id)
    said = remitted.claim
    spared = is_spared(said, decision.config.policy, payer)
    sign = -1 if undone else 1
    takes_back = said.is_reversal or undone
    body = {
        "event": "payment",
        **facts,
        "trace": remitted.trace,
        "payer_id": remitted.payer_id,
        "payer_name": payer.name if payer else remitted.payer_name,
        "control_number": ours.control_number,
        "payer_claim_number": said.payer_claim_control_number,
        "posted_on": decision.today,
        "reversal": takes_back,
        "result": result,
        "segment": said.where,
        "reverses": f"P{reverses}" if reverses is not None else f"P{remitted.id}" if undone else "",
        "lines": [_line(decision, each, sign, takes_back, spared) for each in shares if _is_decided(each)],
    }
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


def _is_decided(share: LineShare) -> bool:
    return bool(share.paid_cents or share.adjustments)


def _line(decision: Decision, share: LineShare, sign: int, takes_back: bool, spared: bool) -> dict[str, Any]:
    """One line; an adjustment's ``account`` is the ledger account that took it, empty while the payer may owe it."""
    charge = decision.row("charge", id=share.line.charge_id)
    assert charge is not None
    patient = sum(cents for code, cents in share.adjustments if code.startswith("PR-"))
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
                "account": account_of(code, decision.config.policy, spared=spared) or "",
            }
            for code, cents in share.adjustments
        ],
    }


def _text(cents: int) -> str:
    return f"{from_cents(cents):f}"
