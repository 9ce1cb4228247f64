"""HL7 v2 over MLLP: a listener that answers what is stored, a sender that believes only answers.

Sources: HL7 v2 Transport Specification (MLLP, release 1); HL7 v2.5.1 chapter 2, section 2.9
(acknowledgement), table 0357.
"""

from __future__ import annotations

import codecs
import secrets
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from twisted.internet import error as network
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from hub.connectors.listener import Listener
from hub.connectors.settings import ConnectTo, ListenAt, Settings, TcpEndpoint
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.units import Duration, Size
from hub.engine.contracts import (
    DELIVERED,
    Connector,
    Description,
    DestinationContext,
    EndpointState,
    Failure,
    Health,
    Outcome,
    Parcel,
    Received,
    SourceContext,
    Stored,
)
from hub.formats.hl7v2.ack import (
    Ack,
    AckCode,
    AckError,
    acknowledge,
    read_ack,
    wants_accept_ack,
    wants_application_ack,
)
from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.header import Header, HL7ParseError, read_header
from hub.formats.hl7v2.mllp import Frame, FrameError, FrameReader, Noise, Oversize, Restart, frame

reactor: Any = _reactor

SILENCE = 0.2
"""Seconds after which a block whose final 0x0D is missing counts as whole."""
STOP_WITHIN = 10.0
"""Seconds that open connections have to get their answers when the source stops."""
CONDITIONS = frozenset({"AL", "NE", "ER", "SU"})
"""When an acknowledgement is wanted (table 0155)."""
LONGEST_ANSWER = 1 << 20
REMEMBERED = 1000
"""How many messages without an answer a destination remembers, to know a late answer when it comes."""


def _known_encoding(name: str) -> str:
    if name:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError('no such encoding; use a name such as "utf-8", "cp1252" or "iso-8859-1"') from None
    return name


class MllpSourceSettings(Settings):
    """A listener for HL7 v2 messages."""

    listen: ListenAt = Field(
        description="Where to listen. Without a host, on every interface.",
        examples=["tcp:2575", "tcp:127.0.0.1:2575"],
    )
    max_message: Size = Field(16 << 20, description="A longer message closes its connection.", examples=["16MB"])
    idle: Duration = Field(600.0, description="A connection that is silent for so long is closed.", examples=["10m"])
    max_connections: int = Field(
        200, ge=1, description="A connection beyond so many is closed at once.", examples=[200]
    )
    unanswered: int = Field(
        64,
        ge=1,
        description="How many messages of a connection may wait for their commit before reading stops.",
        examples=[64],
    )
    unlisted: Literal["filter", "refuse"] = Field(
        "filter",
        description="What happens to a type that the channel does not accept: kept, answered AA and counted "
        "as filtered, or refused with AR.",
        examples=["filter"],
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "",
        description="How to read messages that do not say it in MSH-18. Empty: UTF-8, else Windows-1252.",
        examples=["cp1252"],
    )


class MllpDestinationSettings(Settings):
    """A sender of HL7 v2 messages that waits for each answer."""

    endpoint: ConnectTo = Field(description="The receiver's address.", examples=["tcp:ehr.clinic.example:6661"])
    connections: int = Field(
        1, ge=1, le=64, description="How many connections; each carries one message at a time.", examples=[1]
    )
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(30.0, description="How long to wait for the answer.", examples=["30s"])
    idle_close: Duration = Field(300.0, description="An unused connection is closed after so long.", examples=["5m"])


# ---------------------------------------------------------------- what a message is answered


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How a message is received: *code* without its mode's first letter, and the complaint, if any."""

    code: Literal["A", "E", "R"] = "A"
    complaint: AckError | None = None
    filtered: str | None = None


def judge(raw: bytes, source: str, settings: MllpSourceSettings, context: SourceContext) -> Received:
    """*raw* as it goes into the store, with the answer that its sender gets once it is there.

    Never raises for anything that a sender can send. What cannot be read is answered AE with the place, what
    this site does not take at all AR; both are marked as refused.
    """
    header: Header | None = None
    description = Description(kind="unreadable")
    try:
        header = read_header(raw)
        description = Description(kind=header.type, control_id=header.control_id)
        description = context.describe(raw)
    except HL7ParseError as error:
        verdict = _Verdict("E", AckError.of(error))
    except HubError as error:
        verdict = _Verdict("E", AckError("207", error.what, error.where))
    else:
        verdict = _admit(header, description, settings, context)
    complaint = verdict.complaint
    return Received(
        channel=context.channel,
        raw=raw,
        description=description,
        source=source,
        answer=_answer(header, verdict, context),
        refusal=complaint.text if complaint else None,
        refusal_code=complaint.condition if complaint else "",
        filtered=verdict.filtered,
    )


