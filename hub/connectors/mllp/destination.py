"""The sender: lasting connections, one message at a time on each, believed only when the answer names the message."""

# Twisted is largely untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="no-untyped-call, import-untyped, misc"
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error as network
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from hub.connectors.listener import keep_alive, send_now
from hub.connectors.mllp.settings import SILENCE, MllpDestinationSettings
from hub.connectors.settings import TcpEndpoint
from hub.connectors.tls import client_options, says_our_certificate_is_refused
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import DestinationContext, EndpointState, Failure, Health, Outcome, Parcel
from hub.formats.hl7v2.ack import Ack, read_ack
from hub.formats.hl7v2.header import HL7ParseError, read_control_id
from hub.formats.hl7v2.mllp import Frame, FrameError, FrameReader, Oversize, frame

reactor: Any = _reactor

LONGEST_ANSWER = 1 << 20
CERTIFICATE_REFUSED = "The receiver does not accept our certificate."
REMEMBERED = 1000
"""How many messages without an answer a destination remembers, to know a late answer when it comes."""


@dataclass(slots=True)
class _Exchange:
    """A message that was written and whose answer is awaited."""

    control_id: str
    done: Deferred[Outcome]
    strays: int = 0
    last_stray: bytes | None = None


class _Waiting(NamedTuple):
    """A message on its way to a connection."""

    block: bytes
    control_id: str
    done: Deferred[Outcome]


@implementer(IHandshakeListener)
class _Line(Protocol):
    """One connection to the receiver, with at most one message under way."""

    def __init__(self, destination: MllpDestination) -> None:
        self._destination = destination
        self._reader = FrameReader(LONGEST_ANSWER)
        self._exchange: _Exchange | None = None
        self._watch: Any = None
        self._until = 0.0
        """When the answer that is awaited is late, or the rest has been long enough."""
        self.lost: Deferred[None] = Deferred()
        self.ready: Deferred[None] = Deferred()
        """Fires when there is something to write to: with TLS, when the receiver's certificate is good."""
        self.open = False

    def connectionMade(self) -> None:  # noqa: N802
        self.open = True
        transport: Any = self.transport
        keep_alive(transport, self._destination.settings.keepalive)
        transport.setTcpNoDelay(True)
        if not self._destination.settings.tls:
            self.ready.callback(None)

    def handshakeCompleted(self) -> None:  # noqa: N802
        """TLS stands."""
        if not self.ready.called:
            self.ready.callback(None)

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:  # noqa: N802
        self.open = False
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        if not self.ready.called:
            self.ready.errback(reason)
        if says_our_certificate_is_refused(reason.value):
            self._finish(Failure.TRANSIENT, CERTIFICATE_REFUSED)
        else:
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
        self._exchange = _Exchange(control_id, Deferred())
        done = self._exchange.done
        self._watch_for(within)
        send_now(self.transport, block)
        return done

    def rest(self) -> None:
        """Nothing to do: close after a while."""
        self._watch_for(self._destination.settings.idle_close)

    def close(self) -> None:
        """Close now: what is still in flight on this connection is not believed any more."""
        self.open = False
        transport: Any = self.transport
        transport.abortConnection()

    def _watch_for(self, seconds: float) -> None:
        """Look in *seconds* whether anything has happened. A timer that goes off early serves: most are not needed."""
        self._until = reactor.seconds() + seconds
        if self._watch is not None and self._watch.active():
            if self._watch.getTime() <= self._until:
                return
            self._watch.cancel()
        self._watch = reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        left = self._until - reactor.seconds()
        if left > 0:
            self._watch = reactor.callLater(left, self._look)
        elif self._exchange is not None:
            self._too_late()
        else:
            self.close()

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
        failure, reason = _meaning(ack)
        exchange.done.callback(Outcome(failure, _with_strays(reason, exchange.strays), answer=raw))

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
        exchange.done.callback(Outcome(failure, _with_strays(reason, exchange.strays), answer=exchange.last_stray))


def _with_strays(reason: str, strays: int) -> str:
    """*reason*, with how many answers came meanwhile that named no message in hand."""
    return f"{reason} {strays} answers belonged to no message in hand.".lstrip() if strays else reason


def _meaning(ack: Ack) -> tuple[Failure | None, str]:
    """What an acknowledgement says. Its free text may quote the message, so it stays in the answer."""
    if ack.accepted:
        return None, ""
    place = f" at {ack.error_location}" if ack.error_location else ""
    condition = f", condition {ack.error_condition}" if ack.error_condition else ""
    if ack.code in {"AR", "CR"}:
        return Failure.TRANSIENT, f"The receiver did not take the message now: {ack.code}{condition}{place}."
    return Failure.PERMANENT, f"The receiver refused the message: {ack.code}{condition}{place}."


