"""The parts of a node that tests script: workers, destinations, and messages that a test can write by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.task import deferLater

from hub.core.clock import BusinessClock
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.secret import Secrets
from hub.core.vault import Vault
from hub.engine.contracts import (
    DELIVERED,
    Description,
    DestinationContext,
    EndpointState,
    Health,
    Outcome,
    Parcel,
    Received,
    Reply,
    Stored,
)
from hub.engine.engine import HubEngine, highest_id
from hub.engine.plan import ChannelPlan, DestinationPlan, SitePlan
from hub.engine.swap import no_bundles, unrecorded
from hub.store.changes import Changes, to_json
from hub.store.database import reading
from hub.store.tables import attempt, counter, delivery, due, message, work_item

DEADLINE = 30.0
CHANNEL = "visits"
VAULT = Vault({1: b"k" * 32}, b"i" * 32)

Mapping = Callable[[dict[str, Any], bytes], dict[str, Any]]
MakeNode = Callable[..., "Node"]


def raw(control_id: str, lane: str = "", *, kind: str = "ADT", other: str | None = None, **more: Any) -> bytes:
    """A message as these tests write them."""
    return json.dumps({"id": control_id, "lane": lane, "kind": kind, "other": other, **more}).encode()


def describe(body: bytes) -> Description:
    """What :func:`raw` said. Raises `HubError` for anything else."""
    try:
        said = json.loads(body)
    except ValueError:
        raise HubError("This is no message.", where="byte 1") from None
    return Description(
        kind=said["kind"],
        control_id=said["id"],
        sender="EHR",
        lane=said["lane"],
        other_lane=said["other"],
        duplicate_basis=body,
        identifiers=(("mrn", said["mrn"]),) if "mrn" in said else (),
    )


def to(destination: str, *bodies: bytes) -> dict[str, Any]:
    """The result of steps that made *bodies* for *destination*."""
    return {"deliveries": [(destination, body) for body in bodies]}


def copy_to(*destinations: str) -> Mapping:
    """Steps that hand each message on as it came."""
    return lambda _message, body: {"deliveries": [(name, body) for name in destinations]}


class FakeWorkers:
    """Runs functions of the test where worker processes would run tasks, on the reactor but never within the call.

    *mapping* is called for each message; what it raises ends the whole task, as an error of a worker's own would.
    *decide* is called for each decision with its header and parts. Either may return a Deferred, to be decided later.
    """

    def __init__(self) -> None:
        self.mapping: Mapping = copy_to()
        self.decide: Callable[[dict[str, Any], tuple[bytes, ...]], Any] = lambda _header, _parts: decided()
        self.batches: list[list[int]] = []
        self.mapped: list[str] = []  # control ids, in the order of their results
        self.decisions: list[dict[str, Any]] = []
        self.gate: Deferred[None] | None = None
        self.waiting = 0

    def call(
        self, task: str, header: dict[str, Any], parts: tuple[bytes, ...] = (), *, timeout: float = 60.0
    ) -> Deferred[Reply]:
        json.dumps(header)  # it has to go through a pipe
        if task == "map":
            return deferLater(reactor, 0, self._map, header, parts)  # type: ignore[arg-type]
        self.decisions.append(header)
        return deferLater(reactor, 0, self.decide, header, parts)  # type: ignore[arg-type]

    @inlineCallbacks
    def _map(self, header: dict[str, Any], parts: tuple[bytes, ...]) -> Any:
        self.batches.append([one["id"] for one in header["messages"]])
        if self.gate is not None:
            opened: Deferred[None] = Deferred()
            self.gate.chainDeferred(opened) if not self.gate.called else opened.callback(None)
            self.gate.addCallback(lambda _: None)
            yield opened
        results, bodies = [], []
        for one, body in zip(header["messages"], parts, strict=True):
            result = {"skipped": [], "held": [], "rejected": None, "lines": {}, "mapped": None, "error": None}
            result |= yield maybeDeferred(self.mapping, one, body)
            made = result.get("deliveries", [])
            result["deliveries"] = [
                {
                    "destination": name,
                    "kind": "OUT",
                    "name": f"{one['control_id']}-{number}",
                    "part": len(bodies) + number,
                }
                for number, (name, _) in enumerate(made)
            ]
            bodies.extend(output for _, output in made)
            results.append(result)
        self.mapped.extend(one["control_id"] for one in header["messages"])
        return Reply({"results": results}, tuple(bodies))

    def __getitem__(self, _pool: str) -> FakeWorkers:
        return self

    def start(self) -> None:
        """There is nothing to start."""

    def exchange(self, pools: dict[str, Any]) -> dict[str, Any]:
        """What maps from now on is the mapping of the test's own pool."""
        self.mapping = pools["mapping"].mapping
        return {}

    def stop(self) -> list[Deferred[None]]:
        return [succeed(None)]


