"""Running a channel's steps: lanes of messages go to workers in batches; what comes back is written at once.

Outputs, deliveries and the message's new state are one transaction. When a batch fails as a whole (a worker died or
looped), its messages are run again one by one and the guilty one is held with the reason. Even a message that was alone
is run again when its worker died before its time was over: somebody may have ended the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, insert, select
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.clock import BusinessClock, at, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.points import reached
from hub.core.vault import Vault
from hub.engine.awaited import Awaited
from hub.engine.contracts import Reply, Workers
from hub.engine.intake import NO_LANE, Arrival
from hub.engine.items import open_item
from hub.engine.journal import Journal, StoreFailedError
from hub.engine.lanes import Lanes
from hub.engine.outcomes import DONE, ERRORED, FILTERED, HELD, REJECTED, processed_of, settle
from hub.engine.plan import ChannelPlan
from hub.engine.workers import TaskFailedError, WorkerDiedError, WorkerTimedOutError
from hub.store.contents import INSERT_CONTENTS, content_tuples, read_content
from hub.store.counters import Counts, add_counts
from hub.store.database import reading
from hub.store.hot import InsertMany, Row, UpdateMany
from hub.store.numbers import take_numbers
from hub.store.tables import attempt, delivery, message, work_item

BATCH = 32
BATCHES_IN_HAND = 2
WINDOW = 1000
PAGE_AGAIN = 1.0
"""Seconds until a page that could not be read is tried again."""


class NewDelivery(NamedTuple):
    """A delivery that was just written. With *intent* its first attempt is recorded and it must be sent now."""

    sequence: int
    delivery_id: int
    message_sequence: int
    message_id: int
    channel: str
    destination: str
    kind: str
    name: str
    lane: bytes
    body: bytes | None
    body_id: int
    attempts: int
    intent: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every runner of the node shares."""

    store: Engine
    journal: Journal
    vault: Vault
    ids: IdMaker
    clock: BusinessClock
    workers: Workers
    log: Log
    organisation: str
    bundle: str
    reactor: Any
    awaited: Awaited

    def open_item(self, **columns: Any) -> dict[str, Any]:
        """A work item of this node; see :func:`hub.engine.items.open_item`."""
        return open_item(self.ids, self.vault, self.clock, self.organisation, **columns)


class _Written(NamedTuple):
    """What is written for one message."""

    arrival: Arrival
    result: dict[str, Any]
    deliveries: list[NewDelivery]
    parts: tuple[bytes, ...]


_MAP = UpdateMany(
    message,
    ["sequence"],
    ["steps_outcome", "reason", "reason_code", "mapped_id", "bundle"],
    # What is owed is not said yet; should we die now, it never is.
    also="mapped = TRUE, answer = CASE WHEN message.answer = 'owed' THEN 'undelivered' ELSE message.answer END",
)
_INSERT_DELIVERIES = InsertMany(
    delivery,
    "sequence", "id", "organisation", "partition", "message_sequence", "message_id", "channel", "destination", "kind",
    "name", "lane_digest", "state", "attempts", "created_at", "finished_at", "body_id", "intent",
)  # fmt: skip
INSERT_ATTEMPTS = InsertMany(attempt, "delivery_id", "number", "started_at", "outcome")


