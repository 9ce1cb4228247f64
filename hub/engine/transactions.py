"""Billing as a destination: exactly once, or not at all.

A worker decides from a read snapshot; the journal applies what it decided in the transaction that completes the
delivery. The same holds for work that falls due (:mod:`hub.engine.timers`) and for what a person commands. A decision
whose snapshot has become stale is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select, update
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.points import reached
from hub.engine.contracts import Description, Received, Reply
from hub.engine.intake import Arrival, StoreIntake
from hub.engine.journal import StoreFailedError
from hub.engine.lanes import Lanes
from hub.engine.outcomes import settle
from hub.engine.plan import ChannelPlan, SitePlan
from hub.engine.steps import NewDelivery, Surroundings, delivery_of, error_of
from hub.engine.workers import WorkerDiedError, WorkerTimedOutError
from hub.store.changes import Changes, StaleDecisionError, apply, from_json
from hub.store.contents import read_content
from hub.store.database import reading
from hub.store.tables import delivery, work_item

IN_HAND = 3
WINDOW = 500
TRIES = 25
DECISION_SECONDS = 120.0
PAGE_AGAIN = 1.0


Completion = Callable[[Connection, Changes, Mapping[str, Any]], None]
"""Writes into the transaction that completes a decision, given what that changes and the reply's header."""


class _DecidedAlreadyError(HubError):
    """A delivery has been decided before; its effect must not come twice."""

    code = "H142"


class Decisions:
    """Has billing decide, and applies what it decided together with what completes the work."""

    def __init__(
        self,
        around: Surroundings,
        plan: SitePlan,
        intake: StoreIntake,
        arrived: Callable[[Arrival], None],
    ) -> None:
        self._around = around
        self._plan = plan
        self._intake = intake
        self._arrived = arrived
        self._in_hand = 0
        self._held = False
        self._waiting: list[Deferred[None]] = []
        self._at_rest: list[Deferred[None]] = []

    def deploy(self, plan: SitePlan) -> None:
        """Hand what billing emits to the channels of *plan* from now on."""
        self._plan = plan

    def hold(self) -> Deferred[None]:
        """Begin no decision until :meth:`release`; fires when those in hand are applied."""
        self._held = True
        quiet: Deferred[None] = Deferred()
        self._at_rest.append(quiet)
        self._tell_at_rest()
        return quiet

    def release(self) -> None:
        """Go on with the decisions that waited."""
        self._held = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _tell_at_rest(self) -> None:
        if self._held and not self._in_hand:
            quiet, self._at_rest = self._at_rest, []
            for each in quiet:
                each.callback(None)

    @inlineCallbacks
    def decide(
        self,
        header: Mapping[str, Any],
        parts: tuple[bytes, ...],
        complete: Completion,
    ) -> Any:
        """Decide the work that *header* and *parts* name and apply it; returns the reply's header.

        *complete* is run in the last transaction of the work, with what it changes and the reply's header. Fails with
        the task's error, or with :class:`StaleDecisionError` when others kept changing what it is decided from.
        """
        while self._held:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            yield waiting
        self._in_hand += 1
        try:
            return (yield self._decide(header, parts, complete))
        finally:
            self._in_hand -= 1
            self._tell_at_rest()

    @inlineCallbacks
    def _decide(
        self,
        header: Mapping[str, Any],
        parts: tuple[bytes, ...],
        complete: Completion,
    ) -> Any:
        stale = deaths = 0
        while True:
            try:
                reply: Reply = yield self._around.workers.call(
                    "billing.decide", header, parts, timeout=DECISION_SECONDS
                )
            except WorkerDiedError as error:
                deaths += 1
                if deaths > 1 or isinstance(error, WorkerTimedOutError):  # the first may have been somebody's doing
                    raise
                continue
            changes = from_json(reply.header["changes"])
            last = reply.header["complete"]
            reached("billing.decided")
            write = partial(self._apply, changes=changes, reply=reply.header, complete=complete if last else None)
            try:
                arrivals = yield self._around.journal.submit(write)
            except StaleDecisionError:
                stale += 1
                if stale >= TRIES:
                    raise
                continue
            stale = 0  # long work is many decisions, and each may meet others
            for arrival in arrivals:
                self._arrived(arrival)
            if last:
                return reply.header
            reached("billing.chunk")

    def _apply(
        self,
        connection: Connection,
        changes: Changes,
        reply: Mapping[str, Any],
        complete: Completion | None,
    ) -> list[Arrival]:
        apply(connection, changes)
        arrivals = []
        for emit in changes.emits:
            for channel in self._plan.taking(emit.kind):
                description = Description(
                    kind=emit.kind,
                    control_id=emit.name,
                    sender="billing",
                    lane=emit.lane,
                    identifiers=emit.identifiers,
                )
                arrival = self._intake.store(connection, Received(channel.name, emit.body, description, "billing"))
                if arrival is not None:
                    arrivals.append(arrival)
        if complete is not None:
            complete(connection, changes, reply)
        reached("billing.applying")
        return arrivals


@dataclass(slots=True, eq=False)
class _Entry:
    new: NewDelivery
    lanes: tuple[bytes, ...]


