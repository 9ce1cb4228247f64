"""Messages taken by HTTPS, one request each, and outputs sent to a server the same way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from hub.connectors.asking import AskingDestination, FailedError, state_after, unanswered
from hub.connectors.hook import HookSettings, HookSource, Manner
from hub.connectors.settings import WebAddress
from hub.connectors.web_client import Answer, NoAnswerError, WebClient, WebClientSettings
from hub.connectors.web_probe import probe
from hub.engine.contracts import Connector, DestinationContext, Outcome, Parcel, SourceContext


class HttpSourceSettings(HookSettings):
    """An HTTPS address that takes each request's body as a message, such as an EHR's webhook in JSON."""

    path: str | None = Field(
        None,
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="The path of the hook. Left out, /hook/ and the channel's name.",
        examples=["/hook/ehr_events"],
    )


class WriterSettings(WebClientSettings):
    """What every destination that writes by HTTP lets one choose."""

    requests: int = Field(4, ge=1, le=64, description="How many requests may run at a time.", examples=[4])


class HttpDestinationSettings(WriterSettings):
    """A server that takes each output as the body of a request."""

    url: WebAddress = Field(
        description="Where to send to. {name} stands for the output's name.",
        examples=["https://ehr.clinic.example/fhir/ClaimResponse"],
    )
    method: Literal["POST", "PUT"] = Field("POST", description="How to send.", examples=["POST"])
    content_type: str = Field("application/json", description="What the body is.", examples=["application/fhir+json"])
    headers: dict[str, str] = Field(
        {}, description="Further headers. Secrets have settings of their own.", examples=[{"Prefer": "return=minimal"}]
    )
    if_none_exist: str | None = Field(
        None,
        description="For FHIR servers that know conditional create: the search that finds what an earlier attempt "
        "created. {name} stands for the output's name.",
        examples=["identifier=urn:claimhub:result|{name}"],
    )
    idempotency_header: str | None = Field(
        None,
        description="The header by which the server knows a repeated request; it carries the output's name.",
        examples=["Idempotency-Key"],
    )

    @model_validator(mode="after")
    def _no_token_in_headers(self) -> Self:
        if any(name.lower() == "authorization" for name in self.headers):
            raise ValueError('a token is named: use token = { secret = "name" } instead of a header')
        return self


@dataclass(frozen=True, slots=True)
class Call:
    """One request. *repeatable* says that a server that had it before takes no harm from a second one."""

    method: str
    url: str
    headers: dict[str, str]
    repeatable: bool


Compose = Callable[[Parcel], Call | Outcome]
"""What to ask for a parcel; an outcome instead when it cannot be sent as it is."""
Settle = Callable[[WebClient, Parcel, Call, Answer], Awaitable[Outcome]]
"""What an answer means. It may ask the server again."""


async def settled(_client: WebClient, _parcel: Parcel, _call: Call, answer: Answer) -> Outcome:
    """What the status of *answer* alone says."""
    if answer.ok:
        return Outcome(None, answer=answer.body)
    return Outcome(answer.failure, answer.reason, answer.body, answer.retry_after)


class HttpDestination(AskingDestination):
    """Sends each parcel as one request. *address* is what people are shown."""

    def __init__(
        self,
        settings: WriterSettings,
        context: DestinationContext,
        *,
        address: str,
        compose: Compose,
        settle: Settle = settled,
    ) -> None:
        super().__init__(settings, context, address=address, requests=settings.requests, lasting=False)
        self._compose = compose
        self._settle = settle

    async def converse(self, parcel: Parcel) -> Outcome:
        """Send *parcel* and wait for the answer."""
        call = self._compose(parcel)
        if isinstance(call, Outcome):
            raise FailedError(call, None)
        try:
            answer = await self.client.request(call.method, call.url, call.headers, parcel.body)
        except NoAnswerError as error:
            raise unanswered(error, repeatable=call.repeatable) from None
        outcome = await self._settle(self.client, parcel, call, answer)
        if outcome.failure is not None:
            raise FailedError(outcome, state_after(answer))
        return outcome


def open_source(settings: HttpSourceSettings, context: SourceContext) -> HookSource:
    """A hook that takes any media type and answers with small JSON objects."""
    manner = Manner(
        say=lambda severity, code, text: json.dumps({"severity": severity, "code": code, "text": text}).encode(),
        media_type=b"application/json",
        path=settings.path or f"/hook/{context.channel}",
        takes=lambda _: True,
        place_of=lambda rest: None if rest else "",
        agree=lambda _raw, _place: None,
        filtered=lambda _: None,
    )
    return HookSource(settings, context, manner)


def open_destination(settings: HttpDestinationSettings, context: DestinationContext) -> HttpDestination:
    """A destination that sends to the address."""
    headers = {"Content-Type": settings.content_type, **settings.headers}
    if settings.idempotency_header:
        headers[settings.idempotency_header] = "{name}"
    if settings.if_none_exist:
        headers["If-None-Exist"] = settings.if_none_exist
    known = bool(settings.method == "PUT" or settings.idempotency_header or settings.if_none_exist)

    def compose(parcel: Parcel) -> Call:
        name = quote(parcel.name, safe="")
        named = {header: value.replace("{name}", name) for header, value in headers.items()}
        return Call(settings.method, settings.url.replace("{name}", name), named, known)

    return HttpDestination(settings, context, address=settings.url, compose=compose)


CONNECTOR = Connector(
    name="http",
    summary="Messages taken by HTTPS, outputs sent by HTTPS, one request each.",
    source_settings=HttpSourceSettings,
    open_source=open_source,
    destination_settings=HttpDestinationSettings,
    open_destination=open_destination,
    probe=probe,
)
