"""One channel as it runs: its sources, steps and destinations, and how it goes over to another plan.

Going over touches what the plans differ in and nothing else: the sockets and sessions of the rest stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred, succeed

from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.engine.contracts import Description, DestinationContext, Received, Source, SourceContext
from hub.engine.deliveries import Deliveries
from hub.engine.intake import Arrival, StoreIntake
from hub.engine.plan import ChannelPlan, DestinationPlan
from hub.engine.steps import NewDelivery, Steps, Surroundings
from hub.engine.transactions import BillingDeliveries, Decisions

Pauses = dict[str, dict[str, tuple[bool, bool]]]
"""What people have paused and what they drain: by channel, then by destination, the channel itself under no name."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the channels of a node are given."""

    around: Surroundings
    intake: StoreIntake
    decisions: Decisions
    secrets: Secrets
    environment: str
    zone: str
    var: Path
    arrived: Callable[[Arrival], None]


@dataclass(frozen=True, slots=True)
class _Open:
    """A source that was opened, and what it was opened with."""

    opener: Callable[[SourceContext], Source]
    told: tuple[object, ...]
    source: Source


class RunningChannel:
    """One channel's running parts."""

    def __init__(self, plan: ChannelPlan, inside: Inside) -> None:
        self.plan = plan
        self.deliveries: dict[str, Deliveries] = {}
        self.billing: dict[str, BillingDeliveries] = {}
        self.steps: Steps | None = None
        self.paused = False
        self.draining = False
        self.paused_destinations: set[str] = set()
        self._inside = inside
        self._open: list[_Open] = []

    @property
    def sources(self) -> list[Source]:
        """The sources, in the order of the plan."""
        return [each.source for each in self._open]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in hand or waits to leave."""
        return self.steps is not None and self.steps.is_idle and all(part.is_idle for part in self.parts(""))

    # ------------------------------------------------------------ life

    def build(self, paused: Mapping[str, tuple[bool, bool]]) -> None:
        """Make the parts. *paused* says by destination what people have paused or drain; the channel has no name."""
        for destination, (stopped, draining) in paused.items():
            self.mark_paused(destination, paused=stopped, draining=draining)
        for destination_plan in self.plan.destinations.values():
            self._build_destination(destination_plan)
        self._build_steps(self._inside.around.bundle)
        for part in self.resting():
            part.pause()

    @inlineCallbacks
    def start(self) -> Any:
        """Start the destinations, then the steps, so that what the store holds goes on."""
        yield self.start_destinations()
        assert self.steps is not None
        self.steps.start()

    @inlineCallbacks
    def start_destinations(self) -> Any:
        """Have the destinations take up what the store holds unsent."""
        for name in [*self.billing, *self.deliveries]:
            yield self._start_destination(name)

    @inlineCallbacks
    def open(self) -> Any:
        """Open the sources. Raises `HubError` when one cannot be."""
        for opener in self.plan.sources:
            yield self._open_source(opener)

    def stop_sources(self) -> Deferred[Any]:
        """Close the sources, after what is in hand is answered."""
        return DeferredList([maybeDeferred(source.stop) for source in self.sources])

    def stop_steps(self) -> Deferred[None]:
        """Begin no further message; fires when those in hand are written."""
        return self.steps.stop() if self.steps is not None else succeed(None)

    @inlineCallbacks
    def stop_destinations(self) -> Any:
        """End what is being sent, then the connections."""
        for billing in self.billing.values():
            billing.stop()
        yield DeferredList([deliveries.stop() for deliveries in self.deliveries.values()])
        yield DeferredList([maybeDeferred(each.destination.stop) for each in self.deliveries.values()])

    # ------------------------------------------------------------ going over to another plan

    @inlineCallbacks
    def become(self, plan: ChannelPlan) -> Any:
        """Run *plan* from now on, its steps apart; the steps must be at rest. Raises `HubError` where it cannot be.

        What was begun and then failed is taken back by becoming the earlier plan.
        """
        self.plan = plan
        yield self._change_destinations()
        told = self._told()
        for each in list(self._open):
            if each.opener not in plan.sources or each.told != told:
                self._open.remove(each)
                yield maybeDeferred(each.source.stop)
        for opener in plan.sources:
            if all(each.opener != opener for each in self._open):
                yield self._open_source(opener)

    def resume_steps(self, bundle: str) -> None:
        """Map what waits, and what comes, with *bundle*."""
        self._build_steps(bundle)
        assert self.steps is not None
        self.steps.start()

    @inlineCallbacks
    def end(self) -> Any:
        """Close everything; the steps must be at rest."""
        yield self.stop_sources()
        self._open.clear()
        yield self.stop_destinations()

    @inlineCallbacks
    def _change_destinations(self) -> Any:
        plans = self.plan.destinations
        for name, billing in list(self.billing.items()):
            if name not in plans or plans[name].open is not None:
                billing.stop()
                del self.billing[name]
        for name, deliveries in list(self.deliveries.items()):
            if name in plans and deliveries.plan == plans[name]:
                continue
            yield deliveries.stop()
            yield maybeDeferred(deliveries.destination.stop)
            del self.deliveries[name]
        for name, plan in plans.items():
            if name not in self.billing and name not in self.deliveries:
                self._build_destination(plan)
                for part in self.resting():
                    part.pause()
                yield self._start_destination(name)

    # ------------------------------------------------------------ parts

    def _told(self) -> tuple[object, ...]:
        """What sources are told beside their own settings."""
        return (self.plan.reading, self.plan.accepts, self.plan.ack)

    @inlineCallbacks
    def _open_source(self, opener: Callable[[SourceContext], Source]) -> Any:
        inside, plan = self._inside, self.plan
        source = opener(
            SourceContext(
                channel=plan.name,
                intake=inside.intake,
                describe=plan.describe,
                accepts=plan.accepts,
                environment=inside.environment,
                zone=inside.zone,
                secrets=inside.secrets,
                workers=inside.around.workers,
                clock=inside.around.clock,
                log=inside.around.log.bind(channel=plan.name),
                var=inside.var,
                ack=plan.ack,
            )
        )
        self._open.append(_Open(opener, self._told(), source))
        try:
            yield maybeDeferred(source.start)
        except Exception:
            self._open.pop()
            raise
        if self.paused or self.draining:
            source.pause()

    def _build_destination(self, plan: DestinationPlan) -> None:
        if plan.open is None:
            around, decisions = self._inside.around, self._inside.decisions
            self.billing[plan.name] = BillingDeliveries(self.plan, plan.name, around, decisions)
        else:
            self.deliveries[plan.name] = self._open_destination(plan)

    @inlineCallbacks
    def _start_destination(self, name: str) -> Any:
        if name in self.billing:
            self.billing[name].start()
        else:
            yield maybeDeferred(self.deliveries[name].destination.start)
            self.deliveries[name].start()

    def _open_destination(self, destination: DestinationPlan) -> Deliveries:
        assert destination.open is not None
        inside, name, target = self._inside, self.plan.name, destination.answers_to
        context = DestinationContext(
            channel=name,
            destination=destination.name,
            environment=inside.environment,
            secrets=inside.secrets,
            workers=inside.around.workers,
            clock=inside.around.clock,
            log=inside.around.log.bind(channel=name, destination=destination.name),
            var=inside.var,
        )

        def answer_becomes(connection: Connection, new: NewDelivery, answer: bytes) -> Arrival | None:
            return inside.intake.store(connection, _answer_of(inside.intake.channel(target), name, new, answer))

        return Deliveries(
            name,
            destination,
            destination.open(context),
            inside.around,
            inside.around.reactor,
            reports=bool(self.plan.takes),
            answer_becomes=answer_becomes if target else None,
            arrived=inside.arrived,
        )

    def _build_steps(self, bundle: str) -> None:
        def reserve(destination: str, lane: bytes) -> bool:
            deliveries = self.deliveries.get(destination)
            return deliveries is not None and deliveries.reserve(lane)

        def made(news: Sequence[NewDelivery]) -> None:
            for name, deliveries in self.deliveries.items():
                deliveries.made([new for new in news if new.destination == name])
            for name, billing in self.billing.items():
                billing.made([new for new in news if new.destination == name])

        def unmade(news: Sequence[NewDelivery]) -> None:
            for name, deliveries in self.deliveries.items():
                deliveries.unmade([new for new in news if new.destination == name])

        self.steps = Steps(self.plan, replace(self._inside.around, bundle=bundle), reserve, made, unmade)

    # ------------------------------------------------------------ pauses

    def mark_paused(self, destination: str, *, paused: bool, draining: bool) -> None:
        """Remember what a person has paused, drains or resumed; no destination means the whole channel."""
        if not destination:
            self.paused, self.draining = paused, draining
        elif paused:
            self.paused_destinations.add(destination)
        else:
            self.paused_destinations.discard(destination)

    def resting(self) -> list[Deliveries | BillingDeliveries]:
        """The destinations that are paused, by themselves or with their whole channel."""
        names = [""] if self.paused else self.paused_destinations
        return [part for name in names for part in self.parts(name)]

    def parts(self, destination: str) -> list[Deliveries | BillingDeliveries]:
        """The destination of that name; all of them for none."""
        parts: dict[str, Deliveries | BillingDeliveries] = {**self.deliveries, **self.billing}
        return [part for name, part in parts.items() if destination in {"", name}]


def _answer_of(into: ChannelPlan, channel: str, new: NewDelivery, answer: bytes) -> Received:
    """What a destination of *channel* answered to *new*, as a message of the channel *into*."""
    refusal = filtered = None
    code = ""
    try:
        description = into.describe(answer)
    except HubError as error:
        description, refusal, code = Description(kind="unreadable"), error.what, error.code
    fetched = into.name == channel
    if not fetched:
        # Each answer counts, whatever earlier ones said: its delivery is recorded once.
        description = description._replace(duplicate_basis=None)
        if refusal is None and into.accepts and description.kind not in into.accepts:
            filtered = f"The channel does not take {description.kind}."
    return Received(
        into.name,
        answer,
        description,
        new.destination if fetched else f"{channel}.{new.destination}",
        refusal=refusal,
        refusal_code=code,
        filtered=filtered,
        parent_id=new.message_id,
        relation="fetched" if fetched else "caused",
        unheard=True,
    )
