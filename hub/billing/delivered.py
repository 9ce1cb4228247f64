"""What became of a message that billing handed out: its batch's claims are sent, or a person is told."""

from __future__ import annotations

from sqlalchemy import select

from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.store.changes import Row
from hub.store.tables import delivery, message

_SENTENCES = {
    "refused": "The receiver refused {what}. Nothing in it was taken.",
    "ambiguous": "It is not known whether {what} arrived. Ask the receiver before it is sent again.",
}


def note(decision: Decision, due: Row) -> None:
    """The delivery ``due["subject_id"]`` ended as ``due["subject"]`` says (``delivered``, ``refused``, ``ambiguous``…)."""
    outcome, delivery_id = due["subject"], due["subject_id"]
    sent = decision.connection.execute(
        select(message.c.kind, message.c.control_id, message.c.id, delivery.c.destination)
        .join(delivery, delivery.c.message_sequence == message.c.sequence)
        .where(delivery.c.id == delivery_id)
    ).one_or_none()
    if sent is None:
        return
    batch = decision.row("batch", reference=sent.control_id) if sent.kind == "837P" else None
    if batch is not None:
        _move_claims(decision, batch, delivery_id, outcome, sent.id)
    if outcome in _SENTENCES:
        what = "a batch of claims" if batch is not None else f"a {sent.kind} message"
        decision.open_item(
            queue="deliveries",
            key=f"delivery/{delivery_id}/{outcome}",
            kind=f"delivery {outcome}",
            sentence=_SENTENCES[outcome].format(what=what),
            money_cents=batch["total_cents"] if batch is not None else 0,
            message_id=sent.id,
            delivery_id=delivery_id,
        )
    elif outcome == "delivered":
        for earlier in _SENTENCES:
            decision.close_item(f"delivery/{delivery_id}/{earlier}", "delivered")


def _move_claims(decision: Decision, batch: Row, delivery_id: int, outcome: str, message_id: int) -> None:
    kind = "delivered" if outcome == "delivered" else "undelivered"
    for row in decision.rows("claim", batch_id=batch["id"], order_by="id"):
        if decision.full:
            decision.complete = False
            return
        OpenClaim(decision, row).record(
            kind, f"{outcome}/{delivery_id}", message_id=message_id, delivery=delivery_id, outcome=outcome
        )
    values = {"message_id": message_id}
    if kind == "delivered" and batch["state"] == "built":
        decision.update("batch", batch, **values, state="sent")
    elif batch["message_id"] is None:
        decision.update("batch", batch, **values)