class Steps:
    """Runs the steps of one channel.

    *reserve* says whether a delivery's first attempt can start at once, and keeps its lane for it; *made* is given the
    deliveries after the commit, *unmade* those that could not be written.
    """

    def __init__(
        self,
        plan: ChannelPlan,
        around: Surroundings,
        reserve: Callable[[str, bytes], bool],
        made: Callable[[Sequence[NewDelivery]], None],
        unmade: Callable[[Sequence[NewDelivery]], None],
    ) -> None:
        self._plan = plan
        self._around = around
        self._reserve = reserve
        self._made = made
        self._unmade = unmade
        self._lanes: Lanes[Arrival] = Lanes()
        self._in_hand = 0
        self._loaded_up_to = 0
        self._behind = True
        self._loading = False
        self._while_loading: list[Arrival] = []
        self._stopped = False
        self._drained: list[Deferred[None]] = []

    def start(self) -> None:
        """Take up what the store holds unmapped."""
        self._load()

    def stop(self) -> Deferred[None]:
        """Start nothing more; fires when what is in hand is written."""
        self._stopped = True
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._tell_drained()
        return drained

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is started."""
        return self._stopped

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or runs."""
        return not (self._in_hand or len(self._lanes) or self._behind or self._loading)

    def arrived(self, arrival: Arrival) -> None:
        """A message of this channel is durable."""
        if self._loading:
            self._while_loading.append(arrival)
        elif not self._behind and arrival.sequence > self._loaded_up_to:  # else a page has brought it already
            if len(self._lanes) >= WINDOW:
                self._behind = True
            else:
                self._add(arrival)
        self._pump()

    def _add(self, arrival: Arrival) -> None:
        self._loaded_up_to = max(self._loaded_up_to, arrival.sequence)
        self._lanes.add(arrival, arrival.lanes)

    def _load(self) -> None:
        if self._loading or self._stopped:
            return
        self._loading = True
        found = deferToThread(self._read_page, self._loaded_up_to)
        found.addCallbacks(self._take_page, self._page_failed)

    def _read_page(self, after: int) -> list[Arrival]:
        with reading(self._around.store) as connection:
            rows = connection.execute(
                select(message)
                .where(
                    message.c.channel == self._plan.name,
                    message.c.onward == "in progress",
                    message.c.mapped.is_(False),
                    message.c.sequence > after,
                )
                .order_by(message.c.sequence)
                .limit(WINDOW)
            ).all()
        return [
            Arrival(
                row.sequence,
                row.id,
                row.channel,
                row.kind,
                row.control_id,
                row.source,
                row.received_on,
                row.received_at,
                tuple(lane for lane in (row.lane_digest, row.other_lane_digest) if lane),
                None,
                row.raw_id,
            )
            for row in rows
        ]

    def _take_page(self, page: list[Arrival]) -> None:
        self._loading = False
        for arrival in page:
            self._add(arrival)
        self._behind = len(page) == WINDOW
        missed, self._while_loading = self._while_loading, []
        if not self._behind:
            for arrival in missed:
                if arrival.sequence > self._loaded_up_to:
                    self._add(arrival)
        self._pump()

    def _page_failed(self, failure: TwistedFailure) -> None:
        self._loading = False
        self._while_loading.clear()  # the next page brings them
        self._around.reactor.callLater(PAGE_AGAIN, self._pump)
        self._around.log.failure("steps.page_failed", error_of(failure), channel=self._plan.name)

    def _pump(self) -> None:
        while not self._stopped and self._in_hand < BATCHES_IN_HAND:
            batch = self._lanes.take(BATCH, follow=True)
            if not batch:
                break
            self._in_hand += 1
            running = self._run([arrival for arrival, _ in batch])
            running.addErrback(self._gave_up)
            running.addBoth(self._release, [lanes for _, lanes in batch])
        if self._behind and len(self._lanes) < WINDOW // 2:
            self._load()

    def _release(self, _result: object, lanes: list[tuple[bytes, ...]]) -> None:
        self._in_hand -= 1
        for names in lanes:
            self._lanes.release(names)
        self._tell_drained()
        self._pump()

    def _tell_drained(self) -> None:
        if self._drained and not self._in_hand:
            drained, self._drained = self._drained, []
            for each in drained:
                each.callback(None)

    def _gave_up(self, failure: TwistedFailure) -> None:
        error = error_of(failure)
        if not isinstance(error, StoreFailedError | WorkerDiedError):
            self._around.log.failure("steps.failed", error, channel=self._plan.name)

    @inlineCallbacks
    def _run(self, arrivals: list[Arrival], *, suspect: bool = False) -> Any:
        """Map and write *arrivals*; a *suspect* is alone and was in a batch that failed."""
        try:
            raws = yield self._raws(arrivals)
            reply: Reply = yield self._map(arrivals, raws)
        except StoreFailedError:
            raise
        except Exception as error:
            if self._stopped and isinstance(error, WorkerDiedError):
                raise
            alone = suspect or (len(arrivals) == 1 and isinstance(error, WorkerTimedOutError))
            if not alone:
                for arrival in arrivals:
                    yield self._run([arrival], suspect=True)
                return
            result = _guilty(error) if isinstance(error, WorkerDiedError) else _broken(self._told(error))
            yield self._write(arrivals, [result], Reply({}))
        else:
            yield self._write(arrivals, reply.header["results"], reply)

    def _told(self, error: Exception) -> HubError:
        """*error* as what a message can be errored with; the place of one that is no `HubError` stands in the log."""
        if isinstance(error, HubError):
            return error
        self._around.log.failure("steps.failed", error, channel=self._plan.name)
        return HubError("The hub could not run the steps on this message; its log says where it failed.")

    def _raws(self, arrivals: list[Arrival]) -> Deferred[list[bytes]]:
        raws = [arrival.raw for arrival in arrivals if arrival.raw is not None]
        return succeed(raws) if len(raws) == len(arrivals) else deferToThread(self._read_raws, arrivals)

    def _read_raws(self, arrivals: list[Arrival]) -> list[bytes]:
        with reading(self._around.store) as connection:
            return [
                arrival.raw if arrival.raw is not None else read_content(connection, self._around.vault, arrival.raw_id)
                for arrival in arrivals
            ]

    def _map(self, arrivals: list[Arrival], raws: list[bytes]) -> Deferred[Reply]:
        header = {
            "bundle": self._around.bundle,
            "channel": self._plan.name,
            "messages": [
                {
                    "id": arrival.message_id,
                    "kind": arrival.kind,
                    "received_on": _received_on(arrival.received_at // 1000, self._around.clock.zone),
                    "control_id": arrival.control_id,
                    "source": arrival.source,
                }
                for arrival in arrivals
            ],
        }
        limit = self._plan.mapping_seconds * (1 if len(arrivals) == 1 else 2)
        return self._around.workers.call("map", header, tuple(raws), timeout=limit)

    @inlineCallbacks
    def _write(self, arrivals: list[Arrival], results: Sequence[dict[str, Any]], reply: Reply) -> Any:
        """Write what the steps came to. A result that cannot be written fails no neighbour: its message is errored."""
        reserved: list[NewDelivery] = []
        try:
            written = []
            for arrival, result in zip(arrivals, results, strict=True):
                begun = len(reserved)
                self._reserve_deliveries(arrival, result, reply.parts, reserved)
                written.append(_Written(arrival, result, reserved[begun:], reply.parts))
            nobody_waits = not any(arrival.message_id in self._around.awaited for arrival in arrivals)
            made = yield self._around.journal.submit(
                partial(self._write_results, written=written), patient=nobody_waits
            )
        except StoreFailedError:
            raise
        except Exception as error:
            self._unmade(reserved)
            if len(arrivals) > 1 and len(results) == len(arrivals):
                for arrival, result in zip(arrivals, results, strict=True):
                    yield self._write([arrival], [result], reply)
            elif reply.header:
                broken = _broken(self._told(error))
                for arrival in arrivals:
                    yield self._write([arrival], [broken], Reply({}))
            else:
                raise
        else:
            self._made(made)
            for one in written:
                if one.arrival.message_id in self._around.awaited:
                    outcome, reason, _ = _steps_outcome(one.result)
                    self._around.awaited.ended(one.arrival.message_id, processed_of(outcome, reason))

    def _is_shadow(self, new: NewDelivery) -> bool:
        return self._plan.destinations[new.destination].shadow

    def _write_results(self, connection: Connection, written: Sequence[_Written]) -> list[NewDelivery]:
        vault, ids = self._around.vault, self._around.ids
        counts = Counts()
        made = [new for one in written for new in one.deliveries]
        contents = [row for new in made for row in content_tuples(vault, new.body_id, new.body or b"")]
        mapped: list[Row] = []
        for one in written:
            mapped_id = None
            if one.result.get("mapped") is not None:
                mapped_id = ids.next()
                contents += content_tuples(vault, mapped_id, one.parts[one.result["mapped"]])
            outcome, reason, code = _steps_outcome(one.result)
            mapped.append((one.arrival.sequence, outcome, reason, code, mapped_id, self._around.bundle))
            items = [self._held_item(one.arrival, held) for held in one.result.get("held", ())]
            for item in {item["item_key"]: item for item in items}.values():  # two lines may be held for one cause
                connection.execute(insert(work_item), item)
            for name, value in one.result.get("lines", {}).items():
                counts[one.arrival.channel, one.arrival.received_on, _LINE_COUNTERS[name]] += value
        _MAP(connection, mapped)
        INSERT_CONTENTS(connection, contents)
        if made:
            numbers = take_numbers(connection, "delivery", len(made))
            made = [new._replace(sequence=number) for new, number in zip(made, numbers, strict=True)]
            self._insert_deliveries(connection, made)
        # A message with new deliveries stays in progress until they end; what is in shadow has ended.
        ended = [one.arrival.sequence for one in written if all(self._is_shadow(new) for new in one.deliveries)]
        settle(connection, ended)
        add_counts(connection, counts)
        reached("steps.written")
        return [new for new in made if not self._is_shadow(new)]

    def _reserve_deliveries(
        self, arrival: Arrival, result: dict[str, Any], parts: tuple[bytes, ...], reserved: list[NewDelivery]
    ) -> None:
        """Add the deliveries of one message to *reserved*; where its lane is free one is sent as soon as it is written.

        Their sequence numbers are taken when they are written.
        """
        for output in result.get("deliveries", ()):
            plan = self._plan.destinations[output["destination"]]
            lane = _lane(plan.order, arrival)
            kind, name, body = output["kind"], output["name"], parts[output["part"]]
            intent = not plan.shadow and self._reserve(plan.name, lane)
            reserved.append(
                NewDelivery(
                    sequence=0,
                    delivery_id=self._around.ids.next(),
                    message_sequence=arrival.sequence,
                    message_id=arrival.message_id,
                    channel=arrival.channel,
                    destination=plan.name,
                    kind=kind,
                    name=name,
                    lane=lane,
                    body=body,
                    body_id=self._around.ids.next(),
                    attempts=int(intent),
                    intent=intent,
                )
            )

    def _insert_deliveries(self, connection: Connection, made: list[NewDelivery]) -> None:
        now = real_ms()
        _INSERT_DELIVERIES(
            connection,
            [
                (
                    new.sequence,
                    new.delivery_id,
                    self._around.organisation,
                    new.lane[0] % 64 if new.lane else 0,
                    new.message_sequence,
                    new.message_id,
                    new.channel,
                    new.destination,
                    new.kind[:32],
                    new.name[:200],
                    new.lane,
                    "shadow" if self._is_shadow(new) else "sending" if new.intent else "queued",
                    new.attempts,
                    now,
                    now if self._is_shadow(new) else None,
                    new.body_id,
                    new.intent,
                )
                for new in made
            ],
        )
        INSERT_ATTEMPTS(connection, [(new.delivery_id, 1, now, "sending") for new in made if new.intent])

    def _held_item(self, arrival: Arrival, held: dict[str, str]) -> dict[str, Any]:
        cause = hashlib.blake2b(f"{held['path']}/{held['reason']}".encode(), digest_size=16).hexdigest()
        return self._around.open_item(
            queue=held["queue"],
            key=f"hold/{arrival.message_id}/{cause}",
            kind="mapping hold",
            sentence=held["reason"],
            message_id=arrival.message_id,
            source_path=held["path"][:64],
        )


@lru_cache(maxsize=64)
def _received_on(second: int, zone: ZoneInfo) -> str:
    return at(second * 1000, zone).isoformat(timespec="seconds")


def delivery_of(row: Any) -> NewDelivery:
    """The delivery that a row of `delivery` stands for, its body still in the store."""
    return NewDelivery(
        sequence=row.sequence,
        delivery_id=row.id,
        message_sequence=row.message_sequence,
        message_id=row.message_id,
        channel=row.channel,
        destination=row.destination,
        kind=row.kind,
        name=row.name,
        lane=row.lane_digest,
        body=None,
        body_id=row.body_id,
        attempts=row.attempts,
        intent=False,
    )


def error_of(failure: TwistedFailure) -> BaseException:
    """The exception that a Deferred failed with."""
    assert failure.value is not None
    return failure.value


_LINE_COUNTERS = {
    "lines": "lines",
    "mapped": "lines mapped",
    "filtered": "lines filtered",
    "held": "lines held",
}


def _lane(order: str, arrival: Arrival) -> bytes:
    """The lane of a delivery: all of a strict destination share one; a keyed order keeps the message's."""
    if order == "strict":
        return b"strict"
    if order == "any":
        return NO_LANE
    return arrival.lanes[0] if arrival.lanes else NO_LANE


def _steps_outcome(result: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """What the steps alone came to, with the reason and its code."""
    if error := result.get("error"):
        where = f" ({error['where']})" if error["where"] else ""
        return result.get("outcome", ERRORED), f"{error['what']}{where}", error["code"]
    if rejected := result.get("rejected"):
        return REJECTED, rejected["reason"], None
    if held := result.get("held"):
        return HELD, held[0]["reason"], None
    if result.get("deliveries"):
        return DONE, None, None
    skipped = result.get("skipped")
    return FILTERED, skipped[0]["reason"] if skipped else "No step of this channel takes it.", None


def _guilty(error: WorkerDiedError) -> dict[str, Any]:
    """The result of a message that ended its worker: held, with the reason."""
    reason = f"{error.what} The script loops or uses too much memory on this message."
    return {"held": [{"queue": "messages", "reason": reason, "path": ""}]}


def _broken(error: HubError) -> dict[str, Any]:
    code = error.task_code if isinstance(error, TaskFailedError) else error.code
    return {"error": {"code": code, "what": error.what, "where": error.where}}
