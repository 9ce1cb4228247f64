"""What stands around a connector in its tests: an intake, workers, contexts."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread

from hub.core.clock import BusinessClock
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.secret import Secrets
from hub.engine.awaited import Awaited
from hub.engine.contracts import (
    Again,
    Connector,
    Description,
    DestinationContext,
    Mark,
    Note,
    Noted,
    Outcome,
    Parcel,
    Processed,
    Received,
    Reply,
    SourceContext,
    Stored,
    TaskCall,
    WorkerSite,
)
from hub.formats.fhir.notification import summary
from hub.formats.hl7v2.header import content_without_timestamp
from hub.formats.hl7v2.message import Message

WAIT = 20.0
"""Seconds after which a test gives up."""


class FakeIntake:
    """Stores in a list. With *held* set, nothing is settled until `let_go`."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.held = False
        self.failing: Exception | None = None
        self.outcome: Processed | None = Processed()
        """What becomes of every message; None: the test says so for those in *awaited*."""
        self.awaited = Awaited()
        self.ended: dict[int, Processed] = {}
        """What the steps of a message came to, for those that ask again."""
        self.answers: list[tuple[int, bool]] = []
        self.given_up: list[tuple[int, str]] = []
        self.stuck_with: list[str] = []
        self._waiting: list[Deferred[Stored]] = []
        self._arrivals: list[tuple[int, Deferred[None]]] = []
        self._known: dict[bytes, Stored] = {}
        self.marks: dict[str, str] = {}

    def place(self, channel: str, name: str) -> Deferred[str | None]:
        return succeed(self.marks.get(name))

    def keep(self, channel: str, mark: Mark) -> Deferred[None]:
        self.marks[mark.name] = mark.place
        return succeed(None)

    def processed(self, message_id: int) -> Deferred[Processed]:
        if self.outcome is not None:
            return succeed(self.outcome)
        return self.awaited.wait(message_id)

    def noted(self, channel: str, kind: str, until: int | None = None) -> Deferred[list[Noted]]:
        return succeed([])

    def note(self, channel: str, note: Note) -> Deferred[None]:
        return succeed(None)

    def again(self, message_id: int) -> Deferred[Again | None]:
        return succeed(None)

    def answered(self, message_id: int, *, delivered: bool, noted: bool = False) -> None:
        self.answers.append((message_id, delivered))

    def unanswered(self, message_id: int, sentence: str) -> None:
        self.given_up.append((message_id, sentence))

    def stuck(self, channel: str, kind: str, sentence: Callable[[int], str] | None, until: int = 0) -> None:
        self.stuck_with.append(sentence(1) if sentence is not None else "")

    def receive(self, received: Received) -> Deferred[Stored]:
        self.received.append(received)
        for count, arrived in list(self._arrivals):
            if len(self.received) >= count:
                self._arrivals.remove((count, arrived))
                reactor.callLater(0, arrived.callback, None)  # after this message is in its place
        if self.failing is not None:
            done: Deferred[Stored] = Deferred()
            done.errback(self.failing)
            return done
        if self.held:
            waiting: Deferred[Stored] = Deferred()
            self._waiting.append(waiting)
            return waiting
        if received.mark is not None:
            self.marks[received.mark.name] = received.mark.place
        basis = received.description.duplicate_basis
        if basis is not None and received.refusal is None:
            if basis in self._known:
                first = self._known[basis]
                return succeed(Stored(first.message_id, True, first.answer, self.ended.get(first.message_id)))
            self._known[basis] = Stored(len(self.received), False, received.answer)
        return succeed(Stored(len(self.received), False, received.answer))

    def let_go(self, *order: int) -> None:
        """Settle what waits, in *order* (or as it came)."""
        waiting, self._waiting = self._waiting, []
        for place in order or range(len(waiting)):
            waiting[place].callback(Stored(place + 1, False, None))

    def arrived(self, count: int) -> Deferred[None]:
        """Fires when *count* messages have come in all."""
        done: Deferred[None] = Deferred()
        if len(self.received) >= count:
            done.callback(None)
        else:
            self._arrivals.append((count, done))
        return done.addTimeout(WAIT, reactor)


@dataclass
class FakeWorkers:
    """Runs a connector's tasks in threads of this process."""

    connector: Connector
    site: WorkerSite
    dying: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def call(
        self, task: str, header: Mapping[str, Any], parts: tuple[bytes, ...] = (), *, timeout: float = 60.0
    ) -> Deferred[Reply]:
        self.calls.append(task)
        if task in self.dying:
            dead: Deferred[Reply] = Deferred()
            dead.errback(RuntimeError("the worker died"))
            return dead
        assert self.connector.tasks is not None
        call = TaskCall(dict(header), parts, self.site, IdMaker().block())
        return deferToThread(self.connector.tasks[task], call)


def describe_hl7(raw: bytes) -> Description:
    message = Message(raw)
    return Description(
        kind=message.header.type,
        control_id=message.header.control_id,
        lane=message["PID-3.1"],
        duplicate_basis=content_without_timestamp(raw),
    )


def describe_fhir(raw: bytes) -> Description:
    found = summary(raw)
    return Description(found.kind, lane=found.lane, duplicate_basis=found.duplicate_basis)


@dataclass
class Surroundings:
    """One site's folder, secrets and log, and the contexts made of them."""

    folder: Path
    log: io.StringIO = field(default_factory=io.StringIO)
    intake: FakeIntake = field(default_factory=FakeIntake)

    def secret(self, name: str, value: str) -> None:
        folder = self.folder / "var" / "secrets"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(value)

    @property
    def secrets(self) -> Secrets:
        return Secrets((self.folder / "var" / "secrets",))

    def workers(self, connector: Connector) -> FakeWorkers:
        nothing: Any = None
        site = WorkerSite(self.folder, self.folder / "var", self.secrets, nothing, BusinessClock(), nothing)
        return FakeWorkers(connector, site)

    def source(
        self,
        connector: Connector,
        *,
        describe: Callable[[bytes], Description] = describe_hl7,
        accepts: frozenset[str] = frozenset(),
        environment: str = "test",
        ack: str = "committed",
    ) -> SourceContext:
        return SourceContext(
            channel="ehr",
            intake=self.intake,
            describe=describe,
            accepts=accepts,
            environment=environment,
            zone="America/Chicago",
            secrets=self.secrets,
            workers=self.workers(connector),
            clock=BusinessClock(),
            log=Log(self.log),
            var=self.folder / "var",
            ack=ack,
        )

    def destination(self, connector: Connector) -> DestinationContext:
        return DestinationContext(
            channel="out",
            destination="peer",
            environment="test",
            secrets=self.secrets,
            workers=self.workers(connector),
            clock=BusinessClock(),
            log=Log(self.log),
            var=self.folder / "var",
        )


def parcel(body: bytes, name: str = "file.txt", attempt: int = 1) -> Parcel:
    return Parcel(delivery_id=1, message_id=1, attempt=attempt, kind="x", name=name, body=body)


def within(done: Deferred[Any]) -> Deferred[Any]:
    """*done*, or a failure when it takes too long."""
    return done.addTimeout(WAIT, reactor)


def failure_of(outcome: Outcome) -> str:
    return outcome.failure.value if outcome.failure else "delivered"
