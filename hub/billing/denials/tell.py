"""Telling the EHR of denials, and that they are over: a *denial* event each, linked to the payment that caused it."""

from __future__ import annotations

import json

from hub.billing import events
from hub.billing.decision import Decision
from hub.billing.denials.table import OWNERS
from hub.core.money import from_cents
from hub.store.changes import Emit, Row


def denied(decision: Decision, row: Row) -> None:
    """The payer refused something, and this is who sees to it by when."""
    _emit(decision, row, "N", ended=False)


def withdrawn(decision: Decision, row: Row) -> None:
    """A denial is over: the payer took it back, paid after all, or refused again, by a new denial."""
    _emit(decision, row, "E", ended=True)


def _emit(decision: Decision, row: Row, suffix: str, *, ended: bool) -> None:
    claim = decision.row("claim", id=row["claim_id"])
    assert claim is not None
    facts = events.identity(decision, claim)
    name = f"D{row['id']}{suffix}"
    cents = -row["cents"] if ended else row["cents"]
    body = {
        "event": "denial",
        **facts,
        "control_number": claim["control_number"],
        "form": claim["form"],
        "payer_claim_number": claim["payer_claim_number"] or "",
        "payer_id": row["payer_id"],
        "transaction": _transaction(decision, row),
        "code": row["procedure"],
        "amount": f"{from_cents(cents):f}",
        "codes": row["codes"],
        "remarks": row["remarks"],
        "category": row["category"],
        "owner": OWNERS[row["category"]],
        "next": row["action"],
        "deadline_on": row["deadline_on"],
        "on": decision.today,
        "ended": ended,
        "state": row["state"],
        "result": name,
        "caused_by": f"P{row['remittance_claim_id']}" if row["remittance_claim_id"] else "",
        "ends": f"D{row['id']}N" if ended else "",
    }
    decision.changes.emits.append(
        Emit(
            kind="denial",
            body=json.dumps(body, separators=(",", ":")).encode(),
            lane=facts["account"],
            name=name,
            identifiers=(("claim", claim["control_number"]), ("account", facts["account"]), ("mrn", facts["mrn"])),
        )
    )


def _transaction(decision: Decision, row: Row) -> str:
    charge = decision.row("charge", id=row["charge_id"]) if row["charge_id"] is not None else None
    if charge is None:
        return ""
    return str(decision.unseal("charge", charge["body"])["charge"]["transaction"])