def decided(changes: Changes | None = None, *, complete: bool = True, **header: Any) -> Reply:
    """What billing replies that decided *changes*."""
    return Reply({"changes": to_json(changes or Changes()), "complete": complete, **header})


Answer = Outcome | Deferred[Outcome]


class FakeDestination:
    """Takes parcels and answers them as *answer* says; delivered when it says nothing."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.answer: Callable[[Parcel], Answer] = lambda _parcel: DELIVERED
        self.open = 0
        self.most_open = 0
        self.stopped = False

    @property
    def bodies(self) -> list[bytes]:
        return [parcel.body for parcel in self.parcels]

    @property
    def ids(self) -> list[str]:
        """The control ids of the messages that came, in order; with attempts again and again."""
        return [json.loads(body)["id"] for body in self.bodies]

    def start(self) -> None:
        """There is nothing to start."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        assert not self.stopped, "a parcel for a destination that was stopped"
        self.parcels.append(parcel)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        answered = deferLater(reactor, 0, self.answer, parcel)  # type: ignore[arg-type]
        return answered.addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self.open -= 1
        return result

    def stop(self) -> None:
        self.stopped = True

    def health(self) -> tuple[Health, ...]:
        return (Health(EndpointState.IDLE, "here", 0),)


def in_turn(*outcomes: Outcome) -> Callable[[Parcel], Answer]:
    """Answers that come one after the other; afterwards everything is delivered."""
    waiting = list(outcomes)
    return lambda _parcel: waiting.pop(0) if waiting else DELIVERED


@dataclass
class Held:
    """Answers that a test gives when it wants to."""

    waiting: dict[str, Deferred[Outcome]] = field(default_factory=dict)

    def __call__(self, parcel: Parcel) -> Answer:
        answer: Deferred[Outcome] = Deferred()
        self.waiting[json.loads(parcel.body)["id"]] = answer
        return answer

    def give(self, control_id: str, outcome: Outcome = DELIVERED) -> None:
        self.waiting.pop(control_id).callback(outcome)


def destination(name: str = "peer", **settings: Any) -> DestinationPlan:
    """A destination's plan with short waits; ``billing`` is the one without a connector."""
    defaults: dict[str, Any] = {"order": "lane", "ambiguous": "ask", "backoff_seconds": (0.02, 0.05)}
    return DestinationPlan(name=name, **{**defaults, **settings})


