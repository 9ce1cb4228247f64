"""The figures of the status page: counters, what waits, rates, claims by stage, what needs a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select, union_all

from hub.store.tables import channel_state, claim, counter, delivery, message, rate, remittance, work_item

OUTCOMES = ("in progress", "held", "errored", "rejected", "done", "filtered")
MINUTES = 60


@dataclass(frozen=True, slots=True)
class Counts:
    """A channel's counters of some days, by name: received, the six outcomes, lines."""

    values: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.values.get(name, 0)

    @property
    def difference(self) -> int:
        """Received minus the six outcomes: 0, or messages are unaccounted for."""
        return self["received"] - sum(self[name] for name in OUTCOMES)

    @property
    def line_difference(self) -> int:
        """Lines minus mapped, filtered and held ones."""
        return self["lines"] - self["lines mapped"] - self["lines filtered"] - self["lines held"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a destination has not sent yet: how many, since when the oldest, and why in words."""

    channel: str
    destination: str
    count: int
    oldest_at: int
    reason: str
    attempts: int
    ambiguous: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody stopped a channel or one destination."""

    channel: str
    destination: str
    actor: str
    reason: str
    since: int
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages received per minute, oldest first, and how many were done."""

    received: tuple[int, ...] = field(default=(0,) * MINUTES)
    done: int = 0

    @property
    def total(self) -> int:
        """Received within the hour."""
        return sum(self.received)


@dataclass(frozen=True, slots=True)
class Stage:
    """Claims in one state: how many, and their charges."""

    state: str
    claims: int
    cents: int


def counts_by_channel(connection: Connection, since_day: str) -> dict[str, Counts]:
    """Every channel's counters of *since_day* and later, summed."""
    summed: dict[str, dict[str, int]] = defaultdict(dict)
    rows = connection.execute(
        select(counter.c.channel, counter.c.name, func.sum(counter.c.value))
        .where(counter.c.day >= since_day)
        .group_by(counter.c.channel, counter.c.name)
    )
    for channel, name, value in rows:
        summed[channel][name] = int(value)
    return {channel: Counts(values) for channel, values in summed.items()}


def waiting(connection: Connection) -> list[Waiting]:
    """What waits to leave or for a person, by destination, with the reason and the attempts of the oldest.

    Entries of one index are counted, and no row but the oldest is read: a long queue costs little more.
    """
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    oldest: dict[tuple[str, str], int] = {}
    for row in _by_state(connection):
        place = row.channel, row.destination
        counts[place][row.state] = row.number
        oldest[place] = min(row.first, oldest.get(place, row.first))
    columns = (delivery.c.sequence, delivery.c.created_at, delivery.c.reason, delivery.c.attempts)
    rows = connection.execute(select(*columns).where(delivery.c.sequence.in_(oldest.values())))
    first_of = {row.sequence: row for row in rows}
    found = []
    for place, by_state in sorted(counts.items()):
        first = first_of[oldest[place]]
        total, ambiguous = sum(by_state.values()), by_state.get("ambiguous", 0)
        found.append(Waiting(*place, total, first.created_at, first.reason or "", first.attempts, ambiguous))
    return found


def _by_state(connection: Connection) -> Sequence[Row[Any]]:
    """Channel, destination, state, how many wait, the sequence of the first."""
    counted = [
        select(
            delivery.c.channel,
            delivery.c.destination,
            delivery.c.state,
            func.count().label("number"),
            func.min(delivery.c.sequence).label("first"),
        )
        .where(
            delivery.c.channel == place.channel,
            delivery.c.destination == place.destination,
            delivery.c.state.in_(("queued", "sending", "ambiguous")),
        )
        .group_by(delivery.c.channel, delivery.c.destination, delivery.c.state)
        for place in connection.execute(_places())
    ]
    return connection.execute(union_all(*counted)).all() if counted else []


def _places() -> Select[tuple[str, str]]:
    """Every channel that ever put something out, with each of its destinations: by jumps in the index."""
    one, other = delivery.alias(), delivery.alias()
    channels = select(func.min(delivery.c.channel).label("name")).cte("channels", recursive=True)
    next_channel = select(func.min(one.c.channel)).where(one.c.channel > channels.c.name).scalar_subquery()
    channels = channels.union_all(select(next_channel).where(channels.c.name.is_not(None)))
    first = select(func.min(one.c.destination)).where(one.c.channel == channels.c.name).scalar_subquery()
    places = (
        select(channels.c.name.label("channel"), first.label("destination"))
        .where(channels.c.name.is_not(None))
        .cte("places", recursive=True)
    )
    following = (
        select(func.min(other.c.destination))
        .where(other.c.channel == places.c.channel, other.c.destination > places.c.destination)
        .scalar_subquery()
    )
    places = places.union_all(select(places.c.channel, following).where(places.c.destination.is_not(None)))
    return select(places.c.channel, places.c.destination).where(places.c.destination.is_not(None))


def undecided(connection: Connection, within: tuple[str, ...]) -> int:
    """How many deliveries of the channels *within* (empty: all) may have arrived, and wait for a person."""
    asked = select(func.count()).where(delivery.c.state == "ambiguous")
    return connection.execute(asked.where(delivery.c.channel.in_(within)) if within else asked).scalar_one()


def pauses(connection: Connection) -> list[Pause]:
    """Every pause in force."""
    return [
        Pause(row.channel, row.destination, row.actor, row.reason, row.changed_at, row.draining)
        for row in connection.execute(select(channel_state).where(channel_state.c.paused | channel_state.c.draining))
    ]


def last_received(connection: Connection, channel: str) -> int | None:
    """When *channel* last received a message."""
    return connection.execute(
        select(message.c.received_at).where(message.c.channel == channel).order_by(message.c.sequence.desc()).limit(1)
    ).scalar()


def rate_of(connection: Connection, channel: str, now_ms: int) -> Rate:
    """The last 60 minutes of *channel*."""
    newest = now_ms // 60_000
    received = [0] * MINUTES
    done = 0
    for row in connection.execute(select(rate).where(rate.c.channel == channel, rate.c.minute > newest - MINUTES)):
        if row.minute <= newest:
            received[row.minute - newest + MINUTES - 1] = row.received
            done += row.done
    return Rate(tuple(received), done)


def claims_by_state(connection: Connection) -> list[Stage]:
    """How many claims stand in each state, and their charges."""
    return [
        Stage(state, claims, int(cents))
        for state, claims, cents in connection.execute(
            select(claim.c.state, func.count(), func.sum(claim.c.total_cents)).group_by(claim.c.state)
        )
    ]


def open_items(connection: Connection, today: str = "9999") -> list[tuple[str, int, int, int]]:
    """Open work items by queue: queue, how many, money in cents, since when (business time) the oldest.

    Those that rest beyond *today* are left out.
    """
    return [
        (queue, count, int(cents), oldest)
        for queue, count, cents, oldest in connection.execute(
            select(
                work_item.c.queue,
                func.count(),
                func.sum(work_item.c.money_cents),
                func.min(work_item.c.opened_business_at),
            )
            .where(work_item.c.state == "open", work_item.c.snoozed_until <= today)
            .group_by(work_item.c.queue)
        )
    ]


def held_remittances(connection: Connection) -> list[tuple[int, str, str, int, str, int]]:
    """Remittances held whole: id, trace, payer, cents, reason, since when (business time)."""
    return [
        (row.id, row.trace, row.payer_name, row.amount_cents, row.reason or "", row.created_business_at)
        for row in connection.execute(
            select(
                remittance.c.id,
                remittance.c.trace,
                remittance.c.payer_name,
                remittance.c.amount_cents,
                remittance.c.reason,
                remittance.c.created_business_at,
            )
            .where(remittance.c.state == "held")
            .order_by(remittance.c.id)
            .limit(20)
        )
    ]


def open_kinds(connection: Connection, queue: str, today: str = "9999") -> list[tuple[str, int, int, int]]:
    """Open work items of *queue* by kind: kind, how many, money in cents, since when (business time) the oldest."""
    return [
        (kind, count, int(cents), oldest)
        for kind, count, cents, oldest in connection.execute(
            select(
                work_item.c.kind,
                func.count(),
                func.sum(work_item.c.money_cents),
                func.min(work_item.c.opened_business_at),
            )
            .where(work_item.c.queue == queue, work_item.c.state == "open", work_item.c.snoozed_until <= today)
            .group_by(work_item.c.kind)
            .order_by(work_item.c.kind)
        )
    ]


def gaps(connection: Connection) -> dict[str, int]:
    """Received minus the six outcomes, of every day that is kept, for the channels where that is not 0."""
    signed = case((counter.c.name == "received", counter.c.value), else_=-counter.c.value)
    rows = connection.execute(
        select(counter.c.channel, func.sum(signed))
        .where(counter.c.name.in_(("received", *OUTCOMES)))
        .group_by(counter.c.channel)
        .having(func.sum(signed) != 0)
    )
    return {channel: int(difference) for channel, difference in rows}


def errored_since(connection: Connection, channel: str, since: int, enough: int) -> int:
    """How many messages that *channel* received since *since* (ms) stand in error, counted a little beyond *enough*."""
    newest = (
        select(message.c.received_at)
        .where(message.c.channel == channel, message.c.onward == "errored")
        .order_by(message.c.sequence.desc())
        .limit(enough + 1)
        .subquery()
    )
    counted = select(func.count()).select_from(newest).where(newest.c.received_at >= since)
    return int(connection.execute(counted).scalar_one())
