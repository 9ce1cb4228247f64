"""An HTTPS address that takes messages by POST and answers after they are stored: what http and fhir sources share."""

# Twisted's web server is largely untyped.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure as TwistedFailure
from twisted.web.http import HTTPFactory, Request

from hub.connectors.listener import Listener
from hub.connectors.proof import NOTED, BearerCheck, Signature, SignatureCheck
from hub.connectors.rate import RateLimit
from hub.connectors.settings import LOOPBACK, ListenAt, Secret
from hub.connectors.tls import HTTP_1, AllowedPeers, ListenerSecurity, listener_options, peer_names
from hub.core.errors import HubError
from hub.core.secret import SecretMissingError
from hub.core.units import Duration, Size
from hub.engine.contracts import Description, Health, Note, Received, SourceContext, Stored

reactor: Any = _reactor

STOP_WITHIN = 10.0


class HookSettings(ListenerSecurity):
    """What every listener for requests lets one choose. Senders prove who they are in at least one of three ways."""

    begin_with: ClassVar[tuple[str, ...]] = ("token",)

    listen: ListenAt = Field(
        description="Where to listen. Without a host, on every interface.",
        examples=["tcp:8443", "tcp:127.0.0.1:0"],
    )
    token: Secret | None = Field(
        None, description="The bearer token that senders must show.", examples=[{"secret": "ehr_hook_token"}]
    )
    signature: Signature | None = Field(
        None,
        description="The signature that must come with each request, for senders that sign what they send.",
        examples=[{"header": "X-Hub-Signature", "secret": {"secret": "ehr_hook_key"}, "prefix": "sha256="}],
    )
    tls: bool = Field(True, description="Off only for listeners on this machine's own address.", examples=[True])
    max_message: Size = Field(16 << 20, description="A longer body is refused.", examples=["16MB"])
    idle: Duration = Field(60.0, description="A silent connection is closed after so long.", examples=["60s"])
    whole_within: Duration = Field(
        120.0, description="A request that is not here whole so long after its first byte is cut off.", examples=["2m"]
    )
    rate: int = Field(
        6000,
        ge=1,
        description="How many requests a minute one address may make, in bursts of as many; further ones are told "
        "when to come back.",
        examples=[6000],
    )
    max_connections: int = Field(
        200, ge=1, description="A connection beyond so many is closed at once.", examples=[200]
    )
    unanswered: int = Field(
        256,
        ge=1,
        description="How many requests may wait for their commit; further ones are asked to come back.",
        examples=[256],
    )

    @model_validator(mode="after")
    def _senders_are_known(self) -> Self:
        if not self.tls and self.listen.host not in LOOPBACK:
            raise ValueError('tls = false is for this machine alone: listen on "tcp:127.0.0.1:port"')
        if self.token is None and self.signature is None and self.client_ca is None:
            raise ValueError("say how senders prove who they are: token, signature or client_ca")
        return self


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer about to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


Say = Callable[[str, str, str], bytes]
"""Writes what happened, from a severity, a code of FHIR's issue types and a sentence that repeats nothing sent."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What differs between the kinds of hook.

    *place_of* says what the path beneath the hook's own stands for, None when there is nothing; *agree* checks a body
    against that and raises `HubError`; *filtered* gives the reason why a kind is kept and goes no further. *heard* is
    called with each body once it is stored; *pinged* for a request without one, which is answered after it.
    """

    say: Say
    media_type: bytes
    path: str
    takes: Callable[[bytes], bool]
    place_of: Callable[[str], str | None]
    agree: Callable[[bytes, str], None]
    filtered: Callable[[str], str | None]
    heard: Callable[[bytes], None] = lambda _: None
    pinged: Callable[[], Deferred[None]] = lambda: succeed(None)


