"""FHIR R4: a hook for what a server's Subscription sends, and resources written to a server.

Sources: FHIR R4, Subscription (rest-hook channel: POST, or PUT to ``Type/id``); Subscriptions R5 Backport
implementation guide 1.1 (notification bundles, handshake, heartbeat).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, succeed

from hub.connectors.fhir_probe import probe
from hub.connectors.fhir_write import FhirDestinationSettings, open_destination
from hub.connectors.hook import HookSettings, HookSource, Manner
from hub.connectors.subscription_settings import SubscriptionServer, SubscriptionSettings
from hub.connectors.subscriptions import Client, Keeper
from hub.connectors.web_client import WebClient
from hub.engine.contracts import Connector, Health, SourceContext
from hub.formats.fhir.text import FhirError, read, write

GREETINGS = frozenset({"handshake", "heartbeat", "query-status"})
"""Kinds of message that say something of the subscription and nothing of a patient."""


class FhirSourceSettings(HookSettings):
    """An HTTPS address that a FHIR server sends its notifications to."""

    path: str | None = Field(
        None,
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="The path of the hook. Left out, /fhir/ and the channel's name.",
        examples=["/fhir/ehr_fhir"],
    )
    server: SubscriptionServer | None = Field(
        None,
        description="The FHIR server on which the hub itself keeps the subscriptions that feed this source; a table "
        "of its own, [source.server].",
        examples=[
            {
                "base": "https://ehr.clinic.example/fhir",
                "hook": "https://hub.clinic.example:8443/fhir/ehr_fhir",
                "token": {"secret": "ehr_token"},
            }
        ],
    )
    subscription: tuple[SubscriptionSettings, ...] = Field(
        (),
        description="Each subscription to keep there; tables of their own, [[source.subscription]].",
        examples=[[{"name": "encounters", "criteria": "Encounter?status=finished"}]],
    )

    @model_validator(mode="after")
    def _subscriptions_have_a_server(self) -> Self:
        if (self.server is None) != (not self.subscription):
            raise ValueError("server and subscription go together")
        if len({each.name for each in self.subscription}) != len(self.subscription):
            raise ValueError("each subscription needs a name of its own")
        return self


def outcome(severity: str, code: str, text: str) -> bytes:
    """An OperationOutcome with one issue (FHIR R4, issue types). *text* never repeats what was sent."""
    issue = {"severity": severity, "code": code, "details": {"text": text}}
    return write({"resourceType": "OperationOutcome", "issue": [issue]})


class FhirSource(HookSource):
    """A hook that answers with OperationOutcomes, and the keeper of the subscriptions that feed it."""

    def __init__(self, settings: FhirSourceSettings, context: SourceContext, client: Client | None = None) -> None:
        self._keeper: Keeper | None = None
        manner = Manner(
            say=outcome,
            media_type=b"application/fhir+json; charset=utf-8",
            path=settings.path or f"/fhir/{context.channel}",
            takes=lambda media_type: not media_type or b"json" in media_type,
            place_of=_place_of,
            agree=_agree,
            filtered=lambda kind: f"The subscription's {kind} needs nothing done." if kind in GREETINGS else None,
            heard=self._heard,
            pinged=self._pinged,
        )
        super().__init__(settings, context, manner)
        server = settings.server
        if server is not None:
            asks = client or WebClient(server, context.secrets, context.var.parent, lasting=False)
            self._keeper = Keeper(server, settings.subscription, context, asks, self.unwanted, settings.token)

    def start(self) -> Deferred[None]:
        """Open the port, then see to the subscriptions."""

        def opened(_: None) -> None:
            if self._keeper is not None:
                self._keeper.start()

        return super().start().addCallback(opened)

    def pause(self) -> None:
        """Close the port; what is missed meanwhile is caught up with."""
        super().pause()
        if self._keeper is not None:
            self._keeper.pause()

    def resume(self) -> None:
        """Open the port again."""
        super().resume()
        if self._keeper is not None:
            self._keeper.resume()

    def stop(self) -> Deferred[None]:
        """Close the port, give the answers that are owed, and end the look under way."""
        ends: list[Deferred[None]] = [super().stop()]
        if self._keeper is not None:
            ends.append(self._keeper.stop())
        return DeferredList(ends).addCallback(lambda _: None)

    def health(self) -> tuple[Health, ...]:
        """The port, and each subscription."""
        return (*super().health(), *(self._keeper.health() if self._keeper is not None else ()))

    def _heard(self, raw: bytes) -> None:
        if self._keeper is not None:
            self._keeper.heard(raw)

    def _pinged(self) -> Deferred[None]:
        return ensureDeferred(self._keeper.pinged()) if self._keeper is not None else succeed(None)


def _place_of(rest: str) -> str | None:
    """What follows the hook's path: empty, or ``Type/id``; None when it is another path."""
    if rest.strip("/") and (not rest.startswith("/") or rest.count("/") != 2):
        return None
    return rest.strip("/")


def _agree(raw: bytes, place: str) -> None:
    """Check that the resource put to *place* is the one that belongs there."""
    resource = read(raw)
    if f"{resource['resourceType']}/{resource.get('id')}" != place:
        raise FhirError(
            "The resource is not the one that the address names.", where="id", expected="the Type/id of the address"
        )


CONNECTOR = Connector(
    name="fhir",
    summary="FHIR R4: notifications taken by HTTPS, resources written to a server.",
    source_settings=FhirSourceSettings,
    open_source=FhirSource,
    destination_settings=FhirDestinationSettings,
    open_destination=open_destination,
    probe=probe,
)
