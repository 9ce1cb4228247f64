"""What the engine asks of connectors, and what it gives them.

A source frames bytes and hands them to the :class:`Intake`; it answers its peer only after the returned Deferred has
fired. A destination sends one :class:`Parcel` at a time per lane and says in an :class:`Outcome` what became of it.
Connectors run on the reactor and never block it: whatever blocks goes through :class:`Workers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Engine
from twisted.internet.defer import Deferred

from hub.core.clock import BusinessClock
from hub.core.errors import HubError
from hub.core.ids import IdBlock
from hub.core.log import Log
from hub.core.secret import Secrets
from hub.core.vault import Vault


class Description(NamedTuple):
    """What intake must know of a message, read from its bytes by the channel's format.

    *kind* is what steps select by (``ADT^A04``, ``835``); *lane* is what its order is kept by, and *other_lane* a
    second one (a merge). *duplicate_basis* is what two copies of one message share; without it nothing is taken for a
    repeat. *identifiers* make the message findable, as pairs of kind and text.
    """

    kind: str
    control_id: str = ""
    sender: str = ""
    lane: str = ""
    other_lane: str | None = None
    duplicate_basis: bytes | None = None
    identifiers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a source has come in what it reads: *name* is its own within its channel, *place* is for it to read."""

    name: str
    place: str


class Note(NamedTuple):
    """What a source keeps beside a message, in the transaction that stores it, to find it again after a restart.

    *name* is its own within its channel and *kind*; without one the note is named after its message. *text* is for the
    source to read. A note goes when *until* (milliseconds since 1970) has passed; with a *sentence* a work item then
    tells a person so. The message keeps its content as long.
    """

    kind: str
    until: int
    name: str = ""
    text: str = ""
    sentence: str = ""


class Followed(NamedTuple):
    """The notes *names* are followed by this message: nobody is told when they go, and they last until *until*."""

    kind: str
    names: tuple[str, ...]
    until: int


class Noted(NamedTuple):
    """A note that was found again, and the message that it stands beside."""

    name: str
    message_id: int
    text: str
    until: int
    followed: bool


class Received(NamedTuple):
    """One framed message on its way into the store.

    *answer* is what the peer will be told once the message is durable; it is stored with it and repeated to a
    duplicate. *refusal* marks a message that is kept but goes no further (outcome *rejected*), with the reason and
    its code. *filtered* likewise marks one that nothing in the channel takes (outcome *filtered*). *unheard* says
    that no peer learns of a refusal, as with a file from a folder: a work item then tells a person.
    """

    channel: str
    raw: bytes
    description: Description
    source: str
    answer: bytes | None = None
    refusal: str | None = None
    refusal_code: str = ""
    filtered: str | None = None
    parent_id: int | None = None
    relation: str | None = None
    unheard: bool = False
    owes: bool = False
    """Whether the peer is also to hear, by the source, what became of the message once its steps have ended."""
    mark: Mark | None = None
    """How far the source has come with this message: kept in the transaction that stores it, or not at all."""
    notes: tuple[Note | Followed, ...] = ()
    """What the source keeps beside the message, also beside one that is a repeat."""


@dataclass(frozen=True, slots=True)
class Processed:
    """The steps of a message have ended: with *error*, which says what is wrong without patient data, or well."""

    error: HubError | None = None


class Stored(NamedTuple):
    """A message is durable. *repeated* means that it had been before; *answer* is then the one given at that time.

    *processed* is what the steps of a repeated message came to, as it stands now; None while they have not ended.
    """

    message_id: int
    repeated: bool
    answer: bytes | None
    processed: Processed | None = None


class Again(NamedTuple):
    """A message that was stored before: its bytes, and what is to be said of it."""

    raw: bytes
    stored: Stored


class Intake(Protocol):
    """The way into the store."""

    def receive(self, received: Received) -> Deferred[Stored]:
        """Make *received* durable. Fails when it could not be, or when that is unknown: then no answer is sent."""

    def processed(self, message_id: int) -> Deferred[Processed]:
        """Fires when the steps of a message that was just stored have ended; cancel it when nobody waits any more."""

    def place(self, channel: str, name: str) -> Deferred[str | None]:
        """The place of the newest :class:`Mark` called *name* of *channel*; None when there is none."""

    def keep(self, channel: str, mark: Mark) -> Deferred[None]:
        """Keep *mark* without a message. Fails when that could not be."""

    def noted(self, channel: str, kind: str, until: int | None = None) -> Deferred[list[Noted]]:
        """The notes of *kind* of *channel*, newest first. With *until* each lasts until then at least."""

    def note(self, channel: str, note: Note) -> Deferred[None]:
        """Keep *note* without a message. Fails when that could not be."""

    def again(self, message_id: int) -> Deferred[Again | None]:
        """A message that is stored, as it stands now; None when what it said is kept no more."""

    def answered(self, message_id: int, *, delivered: bool, noted: bool = False) -> None:
        """What was owed for a message was said (*delivered*), or is not owed after all.

        *noted*: it is owed by a note that is named after the message, which goes with it.
        """

    def unanswered(self, message_id: int, sentence: str) -> None:
        """What a note named after the message stands for will not be said; *sentence* tells a person."""

    def stuck(self, channel: str, kind: str, sentence: Callable[[int], str] | None, until: int = 0) -> None:
        """What the notes of *kind* wait for does not happen now: one work item says so, however many they are.

        *sentence* gets their number; they last until *until* at least. None: it happens again, the item is resolved.
        """


