"""The listener: one protocol per sender, answers in the order of receipt and only after the commit."""

# Twisted is largely untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="no-untyped-call, import-untyped, misc"
from __future__ import annotations

import secrets
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from hub.connectors.listener import Listener, keep_alive, send_now
from hub.connectors.mllp.acks import ApplicationAcks
from hub.connectors.mllp.judge import Judge
from hub.connectors.mllp.outside import LONGEST, Outside, Sparing, Stray, read_stray, read_unfinished
from hub.connectors.mllp.settings import SILENCE, MllpSourceSettings
from hub.connectors.tls import AllowedPeers, listener_options, peer_names
from hub.engine.contracts import Health, Processed, Received, SourceContext, Stored
from hub.formats.hl7v2.batch import Batch, answer_batch, read_batch
from hub.formats.hl7v2.header import Header, read_header
from hub.formats.hl7v2.mllp import END, Frame, FrameReader, Noise, Oversize, Restart, frame

reactor: Any = _reactor

STOP_WITHIN = 10.0
"""Seconds that open connections have to get their answers when the source stops, and to close when they are told to."""


@dataclass(slots=True, eq=False)
class _Owed:
    """One message whose answer is due; answers leave in the order of receipt."""

    batch: _OpenBatch | None
    settled: bool = False
    failed: bool = False
    answer: bytes | None = None


@dataclass(slots=True, eq=False)
class _OpenBatch:
    """A batch whose messages are being stored: it is answered whole, when the last of them is."""

    batch: Batch
    settled: int = 0
    answers: list[bytes] = field(default_factory=list)

    def take(self, answer: bytes | None) -> bool:
        """Note what one message is answered; whether it was the last and there is anything to say."""
        self.settled += 1
        if answer is not None:
            self.answers.append(answer)
        return self.batch.is_empty or (self.settled == len(self.batch.messages) and bool(self.answers))


