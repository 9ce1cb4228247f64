"""From a site's checked files to what the engine runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hub.connectors import connectors
from hub.engine.contracts import Connector, Destination, DestinationContext, Source, SourceContext
from hub.engine.plan import ChannelPlan, DestinationPlan, SitePlan
from hub.site.channels import BILLING, CHANNEL, WITHIN, Channel
from hub.site.channels import DestinationPlan as DestinationFile
from hub.site.load import Site
from hub.site.mapping import FETCHERS


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens one side of a connector. Two are equal when they would open the same: a deploy leaves that alone."""

    open: Callable[[Any, Any], Any]
    settings: Any

    def __call__(self, context: Any) -> Any:
        """The source or destination for *context*."""
        return self.open(self.settings, context)


def site_plan(site: Site) -> SitePlan:
    """The plan of a sound *site*. Raises `SiteError` when it has errors."""
    site.require_sound()
    assert site.settings is not None
    known = connectors()
    seconds = site.settings.workers.message_time
    return SitePlan(
        organisation=site.organisation,
        environment=site.settings.environment,
        zone=str(site.zone),
        bundle=site.bundle,
        channels={name: _channel(channel, known, seconds) for name, channel in site.channels.items()},
    )


def _channel(channel: Channel, known: dict[str, Connector], mapping_seconds: float) -> ChannelPlan:
    return ChannelPlan(
        name=channel.name,
        title=channel.title,
        describe=channel.describe,
        sources=tuple(_source(known[kind], settings) for kind, settings in channel.sources if kind not in WITHIN),
        destinations={
            name: _destination(known, channel.name, destination) for name, destination in channel.destinations.items()
        },
        accepts=channel.accepts,
        takes=channel.billing_kinds,
        ordered=channel.lane != "any",
        mapping_seconds=mapping_seconds,
        reading=(channel.format, channel.lane, channel.encoding),
        ack=channel.ack,
    )


def _source(connector: Connector, settings: object) -> Callable[[SourceContext], Source]:
    assert connector.open_source is not None
    return Opener(connector.open_source, settings)


def _destination(known: dict[str, Connector], channel: str, file: DestinationFile) -> DestinationPlan:
    return DestinationPlan(
        name=file.name,
        order=file.order,
        ambiguous=file.ambiguous,
        open=None if file.connector == BILLING else _opener(known[file.connector], file.settings),
        answers_to=channel if file.connector in FETCHERS.values() else file.into,
        hands_on=file.connector == CHANNEL,
        backoff_seconds=_backoff(file.backoff, file.backoff_max),
        max_attempts=file.max_attempts,
        shadow=file.shadow,
    )


def _opener(connector: Connector, settings: object) -> Callable[[DestinationContext], Destination]:
    assert connector.open_destination is not None
    return Opener(connector.open_destination, settings)


def _backoff(first: float, longest: float) -> tuple[float, ...]:
    """The waits after one, two, ... failures: doubling from *first* to *longest*."""
    waits = [first]
    while waits[-1] < longest:
        waits.append(min(waits[-1] * 2, longest))
    return tuple(waits)
