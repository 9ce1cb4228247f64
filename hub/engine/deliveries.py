"""Deliveries to one destination of one channel: order per lane, attempts, back-off, and a reason in words.

*Attempt n, sending* is committed before the first byte leaves. It rides in the transaction that makes the delivery when
its lane is idle, or in the one that records the answer before it. After a crash such deliveries may have been sent:
those of a destination that recognises repeats go again, the others wait for a person.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.points import reached
from hub.engine.contracts import Destination, Failure, Outcome, Parcel
from hub.engine.delivery_rows import (
    BecomesMessage,
    DeliveryRows,
    Entry,
    NotQueuedError,
    Recorded,
    Sent,
    again,
)
from hub.engine.intake import Arrival
from hub.engine.journal import StoreFailedError
from hub.engine.lanes import Lanes
from hub.engine.plan import DestinationPlan
from hub.engine.steps import NewDelivery, Surroundings, error_of

WINDOW = 1000
LANE_SHARE = 4
"""A keyed lane may fill so many-th of the window; what is behind that stays in the store until the lane has moved."""
LARGE = 65_536
LONGEST_WAIT = 3_600.0
PAGE_AGAIN = 1.0
AHEAD = 60
"""How many intents to a destination that recognises repeats may be on disk before their turn to be sent has come."""

_NOT_SENT = Outcome(Failure.TRANSIENT, "The hub had to wait before this was sent.")
_BROKEN = Outcome(Failure.AMBIGUOUS, "The connector failed while this was being sent; the log says where.")
_PRUNED = Outcome(Failure.PERMANENT, "The hub cannot read any more what it should send.")


class Deliveries:
    """Sends what one channel makes for one destination.

    *answer_becomes* writes a destination's answer as a new message, in the transaction that records it; *arrived*
    announces it. With *reports* billing is told of each outcome by a `due` row.
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
        self._rows = DeliveryRows(channel, plan, around, reports=reports, answer_becomes=answer_becomes)
        self._arrived = arrived
        self._lanes: Lanes[Entry] = Lanes()
        self._most_open = plan.concurrency + (AHEAD if plan.ambiguous == "retry" else 0)
        self._reserved = 0
        self._open = 0  # from the intent to the record of the answer
        self._sending = 0
        self._ready: deque[Entry] = deque()  # their intents are on disk
        self._paused = False
        self._stopped = False
        self._failures = 0  # of the endpoint as a whole, in a row
        self._not_before = 0.0
        self._timers: set[Any] = set()  # of deliveries that wait for their next attempt
        self._due_again: deque[Entry] = deque()  # those whose wait is over
        self._alarm: Any = None  # goes off when the endpoint may be tried again
        self._expected: Counter[bytes] = Counter()  # being written without an intent, by lane
        self._cut: dict[bytes, int] = {}  # lanes that are longer in the store, from which sequence on
        self._loaded_up_to = 0
        self._behind = True
        self._loading = False
        self._known: set[int] = (
            set()
        )  # what is in memory: queued, being sent, waiting, or keeping its lane for a person
        self._ended_while_loading: set[int] = set()
        self._idle_waiters: list[Deferred[None]] = []

    # ------------------------------------------------------------ from outside, on the reactor's thread

    def start(self) -> None:
        """Take up what the store holds unsent, after what a crash left in flight has been told apart."""
        self._around.journal.submit(self._rows.recover).addCallbacks(lambda _: self._load(), self._log_failure)

    def pause(self) -> None:
        """Begin no further attempt."""
        self._paused = True
        self._hand_back()

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
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._give_back(0.0)
        gone: Deferred[None] = Deferred()
        if self._open or self._reserved:
            self._idle_waiters.append(gone)
        else:
            gone.callback(None)
        return gone

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent or could be sent now."""
        return not (self._open or self._reserved or self._loading)

    def reserve(self, lane: bytes) -> bool:
        """Whether a delivery to *lane* can be sent as soon as it is written; its lane is then kept for it.

        Whatever this says must be followed by :meth:`made` or :meth:`unmade`.
        """
        lanes = (lane,) if lane else ()
        free = self._open + self._reserved < self._most_open
        open_now = not (self._paused or self._stopped or self._behind or self._loading or self._not_before)
        # One that is being written without an intent must not be overtaken.
        first = self._lanes.is_idle(lanes) and not (lane and (self._expected[lane] or lane in self._cut))
        if free and open_now and first:
            self._lanes.hold(lanes)
            self._reserved += 1
            return True
        self._expect(lane, 1)
        return False

    def unmade(self, news: Sequence[NewDelivery]) -> None:
        """Deliveries could not be written; what was reserved for them is free again."""
        for new in news:
            if new.intent:
                self._reserved -= 1
                self._lanes.release((new.lane,) if new.lane else ())
            else:
                self._expect(new.lane, -1)
        self._tell_idle()
        self._pump()

    def _expect(self, lane: bytes, more: int) -> None:
        if lane:
            self._expected[lane] += more
            if not self._expected[lane]:
                del self._expected[lane]

    def made(self, news: Sequence[NewDelivery]) -> None:
        """Deliveries were written; those with an intent have their lane reserved and go now."""
        begun = []
        for new in news:
            if new.intent:
                begun.append(Entry(new, (new.lane,) if new.lane else ()))
                continue
            self._expect(new.lane, -1)
            if self._behind or self._loading or len(self._lanes) >= WINDOW:
                self._behind = True
            elif new.sequence > self._loaded_up_to:  # else a page has brought it already
                self._loaded_up_to = new.sequence
                self._queue(new if len(new.body or b"") <= LARGE else new._replace(body=None))
        self._reserved -= len(begun)
        self._open += len(begun)
        self._intended(begun)

    def again(self, new: NewDelivery, *, lane_is_held: bool) -> None:
        """A person has it sent again. An ambiguous delivery still holds its lane and goes first; others go last."""
        entry = Entry(new, (new.lane,) if new.lane else ())
        if lane_is_held and new.delivery_id in self._known:
            self._due_again.append(entry)
        elif new.delivery_id not in self._known:
            self._known.add(new.delivery_id)
            self._lanes.add(entry, entry.lanes)
        self._pump()

    def closed(self, new: NewDelivery) -> None:
        """A person closed an ambiguous delivery without sending it: its lane goes on."""
        if new.delivery_id in self._known:
            self._forget(Entry(new, (new.lane,) if new.lane else ()))
        elif self._loading:
            self._ended_while_loading.add(new.delivery_id)
        self._pump()

    # ------------------------------------------------------------ what is in memory

    def _queue(self, new: NewDelivery) -> None:
        """Put *new* at the end of its lane, unless that has its share of the memory."""
        share = WINDOW if self.plan.order == "strict" else max(2, WINDOW // LANE_SHARE)
        if new.lane and (new.lane in self._cut or self._lanes.waiting_in(new.lane) >= share):
            self._cut[new.lane] = min(new.sequence, self._cut.get(new.lane, new.sequence))
            return
        lanes = (new.lane,) if new.lane else ()
        self._known.add(new.delivery_id)
        self._lanes.add(Entry(new, lanes), lanes)

    def _forget(self, entry: Entry) -> None:
        """*entry* is over: its lane goes on."""
        self._known.discard(entry.new.delivery_id)
        if self._loading:  # the page may have been read before
            self._ended_while_loading.add(entry.new.delivery_id)
        self._lanes.release(entry.lanes)

    def _go_back_for_cut_lanes(self) -> None:
        """Where a lane that was cut has moved on, read again from there. What is in memory is not taken twice."""
        empty = [lane for lane in self._cut if not self._lanes.waiting_in(lane)]
        for lane in empty:
            self._loaded_up_to = min(self._loaded_up_to, self._cut.pop(lane) - 1)
            self._behind = True

    # ------------------------------------------------------------ loading

    def _load(self) -> None:
        if self._loading or self._stopped:
            return
        self._loading = True
        self._behind = False
        deferToThread(self._read_page, self._loaded_up_to).addCallbacks(self._take_page, self._page_failed)

    def _read_page(self, after: int) -> list[tuple[NewDelivery, str]]:
        return self._rows.page(after, WINDOW)

    def _take_page(self, page: list[tuple[NewDelivery, str]]) -> None:
        self._loading = False
        self._behind = self._behind or len(page) == WINDOW
        for new, state in page:
            self._loaded_up_to = max(self._loaded_up_to, new.sequence)
            if new.delivery_id in self._known or new.delivery_id in self._ended_while_loading:
                continue
            if state == "ambiguous":
                self._known.add(new.delivery_id)
                self._lanes.hold((new.lane,) if new.lane else ())
            else:
                self._queue(new)
        self._ended_while_loading.clear()
        self._pump()

    def _page_failed(self, failure: TwistedFailure) -> None:
        self._loading = False
        self._behind = True
        self._ended_while_loading.clear()
        self._log_failure(failure)
        self._reactor.callLater(PAGE_AGAIN, self._pump)

    def _log_failure(self, failure: TwistedFailure) -> None:
        error = error_of(failure)
        if not isinstance(error, StoreFailedError):
            self._around.log.failure("deliveries.failed", error, channel=self._channel, destination=self.plan.name)

    # ------------------------------------------------------------ sending

    def wake(self) -> None:
        """Go on with whatever may go: the store is surely ours again."""
        self._pump()

    def _pump(self) -> None:
        if self._paused or self._stopped or not self._around.journal.may_send:
            return
        if self._cut and not self._loading:
            self._go_back_for_cut_lanes()
        if self._behind and not self._loading and (len(self._lanes) < WINDOW // 2 or not self._lanes.has_ready):
            self._load()
        if self._not_before > self._reactor.seconds():
            self._wake_later()
            return
        # One probe until the endpoint answers again.
        most = 1 if self._failures else self.plan.concurrency
        while self._ready and self._sending < most:
            self._begin(self._ready.popleft())
        free = self._most_open - self._open - self._reserved
        if self._failures:
            free = min(free, 1 - self._open)
        while free > 0 and self._due_again:
            self._intend([again(self._due_again.popleft())])
            free -= 1
        waiting = len(self._timers) + len(self._due_again)
        if free > 0 and waiting < (self.plan.concurrency if self._failures else WINDOW):
            self._intend([again(entry) for entry, _ in self._lanes.take(free)])

    def _wake_later(self) -> None:
        def wake() -> None:
            self._alarm = None
            self._pump()

        if self._alarm is None:
            self._alarm = self._reactor.callLater(max(0.001, self._not_before - self._reactor.seconds()), wake)

    def _intend(self, entries: list[Entry]) -> None:
        """Put on disk that *entries* are about to be sent."""
        self._open += len(entries)
        for entry in entries:
            self._write_intent(entry)

    def _write_intent(self, entry: Entry) -> None:
        written = self._around.journal.submit_grouped(self._rows.write_intents, entry)
        written.addCallbacks(lambda done: self._intended([done]), self._not_intended, errbackArgs=(entry,))

    def _intended(self, entries: Sequence[Entry]) -> None:
        if entries:
            reached("delivery.intended")
        self._known.update(entry.new.delivery_id for entry in entries)
        self._ready.extend(entries)
        if self._stopped:
            self._give_back(0.0)
        elif self._paused or self._not_before > self._reactor.seconds():
            self._hand_back()
        self._pump()

    def _not_intended(self, failure: TwistedFailure, entry: Entry) -> None:
        """No byte leaves without its intent. What the store says is not to be sent is forgotten, else tried again."""
        self._log_failure(failure)
        error = error_of(failure)
        if isinstance(error, NotQueuedError):
            self._forget(entry)
        elif not isinstance(error, StoreFailedError):
            self._later(PAGE_AGAIN, Entry(entry.new._replace(attempts=entry.new.attempts - 1), entry.lanes))
        self._one_less()

    def _hand_back(self) -> None:
        """Where a repeat would do harm, nothing may stand on disk as being sent while it only waits for its turn."""
        if self.plan.ambiguous == "ask":
            self._give_back(max(0.0, self._not_before - self._reactor.seconds()))

    def _give_back(self, wait: float) -> None:
        """What is ready is not sent now but after *wait* seconds, or by the next start."""
        while self._ready:
            self._record(Sent(self._ready.popleft(), _NOT_SENT, wait))

    def _begin(self, entry: Entry) -> None:
        self._sending += 1
        body = entry.new.body
        sent = self._deliver(body, entry.new) if body is not None else self._read_and_deliver(entry.new)
        sent.addCallback(self._judged, entry).addCallback(self._ended)

    def _read_and_deliver(self, new: NewDelivery) -> Deferred[Outcome]:
        def pruned(failure: TwistedFailure) -> Outcome:
            self._log_failure(failure)
            return _PRUNED

        body = deferToThread(self._rows.body, new.body_id)
        return body.addCallbacks(self._deliver, pruned, callbackArgs=(new,))

    def _deliver(self, body: bytes, new: NewDelivery) -> Deferred[Outcome]:
        def broken(failure: TwistedFailure) -> Outcome:
            self._log_failure(failure)
            return _BROKEN

        parcel = Parcel(new.delivery_id, new.message_id, new.attempts, new.kind, new.name, body)
        try:
            return self.destination.deliver(parcel).addErrback(broken)
        except Exception as error:
            return succeed(broken(TwistedFailure(error)))  # type: ignore[no-untyped-call]

    def _judged(self, outcome: Outcome, entry: Entry) -> Sent:
        """What follows from *outcome*. The body of one that goes again is read from the store when its turn comes."""
        attempts, most = entry.new.attempts, self.plan.max_attempts
        if not self._goes_again(outcome):
            return Sent(entry, outcome, None)
        if most is not None and attempts >= most:
            failure = Failure.AMBIGUOUS if outcome.failure is Failure.AMBIGUOUS else Failure.PERMANENT
            reason = f"{outcome.reason} It was given up after {attempts} attempts.".strip()
            return Sent(entry, outcome._replace(failure=failure, reason=reason), None)
        waiting = Entry(entry.new._replace(body=None), entry.lanes)
        return Sent(waiting, outcome, self._wait_after(outcome, attempts))

    def _ended(self, sent: Sent) -> None:
        reached("delivery.answered")
        self._sending -= 1
        if sent.wait is None:
            self._failures, self._not_before = 0, 0.0
        elif sent.outcome.failure is Failure.TRANSIENT and sent.outcome.answer is None:
            self._failures += 1
            self._not_before = self._reactor.seconds() + sent.wait
            self._hand_back()
        self._record(sent)
        self._pump()

    def _record(self, sent: Sent) -> None:
        following = self._take_following(sent)
        if following is not None:
            sent = sent._replace(following=following)
        recorded = self._around.journal.submit_grouped(
            self._rows.write_records, sent, patient=not (following or self._somebody_waits_for(sent.entry))
        )
        recorded.addCallbacks(self._recorded, self._not_recorded, callbackArgs=(sent,), errbackArgs=(sent,))
        recorded.addErrback(self._log_failure).addBoth(lambda _: self._one_less())

    def _take_following(self, sent: Sent) -> Entry | None:
        """What the lane of *sent* goes on with, where no other lane waits: its intent then goes with the record."""
        over = sent.wait is None and sent.outcome.failure is not Failure.AMBIGUOUS
        free = not (self._due_again or self._lanes.has_ready or self._failures or self._paused or self._stopped)
        if not (over and free and self._around.journal.may_send):
            return None
        entry = self._lanes.take_next(sent.entry.lanes)
        if entry is None:
            return None
        self._open += 1
        return again(entry)

    def _somebody_waits_for(self, entry: Entry) -> bool:
        """Whether another delivery may go only when *entry* is recorded: in its lane, or because so many are open."""
        return self._open >= self._most_open or any(self._lanes.waiting_in(lane) for lane in entry.lanes)

    def _recorded(self, recorded: Recorded, sent: Sent) -> None:
        reached("delivery.recorded")
        if recorded.arrival is not None:
            self._arrived(recorded.arrival)
        if sent.wait is not None:
            self._later(sent.wait, sent.entry)
        elif sent.outcome.failure is not Failure.AMBIGUOUS:
            self._forget(sent.entry)
        if sent.following is not None and recorded.intended:
            self._intended([sent.following])
        elif sent.following is not None:
            self._write_intent(sent.following)

    def _not_recorded(self, failure: TwistedFailure, sent: Sent) -> None:
        """The lane is kept: nothing may overtake what has no record. The next start tells it apart."""
        self._log_failure(failure)
        if sent.following is not None:
            self._open -= 1

    def _one_less(self) -> None:
        self._open -= 1
        self._tell_idle()
        self._pump()

    def _tell_idle(self) -> None:
        if self._stopped and not (self._open or self._reserved):
            for waiter in self._idle_waiters:
                waiter.callback(None)
            self._idle_waiters.clear()

    def _goes_again(self, outcome: Outcome) -> bool:
        return outcome.failure is Failure.TRANSIENT or (
            outcome.failure is Failure.AMBIGUOUS and self.plan.ambiguous == "retry"
        )

    def _wait_after(self, outcome: Outcome, attempts: int) -> float:
        """Real seconds until the next attempt: by the endpoint's failures if that is down, else by the delivery's."""
        if outcome.retry_after:
            return min(outcome.retry_after, LONGEST_WAIT)
        if outcome.failure is Failure.TRANSIENT and outcome.answer is None:
            attempts = self._failures + 1
        steps = self.plan.backoff_seconds
        return steps[min(attempts, len(steps)) - 1]

    def _later(self, wait: float, entry: Entry) -> None:
        """Try *entry* again after *wait* seconds; its lane stays busy until then."""
        if self._stopped:
            return
        timer: Any = None

        def again() -> None:
            self._timers.discard(timer)
            self._due_again.append(entry)
            self._pump()

        timer = self._reactor.callLater(wait, again)
        self._timers.add(timer)
