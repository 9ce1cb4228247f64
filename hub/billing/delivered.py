"""What became of a batch that billing handed out: when it was delivered, its claims are sent.

What was refused, or may have arrived, the engine puts in front of a person as it does for any delivery;
here the claims only remember it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from hub.billing import silence
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.store.changes import Row
from hub.store.tables import delivery, message


def note(decision: Decision, due: Row) -> None:
    """The delivery ``due["subject_id"]`` ended as ``due["subject"]`` says.

    That is ``delivered``, ``refused``, ``ambiguous``, or ``closed`` by a person without sending.
    """
    outcome, delivery_id = due["subject"], due["subject_id"]
    sent = decision.connection.execute(
        select(message.c.kind, message.c.control_id, message.c.id)
        .join(delivery, delivery.c.message_sequence == message.c.sequence)
        .where(delivery.c.id == delivery_id)
    ).one_or_none()
    if sent is None or sent.kind not in {"837P", "837I"}:
        return
    batch = decision.row("batch", reference=sent.control_id)
    if batch is None:
        return
    kind = "delivered" if outcome == "delivered" else "undelivered"
    for row in decision.rows("claim", batch_id=batch["id"], order_by="id"):
        if decision.full:
            decision.complete = False
            return
        claim = OpenClaim(decision, row)
        claim.record(kind, f"{outcome}/{delivery_id}", message_id=sent.id, delivery=delivery_id, outcome=outcome)
    values: dict[str, Any] = {"message_id": sent.id}
    if kind == "delivered" and batch["state"] == "built":
        values["state"] = "sent"
    if outcome in {"delivered", "closed"}:  # closed: they have it, as a person found; its answers are due as well
        silence.expect(decision, batch)
    if any(batch[name] != value for name, value in values.items()):
        decision.update("batch", batch, **values)
