"""What a channel file says of the subscriptions that the hub keeps on a FHIR server."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from hub.connectors.settings import Secret, Settings, WebAddress
from hub.connectors.web_client import WebClientSettings
from hub.core.units import Duration
from hub.formats.fhir.subscription import Payload


class SubscriptionSettings(Settings):
    """One subscription that the hub keeps on the server."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,31}$",
        description="What the hub calls it; another name is another subscription.",
        examples=["encounters"],
    )
    criteria: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Za-z]+\?",
        description="R4: the search whose new and changed results are told.",
        examples=["Encounter?status=finished"],
    )
    topic: WebAddress | None = Field(
        None,
        description="Instead of criteria, the topic's canonical address (Subscriptions R5 Backport).",
        examples=["https://ehr.clinic.example/fhir/SubscriptionTopic/encounter-finished"],
    )
    filters: tuple[str, ...] = Field(
        (), description="For a topic: which of its events, as searches.", examples=[["Encounter?status=finished"]]
    )
    payload: Payload | None = Field(
        None,
        description="What comes with a notification. Left out, full-resource for criteria and id-only for a topic; "
        "R4 knows no id-only.",
        examples=["id-only"],
    )
    heartbeat: Duration | None = Field(
        None,
        ge=10,
        description="For a topic: how often the server says that it is there. After two without one the hub asks.",
        examples=["60s"],
    )
    lasts: Duration = Field(
        30 * 86_400.0,
        ge=3600,
        description="For how long to ask; it is renewed when a third of that is left.",
        examples=["30d"],
    )
    numbered: bool = Field(
        True,
        description="For a topic: whether the server counts events over the subscription's life, so that a gap in the "
        "numbers says what is missing. Off for servers that count within each notification.",
        examples=[True],
    )
    catch_up: str | None = Field(
        None,
        pattern=r"^[A-Z][A-Za-z]+\?",
        description="The search that finds what was missed, together with _lastUpdated. Left out, the criteria.",
        examples=["Encounter?status=finished"],
    )
    recheck: Duration | None = Field(
        86_400.0,
        ge=3600,
        description="How often to search for what changed though nothing seems to be missing: every server loses some.",
        examples=["24h"],
    )

    @model_validator(mode="after")
    def _one_style(self) -> Self:
        if (self.criteria is None) == (self.topic is None):
            raise ValueError("give criteria or topic, one of them")
        if self.criteria is not None and (self.filters or self.heartbeat or self.payload == "id-only"):
            raise ValueError("filters, heartbeat and id-only are for a topic; R4's criteria know none of them")
        return self

    @property
    def content(self) -> Payload:
        """The payload asked for."""
        return self.payload or ("full-resource" if self.criteria else "id-only")

    @property
    def search(self) -> str | None:
        """The search that finds what was missed."""
        return self.catch_up or self.criteria


class SubscriptionServer(WebClientSettings):
    """The FHIR server on which the hub keeps subscriptions."""

    base: WebAddress = Field(description="The server's base address.", examples=["https://ehr.clinic.example/fhir"])
    hook: WebAddress = Field(
        description="The address by which the server reaches this source.",
        examples=["https://hub.clinic.example:8443/fhir/ehr_fhir"],
    )
    check: Duration = Field(300.0, ge=1, description="How often to look how they stand.", examples=["5m"])
    pages: int = Field(50, ge=1, description="How many pages to follow when catching up.", examples=[50])
    with_request: dict[str, Secret] = Field(
        {},
        description="Headers with secrets that go with the request that creates or renews a subscription, for servers "
        "that take the key of their signature this way.",
        examples=[{"X-Hub-Secret": {"secret": "ehr_hook_key"}}],
    )