class _Replies:
    """The answers that are always the same, as one kind of hook words them."""

    def __init__(self, say: Say) -> None:
        later = (b"Retry-After", b"5")
        self.stored = say("information", "informational", "Stored.")
        self.heard = Reply(200, say("information", "informational", "Heard."))
        self.unknown_path = Reply(404, say("error", "not-found", "There is no hook at this address."))
        allow = (b"Allow", b"POST, PUT")
        self.wrong_method = Reply(405, say("error", "not-supported", "Send with POST, or PUT to Type/id."), (allow,))
        challenge = (b"WWW-Authenticate", b"Bearer")
        self.unproven = Reply(401, say("error", "login", "A valid proof of the sender is needed."), (challenge,))
        self.stranger = Reply(403, say("error", "forbidden", "This certificate is not on the list."))
        self.too_long = Reply(413, say("error", "too-long", "The body is longer than this hook takes."))
        self.wrong_media = Reply(415, say("error", "not-supported", "The hook does not take this kind of content."))
        self.later = Reply(503, say("error", "transient", "Not stored; send it again."), (later,))
        self.throttled = say("error", "throttled", "Too many requests; send it again.")

    def busy(self, wait: float = 1.0) -> Reply:
        """Ask to come back after *wait* seconds."""
        return Reply(429, self.throttled, ((b"Retry-After", str(max(1, math.ceil(wait))).encode()),))


class _Limit:
    """How long a request of one connection may take to come, from its first byte on; then the connection ends."""

    def __init__(self, within: float) -> None:
        self._within = within
        self._timer: Any = None
        self.transport: Any = None

    def begin(self) -> None:
        """Bytes come, of a new request or of the one that is on its way."""
        if self._timer is None:
            self._timer = reactor.callLater(self._within, self.transport.loseConnection)

    def end(self) -> None:
        """The request is here, or the connection is lost."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Hook(Request):
    """One request. Bodies are kept in memory, never in a temporary file, and dropped beyond the limit."""

    source: HookSource
    early: Reply | None = None
    """What the headers alone are answered; the body is then not kept."""
    too_long = False
    gone = False
    limit: _Limit

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        """The headers are read and the body comes."""
        self.content = BytesIO()  # what Twisted would parse as a form
        self.body = bytearray()
        self.early = self.source.glance(self)
        self.too_long = length is not None and length > self.source.settings.max_message

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Keep what will be looked at."""
        if self.too_long or self.early is not None:
            return
        self.body += data
        if len(self.body) > self.source.settings.max_message:
            self.too_long = True
            self.body.clear()

    def connectionLost(self, reason: TwistedFailure) -> None:  # noqa: N802
        """The sender went away, perhaps in the middle."""
        self.gone = True
        super().connectionLost(reason)

    def process(self) -> None:
        """The request is here whole."""
        self.limit.end()
        self.notifyFinish().addErrback(lambda _: None)
        self.source.take(self, bytes(self.body))

    def text(self, name: str) -> str | None:
        """A header, by name."""
        value = self.getHeader(name.encode())
        return value.decode("latin-1") if value is not None else None

    def reply(self, reply: Reply) -> None:
        """Send *reply*, unless the sender went away."""
        if self.gone:
            return
        self.setResponseCode(reply.status)
        self.setHeader(b"Content-Type", self.source.manner.media_type)
        self.setHeader(b"Content-Length", str(len(reply.body)).encode())
        if reply.status in {401, 403, 413}:
            self.setHeader(b"Connection", b"close")
        for name, value in reply.headers:
            self.setHeader(name, value)
        self.write(reply.body)
        self.finish()


class _Hooks(HTTPFactory):
    """Makes requests; writes no access log, because addresses may name patients."""

    noisy = False

    def __init__(self, source: HookSource) -> None:
        super().__init__(timeout=source.settings.idle)
        self._source = source
        self._allowed = AllowedPeers(source.settings.peers)
        self._open = 0

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's name)
        """A channel whose requests know their source; None, which closes, for strangers and beyond the limit."""
        if not self._allowed.admit(addr.host):
            self._source.note("address of a stranger")
            return None
        if self._open >= self._source.settings.max_connections:
            self._source.note("too many connections")
            return None
        channel: Any = super().buildProtocol(addr)
        limit = _Limit(self._source.settings.whole_within)
        channel.requestFactory = partial(self._request, limit)
        self._open += 1
        made, lost, came = channel.makeConnection, channel.connectionLost, channel.dataReceived

        def connected(transport: Any) -> None:
            limit.transport = transport
            made(transport)

        def counted(reason: TwistedFailure) -> None:
            self._open -= 1
            limit.end()
            lost(reason)

        def timed(data: bytes) -> None:
            limit.begin()
            came(data)

        channel.makeConnection, channel.connectionLost, channel.dataReceived = connected, counted, timed
        return channel

    def _request(self, limit: _Limit, *arguments: Any, **options: Any) -> _Hook:
        request = _Hook(*arguments, **options)
        request.source, request.limit = self._source, limit
        return request

    def log(self, request: Request) -> None:
        """Nothing."""


