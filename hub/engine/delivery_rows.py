"""What `Deliveries` keeps in the store: intents, attempts, states, and what a crash left in flight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.points import reached
from hub.engine.contracts import Failure, Outcome
from hub.engine.intake import Arrival
from hub.engine.outcomes import settle
from hub.engine.plan import DestinationPlan
from hub.engine.steps import INSERT_ATTEMPTS, NewDelivery, Surroundings, delivery_of
from hub.store.contents import INSERT_CONTENTS, content_tuples, read_content
from hub.store.database import reading
from hub.store.hot import Row, UpdateMany
from hub.store.savepoint import savepoint
from hub.store.tables import attempt, delivery, due, message, work_item

_SEND = UpdateMany(
    delivery,
    ["id"],
    ["attempts"],
    also="state = 'sending', intent = TRUE, version = version + 1",
    where="delivery.state = 'queued' AND delivery.attempts = v.column2 - 1",
)
_END_ATTEMPTS = UpdateMany(attempt, ["delivery_id", "number"], ["ended_at", "outcome", "reason", "answer_id"])
_QUEUE_AGAIN = UpdateMany(
    delivery, ["id"], ["reason", "due_at"], also="state = 'queued', intent = FALSE, version = version + 1"
)
_END = UpdateMany(delivery, ["id"], ["state", "reason", "finished_at"], also="intent = FALSE, version = version + 1")

_STATES: dict[Failure | None, str] = {
    None: "delivered",
    Failure.AMBIGUOUS: "ambiguous",
    Failure.PERMANENT: "refused",
}

BecomesMessage = Callable[[Connection, NewDelivery, bytes], Arrival | None]


class NotQueuedError(HubError):
    """The store says that this delivery is no longer to be sent, or is already being sent."""

    code = "H141"


@dataclass(slots=True, eq=False)
class Entry:
    """A delivery in memory, with the lanes that it keeps."""

    new: NewDelivery
    lanes: tuple[bytes, ...]


class Sent(NamedTuple):
    """What became of an attempt; with *wait* there will be another after so many seconds.

    *following* is what its lane goes on with: with the record it is put on disk that this is about to be sent.
    """

    entry: Entry
    outcome: Outcome
    wait: float | None
    following: Entry | None = None


class Recorded(NamedTuple):
    """A record that was written: the message that the answer became, and whether *following* may be sent."""

    arrival: Arrival | None
    intended: bool


def again(entry: Entry) -> Entry:
    """*entry* with its next attempt."""
    return Entry(entry.new._replace(attempts=entry.new.attempts + 1, intent=True), entry.lanes)


class DeliveryRows:
    """Reads and writes the deliveries of one channel to one destination; see `Deliveries` for the arguments."""

    def __init__(
        self,
        channel: str,
        plan: DestinationPlan,
        around: Surroundings,
        *,
        reports: bool,
        answer_becomes: BecomesMessage | None,
    ) -> None:
        self._channel = channel
        self._plan = plan
        self._around = around
        self._reports = reports
        self._answer_becomes = answer_becomes

    def recover(self, connection: Connection) -> None:
        """Tell apart what was in flight when the node stopped: it goes again, or a person decides."""
        rows = connection.execute(
            select(delivery.c.id, delivery.c.sequence, delivery.c.message_sequence, delivery.c.attempts)
            .where(
                delivery.c.channel == self._channel,
                delivery.c.destination == self._plan.name,
                delivery.c.state == "sending",
            )
            .order_by(delivery.c.sequence)
        ).all()
        reason = "The hub stopped while this was being sent."
        for row in rows:
            connection.execute(
                update(attempt)
                .where(attempt.c.delivery_id == row.id, attempt.c.number == row.attempts)
                .values(ended_at=real_ms(), outcome="ambiguous", reason=reason)
            )
            state = "queued" if self._plan.ambiguous == "retry" else "ambiguous"
            self._set_state(connection, row.id, state, reason=reason)
            if state == "ambiguous":
                self._open_item(connection, row.id, "ambiguous", reason)
                self._report(connection, row.id, "ambiguous")
            settle(connection, [row.message_sequence])

    def page(self, after: int, most: int) -> list[tuple[NewDelivery, str]]:
        """Up to *most* deliveries behind the sequence *after* that wait, or keep their lane for a person."""
        with reading(self._around.store) as connection:
            # One state at a time: for two of them SQLite would sort the whole backlog.
            rows = [
                row
                for state in ("queued", "ambiguous")
                for row in connection.execute(
                    select(delivery)
                    .where(
                        delivery.c.channel == self._channel,
                        delivery.c.destination == self._plan.name,
                        delivery.c.state == state,
                        delivery.c.sequence > after,
                    )
                    .order_by(delivery.c.sequence)
                    .limit(most)
                )
            ]
        rows.sort(key=lambda row: row.sequence)
        return [(delivery_of(row), row.state) for row in rows[:most]]

    def body(self, body_id: int) -> bytes:
        """What is to be sent. Raises `KeyError` when it was pruned."""
        with reading(self._around.store) as connection:
            return read_content(connection, self._around.vault, body_id)

    def write_intents(self, connection: Connection, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Put on disk that *entries* are about to be sent. Raises :class:`NotQueuedError` when one is not waiting."""
        now = real_ms()
        queued = _SEND(connection, [(entry.new.delivery_id, entry.new.attempts) for entry in entries])
        if queued != len(entries):
            raise NotQueuedError("This delivery is not waiting any more; it is not sent.")
        begun = [(entry.new.delivery_id, entry.new.attempts, now, "sending") for entry in entries]
        INSERT_ATTEMPTS(connection, begun)
        reached("delivery.intending")
        return entries

    def write_records(self, connection: Connection, many: Sequence[Sent]) -> list[Recorded]:
        """Record what became of attempts, and put on disk that what follows them is about to be sent."""
        now = real_ms()
        contents: list[Row] = []
        attempts: list[Row] = []
        again: list[Row] = []
        ended: list[Row] = []
        for sent in many:
            new, outcome = sent.entry.new, sent.outcome
            answer_id = None
            if outcome.answer is not None and not self._plan.hands_on:
                answer_id = self._around.ids.next()
                contents += content_tuples(self._around.vault, answer_id, outcome.answer)
            result = outcome.failure.value if outcome.failure else "delivered"
            attempts.append((new.delivery_id, new.attempts, now, result, outcome.reason or None, answer_id))
            if sent.wait is not None:
                again.append((new.delivery_id, outcome.reason, now + int(sent.wait * 1000)))
            else:
                state = _STATES[outcome.failure]
                ended.append((new.delivery_id, state, outcome.reason or None, now if state == "delivered" else None))
        INSERT_CONTENTS(connection, contents)
        _END_ATTEMPTS(connection, attempts)
        _QUEUE_AGAIN(connection, again)
        _END(connection, ended)
        final = [sent for sent in many if sent.wait is None]
        for sent in final:
            state = _STATES[sent.outcome.failure]
            if state != "delivered":
                self._open_item(connection, sent.entry.new.delivery_id, state, sent.outcome.reason)
            self._report(connection, sent.entry.new.delivery_id, state)
        settle(connection, [sent.entry.new.message_sequence for sent in final])
        intended = self._follow(connection, [sent.following for sent in many if sent.following is not None])
        return [Recorded(self._answer_arrives(connection, sent), intended) for sent in many]

    def _follow(self, connection: Connection, following: list[Entry]) -> bool:
        """Whether the intents of *following* were written: all of them, or none when one is not waiting any more."""
        if not following:
            return False
        try:
            with savepoint(connection):
                self.write_intents(connection, following)
        except NotQueuedError:
            return False
        return True

    def _answer_arrives(self, connection: Connection, sent: Sent) -> Arrival | None:
        outcome = sent.outcome
        if self._answer_becomes is None or outcome.failure is not None or outcome.answer is None:
            return None
        return self._answer_becomes(connection, sent.entry.new, outcome.answer)

    def _set_state(self, connection: Connection, delivery_id: int, state: str, **values: Any) -> None:
        connection.execute(
            update(delivery)
            .where(delivery.c.id == delivery_id)
            .values(state=state, intent=state == "sending", version=delivery.c.version + 1, **values)
        )

    def _report(self, connection: Connection, delivery_id: int, outcome: str) -> None:
        if not self._reports:
            return
        connection.execute(
            insert(due),
            {
                "id": self._around.ids.next(),
                "due_key": f"delivered/{delivery_id}/{outcome}/{self._around.ids.next()}",
                "kind": "delivered",
                "business_at": 0,
                "subject_id": delivery_id,
                "subject": outcome,
            },
        )

    def _open_item(self, connection: Connection, delivery_id: int, state: str, reason: str) -> None:
        row = connection.execute(
            select(delivery.c.message_id, delivery.c.attempts, message.c.kind)
            .join(message, message.c.sequence == delivery.c.message_sequence)
            .where(delivery.c.id == delivery_id)
        ).one()
        sentence = (
            f"{self._plan.name} may already have this: {reason} It is not sent again until a person decides."
            if state == "ambiguous"
            else f"{self._plan.name} refused this: {reason}"
        )
        connection.execute(
            insert(work_item),
            self._around.open_item(
                queue="deliveries",
                key=f"delivery/{delivery_id}/{row.attempts}",
                kind=f"{state} delivery",
                sentence=sentence,
                message_id=row.message_id,
                delivery_id=delivery_id,
            ),
        )
