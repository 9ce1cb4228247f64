"""Running a channel's steps: lanes of messages go to the mapping workers in batches; what comes back is written at once.

Outputs, deliveries and the message's new state are one transaction. When a batch fails as a whole (a worker died or looped), its
messages are run again one by one and the guilty one is held with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.clock import BusinessClock, at, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.vault import Vault
from hub.engine.contracts import Reply, Workers
from hub.engine.intake import NO_LANE, Arrival
from hub.engine.journal import Journal, StoreFailedError
from hub.engine.lanes import Lanes
from hub.engine.outcomes import DONE, ERRORED, FILTERED, HELD, REJECTED, settle
from hub.engine.plan import ChannelPlan
from hub.engine.workers import WorkerDiedError
from hub.store.contents import content_rows, read_content
from hub.store.counters import Counts, add_counts
from hub.store.database import reading
from hub.store.numbers import take_numbers
from hub.store.tables import attempt, content, delivery, message, work_item

BATCH = 32
BATCHES_IN_HAND = 2
WINDOW = 1000


@dataclass(frozen=True, slots=True)
class NewDelivery:
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


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written for one message."""

    arrival: Arrival
    result: dict[str, Any]
    deliveries: list[NewDelivery]
    parts: tuple[bytes, ...]


class Steps:
    """Runs the steps of one channel.

    *reserve* says whether a delivery's first attempt can start at once, and keeps its lane for it; *made* is given the
    deliveries after the commit.
    """

    def __init__(
        self,
        plan: ChannelPlan,
        around: Surroundings,
        reserve: Callable[[str, bytes], bool],
        made: Callable[[Sequence[NewDelivery]], None],
    ) -> None:
        self._plan = plan
        self._around = around
        self._reserve = reserve
        self._made = made
        self._lanes: Lanes[Arrival] = Lanes()
        self._in_hand = 0
        self._loaded_up_to = 0
        self._behind = True
        self._loading = False
        self._while_loading: list[Arrival] = []
        self._stopped = False

    def start(self) -> None:
        """Take up what the store holds unmapped."""
        self._load()

    def stop(self) -> None:
        """Start nothing more."""
        self._stopped = True

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
        self._pump()

    def _gave_up(self, failure: TwistedFailure) -> None:
        error = error_of(failure)
        if not isinstance(error, StoreFailedError | WorkerDiedError):
            self._around.log.failure("steps.failed", error, channel=self._plan.name)

    @inlineCallbacks
    def _run(self, arrivals: list[Arrival]) -> Any:
        raws = yield self._raws(arrivals)
        try:
            reply: Reply = yield self._map(arrivals, raws)
        except WorkerDiedError as error:
            if self._stopped:
                raise
            if len(arrivals) > 1:
                for arrival in arrivals:
                    yield self._run([arrival])
                return
            yield self._write(arrivals, [_guilty(error)], Reply({}))
        except HubError as error:
            yield self._write(arrivals, [_broken(error)] * len(arrivals), Reply({}))
        else:
            yield self._write(arrivals, reply.header["results"], reply)

    def _raws(self, arrivals: list[Arrival]) -> Deferred[list[bytes]]:
        return deferToThread(self._read_raws, arrivals)

    def _read_raws(self, arrivals: list[Arrival]) -> list[bytes]:
        if all(arrival.raw is not None for arrival in arrivals):
            return [arrival.raw for arrival in arrivals if arrival.raw is not None]
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
                    "received_on": at(arrival.received_at, self._around.clock.zone).isoformat(timespec="seconds"),
                    "control_id": arrival.control_id,
                    "source": arrival.source,
                }
                for arrival in arrivals
            ],
        }
        limit = self._plan.mapping_seconds * (1 if len(arrivals) == 1 else 2)
        return self._around.workers.call("map", header, tuple(raws), timeout=limit)

    def _write(self, arrivals: list[Arrival], results: Sequence[dict[str, Any]], reply: Reply) -> Deferred[None]:
        written = [
            _Written(arrival, result, self._deliveries(arrival, result, reply.parts), reply.parts)
            for arrival, result in zip(arrivals, results, strict=True)
        ]
        done = self._around.journal.submit(lambda connection: self._write_results(connection, written))
        return done.addCallback(self._made)

    def _write_results(self, connection: Connection, written: Sequence[_Written]) -> list[NewDelivery]:
        vault, ids = self._around.vault, self._around.ids
        counts = Counts()
        made = [new for one in written for new in one.deliveries]
        contents = [row for new in made for row in content_rows(vault, new.body_id, new.body or b"")]
        for one in written:
            mapped_id = None
            if one.result.get("mapped") is not None:
                mapped_id = ids.next()
                contents.extend(content_rows(vault, mapped_id, one.parts[one.result["mapped"]]))
            outcome, reason, code = _steps_outcome(one.result)
            connection.execute(
                update(message)
                .where(message.c.sequence == one.arrival.sequence)
                .values(
                    mapped=True,
                    steps_outcome=outcome,
                    reason=reason,
                    reason_code=code,
                    mapped_id=mapped_id,
                    bundle=self._around.bundle,
                )
            )
            for held in one.result.get("held", ()):
                connection.execute(insert(work_item), self._held_item(one.arrival, held))
            for name, value in one.result.get("lines", {}).items():
                counts[one.arrival.channel, one.arrival.received_on, _LINE_COUNTERS[name]] += value
        if contents:
            connection.execute(insert(content), contents)
        if made:
            numbers = take_numbers(connection, "delivery", len(made))
            made = [replace(new, sequence=number) for new, number in zip(made, numbers, strict=True)]
            self._insert_deliveries(connection, made)
        for one in written:
            settle(connection, one.arrival.sequence, counts)
        add_counts(connection, counts)
        return made

    def _deliveries(self, arrival: Arrival, result: dict[str, Any], parts: tuple[bytes, ...]) -> list[NewDelivery]:
        """The deliveries of one message; their sequence numbers are taken when they are written."""
        made = []
        for output in result.get("deliveries", ()):
            destination = output["destination"]
            lane = _lane(self._plan.destinations[destination].order, arrival)
            intent = self._reserve(destination, lane)
            made.append(
                NewDelivery(
                    sequence=0,
                    delivery_id=self._around.ids.next(),
                    message_sequence=arrival.sequence,
                    message_id=arrival.message_id,
                    channel=arrival.channel,
                    destination=destination,
                    kind=output["kind"],
                    name=output["name"],
                    lane=lane,
                    body=parts[output["part"]],
                    body_id=self._around.ids.next(),
                    attempts=1 if intent else 0,
                    intent=intent,
                )
            )
        return made

    def _insert_deliveries(self, connection: Connection, made: list[NewDelivery]) -> None:
        now = real_ms()
        connection.execute(
            insert(delivery),
            [
                {
                    "sequence": new.sequence,
                    "id": new.delivery_id,
                    "organisation": self._around.organisation,
                    "partition": new.lane[0] % 64 if new.lane else 0,
                    "fence": 0,
                    "message_sequence": new.message_sequence,
                    "message_id": new.message_id,
                    "channel": new.channel,
                    "destination": new.destination,
                    "kind": new.kind[:32],
                    "name": new.name[:200],
                    "lane_digest": new.lane,
                    "state": "sending" if new.intent else "queued",
                    "attempts": new.attempts,
                    "created_at": now,
                    "body_id": new.body_id,
                    "intent": new.intent,
                }
                for new in made
            ],
        )
        attempts = [
            {"delivery_id": new.delivery_id, "number": 1, "started_at": now, "outcome": "sending"}
            for new in made
            if new.intent
        ]
        if attempts:
            connection.execute(insert(attempt), attempts)

    def _held_item(self, arrival: Arrival, held: dict[str, str]) -> dict[str, Any]:
        key = f"hold/{arrival.message_id}/{held['path']}/{held['reason']}"
        return {
            "id": self._around.ids.next(),
            "organisation": self._around.organisation,
            "partition": 0,
            "fence": 0,
            "queue": held["queue"],
            "item_key": key[:160],
            "kind": "mapping hold",
            "sentence": held["reason"],
            "message_id": arrival.message_id,
            "source_path": held["path"],
            "opened_business_at": self._around.clock.now_ms(),
            "state": "open",
            "body": self._around.vault.seal_json({}, "work_item.body"),
        }


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
    return {
        "error": {"code": error.code, "what": error.what, "where": error.where},
    }
