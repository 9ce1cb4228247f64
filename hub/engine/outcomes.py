"""What becomes of a message: its outcome from its steps and deliveries, with the counters that say so.

While any output is open a message is *in progress*; then it is the first that applies of held, errored, rejected, done, filtered.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update

from hub.core.clock import real_ms
from hub.store.counters import Counts, add_counts, add_rate
from hub.store.tables import delivery, message

IN_PROGRESS = "in progress"
HELD = "held"
ERRORED = "errored"
REJECTED = "rejected"
DONE = "done"
FILTERED = "filtered"
OUTCOMES = (HELD, ERRORED, REJECTED, DONE, FILTERED)
_OPEN = ("queued", "sending")
_OF_DELIVERY = {
    "delivered": DONE,
    "closed": DONE,
    "shadow": DONE,
    "ambiguous": HELD,
    "refused": ERRORED,
}


def settle(connection: Connection, sequence: int, counts: Counts | None = None) -> str:
    """Bring the outcome of message *sequence* up to date with its steps and deliveries; returns it.

    Moves the channel's counters; with *counts* the caller adds them.
    """
    row = connection.execute(
        select(
            message.c.channel,
            message.c.received_on,
            message.c.received_at,
            message.c.onward,
            message.c.steps_outcome,
        ).where(message.c.sequence == sequence)
    ).one()
    states = connection.execute(
        select(delivery.c.state, func.count()).where(delivery.c.message_sequence == sequence).group_by(delivery.c.state)
    ).all()
    now = outcome_of(row.steps_outcome, [state for state, _ in states])
    if now == row.onward:
        return now
    finished = real_ms() if now != IN_PROGRESS else None
    connection.execute(
        update(message)
        .where(message.c.sequence == sequence)
        .values(onward=now, finished_at=finished, version=message.c.version + 1)
    )
    mine = Counts() if counts is None else counts
    mine[row.channel, row.received_on, row.onward] -= 1
    mine[row.channel, row.received_on, now] += 1
    if finished is not None and row.onward == IN_PROGRESS:
        add_rate(connection, row.channel, done=1, latency_ms=max(0, finished - row.received_at))
    if counts is None:
        add_counts(connection, mine)
    return now


def outcome_of(steps_outcome: str, delivery_states: list[str]) -> str:
    """The outcome that *steps_outcome* (empty before the steps ran) and the states of the deliveries add up to."""
    if not steps_outcome or any(state in _OPEN for state in delivery_states):
        return IN_PROGRESS
    present = {steps_outcome, *(_OF_DELIVERY[state] for state in delivery_states)}
    return next(outcome for outcome in OUTCOMES if outcome in present)


def reopen(connection: Connection, sequence: int, values: dict[str, Any]) -> None:
    """Change columns of message *sequence* that its outcome depends on, then settle it."""
    connection.execute(update(message).where(message.c.sequence == sequence).values(**values))
    settle(connection, sequence)
