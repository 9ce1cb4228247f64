"""Channel to channel: an output becomes a message of another channel, within the store.

The delivery is done in the transaction that stores the new message, so that it arrives once whatever dies. The two are
linked: the message's page leads from one to the other.
"""

from __future__ import annotations

from pydantic import Field
from twisted.internet.defer import Deferred, succeed

from hub.connectors.settings import Settings
from hub.core.clock import real_ms
from hub.engine.contracts import (
    Connector,
    Destination,
    DestinationContext,
    EndpointState,
    Health,
    Outcome,
    Parcel,
)


class ChannelSourceSettings(Settings):
    """What other channels hand to this one; they name it in their destinations, or in answers_to."""


class ChannelDestinationSettings(Settings):
    """Another channel, which gets each output as a message of its own."""

    into: str = Field(min_length=1, description="The channel.", examples=["lab_results"])


class HandingOn:
    """Gives each output back to the engine, which stores it as a message of the other channel."""

    def __init__(self, settings: ChannelDestinationSettings) -> None:
        self._address = f"channel {settings.into}"
        self._since = real_ms()

    def start(self) -> None:
        """Nothing: the other channel is in the same store."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """What the engine stores is the output as it is."""
        return succeed(Outcome(None, answer=parcel.body))

    def stop(self) -> None:
        """Nothing is open."""

    def health(self) -> tuple[Health, ...]:
        """As well as the store is."""
        return (Health(EndpointState.CONNECTED, self._address, self._since),)


def open_destination(settings: ChannelDestinationSettings, _context: DestinationContext) -> Destination:
    """A destination that hands outputs on."""
    return HandingOn(settings)


CONNECTOR = Connector(
    name="channel",
    summary="Messages handed from one channel to another, within the store's transactions.",
    source_settings=ChannelSourceSettings,
    destination_settings=ChannelDestinationSettings,
    open_destination=open_destination,
)