def _admit(header: Header, description: Description, settings: MllpSourceSettings, context: SourceContext) -> _Verdict:
    if header.processing_id and (header.processing_id == "P") != (context.environment == "production"):
        text = f"This is a {context.environment} system; the message is marked {header.processing_id[:1]}."
        return _Verdict("R", AckError("202", text, "MSH-11"))
    if not context.accepts or description.kind in context.accepts:
        return _Verdict()
    if settings.unlisted == "filter":
        return _Verdict(filtered=f"The channel does not take {description.kind}.")
    code = description.kind.partition("^")[0]
    known_code = any(kind.partition("^")[0] == code for kind in context.accepts)
    return _Verdict("R", AckError("201" if known_code else "200", "This message type is not taken here.", "MSH-9"))


def _answer(header: Header | None, verdict: _Verdict, context: SourceContext) -> bytes | None:
    """The acknowledgement, or None when the sender wants none.

    In enhanced mode a sender that wants no accept acknowledgement but an application acknowledgement gets
    that one, as soon as the message is stored: what the hub does afterwards is its own affair, not the
    sender's. Conditions that table 0155 does not know (dates and codes stand there by mistake) say nothing:
    the sender waits for an answer.
    """
    mode: Literal["A", "C"] = "A"
    if header is not None and {header.accept_ack, header.application_ack} & CONDITIONS:
        ok = verdict.code == "A"
        if wants_accept_ack(header, ok):
            mode = "C"
        elif not wants_application_ack(header, ok):
            return None
    codes: dict[str, AckCode] = {
        "AA": "AA", "AE": "AE", "AR": "AR", "CA": "CA", "CE": "CE", "CR": "CR",
    }  # fmt: skip
    return acknowledge(
        header,
        codes[mode + verdict.code],
        control_id=secrets.token_hex(8),
        now=context.clock.now(),
        error=verdict.complaint,
    )


# ---------------------------------------------------------------- the listener


@dataclass(slots=True, eq=False)
class _Owed:
    """One message whose answer is due; answers leave in the order of receipt."""

    settled: bool = False
    failed: bool = False
    answer: bytes | None = None