class HookSource:
    """Listens, stores, answers."""

    def __init__(self, settings: HookSettings, context: SourceContext, manner: Manner) -> None:
        self.settings = settings
        self.manner = manner
        self._context = context
        self._replies = _Replies(manner.say)
        self._token = BearerCheck(settings.token, context.secrets) if settings.token else None
        self._signature = SignatureCheck(settings.signature, context.secrets) if settings.signature else None
        self._rate = RateLimit(settings.rate, reactor.seconds)
        self._paused = False
        self._unanswered = 0
        self._empty: Deferred[None] | None = None
        self._listener = Listener(settings.listen, self._opener(), context.log)

    def start(self) -> Deferred[None]:
        """Take up which nonces were used, then open the port.

        Raises `SecretMissingError`; fails with `ListenError` or `CertificateError`.
        """
        signature = self.settings.signature
        for secret in (self.settings.token, signature.secret if signature else None):
            if secret is not None:
                self._context.secrets.value(secret)
        ready = succeed(None)
        if self._signature is not None and self._signature.uses_nonces:
            ready = self._context.intake.noted(self._context.channel, NOTED).addCallback(self._signature.take_up)
        return ready.addCallback(lambda _: self._listener.open())

    def pause(self) -> None:
        """Close the port; requests on open connections are asked to come back."""
        self._paused = True
        self._listener.close()

    def resume(self) -> None:
        """Open the same port again."""
        self._paused = False
        self._listener.reopen()

    def stop(self) -> Deferred[None]:
        """Close the port and give the answers that are owed."""
        self._paused = True
        closed = self._listener.close()
        self._empty = Deferred()
        if not self._unanswered:
            self._empty.callback(None)
        self._empty.addTimeout(STOP_WITHIN, reactor).addErrback(lambda _: None)
        return DeferredList([closed, self._empty]).addCallback(lambda _: None)

    def health(self) -> tuple[Health, ...]:
        """The port, and how many requests wait for their commit."""
        return (self._listener.health(self._unanswered),)

    def note(self, oddity: str) -> None:
        """Log something odd about a peer."""
        self._context.log.warning(f"hook: {oddity}")

    def glance(self, request: _Hook) -> Reply | None:
        """What *request* is answered by its headers alone; None when its body is worth reading."""
        wait = self._rate.admit(str(request.getClientAddress().host))
        if wait:
            return self._replies.busy(wait)
        names = self.settings.client_names
        if names and not peer_names(request.channel.transport) & set(names):
            return self._replies.stranger
        try:
            shown = self._token is None or self._token.accepts(request.text)
        except SecretMissingError as error:
            self._context.log.failure("no token to compare with", error)
            shown = False
        if not shown or (self._signature is not None and not self._signature.is_worth_reading(request.text)):
            return self._replies.unproven
        return None

    def take(self, request: _Hook, raw: bytes) -> None:
        """Answer *request*, at once or when its content is stored."""
        place = self._place(request)
        refusal = self._refusal(request, place) or self._doubt(request, raw)
        if refusal is not None:
            request.reply(refusal)
            return
        if not raw.strip():  # FHIR R4's rest-hook without a payload: something happened, and no more
            self._ping(request)
            return
        self._store(request, self._received(request, raw, place or ""))

    def _ping(self, request: _Hook) -> None:
        """Answer a request without content, whose nonce is used all the same."""
        kept = [self._context.intake.note(self._context.channel, note) for note in self._notes(request)]
        pinged = kept[0].addCallback(lambda _: self.manner.pinged()) if kept else self.manner.pinged()

        def failed(_: TwistedFailure) -> None:
            self._forget(request)
            request.reply(self._replies.later)

        pinged.addCallbacks(lambda _: request.reply(self._replies.heard), failed)

    def _notes(self, request: _Hook) -> tuple[Note, ...]:
        note = self._signature.note(request.text) if self._signature is not None else None
        return (note,) if note is not None else ()

    def _forget(self, request: _Hook) -> None:
        if self._signature is not None:
            self._signature.forget(request.text)

    def _place(self, request: _Hook) -> str | None:
        """What follows the hook's path; None when it is another path."""
        path: bytes = request.path
        own = self.manner.path.encode()
        return self.manner.place_of(path[len(own) :].decode("ascii", "replace")) if path.startswith(own) else None

    def _refusal(self, request: _Hook, place: str | None) -> Reply | None:
        if request.early is not None:
            return request.early
        if place is None:
            return self._replies.unknown_path
        if request.method != (b"PUT" if place else b"POST"):
            return self._replies.wrong_method
        if request.too_long:
            return self._replies.too_long
        encoded = (request.getHeader(b"Content-Encoding") or b"identity") != b"identity"
        if encoded or not self.manner.takes((request.getHeader(b"Content-Type") or b"").lower()):
            return self._replies.wrong_media
        if self._paused:
            return self._replies.later
        return self._replies.busy() if self._unanswered >= self.settings.unanswered else None

    def _doubt(self, request: _Hook, raw: bytes) -> Reply | None:
        if self._signature is None:
            return None
        method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
        try:
            doubt = self._signature.doubt(request.text, method, path, raw)
        except SecretMissingError as error:
            self._context.log.failure("no key to compare with", error)
            doubt = "unproven"
        return {None: None, "unproven": self._replies.unproven, "too many": self._replies.busy()}[doubt]

    def _received(self, request: _Hook, raw: bytes, place: str) -> Received:
        refusal: str | None = None
        code, filtered, answer = "", None, self._replies.stored
        try:
            description = self._context.describe(raw)
            if place:
                self.manner.agree(raw, place)
        except HubError as error:
            description = Description(kind="unreadable")
            refusal, code = error.what, error.code
            answer = self.manner.say("error", "invalid", f"{error.what} {error.where}".strip())
        else:
            filtered = self.unwanted(description.kind)
        return Received(
            channel=self._context.channel,
            raw=raw,
            description=description,
            source=str(request.getClientAddress().host),
            answer=answer,
            refusal=refusal,
            refusal_code=code,
            filtered=filtered,
            notes=self._notes(request),
        )

    def unwanted(self, kind: str) -> str | None:
        """Why a message of *kind* goes no further in this channel; None when it goes on."""
        if kind in self._context.accepts:
            return None
        because = self.manner.filtered(kind)
        return because or (f"The channel does not take {kind}." if self._context.accepts else None)

    def _store(self, request: _Hook, received: Received) -> None:
        self._unanswered += 1

        def stored(result: Stored) -> None:
            if received.refusal is not None:
                request.reply(Reply(400, received.answer or b""))
                return
            self.manner.heard(received.raw)
            body = result.answer if result.repeated else received.answer
            at_once = result.repeated or received.filtered is not None or request.method == b"PUT"
            request.reply(Reply(200 if at_once else 202, body or self._replies.stored))

        def failed(failure: TwistedFailure) -> None:
            error = failure.value or RuntimeError()
            self._context.log.failure("not stored, so not accepted", error)
            self._forget(request)
            request.reply(self._replies.later)

        def settled(_: None) -> None:
            self._unanswered -= 1
            if self._empty is not None and not self._unanswered and not self._empty.called:
                self._empty.callback(None)

        self._context.intake.receive(received).addCallbacks(stored, failed).addCallback(settled)

    def _opener(self) -> Callable[[int, str], Any]:
        factory = _Hooks(self)
        context = self._context

        def listen(port: int, host: str) -> Any:
            if not self.settings.tls:
                return reactor.listenTCP(port, factory, interface=host)
            options = listener_options(self.settings, context.var, context.secrets, context.channel, HTTP_1)
            return reactor.listenSSL(port, factory, options, interface=host)

        return listen
