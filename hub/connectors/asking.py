"""What destinations share that ask a server by HTTP, once or several times for each delivery."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin, urlsplit

from pydantic import Field
from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred

from hub.connectors.web_client import Answer, NoAnswerError, WebClient, WebClientSettings
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import DestinationContext, EndpointState, Failure, Health, Outcome, Parcel

ACCEPT = {"Accept": "application/json"}


class FailedError(Exception):
    """The delivery ends here, with this outcome. *status* is the server's, where it answered.

    *state* is how things stand with the server now, None where it was not asked.
    """

    def __init__(
        self, outcome: Outcome, state: EndpointState | None = EndpointState.CONNECTED, status: int = 0
    ) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
        self.state = state
        self.status = status


def refused(reason: str) -> FailedError:
    """What no repetition makes better."""
    return FailedError(Outcome(Failure.PERMANENT, reason))


def good(answer: Answer) -> bytes:
    """The body of an *answer* that is what was asked for. Raises :class:`FailedError` for any other."""
    if not answer.ok:
        outcome = Outcome(answer.failure, answer.reason, answer.body, answer.retry_after)
        raise FailedError(outcome, state_after(answer), answer.status)
    return whole(answer)


def whole(answer: Answer) -> bytes:
    """The body of *answer*. Raises :class:`FailedError` when it broke off."""
    if not answer.whole:
        raise FailedError(Outcome(Failure.TRANSIENT, "The answer broke off."), EndpointState.RETRYING)
    return answer.body


def state_after(answer: Answer) -> EndpointState:
    """How things stand with a server that gave *answer*."""
    return EndpointState.LOGIN_FAILED if answer.status in {401, 403} else EndpointState.CONNECTED


def read_json(body: bytes) -> Any:
    """What *body* says, numbers with a point exactly. Raises :class:`FailedError` when it is not JSON."""
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise refused("The answer is not JSON.") from None


def unanswered(error: NoAnswerError, *, repeatable: bool) -> FailedError:
    """What a request that got no answer means. One that is *repeatable* is never ambiguous: it is simply done again."""
    failure = Failure.AMBIGUOUS if error.sent and not repeatable else Failure.TRANSIENT
    outcome = Outcome(failure, error.reason, retry_after=error.retry_after)
    return FailedError(outcome, error.state)


class PagedSettings(WebClientSettings):
    """How a server gives out lists."""

    next_page: str = Field(
        "next",
        description="The key under which a page says where the next one is; a last page has none, or null.",
        examples=["next"],
    )
    pages: int = Field(50, ge=1, description="How many pages of one list to follow at most.", examples=[50])


class AskingDestination:
    """Deliveries that are conversations. A subclass holds one in :meth:`converse`; a few run at a time.

    *address* is what people are shown; *requests* run at a time; *lasting* keeps connections between conversations.
    """

    repeatable = False
    """Whether a conversation that broke off may simply be held again."""

    def __init__(
        self, settings: WebClientSettings, context: DestinationContext, *, address: str, requests: int, lasting: bool
    ) -> None:
        self.client = WebClient(settings, context.secrets, context.var.parent, lasting=lasting)
        self._address = address
        self._requests = requests
        self._free = DeferredSemaphore(requests)
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    async def converse(self, parcel: Parcel) -> Outcome:
        """Do what *parcel* says. Raises :class:`FailedError`, `NoAnswerError`, `TokenError` or `SecretMissingError`."""
        raise NotImplementedError

    def start(self) -> None:
        """Nothing: connections are made when there is something to ask."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Do what *parcel* says, when one of the conversations is free."""
        return self._free.run(lambda: ensureDeferred(self._deliver(parcel)))

    def stop(self) -> Deferred[None]:
        """End after the conversations in hand."""

        def stopped(_: Any) -> None:
            self._stand(EndpointState.STOPPED)

        done: Deferred[Any] = self._free.acquire()
        for _ in range(self._requests - 1):
            done.addCallback(lambda _: self._free.acquire())
        return done.addCallback(lambda _: self.client.close()).addCallback(stopped)

    def health(self) -> tuple[Health, ...]:
        """How the last conversation went, and how fast requests leave."""
        return (Health(self._state, self._address, self._since, self._detail or self.client.pace),)

    async def pages(self, url: str, settings: PagedSettings) -> AsyncIterator[bytes]:
        """The bodies of a list's pages from *url* on. Raises what :meth:`converse` does."""
        first = url
        for _ in range(settings.pages):
            body = good(await self.client.request("GET", url, ACCEPT))
            yield body
            page = read_json(body)
            further = page.get(settings.next_page) if isinstance(page, dict) else None
            if not further:
                return
            url = urljoin(url, str(further))
            if origin(url) != origin(first):
                raise refused("The server points to another server for more.")  # the token is for this one alone
        raise refused("A list has more pages than the settings allow.")

    async def _deliver(self, parcel: Parcel) -> Outcome:
        try:
            outcome = await self.converse(parcel)
        except FailedError as failed:
            return self._failed(failed)
        except NoAnswerError as error:
            return self._failed(unanswered(error, repeatable=self.repeatable))
        except HubError as error:
            return self._failed(FailedError(Outcome(Failure.TRANSIENT, error.what), EndpointState.LOGIN_FAILED))
        self._stand(EndpointState.CONNECTED)
        return outcome

    def _failed(self, failed: FailedError) -> Outcome:
        if failed.state is not None:
            self._stand(failed.state, failed.outcome.reason)
        return failed.outcome

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of *url*."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