class _Peer(Protocol):
    """One sender's connection."""

    def __init__(self, source: MllpSource, address: str) -> None:
        self._source = source
        self._address = address
        self._reader = FrameReader(source.settings.max_message)
        self._messages: deque[bytes] = deque()
        self._owed: deque[_Owed] = deque()
        self._holds: set[str] = set()
        self._silence: Any = None
        self._idle: Any = None
        self._leaving = False

    # ---- the transport's side

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's name)
        self._source.joined(self)
        # As the transport's producer this protocol is told when the peer does not read its answers.
        transport: Any = self.transport
        transport.registerProducer(self, streaming=True)
        transport.setTcpNoDelay(True)
        self._idle = reactor.callLater(self._source.settings.idle, self._too_quiet)
        if self._source.paused:
            self.hold("paused")

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        if self._idle.active():
            self._idle.reset(self._source.settings.idle)
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self._take(self._reader.feed(data))
        if self._reader.awaits_cr:
            self._silence = reactor.callLater(SILENCE, self._no_cr)

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:  # noqa: N802
        for timer in (self._idle, self._silence):
            if timer is not None and timer.active():
                timer.cancel()
        if self._reader.pending:
            self._source.note("cut off")
        self._leaving = True
        self._messages.clear()
        self._source.left(self)

    def pauseProducing(self) -> None:  # noqa: N802
        """The peer does not read its answers: stop reading its messages."""
        self.hold("answers unread")

    def resumeProducing(self) -> None:  # noqa: N802
        self.release("answers unread")

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is lost; `connectionLost` does the rest."""

    # ---- the source's side

    def hold(self, reason: str) -> None:
        """Read nothing more until every reason to wait is released."""
        self._holds.add(reason)
        transport: Any = self.transport
        transport.pauseProducing()

    def release(self, reason: str) -> None:
        """One reason to wait is gone."""
        self._holds.discard(reason)
        if not self._holds and not self._leaving:
            self._work()
        if not self._holds and not self._leaving:
            transport: Any = self.transport
            transport.resumeProducing()

    def leave(self) -> None:
        """Take no more, and close after the last answer that is owed."""
        self._messages.clear()
        self.hold("leaving")
        if not self._owed:
            self._hang_up()

    def abort(self) -> None:
        """Close now."""
        transport: Any = self.transport
        transport.abortConnection()

    # ---- messages and answers

    def _take(self, events: list[Frame | Noise | Restart | Oversize]) -> None:
        for event in events:
            match event:
                case Frame(raw, clean):
                    if not clean:
                        self._source.note("unclean")
                    # A batch without a message is no batch: the parser says what is wrong with it.
                    self._messages.extend(split_batch(raw) or [raw])
                case Noise(count):
                    self._source.note("noise", bytes=count)
                case Restart(discarded):
                    self._source.note("restart", bytes=discarded)
                case Oversize(limit):
                    self._source.note("oversize", limit=limit)
                    self.leave()
                    return
        self._work()

    def _too_quiet(self) -> None:
        if self._owed or self._holds:  # it is the hub that is slow
            self._idle = reactor.callLater(self._source.settings.idle, self._too_quiet)
            return
        self._source.note("idle", within_a_message=self._reader.pending)
        self._hang_up()

    def _no_cr(self) -> None:
        self._silence = None
        self._take(self._reader.flush())

    def _work(self) -> None:
        while self._messages and not self._leaving and not self._holds:
            self._receive(self._messages.popleft())
            if len(self._owed) >= self._source.settings.unanswered:
                self.hold("unanswered")

    def _receive(self, raw: bytes) -> None:
        received = judge(raw, self._address, self._source.settings, self._source.context)
        owed = _Owed()
        self._owed.append(owed)

        def stored(result: Stored) -> None:
            owed.answer = result.answer if result.repeated else received.answer

        def failed(failure: TwistedFailure) -> None:
            owed.failed = True
            error = failure.value or RuntimeError()
            self._source.context.log.failure("not stored, so not answered", error)

        def settled(_: None) -> None:
            owed.settled = True
            self._answer()

        self._source.context.intake.receive(received).addCallbacks(stored, failed).addCallback(settled)

    def _answer(self) -> None:
        while self._owed and self._owed[0].settled and not self._leaving:
            owed = self._owed.popleft()
            if owed.failed:
                # A peer that hears nothing sends again; one that got no answer but the next would be misled.
                self._hang_up()
                return
            if owed.answer is not None:
                transport: Any = self.transport
                transport.write(frame(owed.answer))
        if self._leaving:
            return
        if "leaving" in self._holds and not self._owed:
            self._hang_up()
        elif "unanswered" in self._holds and len(self._owed) <= self._source.settings.unanswered // 2:
            self.release("unanswered")

    def _hang_up(self) -> None:
        self._leaving = True
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.resumeProducing()  # so that the end of a peer that is already gone is seen
        transport.loseConnection()


class _Peers(Factory):
    """Makes a protocol for each connection, up to the limit."""

    noisy = False

    def __init__(self, source: MllpSource) -> None:
        self._source = source

    def buildProtocol(self, addr: Any) -> _Peer | None:  # noqa: N802
        if self._source.full:
            self._source.note("too many connections")
            return None
        return _Peer(self._source, str(addr.host))


class MllpSource:
    """Listens, stores, answers."""

    def __init__(self, settings: MllpSourceSettings, context: SourceContext) -> None:
        self.settings = settings
        self.context = context
        self.paused = False
        self.counts: Counter[str] = Counter()
        """What was odd: noise, restart, oversize, unclean, cut off, idle, too many connections."""
        self._peers: set[_Peer] = set()
        self._empty: Deferred[None] | None = None
        factory = _Peers(self)
        self._listener = Listener(
            settings.listen,
            lambda port, host: reactor.listenTCP(port, factory, interface=host),
            context.log,
        )

    @property
    def full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return len(self._peers) >= self.settings.max_connections

    def start(self) -> None:
        """Open the port. Raises :class:`hub.connectors.errors.ListenError`."""
        self._listener.open()

    def pause(self) -> None:
        """Close the port and read nothing more; what was read is answered."""
        self.paused = True
        self._listener.close()
        for peer in self._peers:
            peer.hold("paused")

    def resume(self) -> None:
        """Open the same port again and go on reading."""
        self.paused = False
        self._listener.reopen()
        for peer in list(self._peers):
            peer.release("paused")

    def stop(self) -> Deferred[None]:
        """Close the port, give the answers that are owed, close the connections."""
        closed = self._listener.close()
        self._empty = Deferred()
        for peer in list(self._peers):
            peer.leave()
        if not self._peers:
            self._empty.callback(None)
        late = reactor.callLater(STOP_WITHIN, self._abort)
        done = DeferredList([closed, self._empty])

        def finished(_: Any) -> None:
            if late.active():
                late.cancel()

        return done.addCallback(finished)

    def health(self) -> tuple[Health, ...]:
        """The port and how many are connected."""
        return (self._listener.health(len(self._peers)),)

    def _abort(self) -> None:
        for peer in list(self._peers):
            peer.abort()

    def joined(self, peer: _Peer) -> None:
        """A connection was made."""
        self._peers.add(peer)

    def left(self, peer: _Peer) -> None:
        """A connection was lost."""
        self._peers.discard(peer)
        if self._empty is not None and not self._peers and not self._empty.called:
            self._empty.callback(None)

    def note(self, oddity: str, **fields: int | bool) -> None:
        """Count and log something odd about a peer's bytes."""
        self.counts[oddity] += 1
        self.context.log.warning(f"mllp: {oddity}", **fields)