class Failure(StrEnum):
    """What is known of a delivery that did not succeed."""

    TRANSIENT = "transient"  # surely not processed: send again, in order
    AMBIGUOUS = "ambiguous"  # may have been processed
    PERMANENT = "permanent"  # refused: a person must look


class Parcel(NamedTuple):
    """One rendered output for one destination. *name* is how the peer knows it: a control id, a file name."""

    delivery_id: int
    message_id: int
    attempt: int
    kind: str
    name: str
    body: bytes


class Outcome(NamedTuple):
    """What became of a parcel. *failure* is None when it was delivered. *reason* is a sentence without patient data.

    *answer* is what the peer said, kept as it came. *retry_after* are seconds that the peer asked for.
    """

    failure: Failure | None
    reason: str = ""
    answer: bytes | None = None
    retry_after: float | None = None


DELIVERED = Outcome(failure=None)


class EndpointState(StrEnum):
    """How a connector's endpoint stands. The words are those of the status page."""

    LISTENING = "listening"
    CONNECTED = "connected"
    RETRYING = "retrying"
    REFUSED = "refused"
    LOGIN_FAILED = "login failed"
    IDLE = "idle"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Health:
    """One endpoint of a connector: *address* without credentials, *detail* in words, *peers* connected now."""

    state: EndpointState
    address: str
    since_ms: int
    detail: str = ""
    peers: int = 0


class Source(Protocol):
    """Brings messages in."""

    def start(self) -> Deferred[None] | None:
        """Open listeners or begin polling. Raises `HubError` when that cannot be."""

    def pause(self) -> None:
        """Take nothing more in until :meth:`resume`; a listener closes its port, so that peers wait with their data."""

    def resume(self) -> None:
        """Go on."""

    def stop(self) -> Deferred[None] | None:
        """Close, after what is in hand is answered."""

    def health(self) -> tuple[Health, ...]:
        """How each endpoint stands."""


class Destination(Protocol):
    """Takes messages out."""

    def start(self) -> Deferred[None] | None:
        """Get ready. Connections are opened when first needed."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Send *parcel*. Always fires with an outcome within the connector's own time limits; never fails."""

    def stop(self) -> Deferred[None] | None:
        """Close, after what is in hand is done."""

    def health(self) -> tuple[Health, ...]:
        """How each endpoint stands."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker's task returns: small values in *header*, bytes in *parts*."""

    header: dict[str, Any]
    parts: tuple[bytes, ...] = ()


class Workers(Protocol):
    """The worker processes.

    A call fails with the task's own `HubError`, or with `WorkerDiedError` when its worker died.
    """

    def call(
        self, task: str, header: Mapping[str, Any], parts: tuple[bytes, ...] = (), *, timeout: float = 60.0
    ) -> Deferred[Reply]:
        """Run *task* in a worker of the pool that the site put it in. Tasks of one pool may run at the same time."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given. *describe* raises a `HubError` with the place when the bytes cannot be read."""

    channel: str
    intake: Intake
    describe: Callable[[bytes], Description]
    accepts: frozenset[str]  # empty: every kind
    environment: str  # production | test
    zone: str
    secrets: Secrets
    workers: Workers
    clock: BusinessClock
    log: Log
    var: Path  # the site's working folder, for certificates and known hosts
    ack: str = "committed"  # or "processed": the answer waits for the steps


@dataclass(frozen=True, slots=True)
class DestinationContext:
    """What a destination is given."""

    channel: str
    destination: str
    environment: str
    secrets: Secrets
    workers: Workers
    clock: BusinessClock
    log: Log
    var: Path


Probe = Callable[[Any, Path, Secrets], Iterable[str]]
"""Says step by step how far one comes with settings, the site's folder and its secrets. Blocks. Raises `HubError`."""


@dataclass(frozen=True, slots=True)
class Connector:
    """One connector's declaration: its settings classes (pydantic models) and how to open each side.

    A connector is one module of `hub.connectors` that holds one of these as ``CONNECTOR``; nothing else registers it.
    """

    name: str
    summary: str
    source_settings: type[Any] | None = None
    open_source: Callable[[Any, SourceContext], Source] | None = None
    destination_settings: type[Any] | None = None
    open_destination: Callable[[Any, DestinationContext], Destination] | None = None
    tasks: Mapping[str, Task] | None = None  # what runs in the transfer workers, by name
    probe: Probe | None = None  # tries, for a person, how far one comes; writes nothing


@dataclass(frozen=True, slots=True)
class WorkerSite:
    """What a worker process knows of its site. *store* is for reading; only the journal writes."""

    folder: Path
    var: Path
    secrets: Secrets
    vault: Vault
    clock: BusinessClock
    store: Engine


@dataclass(frozen=True, slots=True)
class TaskCall:
    """One task as a worker sees it. *ids* are its own to use for rows that it decides to write."""

    header: dict[str, Any]
    parts: tuple[bytes, ...]
    site: WorkerSite
    ids: IdBlock


Task = Callable[[TaskCall], Reply]
