"""A FHIR R4 hook: what a server's Subscription sends, taken by HTTPS and answered after it is stored.

Sources: FHIR R4, Subscription (rest-hook channel: POST, or PUT to ``Type/id``); Subscriptions R5 Backport
implementation guide 1.1 (notification bundles, handshake, heartbeat); RFC 6750 (bearer token).
"""

# Twisted's web server is largely untyped.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

from pydantic import Field, model_validator
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure as TwistedFailure
from twisted.web.http import HTTPFactory, Request

from hub.connectors.certificates import own_certificate, tls_options
from hub.connectors.errors import CertificateError
from hub.connectors.http import HttpDestination, WriterSettings
from hub.connectors.listener import Listener
from hub.connectors.settings import LOOPBACK, ListenAt, Secret, Settings, WebAddress
from hub.core.errors import HubError
from hub.core.secret import SecretMissingError
from hub.core.units import Duration, Size
from hub.engine.contracts import (
    Connector,
    Description,
    DestinationContext,
    Health,
    Received,
    SourceContext,
    Stored,
)
from hub.formats.fhir.text import FhirError, read, write

reactor: Any = _reactor

GREETINGS = frozenset({"handshake", "heartbeat", "query-status"})
"""Kinds of message that say something of the subscription and nothing of a patient."""
STOP_WITHIN = 10.0
_JSON = b"application/fhir+json; charset=utf-8"


class FhirSourceSettings(Settings):
    """An HTTPS address that a FHIR server sends its notifications to."""

    listen: ListenAt = Field(
        description="Where to listen. Without a host, on every interface.",
        examples=["tcp:8443", "tcp:127.0.0.1:0"],
    )
    token: Secret = Field(
        description="The bearer token that senders must show.", examples=[{"secret": "ehr_hook_token"}]
    )
    path: str | None = Field(
        None,
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="The path of the hook. Left out, /fhir/ and the channel's name.",
        examples=["/fhir/ehr_fhir"],
    )
    tls: bool = Field(True, description="Off only for listeners on this machine's own address.", examples=[True])
    certificate: str | None = Field(
        None,
        description="The certificate to show, in PEM form, with its chain. Left out, the hub makes one of its own in "
        "var/tls. A relative path begins at the site's folder.",
        examples=["config/hub.pem"],
    )
    private_key: Secret | None = Field(
        None, description="The private key of the certificate.", examples=[{"secret": "hub_tls_key"}]
    )
    max_message: Size = Field(16 << 20, description="A longer body is refused.", examples=["16MB"])
    idle: Duration = Field(60.0, description="A silent connection is closed after so long.", examples=["60s"])
    unanswered: int = Field(
        256,
        ge=1,
        description="How many requests may wait for their commit; further ones are asked to come back.",
        examples=[256],
    )

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if not self.tls and self.listen.host not in LOOPBACK:
            raise ValueError('tls = false is for this machine alone: listen on "tcp:127.0.0.1:port"')
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a certificate needs its private_key, and the other way round")
        return self


class FhirDestinationSettings(WriterSettings):
    """A FHIR server in which each output, a resource, is created."""

    base: WebAddress = Field(
        description="The server's base address; a resource is sent to its type beneath it.",
        examples=["https://ehr.clinic.example/fhir"],
    )
    resource: str = Field(
        pattern=r"^[A-Z][A-Za-z]+$", description="The type of resource to create.", examples=["ClaimResponse"]
    )


# ---------------------------------------------------------------- the hook


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer about to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def outcome(severity: str, code: str, text: str) -> bytes:
    """An OperationOutcome with one issue (FHIR R4, issue types). *text* never repeats what was sent."""
    issue = {"severity": severity, "code": code, "details": {"text": text}}
    return write({"resourceType": "OperationOutcome", "issue": [issue]})


_STORED = outcome("information", "informational", "Stored.")
_UNKNOWN_PATH = _Reply(404, outcome("error", "not-found", "There is no hook at this address."))
_WRONG_METHOD = _Reply(
    405, outcome("error", "not-supported", "Send with POST, or PUT to Type/id."), ((b"Allow", b"POST, PUT"),)
)
_NO_TOKEN = _Reply(
    401, outcome("error", "login", "A valid bearer token is needed."), ((b"WWW-Authenticate", b"Bearer"),)
)
_TOO_LONG = _Reply(413, outcome("error", "too-long", "The body is longer than this hook takes."))
_WRONG_MEDIA = _Reply(415, outcome("error", "not-supported", "Send FHIR as JSON, without content encoding."))
_LATER = _Reply(503, outcome("error", "transient", "Not stored; send it again."), ((b"Retry-After", b"5"),))
_BUSY = _Reply(
    429, outcome("error", "throttled", "Too many requests at a time; send it again."), ((b"Retry-After", b"1"),)
)


class _Hook(Request):
    """One request. Bodies are kept in memory, never in a temporary file, and dropped beyond the limit."""

    source: FhirSource
    admitted = False
    too_long = False
    gone = False

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        """The headers are read and the body comes."""
        self.content = BytesIO()  # what Twisted would parse as a form
        self.body = bytearray()
        self.admitted = self.source.admits(self)
        self.too_long = length is not None and length > self.source.settings.max_message

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        """Keep what will be looked at."""
        if self.too_long or not self.admitted:
            return
        self.body += data
        if len(self.body) > self.source.settings.max_message:
            self.too_long = True
            self.body.clear()

    def process(self) -> None:
        """The request is here whole."""

        def lost(_: TwistedFailure) -> None:
            self.gone = True

        self.notifyFinish().addErrback(lost)
        self.source.take(self, bytes(self.body))

    def reply(self, reply: _Reply) -> None:
        """Send *reply*, unless the sender went away."""
        if self.gone:
            return
        self.setResponseCode(reply.status)
        self.setHeader(b"Content-Type", _JSON)
        self.setHeader(b"Content-Length", str(len(reply.body)).encode())
        if reply.status in {401, 413}:
            self.setHeader(b"Connection", b"close")
        for name, value in reply.headers:
            self.setHeader(name, value)
        self.write(reply.body)
        self.finish()


class _Hooks(HTTPFactory):
    """Makes requests; writes no access log, because addresses may name patients."""

    noisy = False

    def __init__(self, source: FhirSource) -> None:
        super().__init__(timeout=source.settings.idle)
        self._source = source

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's name)
        """A channel whose requests know their source."""
        channel: Any = super().buildProtocol(addr)
        channel.requestFactory = self._request
        return channel

    def _request(self, *arguments: Any, **options: Any) -> _Hook:
        request = _Hook(*arguments, **options)
        request.source = self._source
        return request

    def log(self, request: Request) -> None:
        """Nothing."""


class FhirSource:
    """Listens, stores, answers."""

    def __init__(self, settings: FhirSourceSettings, context: SourceContext) -> None:
        self.settings = settings
        self._context = context
        self._path = (settings.path or f"/fhir/{context.channel}").encode()
        self._paused = False
        self._unanswered = 0
        self._empty: Deferred[None] | None = None
        self._listener = Listener(settings.listen, self._opener(), context.log)

    def start(self) -> None:
        """Open the port. Raises `ListenError`, `CertificateError` or `SecretMissingError`."""
        self._context.secrets.value(self.settings.token)
        self._listener.open()

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

    def admits(self, request: Request) -> bool:
        """Whether the request shows the token. Compared in constant time."""
        shown = request.getHeader(b"Authorization") or b""
        try:
            wanted = f"Bearer {self._context.secrets.value(self.settings.token)}".encode()
        except SecretMissingError as error:
            self._context.log.failure("no token to compare with", error)
            return False
        return hmac.compare_digest(shown, wanted)

    def take(self, request: _Hook, raw: bytes) -> None:
        """Answer *request*, at once or when its content is stored."""
        place = self._place(request)
        refusal = self._refusal(request, place)
        if refusal is not None:
            request.reply(refusal)
            return
        if not raw.strip():  # the rest-hook of R4 without a payload: something happened, and no more
            request.reply(_Reply(200, outcome("information", "informational", "Heard.")))
            return
        self._store(request, self._received(request, raw, place or ""))

    def _place(self, request: _Hook) -> str | None:
        """What follows the hook's path: empty, or ``Type/id``; None when it is another path."""
        path: bytes = request.path
        if not path.startswith(self._path):
            return None
        rest = path[len(self._path) :].decode("ascii", "replace")
        if rest.strip("/") and (not rest.startswith("/") or rest.count("/") != 2):
            return None
        return rest.strip("/")

    def _refusal(self, request: _Hook, place: str | None) -> _Reply | None:
        if not request.admitted:
            return _NO_TOKEN
        if place is None:
            return _UNKNOWN_PATH
        if request.method != (b"PUT" if place else b"POST"):
            return _WRONG_METHOD
        if request.too_long:
            return _TOO_LONG
        media = (request.getHeader(b"Content-Type") or b"application/fhir+json").lower()
        if b"json" not in media or (request.getHeader(b"Content-Encoding") or b"identity") != b"identity":
            return _WRONG_MEDIA
        if self._paused:
            return _LATER
        return _BUSY if self._unanswered >= self.settings.unanswered else None

    def _received(self, request: _Hook, raw: bytes, place: str) -> Received:
        refusal: str | None = None
        code, filtered, answer = "", None, _STORED
        try:
            description = self._context.describe(raw)
            if place:
                _agree(raw, place)
        except HubError as error:
            description = Description(kind="unreadable")
            refusal, code = error.what, error.code
            answer = outcome("error", "invalid", f"{error.what} {error.where}".strip())
        else:
            filtered = self._unwanted(description.kind)
        return Received(
            channel=self._context.channel,
            raw=raw,
            description=description,
            source=str(request.getClientAddress().host),
            answer=answer,
            refusal=refusal,
            refusal_code=code,
            filtered=filtered,
        )

    def _unwanted(self, kind: str) -> str | None:
        if kind in self._context.accepts:
            return None
        if kind in GREETINGS:
            return f"The subscription's {kind} needs nothing done."
        return f"The channel does not take {kind}." if self._context.accepts else None

    def _store(self, request: _Hook, received: Received) -> None:
        self._unanswered += 1

        def stored(result: Stored) -> None:
            if received.refusal is not None:
                request.reply(_Reply(400, received.answer or b""))
                return
            body = result.answer if result.repeated else received.answer
            at_once = result.repeated or received.filtered is not None or request.method == b"PUT"
            request.reply(_Reply(200 if at_once else 202, body or _STORED))

        def failed(failure: TwistedFailure) -> None:
            error = failure.value or RuntimeError()
            self._context.log.failure("not stored, so not accepted", error)
            request.reply(_LATER)

        def settled(_: None) -> None:
            self._unanswered -= 1
            if self._empty is not None and not self._unanswered and not self._empty.called:
                self._empty.callback(None)

        self._context.intake.receive(received).addCallbacks(stored, failed).addCallback(settled)

    def _opener(self) -> Callable[[int, str], Any]:
        factory = _Hooks(self)

        def listen(port: int, host: str) -> Any:
            if not self.settings.tls:
                return reactor.listenTCP(port, factory, interface=host)
            return reactor.listenSSL(port, factory, self._tls(), interface=host)

        return listen

    def _tls(self) -> Any:
        var = self._context.var
        try:
            if self.settings.certificate is None or self.settings.private_key is None:
                certificate, key = own_certificate(var / "tls", self._context.channel)
                return tls_options(certificate.read_bytes(), key.read_bytes())
            text = (var.parent / self.settings.certificate).read_bytes()
        except OSError as error:
            raise CertificateError(
                "The certificate cannot be read.", where=str(error.filename), found=error.strerror or ""
            ) from None
        return tls_options(text, self._context.secrets.value(self.settings.private_key).encode())


def _agree(raw: bytes, place: str) -> None:
    """Check that the resource put to *place* is the one that belongs there."""
    resource = read(raw)
    if f"{resource['resourceType']}/{resource.get('id')}" != place:
        raise FhirError(
            "The resource is not the one that the address names.", where="id", expected="the Type/id of the address"
        )


def open_destination(settings: FhirDestinationSettings, context: DestinationContext) -> HttpDestination:
    """A destination that creates each output as a resource."""
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    if settings.if_none_exist:
        headers["If-None-Exist"] = settings.if_none_exist
    return HttpDestination(
        settings,
        context,
        address=f"{settings.base.rstrip('/')}/{settings.resource}",
        method="POST",
        headers=headers,
        repeatable=settings.if_none_exist is not None,
    )


CONNECTOR = Connector(
    name="fhir",
    summary="FHIR R4: notifications taken by HTTPS, resources created on a server.",
    source_settings=FhirSourceSettings,
    open_source=FhirSource,
    destination_settings=FhirDestinationSettings,
    open_destination=open_destination,
)