# ---------------------------------------------------------------- the sender


@dataclass(slots=True)
class _Exchange:
    """A message that was written and whose answer is awaited."""

    control_id: str
    done: Deferred[Outcome]
    strays: int = 0
    last_stray: bytes | None = None


class _Line(Protocol):
    """One connection to the receiver, with at most one message under way."""

    def __init__(self, destination: MllpDestination) -> None:
        self._destination = destination
        self._reader = FrameReader(LONGEST_ANSWER)
        self._exchange: _Exchange | None = None
        self._idle: Any = None
        self.lost: Deferred[None] = Deferred()
        self.open = False

    def connectionMade(self) -> None:  # noqa: N802
        self.open = True
        transport: Any = self.transport
        transport.setTcpKeepAlive(True)
        transport.setTcpNoDelay(True)

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:  # noqa: N802
        self.open = False
        self._rest(0)
        self._finish(Failure.AMBIGUOUS, "The connection was lost before the answer came.")
        self._destination.dropped(self)
        self.lost.callback(None)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        for event in self._reader.feed(data):
            match event:
                case Frame(raw, _):
                    self._answered(raw)
                case Oversize(_):
                    self.close()
                case _:
                    self._destination.note("noise in answers")
        if self._reader.awaits_cr:
            reactor.callLater(SILENCE, self._no_cr)

    def send(self, block: bytes, control_id: str, within: float) -> Deferred[Outcome]:
        """Write *block* and wait for the answer to *control_id*."""
        self._rest(0)
        self._exchange = _Exchange(control_id, Deferred())
        done = self._exchange.done
        transport: Any = self.transport
        transport.write(block)
        limit = reactor.callLater(within, self._too_late)

        def settled(outcome: Outcome) -> Outcome:
            if limit.active():
                limit.cancel()
            return outcome

        return done.addCallback(settled)

    def rest(self) -> None:
        """Nothing to do: close after a while."""
        self._rest(self._destination.settings.idle_close)

    def close(self) -> None:
        """Close now: what is still in flight on this connection is not believed any more."""
        self.open = False
        transport: Any = self.transport
        transport.abortConnection()

    def _rest(self, seconds: float) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = reactor.callLater(seconds, self.close) if seconds else None

    def _no_cr(self) -> None:
        for event in self._reader.flush():
            if isinstance(event, Frame):
                self._answered(event.raw)

    def _answered(self, raw: bytes) -> None:
        try:
            ack = read_ack(raw)
        except HL7ParseError:
            self._stray("unreadable answer", raw)
            return
        if self._exchange is None or ack.control_id != self._exchange.control_id:
            late = self._destination.is_late(ack.control_id)
            self._stray("late answer" if late else "answer to another message", raw)
            return
        exchange, self._exchange = self._exchange, None
        exchange.done.callback(replace(_meaning(ack), answer=raw))

    def _stray(self, oddity: str, raw: bytes) -> None:
        self._destination.note(oddity)
        if self._exchange is not None:
            self._exchange.strays += 1
            self._exchange.last_stray = raw

    def _too_late(self) -> None:
        self.open = False
        self._finish(Failure.AMBIGUOUS, "No answer came in time.")
        self.close()

    def _finish(self, failure: Failure, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        self._destination.remember(exchange.control_id)
        if exchange.strays:
            reason = f"{reason} {exchange.strays} answers belonged to no message in hand."
        exchange.done.callback(Outcome(failure, reason, answer=exchange.last_stray))


def _meaning(ack: Ack) -> Outcome:
    """What an acknowledgement says. Its free text may quote the message, so it stays in the answer."""
    if ack.accepted:
        return DELIVERED
    place = f" at {ack.error_location}" if ack.error_location else ""
    condition = f", condition {ack.error_condition}" if ack.error_condition else ""
    if ack.code in {"AR", "CR"}:
        return Outcome(Failure.TRANSIENT, f"The receiver did not take the message now: {ack.code}{condition}{place}.")
    return Outcome(Failure.PERMANENT, f"The receiver refused the message: {ack.code}{condition}{place}.")


class MllpDestination:
    """Sends over lasting connections, one message at a time on each."""

    def __init__(self, settings: MllpDestinationSettings, context: DestinationContext) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        """Answers that were believed of no message: late, unreadable, to another message; noise."""
        self._context = context
        self._endpoint: TcpEndpoint = settings.endpoint
        self._free = DeferredSemaphore(settings.connections)
        self._resting: list[_Line] = []
        self._lines: set[_Line] = set()
        self._unanswered: deque[str] = deque(maxlen=REMEMBERED)
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    def start(self) -> None:
        """Nothing: a connection is made when there is something to send."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Send *parcel* and wait for its answer."""
        try:
            control_id = read_header(parcel.body).control_id
            block = frame(parcel.body)
        except (HL7ParseError, FrameError) as error:
            return succeed(Outcome(Failure.PERMANENT, f"The message cannot be sent: {error.what}"))
        if not control_id:
            return succeed(
                Outcome(
                    Failure.PERMANENT,
                    "The message cannot be sent: MSH-10 is empty, so no answer could be matched.",
                )
            )
        return self._free.run(lambda: ensureDeferred(self._send(block, control_id)))

    def stop(self) -> Deferred[None]:
        """Close the connections after what is in hand."""
        done = DeferredList([self._free.acquire() for _ in range(self.settings.connections)])

        def close(_: Any) -> Deferred[Any]:
            lost = [line.lost for line in self._lines]
            for line in list(self._lines):
                line.close()
            return DeferredList(lost)

        def stopped(_: Any) -> None:
            self._stand(EndpointState.STOPPED)

        return done.addCallback(close).addCallback(stopped)

    def health(self) -> tuple[Health, ...]:
        """How the receiver stands, as far as the last connection told."""
        return (Health(self._state, self._endpoint.shown, self._since, self._detail, len(self._lines)),)

    def is_late(self, control_id: str) -> bool:
        """Whether *control_id* was sent, and given up before an answer came."""
        return control_id in self._unanswered

    def remember(self, control_id: str) -> None:
        """The message was given up without an answer."""
        self._unanswered.append(control_id)

    def note(self, oddity: str) -> None:
        """Count and log something odd about the answers."""
        self.counts[oddity] += 1
        self._context.log.warning(f"mllp: {oddity}")

    def dropped(self, line: _Line) -> None:
        """A connection was lost."""
        self._lines.discard(line)
        if line in self._resting:
            self._resting.remove(line)
        if not self._lines and self._state == EndpointState.CONNECTED:
            self._stand(EndpointState.IDLE)

    async def _send(self, block: bytes, control_id: str) -> Outcome:
        line = self._resting.pop() if self._resting else None
        if line is None or not line.open:
            try:
                line = await self._connect()
            except Exception as error:  # whatever it is, nothing was sent
                return self._no_connection(error)
        outcome = await line.send(block, control_id, self.settings.answer_within)
        if line.open:
            line.rest()
            self._resting.append(line)
        return outcome

    async def _connect(self) -> _Line:
        factory: Any = Factory.forProtocol(lambda: _Line(self))
        factory.noisy = False
        endpoint = HostnameEndpoint(
            reactor, self._endpoint.host, self._endpoint.port, timeout=self.settings.connect_within
        )
        line = await endpoint.connect(factory)
        assert isinstance(line, _Line)
        self._lines.add(line)
        self._stand(EndpointState.CONNECTED)
        return line

    def _no_connection(self, error: Exception) -> Outcome:
        state = EndpointState.RETRYING
        match error:
            case network.ConnectionRefusedError():
                state, reason = EndpointState.REFUSED, "The receiver refused the connection."
            case network.TimeoutError():
                reason = "The receiver did not answer the call in time."
            case network.DNSLookupError():
                reason = "The receiver's name is not known."
            case network.ConnectError():
                reason = "The receiver cannot be reached."
            case _:
                reason = f"The connection could not be made ({type(error).__name__})."
        self._stand(state, reason)
        return Outcome(Failure.TRANSIENT, reason)

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail


CONNECTOR = Connector(
    name="mllp",
    summary="HL7 v2 over TCP in MLLP blocks, answered after the message is stored.",
    source_settings=MllpSourceSettings,
    open_source=MllpSource,
    destination_settings=MllpDestinationSettings,
    open_destination=MllpDestination,
)
