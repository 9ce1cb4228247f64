"""An HTTP client that knows whether a request can have reached its server: what http and fhir destinations share."""

# Twisted's web client has no types.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from OpenSSL import SSL
from pydantic import Field, model_validator
from service_identity import VerificationError
from twisted.internet import error as network
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure as TwistedFailure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers

from hub.connectors.oauth import OAuth, Tokens
from hub.connectors.quota import BUDGETS, Quota
from hub.connectors.settings import Secret
from hub.connectors.tls import ClientSecurity, WebPolicy, client_options, says_our_certificate_is_refused
from hub.core.secret import Secrets
from hub.core.units import Duration, Size
from hub.engine.contracts import EndpointState, Failure

reactor: Any = _reactor

PATIENCE = 10.0
"""Seconds that a request waits for its quota; one that would wait longer is tried again later instead."""
LONGEST_WAIT = 3600.0
"""Seconds that a server can ask us to wait at most: a mistaken date must not stop a channel for years."""
_REFUSED_FOR_NOW = frozenset({408, 425, 429})


class WebClientSettings(ClientSecurity):
    """What every destination that speaks HTTP lets one choose."""

    token: Secret | None = Field(
        None, description="The bearer token to send, if the server wants one.", examples=[{"secret": "ehr_token"}]
    )
    oauth: OAuth | None = Field(
        None,
        description="How to get tokens, if the server wants ones that expire. A token is kept until shortly before "
        "it does, and asked for anew, once, when the server refuses it.",
        examples=[
            {
                "token_url": "https://login.clinic.example/oauth2/token",
                "client_id": "claimhub",
                "client_secret": {"secret": "ehr_client"},
                "scope": "system/*.read",
            }
        ],
    )
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(60.0, description="How long to wait for the whole answer.", examples=["60s"])
    max_answer: Size = Field(16 << 20, description="A longer answer is cut off.", examples=["16MB"])
    quota: Quota | None = Field(
        None,
        description="How many requests the server allows. What would be too much waits; nothing fails for it.",
        examples=[{"name": "ehr_api", "per_second": 10, "per_day": 50_000}],
    )

    @model_validator(mode="after")
    def _one_kind_of_token(self) -> Self:
        if self.token is not None and self.oauth is not None:
            raise ValueError("give token or oauth, one of them")
        return self


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. *whole* is False when the body was cut off; *throttled* says that it was too much."""

    status: int
    body: bytes
    retry_after: float | None = None
    whole: bool = True
    throttled: bool = False

    @property
    def ok(self) -> bool:
        """Whether the server did as it was asked."""
        return 200 <= self.status < 300

    @property
    def failure(self) -> Failure:
        """What kind of failure this is, when it is one."""
        if self.throttled or self.status in _REFUSED_FOR_NOW or self.status >= 500:
            return Failure.TRANSIENT
        return Failure.PERMANENT

    @property
    def reason(self) -> str:
        """The same in words. The body may quote the request, so it is not repeated."""
        if self.throttled:
            return f"The server says that there were too many requests (HTTP {self.status})."
        match self.status:
            case 401 | 403:
                return f"The server does not let us in (HTTP {self.status})."
            case 404 | 410:
                return f"The server does not have this (HTTP {self.status})."
            case 429 | 503:
                return f"The server asks us to wait (HTTP {self.status})."
            case _:
                return f"The server answered HTTP {self.status}."


class NoAnswerError(Exception):
    """No answer came. *sent* is False when the request surely did not reach the server.

    *retry_after* is set where the request was not made yet because of a quota: the seconds until it may be.
    """

    def __init__(self, reason: str, state: EndpointState, *, sent: bool, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.state = state
        self.sent = sent
        self.retry_after = retry_after


class WebClient:
    """Makes requests by the settings, over connections that it keeps when *lasting*.

    A connection that is kept may be closed by its server just as the next request is written, and then nobody
    knows whether that request was processed. So only readers keep them.
    """

    def __init__(self, settings: WebClientSettings, secrets: Secrets, site: Path, *, lasting: bool) -> None:
        self._settings = settings
        self._secrets = secrets
        self._pool = HTTPConnectionPool(reactor, persistent=lasting)
        self._agent: Any = Agent(
            reactor,
            contextFactory=WebPolicy(client_options(settings, site, secrets)),
            connectTimeout=settings.connect_within,
            pool=self._pool,
        )
        self._tokens = Tokens(settings.oauth, secrets, self._ask) if settings.oauth is not None else None
        folder = site / "var" / "quota"
        self._budget = BUDGETS.of(settings.quota, folder, reactor.seconds) if settings.quota else None

    @property
    def pace(self) -> str:
        """How fast requests leave because of the quota, in words; empty without one."""
        return self._budget.words() if self._budget else ""

    async def request(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask, and return what was answered. Raises :class:`NoAnswerError`, `TokenError` or `SecretMissingError`."""
        if self._tokens is None:
            own = self._settings.token
            bearer = {"Authorization": f"Bearer {self._secrets.value(own)}"} if own is not None else {}
            return await self._ask_in_turn(method, url, {**(headers or {}), **bearer}, body)
        token = await self._bearer(self._tokens)
        answer = await self._ask_in_turn(method, url, {**(headers or {}), "Authorization": f"Bearer {token}"}, body)
        if answer.status != 401:
            return answer
        self._tokens.refused(token)
        token = await self._bearer(self._tokens)
        return await self._ask_in_turn(method, url, {**(headers or {}), "Authorization": f"Bearer {token}"}, body)

    async def _ask_in_turn(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        """Ask when the quota allows it, and tell the quota what the server said of that."""
        if self._budget is None:
            return await self._ask(method, url, headers, body)
        patient_until = reactor.seconds() + PATIENCE
        while wait := self._budget.take():
            if reactor.seconds() + wait > patient_until:
                raise NoAnswerError(self._budget.words(), EndpointState.CONNECTED, sent=False, retry_after=wait)
            await deferLater(reactor, wait)
        answer = await self._ask(method, url, headers, body)
        asked_to_wait = answer.status == 503 and answer.retry_after is not None
        if answer.status in self._budget.quota.refused_by or asked_to_wait:
            self._budget.refused(answer.retry_after)
            return replace(answer, throttled=True)
        self._budget.accepted()
        return answer

    @staticmethod
    async def _bearer(tokens: Tokens) -> str:
        try:
            return await tokens.token()
        except NoAnswerError as error:  # whatever became of that, the request itself was not sent
            raise NoAnswerError(f"No token: {error.reason}", error.state, sent=False) from None

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        wire = Headers({"User-Agent": ["claimhub"]})
        for name, value in headers.items():
            wire.setRawHeaders(name, [value])
        asked = self._agent.request(
            method.encode(), url.encode(), wire, FileBodyProducer(BytesIO(body)) if body is not None else None
        )
        deadline = reactor.seconds() + self._settings.answer_within
        limit = reactor.callLater(self._settings.answer_within, asked.cancel)
        try:
            response = await asked
        except Exception as error:
            raise _no_answer(error) from None
        finally:
            if limit.active():
                limit.cancel()
        collector = _Collector(self._settings.max_answer)
        response.deliverBody(collector)
        limit = reactor.callLater(max(0.0, deadline - reactor.seconds()), collector.give_up)
        whole = await collector.done
        if limit.active():
            limit.cancel()
        return Answer(response.code, bytes(collector.body), _retry_after(response.headers), whole)

    def close(self) -> Deferred[None]:
        """Close the connections that are kept."""
        if self._budget is not None:
            self._budget.close()
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


class _Collector(Protocol):
    """Gathers a body up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.body = bytearray()
        self.done: Deferred[bool] = Deferred()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        self.body += data
        if len(self.body) > self._limit:
            del self.body[self._limit :]
            self.give_up()

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:  # noqa: N802
        self._finish(whole=reason.check(ResponseDone) is not None)

    def give_up(self) -> None:
        """Enough: what came is what there is."""
        if not self.done.called:
            transport: Any = self.transport
            transport.abortConnection()
            self._finish(whole=False)

    def _finish(self, *, whole: bool) -> None:
        if not self.done.called:
            self.done.callback(whole)


def _no_answer(error: Exception) -> NoAnswerError:
    match error:
        case network.ConnectionRefusedError():
            return NoAnswerError("The server refused the connection.", EndpointState.REFUSED, sent=False)
        case network.TimeoutError():
            return NoAnswerError("The server did not answer the call in time.", EndpointState.RETRYING, sent=False)
        case network.DNSLookupError():
            return NoAnswerError("The server's name is not known.", EndpointState.RETRYING, sent=False)
        case network.ConnectError():
            return NoAnswerError("The server cannot be reached.", EndpointState.RETRYING, sent=False)
    causes = [failure.value for failure in getattr(error, "reasons", ())]
    if any(_is_distrust(cause) for cause in causes):
        # Application data leaves only after the handshake, and this one did not end.
        return NoAnswerError("The server's certificate is not trusted.", EndpointState.REFUSED, sent=False)
    if any(says_our_certificate_is_refused(cause) for cause in causes):
        return NoAnswerError("The server does not accept our certificate.", EndpointState.REFUSED, sent=False)
    return NoAnswerError("No answer came.", EndpointState.RETRYING, sent=True)


def _is_distrust(cause: BaseException | None) -> bool:
    return isinstance(cause, VerificationError) or (
        isinstance(cause, SSL.Error) and "certificate verify failed" in str(cause)
    )


def _retry_after(headers: Headers) -> float | None:
    """The seconds that ``Retry-After`` asks for, written as a number or as a date (RFC 9110, section 10.2.3)."""
    text = (headers.getRawHeaders("Retry-After") or [""])[0].strip()
    if text.isdecimal() and len(text) < 10:
        return min(LONGEST_WAIT, float(text))
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return min(LONGEST_WAIT, max(0.0, (when - dt.datetime.now(dt.UTC)).total_seconds()))