class Node:
    """One engine on *store*. Start another on the same store for a restart."""

    def __init__(
        self,
        store: Engine,
        folder: Path,
        *,
        destinations: Sequence[DestinationPlan] = (),
        billing: bool = False,
        channels: Sequence[ChannelPlan] = (),
        mapping: Mapping | None = None,
        first_work: Sequence[dict[str, Any]] = (),
        writes: dict[str, Any] | None = None,
        prepare: Any = no_bundles,
        record: Any = unrecorded,
        owner: str = "node",
    ) -> None:
        self.store = store
        self.workers = FakeWorkers()
        self.peers: dict[str, FakeDestination] = {}
        plans = {plan.name: self._opened(plan) for plan in destinations}
        if billing:
            plans["billing"] = destination("billing", open=None)
        visits = ChannelPlan(CHANNEL, "Visits", describe, (), plans)
        self.plan = SitePlan(
            "clinic", "test", "UTC", "b1", {CHANNEL: visits, **{one.name: self._channel(one) for one in channels}}
        )
        self.workers.mapping = mapping or copy_to(*plans)
        self.store_failures: list[BaseException] = []
        self.lines = io.StringIO()
        with reading(store) as connection:
            self.ids = IdMaker(floor=highest_id(connection))
        self.engine = HubEngine(
            self.plan,
            store=store,
            vault=VAULT,
            clock=BusinessClock(),
            secrets=Secrets({}),
            workers=self.workers,  # type: ignore[arg-type]
            ids=self.ids,
            var=folder,
            log=Log(self.lines),
            reactor=reactor,
            writes=writes or {},
            first_work=first_work,
            on_failure=self.store_failures.append,
            prepare=prepare,
            record=record,
            owner=owner,
        )
        self._running = False

    def _opened(self, plan: DestinationPlan) -> DestinationPlan:
        peer = self.peers[plan.name] = FakeDestination()

        def open_it(_context: DestinationContext) -> FakeDestination:
            return peer

        return DestinationPlan(**{name: getattr(plan, name) for name in plan.__slots__} | {"open": open_it})

    def _channel(self, plan: ChannelPlan) -> ChannelPlan:
        opened = {name: self._opened(one) for name, one in plan.destinations.items()}
        return ChannelPlan(**{name: getattr(plan, name) for name in plan.__slots__} | {"destinations": opened})

    @property
    def peer(self) -> FakeDestination:
        return self.peers["peer"]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]

    # ---- life

    @inlineCallbacks
    def start(self) -> Any:
        self._running = True
        yield self.engine.start()
        return self

    @inlineCallbacks
    def stop(self) -> Any:
        if self._running:
            self._running = False
            yield self.engine.stop()

    def receive(self, body: bytes, *, channel: str = CHANNEL, **more: Any) -> Deferred[Stored]:
        """Hand *body* to intake as a source would."""
        settings = {"answer": b"AA", "source": "peer:1", **more}
        return self.engine._intake.receive(Received(channel, body, describe(body), **settings))

    def ask(self, command: str, actor: str = "nora", **arguments: Any) -> Deferred[Any]:
        """Ask the engine as the control socket would."""
        return maybeDeferred(self.engine.commands()[command], arguments, actor)

    # ---- what the store says

    def rows(self, query: Any) -> list[Any]:
        with reading(self.store) as connection:
            return list(connection.execute(query).all())

    def messages(self) -> dict[str, Any]:
        """The rows of `message` by control id (the newest of each)."""
        return {row.control_id: row for row in self.rows(select(message).order_by(message.c.sequence))}

    def outcomes(self) -> dict[str, str]:
        return {control_id: row.onward for control_id, row in self.messages().items()}

    def deliveries(self) -> list[Any]:
        return self.rows(select(delivery).order_by(delivery.c.sequence))

    def states(self) -> list[str]:
        return [row.state for row in self.deliveries()]

    def attempts(self) -> list[tuple[int, str]]:
        return [
            (row.number, row.outcome)
            for row in self.rows(select(attempt).order_by(attempt.c.started_at, attempt.c.number))
        ]

    def items(self, state: str = "open") -> list[Any]:
        return self.rows(select(work_item).where(work_item.c.state == state).order_by(work_item.c.id))

    def dues(self) -> list[Any]:
        return self.rows(select(due).order_by(due.c.id))

    def counts(self) -> dict[str, int]:
        """The kept counters over all days, without those that are zero."""
        sums: dict[str, int] = {}
        for row in self.rows(select(counter)):
            assert row.value >= 0, f"{row.name} is negative"
            sums[row.name] = sums.get(row.name, 0) + row.value
        return {name: value for name, value in sums.items() if value}

    # ---- waiting

    @inlineCallbacks
    def until(self, holds: Callable[[], Any], what: str = "") -> Any:
        """Wait until *holds*; fails after a while that is longer than anything here takes."""
        end = reactor.seconds() + DEADLINE  # type: ignore[attr-defined]
        while not (value := holds()):
            if reactor.seconds() > end:  # type: ignore[attr-defined]
                raise AssertionError(
                    f"still waiting: {what or holds}; {self.outcomes()}; {self.states()}; {self.log[-5:]}"
                )
            yield pause(0.01)
        return value

    def settled_but_for_loading(self) -> Deferred[Any]:
        """Wait until no message is in progress, whatever the engine believes to be loading."""
        return self.until(lambda: "in progress" not in self.outcomes().values(), "nothing in progress")

    def settled(self) -> Deferred[Any]:
        """Wait until no message is in progress and the engine has nothing in hand."""
        return self.until(
            lambda: "in progress" not in self.outcomes().values() and self.engine._is_idle(), "nothing in progress"
        )


def pause(seconds: float = 0.0) -> Deferred[None]:
    """Let the reactor and the journal go round."""
    return deferLater(reactor, seconds, lambda: None)  # type: ignore[arg-type]