class MllpDestination:
    """Sends over lasting connections, one message at a time on each."""

    def __init__(self, settings: MllpDestinationSettings, context: DestinationContext) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        """Answers that were believed of no message: late, unreadable, to another message; noise."""
        self._context = context
        self._endpoint: TcpEndpoint = settings.endpoint
        self._tls: Any = None
        self._waiting: deque[_Waiting] = deque()
        self._busy = 0
        self._empty: Deferred[None] | None = None
        self._resting: list[_Line] = []
        self._lines: set[_Line] = set()
        self._unanswered: deque[str] = deque(maxlen=REMEMBERED)
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    def start(self) -> None:
        """Read the certificates; a connection is made when there is something to send.

        Raises `CertificateError` or `SecretMissingError`.
        """
        self._prepare()

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Send *parcel* and wait for its answer."""
        try:
            control_id = read_control_id(parcel.body)
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
        waiting = _Waiting(block, control_id, Deferred())
        self._waiting.append(waiting)
        self._go()
        return waiting.done

    def stop(self) -> Deferred[None]:
        """Close the connections after what is in hand."""
        self._empty = Deferred()
        self._tell_empty()

        def close(_: Any) -> Deferred[Any]:
            lost = [line.lost for line in self._lines]
            for line in list(self._lines):
                line.close()
            return DeferredList(lost)

        def stopped(_: Any) -> None:
            self._stand(EndpointState.STOPPED)

        return self._empty.addCallback(close).addCallback(stopped)

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

    def _go(self) -> None:
        while self._waiting and self._busy < self.settings.connections:
            self._busy += 1
            self._send(self._waiting.popleft())

    def _send(self, waiting: _Waiting) -> None:
        line = self._resting.pop() if self._resting else None
        if line is not None and line.open:
            sent = line.send(waiting.block, waiting.control_id, self.settings.answer_within)
            sent.addCallback(self._sent, line, waiting)
        else:
            ensureDeferred(self._connect_and_send(waiting))

    async def _connect_and_send(self, waiting: _Waiting) -> None:
        try:
            line = await self._connect()
        except Exception as error:  # whatever it is, nothing was sent
            self._ended(self._no_connection(error), waiting)
        else:
            outcome = await line.send(waiting.block, waiting.control_id, self.settings.answer_within)
            self._sent(outcome, line, waiting)

    def _sent(self, outcome: Outcome, line: _Line, waiting: _Waiting) -> None:
        if line.open:
            line.rest()
            self._resting.append(line)
        self._ended(outcome, waiting)

    def _ended(self, outcome: Outcome, waiting: _Waiting) -> None:
        self._busy -= 1
        self._go()
        self._tell_empty()
        waiting.done.callback(outcome)

    def _tell_empty(self) -> None:
        if self._empty is not None and not self._empty.called and not self._busy and not self._waiting:
            self._empty.callback(None)

    def _prepare(self) -> None:
        if self.settings.tls and self._tls is None:
            self._tls = client_options(self.settings, self._context.var.parent, self._context.secrets)

    async def _connect(self) -> _Line:
        line = _Line(self)
        factory: Any = Factory.forProtocol(lambda: line)
        factory.noisy = False
        within = self.settings.connect_within
        endpoint: Any = HostnameEndpoint(reactor, self._endpoint.host, self._endpoint.port, timeout=within)
        if self.settings.tls:
            self._prepare()
            endpoint = wrapClientTLS(self._tls(self._endpoint.host), endpoint)
        await endpoint.connect(factory)
        self._lines.add(line)
        limit = reactor.callLater(within, line.close)
        try:
            await line.ready
        finally:
            if limit.active():
                limit.cancel()
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
            case network.ConnectionLost() | network.ConnectionDone() | network.ConnectionAborted():
                reason = "The connection ended before TLS stood."
            case VerificationError():
                state, reason = EndpointState.REFUSED, "The receiver's certificate is not trusted."
            case SSL.Error() if says_our_certificate_is_refused(error):
                state, reason = EndpointState.REFUSED, CERTIFICATE_REFUSED
            case SSL.Error() if "certificate verify failed" in str(error):
                state, reason = EndpointState.REFUSED, "The receiver's certificate is not trusted."
            case SSL.Error():
                reason = "The receiver does not speak TLS as it should."
            case HubError():
                state, reason = EndpointState.LOGIN_FAILED, error.what
            case _:
                reason = f"The connection could not be made ({type(error).__name__})."
        self._stand(state, reason)
        return Outcome(Failure.TRANSIENT, reason)

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail
