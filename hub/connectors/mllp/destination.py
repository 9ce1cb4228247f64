"""The sender: lasting connections, one message at a time on each, believed only when the answer names the message."""

# Twisted is largely untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="no-untyped-call, import-untyped, misc"
from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error as network
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from hub.connectors.listener import keep_alive
from hub.connectors.mllp.settings import MllpDestinationSettings
from hub.connectors.mllp.source import SILENCE
from hub.connectors.settings import TcpEndpoint
from hub.connectors.tls import client_options, says_our_certificate_is_refused
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import DELIVERED, DestinationContext, EndpointState, Failure, Health, Outcome, Parcel
from hub.formats.hl7v2.ack import Ack, read_ack
from hub.formats.hl7v2.header import HL7ParseError, read_header
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


@implementer(IHandshakeListener)
class _Line(Protocol):
    """One connection to the receiver, with at most one message under way."""

    def __init__(self, destination: MllpDestination) -> None:
        self._destination = destination
        self._reader = FrameReader(LONGEST_ANSWER)
        self._exchange: _Exchange | None = None
        self._idle: Any = None
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
        self._rest(0)
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
        meaning = _meaning(ack)
        exchange.done.callback(replace(meaning, answer=raw, reason=_with_strays(meaning.reason, exchange.strays)))

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
        self._tls: Any = None
        self._free = DeferredSemaphore(settings.connections)
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
