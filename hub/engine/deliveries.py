"""Deliveries to one destination of one channel: order per lane, attempts, back-off, and a reason in words.

*Attempt n, sending* is committed before the first byte leaves. It rides in the transaction that makes the delivery when its lane
is idle, or in the one that records the answer before it. After a crash such deliveries may have been sent: those of
a destination that recognises repeats go again, the others wait for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, select, update
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.clock import real_ms
from hub.engine.contracts import Destination, Failure, Outcome, Parcel
from hub.engine.intake import Arrival
from hub.engine.journal import StoreFailedError
from hub.engine.lanes import Lanes
from hub.engine.outcomes import settle
from hub.engine.plan import DestinationPlan
from hub.engine.steps import NewDelivery, Surroundings, delivery_of, error_of
from hub.store.contents import content_rows, read_content
from hub.store.database import reading
from hub.store.tables import attempt, content, delivery, due, message, work_item

WINDOW = 1000

BecomesMessage = Callable[[Connection, NewDelivery, bytes], Arrival | None]


@dataclass(slots=True, eq=False)
class _Entry:
    new: NewDelivery
    lanes: tuple[bytes, ...]


class Deliveries:
    """Sends what one channel makes for one destination.

    *answer_becomes* writes a destination's answer as a new message, in the transaction that records it; *arrived* announces
    it. With *reports* billing is told of each outcome by a `due` row.
    """

    def __init__(
        self,
        channel: str,
        plan: DestinationPlan,
        destination: Destination,
        around: Surroundings,
        reactor: Any,
        *,
        reports: bool,
        answer_becomes: BecomesMessage | None,
        arrived: Callable[[Arrival], None],
    ) -> None:
        self.plan = plan
        self.destination = destination
        self._channel = channel
        self._around = around
        self._reactor = reactor
        self._reports = reports
        self._answer_becomes = answer_becomes
        self._arrived = arrived
        self._lanes: Lanes[_Entry] = Lanes()
        self._sending = 0
        self._reserved = 0
        self._paused = False
        self._stopped = False
        self._failures = 0  # of the endpoint as a whole, in a row
        self._not_before = 0.0
        self._timers: set[Any] = set()
        self._loaded_up_to = 0
        self._behind = True
        self._loading = False
        self._known: set[int] = set()
        self._idle_waiters: list[Deferred[None]] = []

    # ------------------------------------------------------------ from outside, on the reactor's thread

    def start(self) -> None:
        """Take up what the store holds unsent, after what a crash left in flight has been told apart."""
        self._around.journal.submit(self._recover).addCallbacks(lambda _: self._load(), self._failed)

    def pause(self) -> None:
        """Begin no further attempt."""
        self._paused = True

    def resume(self) -> None:
        """Go on, at once."""
        self._paused = False
        self._failures, self._not_before = 0, 0.0
        self._pump()

    def stop(self) -> Deferred[None]:
        """Begin nothing more; fires when what is being sent is recorded."""
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        gone: Deferred[None] = Deferred()
        if self._sending:
            self._idle_waiters.append(gone)
        else:
            gone.callback(None)
        return gone

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent or could be sent now."""
        return not (self._sending or self._reserved or self._loading)

    def reserve(self, lane: bytes) -> bool:
        """Whether a delivery to *lane* can be sent as soon as it is written; its lane is then kept for it."""
        lanes = (lane,) if lane else ()
        free = self._sending + self._reserved < self.plan.concurrency
        open_now = not (self._paused or self._stopped or self._behind or self._loading or self._not_before)
        if free and open_now and self._lanes.is_idle(lanes) and not self.plan.shadow:
            self._lanes.hold(lanes)
            self._reserved += 1
            return True
        return False

    def made(self, news: Sequence[NewDelivery]) -> None:
        """Deliveries were written; those with an intent have their lane reserved and go now."""
        for new in news:
            lanes = (new.lane,) if new.lane else ()
            if new.intent:
                self._reserved -= 1
                self._begin(_Entry(new, lanes))
            elif self._behind or self._loading or len(self._lanes) >= WINDOW:
                self._behind = True
            elif new.sequence > self._loaded_up_to:  # else a page has brought it already
                self._loaded_up_to = new.sequence
                self._lanes.add(_Entry(new, lanes), lanes)
        self._pump()

    def again(self, new: NewDelivery, *, lane_is_held: bool) -> None:
        """A person has it sent again. An ambiguous delivery still holds its lane and goes first; others go last."""
        lanes = (new.lane,) if new.lane else ()
        if lane_is_held:
            self._retry(_Entry(new, lanes))
        else:
            self._lanes.add(_Entry(new, lanes), lanes)
            self._pump()

    def closed(self, new: NewDelivery) -> None:
        """A person closed an ambiguous delivery without sending it: its lane goes on."""
        if new.lane:
            self._lanes.release((new.lane,))
        self._pump()

    # ------------------------------------------------------------ loading

    def _recover(self, connection: Connection) -> None:
        rows = connection.execute(
            select(delivery.c.id, delivery.c.sequence, delivery.c.message_sequence, delivery.c.attempts)
            .where(
                delivery.c.channel == self._channel,
                delivery.c.destination == self.plan.name,
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
            state = "queued" if self.plan.ambiguous == "retry" else "ambiguous"
            self._set_state(connection, row.id, state, reason=reason)
            if state == "ambiguous":
                self._open_item(connection, row.id, "ambiguous", reason)
                self._report(connection, row.id, "ambiguous")
            settle(connection, row.message_sequence)

    def _load(self) -> None:
        if self._loading or self._stopped:
            return
        self._loading = True
        self._behind = False
        deferToThread(self._read_page, self._loaded_up_to).addCallbacks(self._take_page, self._failed)

    def _read_page(self, after: int) -> list[tuple[NewDelivery, str]]:
        with reading(self._around.store) as connection:
            rows = connection.execute(
                select(delivery)
                .where(
                    delivery.c.channel == self._channel,
                    delivery.c.destination == self.plan.name,
                    delivery.c.state.in_(("queued", "ambiguous")),
                    delivery.c.sequence > after,
                )
                .order_by(delivery.c.sequence)
                .limit(WINDOW)
            ).all()
        return [(delivery_of(row), row.state) for row in rows]

    def _take_page(self, page: list[tuple[NewDelivery, str]]) -> None:
        self._loading = False
        self._behind = self._behind or len(page) == WINDOW
        for new, state in page:
            self._loaded_up_to = max(self._loaded_up_to, new.sequence)
            if new.delivery_id in self._known:
                continue
            lanes = (new.lane,) if new.lane else ()
            self._known.add(new.delivery_id)
            if state == "ambiguous":
                self._lanes.hold(lanes)
            else:
                self._lanes.add(_Entry(new, lanes), lanes)
        self._pump()

    def _failed(self, failure: TwistedFailure) -> None:
        self._loading = False
        error = error_of(failure)
        if not isinstance(error, StoreFailedError):
            self._around.log.failure("deliveries.failed", error, channel=self._channel, destination=self.plan.name)

    # ------------------------------------------------------------ sending

    def _pump(self) -> None:
        if self._paused or self._stopped:
            return
        if self._behind and not self._loading and len(self._lanes) < WINDOW // 2:
            self._load()
        if self._not_before > real_ms():
            return
        free = self.plan.concurrency - self._sending - self._reserved
        if self._failures:
            free = min(free, 1 - self._sending)  # one probe until the endpoint answers again
        if free <= 0:
            return
        entries = self._lanes.take(free)
        if not entries:
            return
        begun = [
            _Entry(replace(entry.new, attempts=entry.new.attempts + 1, intent=True), lanes) for entry, lanes in entries
        ]
        self._sending += len(begun)
        intent = self._around.journal.submit(lambda connection: self._write_intents(connection, begun))
        intent.addCallbacks(lambda _: self._intended(begun), self._failed)

    def _write_intents(self, connection: Connection, entries: list[_Entry]) -> None:
        now = real_ms()
        for entry in entries:
            self._set_state(connection, entry.new.delivery_id, "sending", attempts=entry.new.attempts)
        connection.execute(
            insert(attempt),
            [
                {
                    "delivery_id": entry.new.delivery_id,
                    "number": entry.new.attempts,
                    "started_at": now,
                    "outcome": "sending",
                }
                for entry in entries
            ],
        )

    def _intended(self, entries: list[_Entry]) -> None:
        self._sending -= len(entries)
        for entry in entries:
            self._begin(entry)

    def _begin(self, entry: _Entry) -> None:
        self._sending += 1
        self._known.add(entry.new.delivery_id)
        sent = self._send(entry)
        sent.addErrback(self._failed)
        sent.addBoth(lambda _: self._one_less())

    def _one_less(self) -> None:
        self._sending -= 1
        if self._stopped and not self._sending:
            for waiter in self._idle_waiters:
                waiter.callback(None)
            self._idle_waiters.clear()
        self._pump()

    @inlineCallbacks
    def _send(self, entry: _Entry) -> Any:
        new = entry.new
        body = new.body
        if body is None:
            body = yield deferToThread(self._read_body, new.body_id)
        outcome: Outcome = yield self.destination.deliver(
            Parcel(new.delivery_id, new.message_id, new.attempts, new.kind, new.name, body)
        )
        wait = self._wait_after(outcome, new.attempts)
        arrival = yield self._around.journal.submit(lambda connection: self._record(connection, new, outcome, wait))
        if arrival is not None:
            self._arrived(arrival)
        self._after(replace(entry, new=replace(new, body=body)), outcome, wait)

    def _read_body(self, body_id: int) -> bytes:
        with reading(self._around.store) as connection:
            return read_content(connection, self._around.vault, body_id)

    def _goes_again(self, outcome: Outcome) -> bool:
        return outcome.failure is Failure.TRANSIENT or (
            outcome.failure is Failure.AMBIGUOUS and self.plan.ambiguous == "retry"
        )

    def _wait_after(self, outcome: Outcome, attempts: int) -> float | None:
        """Real seconds until the next attempt; None when there is none."""
        if not self._goes_again(outcome):
            return None
        steps = self.plan.backoff_seconds
        return outcome.retry_after or steps[min(attempts, len(steps)) - 1]

    def _record(self, connection: Connection, new: NewDelivery, outcome: Outcome, wait: float | None) -> Arrival | None:
        now = real_ms()
        answer_id = None
        if outcome.answer is not None:
            answer_id = self._around.ids.next()
            connection.execute(insert(content), content_rows(self._around.vault, answer_id, outcome.answer))
        connection.execute(
            update(attempt)
            .where(attempt.c.delivery_id == new.delivery_id, attempt.c.number == new.attempts)
            .values(
                ended_at=now,
                outcome=outcome.failure.value if outcome.failure else "delivered",
                reason=outcome.reason or None,
                answer_id=answer_id,
            )
        )
        if wait is not None:
            due_at = now + int(wait * 1000)
            self._set_state(connection, new.delivery_id, "queued", reason=outcome.reason, due_at=due_at)
            return None
        state = _STATES[outcome.failure]
        self._set_state(
            connection,
            new.delivery_id,
            state,
            reason=outcome.reason or None,
            finished_at=now if state == "delivered" else None,
        )
        if state != "delivered":
            self._open_item(connection, new.delivery_id, state, outcome.reason)
        self._report(connection, new.delivery_id, state)
        settle(connection, new.message_sequence)
        if state == "delivered" and self._answer_becomes is not None and outcome.answer is not None:
            return self._answer_becomes(connection, new, outcome.answer)
        return None

    def _after(self, entry: _Entry, outcome: Outcome, wait: float | None) -> None:
        endpoint_down = outcome.failure is not None and outcome.answer is None
        if wait is not None:
            if endpoint_down and outcome.failure is Failure.TRANSIENT:
                self._failures += 1
                self._not_before = real_ms() + wait * 1000
            self._later(wait, entry)
            return
        self._failures, self._not_before = 0, 0.0
        if outcome.failure is not Failure.AMBIGUOUS:
            self._known.discard(entry.new.delivery_id)
            self._lanes.release(entry.lanes)

    def _later(self, wait: float, entry: _Entry) -> None:
        """Try *entry* again after *wait* seconds; its lane stays busy until then."""
        if self._stopped:
            return
        timer: Any = None

        def again() -> None:
            self._timers.discard(timer)
            if self._paused:
                self._later(1.0, entry)
            elif self._not_before > real_ms() or (self._failures and self._sending):
                self._later(max(0.05, (self._not_before - real_ms()) / 1000), entry)
            else:
                self._retry(entry)

        timer = self._reactor.callLater(wait, again)
        self._timers.add(timer)

    def _retry(self, entry: _Entry) -> None:
        again = _Entry(replace(entry.new, attempts=entry.new.attempts + 1, intent=True), entry.lanes)
        self._sending += 1
        intent = self._around.journal.submit(lambda connection: self._write_intents(connection, [again]))
        intent.addCallbacks(lambda _: self._intended([again]), self._failed)

    # ------------------------------------------------------------ rows

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
            f"{self.plan.name} may already have this: {reason} It is not sent again until a person decides."
            if state == "ambiguous"
            else f"{self.plan.name} refused this: {reason}"
        )
        connection.execute(
            insert(work_item),
            {
                "id": self._around.ids.next(),
                "organisation": self._around.organisation,
                "partition": 0,
                "fence": 0,
                "queue": "deliveries",
                "item_key": f"delivery/{delivery_id}/{row.attempts}",
                "kind": f"{state} delivery",
                "sentence": sentence,
                "message_id": row.message_id,
                "delivery_id": delivery_id,
                "opened_business_at": self._around.clock.now_ms(),
                "state": "open",
                "body": self._around.vault.seal_json({}, "work_item.body"),
            },
        )


_STATES: dict[Failure | None, str] = {
    None: "delivered",
    Failure.AMBIGUOUS: "ambiguous",
    Failure.PERMANENT: "refused",
}