@implementer(IHandshakeListener)
class _Peer(Protocol):
    """One sender's connection."""

    def __init__(self, source: MllpSource, address: str) -> None:
        self._source = source
        self._address = address
        lenient = source.settings.lenient
        self._reader = FrameReader(
            source.settings.max_message,
            no_start_block="no_start_block" in lenient,
            no_final_cr="no_final_cr" in lenient,
        )
        self._outside = Outside(self._keep_stray)
        self._strays = 0
        self._messages: deque[tuple[bytes, _OpenBatch | None]] = deque()
        self._owed: deque[_Owed] = deque()
        self._holds: set[str] = set()
        self._silence: Any = None
        self._idle: Any = None
        self._last_wait: Any = None
        self._leaving = False
        self._awaited: set[Deferred[Any]] = set()
        """Messages whose end this connection waits for."""

    # ---- the transport's side

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's name)
        self._source.joined(self)
        # As the transport's producer this protocol is told when the peer does not read its answers.
        transport: Any = self.transport
        transport.registerProducer(self, streaming=True)
        transport.setTcpNoDelay(True)
        keep_alive(transport, self._source.settings.keepalive)
        self._idle = reactor.callLater(self._source.settings.idle, self._too_quiet)
        if self._source.paused:
            self.hold("paused")

    def handshakeCompleted(self) -> None:  # noqa: N802
        """TLS stands; the certificate's issuer was checked, its name was not yet."""
        wanted = self._source.settings.client_names
        if wanted and not peer_names(self.transport) & set(wanted):
            self._source.note("certificate of a stranger")
            self._leaving = True
            self.abort()

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
        for timer in (self._idle, self._silence, self._last_wait):
            if timer is not None and timer.active():
                timer.cancel()
        self._leaving = True
        self._outside.end()
        if self._reader.pending:
            self._source.note("cut off")
            if END in self._reader.unfinished:  # else it comes again whole, because nobody answered it
                self._keep_unfinished(self._reader.unfinished)
        self._messages.clear()
        self._wait_no_more()
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
        self._wait_no_more()
        if not self._owed:
            self._hang_up()

    def _wait_no_more(self) -> None:
        for awaited in list(self._awaited):
            awaited.cancel()

    def abort(self) -> None:
        """Close now."""
        transport: Any = self.transport
        transport.abortConnection()

    # ---- messages and answers

    def _take(self, events: list[Frame | Noise | Restart | Oversize]) -> None:
        for event in events:
            match event:
                case Frame(raw, clean):
                    self._outside.end()
                    if not clean:
                        self._source.note("unclean")
                    self._messages.extend(_messages_in(raw))
                case Noise(raw):
                    self._stray(raw)
                case Restart(unfinished):
                    self._source.note("restart", bytes=len(unfinished))
                    self._keep_unfinished(unfinished)
                case Oversize(limit):
                    self._source.note("oversize", limit=limit)
                    self.leave()
                    return
        self._work()

    def _stray(self, raw: bytes) -> None:
        self._source.note("noise", bytes=len(raw))
        if self._outside.came(raw) > self._source.settings.max_message:
            self._outside.end()
            self.leave()

    def _keep_stray(self, raw: bytes, count: int) -> None:
        """Keep what came outside of any block, unless there is too much of it, and answer it where that is safe."""
        stray = read_stray(raw, count)
        if stray is not None:
            self._keep(stray, raw)

    def _keep_unfinished(self, raw: bytes) -> None:
        if raw.strip():
            beginning = raw[:LONGEST]
            self._keep(read_unfinished(beginning, len(raw)), beginning)

    def _keep(self, stray: Stray, raw: bytes) -> None:
        source = self._source
        received = source.judge.stray(stray, raw, self._address)
        owed = _Owed(None)
        self._owed.append(owed)
        if source.sparing.admit(self._address, raw, self._strays):
            self._store(received, raw, owed)
        else:
            owed.answer = received.answer
            self._settle(owed)
        self._strays += 1
        if stray.foreign and not self._leaving:
            self.leave()

    def _too_quiet(self) -> None:
        if "answers unread" in self._holds:
            self._source.note("answers unread")
            self.abort()
            return
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
            self._receive(*self._messages.popleft())
            if len(self._owed) >= self._source.settings.unanswered:
                self.hold("unanswered")

    def _receive(self, raw: bytes, batch: _OpenBatch | None) -> None:
        judge = self._source.judge
        nothing = batch is not None and batch.batch.is_empty
        received = judge.nothing(raw, self._address) if nothing else judge.received(raw, self._address)
        owed = _Owed(batch)
        self._owed.append(owed)
        self._store(received, raw, owed)

    def _store(self, received: Received, raw: bytes, owed: _Owed) -> None:
        judge, acks = self._source.judge, self._source.acks

        def stored(result: Stored) -> None:
            owed.answer = result.answer if result.repeated else received.answer
            if not received.owes:
                self._settle(owed)
                return
            header = read_header(raw)
            if received.filtered is not None:
                result = result._replace(processed=Processed())
            if acks is None or judge.waits(header):
                self._tell_end(header, result, owed)
                return
            if received.refusal is not None and owed.answer is not None:
                acks.send(result.message_id, owed.answer)
                owed.answer = None
            else:
                acks.owe(header, result)
            self._settle(owed)

        def failed(failure: TwistedFailure) -> None:
            owed.failed = owed.settled = True
            error = failure.value or RuntimeError()
            self._source.context.log.failure("not stored, so not answered", error)
            self._answer()

        self._source.context.intake.receive(received).addCallbacks(stored, failed)

    def _tell_end(self, header: Header, stored: Stored, owed: _Owed) -> None:
        """Have the sender told what became of its message, in the answer that waits for it or in a second one.

        An answer that waits too long says that the message is stored. An application acknowledgement beside an accept
        acknowledgement goes whenever the steps have ended, if the connection still stands. Who repeats a message hears
        what holds now.
        """
        judge, intake = self._source.judge, self._source.context.intake
        waits, message_id = judge.waits(header), stored.message_id
        awaited = intake.processed(message_id) if stored.processed is None else succeed(stored.processed)
        if not waits:
            self._settle(owed)
        within = self._source.settings.processed_within
        limit = reactor.callLater(within, awaited.cancel) if waits else None

        def over(result: Any) -> Any:
            self._awaited.discard(awaited)
            if limit is not None and limit.active():
                limit.cancel()
            return result

        def processed(result: Processed) -> None:
            answer = judge.processed(header, result)
            if self._leaving:
                return
            if waits:
                owed.answer = answer
                self._settle(owed)
            elif answer is not None:
                send_now(self.transport, frame(answer))
            intake.answered(message_id, delivered=answer is not None)

        def nobody_waits(failure: TwistedFailure) -> None:
            failure.trap(CancelledError)
            if waits and not self._leaving:
                self._settle(owed)
                intake.answered(message_id, delivered=True)

        self._awaited.add(awaited)
        awaited.addBoth(over).addCallbacks(processed, nobody_waits)

    def _settle(self, owed: _Owed) -> None:
        owed.settled = True
        self._answer()

    def _answer(self) -> None:
        while self._owed and self._owed[0].settled and not self._leaving:
            owed = self._owed.popleft()
            if owed.failed:
                # A peer that hears nothing sends again; one that got no answer but the next would be misled.
                self._hang_up()
                return
            self._say(owed)
        if self._leaving:
            return
        if "leaving" in self._holds and not self._owed:
            self._hang_up()
        elif "unanswered" in self._holds and len(self._owed) <= self._source.settings.unanswered // 2:
            self.release("unanswered")

    def _say(self, owed: _Owed) -> None:
        answer = owed.answer
        if owed.batch is not None:
            answer = self._batch_answer(owed.batch) if owed.batch.take(answer) else None
        if answer is not None:
            send_now(self.transport, frame(answer))

    def _batch_answer(self, opened: _OpenBatch) -> bytes:
        now = self._source.context.clock.now()
        return answer_batch(opened.batch, opened.answers, control_id=secrets.token_hex(8), now=now)

    def _hang_up(self) -> None:
        self._leaving = True
        # A peer that neither reads its last answers nor closes its side would stay for ever.
        self._last_wait = reactor.callLater(STOP_WITHIN, self.abort)
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.resumeProducing()  # so that the end of a peer that is already gone is seen
        transport.loseConnection()


def _messages_in(raw: bytes) -> list[tuple[bytes, _OpenBatch | None]]:
    """The messages of one block, or an empty batch itself. What else holds none the parser complains of."""
    batch = read_batch(raw)
    if not batch.messages:
        return [(raw, _OpenBatch(batch) if batch.is_empty else None)]
    opened = _OpenBatch(batch) if batch.is_enveloped else None
    return [(message, opened) for message in batch.messages]


class _Peers(Factory):
    """Makes a protocol for each connection, up to the limit."""

    noisy = False

    def __init__(self, source: MllpSource) -> None:
        self._source = source

    def buildProtocol(self, addr: Any) -> _Peer | None:  # noqa: N802
        if not self._source.allowed.admit(addr.host):
            self._source.note("address of a stranger")
            return None
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
        """What was odd: noise, restart, oversize, unclean, cut off, idle, answers unread, too many connections,
        address of a stranger, certificate of a stranger, parts without an end."""
        self.allowed = AllowedPeers(settings.peers)
        self.judge = Judge(settings, context, reactor.seconds, lambda: self.note("parts without an end"))
        self.sparing = Sparing(reactor.seconds)
        elsewhere = settings.application_acks
        self.acks = ApplicationAcks(elsewhere, context, self.judge) if elsewhere is not None else None
        self._peers: set[_Peer] = set()
        self._empty: Deferred[None] | None = None
        factory = _Peers(self)
        self._listener = Listener(
            settings.listen,
            lambda port, host: self._listen(port, host, factory),
            context.log,
        )

    @property
    def full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return len(self._peers) >= self.settings.max_connections

    def start(self) -> Deferred[None]:
        """Take up what the store holds, then open the port.

        Raises `CertificateError` or `SecretMissingError`; fails with `ListenError`.
        """
        if self.acks is not None:
            self.acks.start()
        return self.judge.take_up().addCallback(lambda _: self._listener.open())

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
        done = DeferredList([closed, self._empty, *([self.acks.stop()] if self.acks is not None else [])])

        def finished(_: Any) -> None:
            if late.active():
                late.cancel()

        return done.addCallback(finished)

    def health(self) -> tuple[Health, ...]:
        """The port and how many are connected; where application acknowledgements go, if they go elsewhere."""
        return (self._listener.health(len(self._peers)), *(self.acks.health() if self.acks is not None else ()))

    def _listen(self, port: int, host: str, factory: Factory) -> Any:
        if not self.settings.tls:
            return reactor.listenTCP(port, factory, interface=host)
        options = listener_options(self.settings, self.context.var, self.context.secrets, self.context.channel)
        return reactor.listenSSL(port, factory, options, interface=host)

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
