"""What becomes of a message: its outcome from its steps and deliveries, with the counters that say so.

While any output is open a message is *in progress*; then it is the first that applies of held, errored, rejected, done,
filtered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

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

# Built once: making a statement costs more than running it.
_MESSAGES = select(
    message.c.sequence,
    message.c.channel,
    message.c.received_on,
    message.c.received_at,
    message.c.onward,
    message.c.steps_outcome,
).where(message.c.sequence.in_(bindparam("sequences", expanding=True)))
_STATES = select(delivery.c.message_sequence, delivery.c.state).where(
    delivery.c.message_sequence.in_(bindparam("sequences", expanding=True))
)
_MOVE = (
    update(message)
    .where(message.c.sequence == bindparam("of"))
    .values(onward=bindparam("now"), finished_at=bindparam("finished"), version=message.c.version + 1)
)


def settle(connection: Connection, sequences: Collection[int]) -> None:
    """Bring the outcomes of the messages *sequences*, and the counters, up to date with their steps and deliveries."""
    if not sequences:
        return
    states: dict[int, list[str]] = {sequence: [] for sequence in sequences}
    named = {"sequences": list(states)}
    for sequence, state in connection.execute(_STATES, named):
        states[sequence].append(state)
    counts = Counts()
    done: Counter[str] = Counter()
    latency_ms: Counter[str] = Counter()
    updates = []
    at = real_ms()
    for row in connection.execute(_MESSAGES, named):
        now = outcome_of(row.steps_outcome, states[row.sequence])
        if now == row.onward:
            continue
        finished = at if now != IN_PROGRESS else None
        updates.append({"of": row.sequence, "now": now, "finished": finished})
        counts[row.channel, row.received_on, row.onward] -= 1
        counts[row.channel, row.received_on, now] += 1
        if finished is not None and row.onward == IN_PROGRESS:
            done[row.channel] += 1
            latency_ms[row.channel] += max(0, finished - row.received_at)
    if not updates:
        return
    connection.execute(_MOVE, updates)
    add_counts(connection, counts)
    for channel, number in done.items():
        add_rate(connection, channel, done=number, latency_ms=latency_ms[channel])


def outcome_of(steps_outcome: str, delivery_states: list[str]) -> str:
    """The outcome that *steps_outcome* (empty before the steps ran) and the states of the deliveries add up to."""
    if not steps_outcome or any(state in _OPEN for state in delivery_states):
        return IN_PROGRESS
    present = {steps_outcome, *(_OF_DELIVERY[state] for state in delivery_states)}
    return next(outcome for outcome in OUTCOMES if outcome in present)


def reopen(connection: Connection, sequence: int, values: dict[str, Any]) -> None:
    """Change columns of message *sequence* that its outcome depends on, then settle it."""
    connection.execute(update(message).where(message.c.sequence == sequence).values(**values))
    settle(connection, [sequence])
