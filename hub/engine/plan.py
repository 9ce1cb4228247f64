"""A channel as the engine runs it: what the site's files say, resolved to things that can be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hub.engine.contracts import Description, Destination, DestinationContext, Source, SourceContext


@dataclass(frozen=True, slots=True)
class DestinationPlan:
    """One destination. *open* is None for billing, which is part of the store's own transactions.

    *order* is ``strict`` (one after the other), ``any`` (no order) or a key (``account``, ``patient``): then the
    message's lane. *ambiguous* is ``retry`` (the peer recognises a repeat) or ``ask`` (a person decides).
    After *max_attempts* a delivery is given up. With *shadow* outputs are built and kept, never sent.
    *answers_to* names the channel that what the peer answered becomes a new, linked message of (a FHIR fetch: its own).
    With *hands_on* there is no peer: the output itself becomes that message.
    """

    name: str
    order: str
    ambiguous: str
    open: Callable[[DestinationContext], Destination] | None = None
    answers_to: str = ""
    hands_on: bool = False
    concurrency: int = 4
    backoff_seconds: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
    max_attempts: int | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One channel. *takes* are the kinds that it takes from billing, empty for channels with connectors as sources.

    With *ordered* a message goes in the lane that *describe* names for it, else in none. *reading* is what *describe*
    was made of: where it is equal, so is what messages are taken for. With *ack* ``processed`` the answer waits for
    the end of the steps.
    """

    name: str
    title: str
    describe: Callable[[bytes], Description]
    sources: tuple[Callable[[SourceContext], Source], ...]
    destinations: dict[str, DestinationPlan]
    accepts: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    ordered: bool = True
    mapping_seconds: float = 10.0
    reading: tuple[object, ...] = ()
    ack: str = "committed"


@dataclass(frozen=True, slots=True)
class SitePlan:
    """Everything the engine runs."""

    organisation: str
    environment: str
    zone: str
    bundle: str
    channels: dict[str, ChannelPlan]

    def taking(self, kind: str) -> list[ChannelPlan]:
        """The channels that take *kind* from billing."""
        return [channel for channel in self.channels.values() if kind in channel.takes]
