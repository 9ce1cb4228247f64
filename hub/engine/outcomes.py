"""What becomes of a message: its outcome from its steps and deliveries, with the counters that say so.

While any output is open a message is *in progress*; then it is the first that applies of held, errored, rejected, done,
filtered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import Processed
from hub.store.counters import Counts, add_counts, add_rate
from hub.store.hot import UpdateMany, marks, run
from hub.store.tables import message

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

_STATES = "SELECT message_sequence, state FROM delivery WHERE message_sequence IN ({})"
_MESSAGES = (
    "SELECT sequence, channel, received_on, received_at, onward, steps_outcome FROM message WHERE sequence IN ({})"
)
_MOVE = UpdateMany(message, ["sequence"], ["onward", "finished_at"], also="version = version + 1")


def settle(connection: Connection, sequences: Collection[int]) -> None:
    """Bring the outcomes of the messages *sequences*, and the counters, up to date with their steps and deliveries."""
    if not sequences:
        return
    states: dict[int, list[str]] = {sequence: [] for sequence in sequences}
    among = marks(len(states))
    for sequence, state in run(connection, _STATES.format(among), list(states)).fetchall():
        states[sequence].append(state)
    counts = Counts()
    done: Counter[str] = Counter()
    latency_ms: Counter[str] = Counter()
    moved = []
    at = real_ms()
    rows = run(connection, _MESSAGES.format(among), list(states)).fetchall()
    for sequence, channel, received_on, received_at, onward, steps_outcome in rows:
        now = outcome_of(steps_outcome, states[sequence])
        if now == onward:
            continue
        finished = at if now != IN_PROGRESS else None
        moved.append((sequence, now, finished))
        counts[channel, received_on, onward] -= 1
        counts[channel, received_on, now] += 1
        if finished is not None and onward == IN_PROGRESS:
            done[channel] += 1
            latency_ms[channel] += max(0, finished - received_at)
    if not moved:
        return
    _MOVE(connection, moved)
    add_counts(connection, counts)
    for channel, number in done.items():
        add_rate(connection, channel, done=number, latency_ms=latency_ms[channel])


def outcome_of(steps_outcome: str, delivery_states: list[str]) -> str:
    """The outcome that *steps_outcome* (empty before the steps ran) and the states of the deliveries add up to."""
    if not steps_outcome or any(state in _OPEN for state in delivery_states):
        return IN_PROGRESS
    present = {steps_outcome, *(_OF_DELIVERY[state] for state in delivery_states)}
    return next(outcome for outcome in OUTCOMES if outcome in present)


def processed_of(steps_outcome: str, reason: str | None) -> Processed:
    """What the sender of a message may hear of the end of its steps. What is held is the hub's affair: a person's."""
    return Processed(HubError(reason or "") if steps_outcome in {ERRORED, REJECTED} else None)


def reopen(connection: Connection, sequence: int, values: dict[str, Any]) -> None:
    """Change columns of message *sequence* that its outcome depends on, then settle it."""
    connection.execute(update(message).where(message.c.sequence == sequence).values(**values))
    settle(connection, [sequence])