class BillingDeliveries:
    """Hands what one channel makes for billing to its decisions, in order per lane."""

    def __init__(self, channel: ChannelPlan, name: str, around: Surroundings, decisions: Decisions) -> None:
        self._channel = channel
        self._name = name
        self._around = around
        self._decisions = decisions
        self._lanes: Lanes[_Entry] = Lanes()
        self._in_hand = 0
        self._behind = True
        self._loading = False
        self._loaded_up_to = 0
        self._known: set[int] = set()
        self._paused = False
        self._stopped = False

    def start(self) -> None:
        """Take up what the store holds undecided."""
        self._load()

    def pause(self) -> None:
        """Begin no further decision."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._pump()

    def stop(self) -> None:
        """Begin nothing more. What is being decided is applied or left to the next start; both are whole."""
        self._stopped = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or is being decided."""
        return not (self._in_hand or self._loading or self._behind or len(self._lanes))

    def made(self, news: Sequence[NewDelivery]) -> None:
        """Deliveries were written."""
        for new in news:
            if self._behind or self._loading or len(self._lanes) >= WINDOW:
                self._behind = True
            elif new.sequence > self._loaded_up_to:  # else a page has brought it already
                self._loaded_up_to = new.sequence
                self._add(new)
        self._pump()

    def again(self, new: NewDelivery) -> None:
        """A person has a refused delivery decided anew."""
        self._add(new)
        self._pump()

    def _add(self, new: NewDelivery) -> None:
        if new.delivery_id not in self._known:
            self._known.add(new.delivery_id)
            lanes = (new.lane,) if new.lane else ()
            self._lanes.add(_Entry(new, lanes), lanes)

    def _load(self) -> None:
        if self._loading or self._stopped:
            return
        self._loading = True
        self._behind = False
        deferToThread(self._read_page, self._loaded_up_to).addCallbacks(self._take_page, self._page_failed)

    def _read_page(self, after: int) -> list[NewDelivery]:
        with reading(self._around.store) as connection:
            rows = connection.execute(
                select(delivery)
                .where(
                    delivery.c.channel == self._channel.name,
                    delivery.c.destination == self._name,
                    delivery.c.state == "queued",
                    delivery.c.sequence > after,
                )
                .order_by(delivery.c.sequence)
                .limit(WINDOW)
            ).all()
        return [delivery_of(row) for row in rows]

    def _take_page(self, page: list[NewDelivery]) -> None:
        self._loading = False
        self._behind = self._behind or len(page) == WINDOW
        for new in page:
            self._loaded_up_to = max(self._loaded_up_to, new.sequence)
            self._add(new)
        self._pump()

    def _page_failed(self, failure: TwistedFailure) -> None:
        self._loading = False
        self._behind = True
        self._around.reactor.callLater(PAGE_AGAIN, self._pump)
        self._around.log.failure("billing.page_failed", error_of(failure), channel=self._channel.name)

    def _pump(self) -> None:
        while not (self._stopped or self._paused) and self._in_hand < IN_HAND:
            taken = self._lanes.take(1)
            if not taken:
                break
            self._in_hand += 1
            (entry, lanes) = taken[0]
            self._decide(entry.new).addErrback(self._gave_up).addBoth(self._release, entry, lanes)
        if self._behind and not self._loading and len(self._lanes) < WINDOW // 2:
            self._load()

    def _release(self, _result: object, entry: _Entry, lanes: tuple[bytes, ...]) -> None:
        self._in_hand -= 1
        self._known.discard(entry.new.delivery_id)
        self._lanes.release(lanes)
        self._pump()

    def _gave_up(self, failure: TwistedFailure) -> None:
        error = error_of(failure)
        if not self._stopped and not isinstance(error, StoreFailedError):
            self._around.log.failure("billing.failed", error, channel=self._channel.name)

    @inlineCallbacks
    def _decide(self, new: NewDelivery) -> Any:
        header = {
            "work": "values",
            "delivery_id": new.delivery_id,
            "message_id": new.message_id,
            "channel": new.channel,
            "kind": new.kind,
        }
        try:
            body = new.body if new.body is not None else (yield deferToThread(self._read_body, new.body_id))
            yield self._decisions.decide(
                header, (body,), lambda connection, *_: self._finish(connection, new, "delivered", None)
            )
        except (StoreFailedError, _DecidedAlreadyError):
            raise
        except Exception as error:
            if self._stopped and isinstance(error, WorkerDiedError):
                return
            self._around.log.failure("billing.refused", error, message=new.message_id)
            reason = _in_words(error)
            yield self._around.journal.submit(lambda connection: self._finish(connection, new, "refused", reason))

    def _read_body(self, body_id: int) -> bytes:
        with reading(self._around.store) as connection:
            return read_content(connection, self._around.vault, body_id)

    def _finish(self, connection: Connection, new: NewDelivery, state: str, reason: str | None) -> None:
        changed = connection.execute(
            update(delivery)
            .where(delivery.c.id == new.delivery_id, delivery.c.state == "queued")
            .values(
                state=state,
                reason=reason,
                attempts=new.attempts + 1,
                finished_at=real_ms(),
                version=delivery.c.version + 1,
            )
        )
        if changed.rowcount != 1:
            raise _DecidedAlreadyError("This delivery has been decided before; nothing of it is applied again.")
        if state == "refused":
            connection.execute(
                insert(work_item),
                self._around.open_item(
                    queue="anomalies",
                    key=f"billing/{new.delivery_id}/{new.attempts}",
                    kind="billing refused",
                    sentence=f"Billing could not take this message: {reason}",
                    message_id=new.message_id,
                    delivery_id=new.delivery_id,
                ),
            )
        settle(connection, [new.message_sequence])


def _in_words(error: Exception) -> str:
    """*error* as the reason of a refusal. One that is no `HubError` may quote data: the log has its place."""
    if not isinstance(error, HubError):
        return "The hub could not decide it; its log says where it failed."
    return f"{error.what} ({error.where})" if error.where else error.what
