"""How a channel does over time: latency, what is usual at this hour, the last day by quarter hours, what was sent."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from hub.store.tables import delivery, message, rate

SAMPLE = 200
QUARTERS = 96
_MOST_COUNTED = 10_000
_HOUR, _DAY, _WEEK = 60, 1440, 7


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from receipt to the end, of the newest messages that ended: the middle, and what 95 % stay under."""

    p50: int
    p95: int


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual at this hour: messages per hour, and so the pause between two; from *days* days that had any."""

    per_hour: float
    days: int

    @property
    def gap_ms(self) -> int:
        """The mean pause between two messages."""
        return round(3_600_000 / self.per_hour)


@dataclass(frozen=True, slots=True)
class Sent:
    """What went to a destination: when the last, and how many in 24 hours (counted to a limit)."""

    last_at: int | None
    in_a_day: int


def latency(connection: Connection, channel: str) -> Latency | None:
    """The latency of *channel* by its newest ended messages; None when none ended."""
    newest = (
        select(message.c.received_at, message.c.finished_at)
        .where(message.c.channel == channel)
        .order_by(message.c.sequence.desc())
        .limit(SAMPLE)
    )
    took = sorted(end - begin for begin, end in connection.execute(newest).all() if end)
    return Latency(took[len(took) // 2], took[min(len(took) - 1, len(took) * 95 // 100)]) if took else None


def usual(connection: Connection, channel: str, now_ms: int) -> Usual | None:
    """What *channel* receives in the hour around this time of day, over a week.

    None when too little is kept: at least two days must have had messages.
    """
    now = now_ms // 60_000
    windows = [(now - day * _DAY - _HOUR // 2, now - day * _DAY + _HOUR // 2) for day in range(1, _WEEK + 1)]
    in_window = or_(*(rate.c.minute.between(first, last) for first, last in windows))
    received = connection.execute(
        select(func.sum(rate.c.received))
        .where(rate.c.channel == channel, rate.c.received > 0, in_window)
        .group_by((now - rate.c.minute + _HOUR // 2) // _DAY)
    ).scalars().all()  # fmt: skip
    return Usual(int(sum(received)) / len(received), len(received)) if len(received) > 1 else None


def by_quarter(connection: Connection, channel: str, now_ms: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """The last 24 hours in quarters: the first one's beginning (ms), received in each, done in each; oldest first."""
    newest = now_ms // 900_000
    first = newest - QUARTERS + 1
    received, done = [0] * QUARTERS, [0] * QUARTERS
    rows = connection.execute(select(rate).where(rate.c.channel == channel, rate.c.minute >= first * 15))
    for row in rows:
        place = row.minute // 15 - first
        if 0 <= place < QUARTERS:
            received[place] += row.received
            done[place] += row.done
    return first * 900_000, tuple(received), tuple(done)


def sent(connection: Connection, channel: str, destination: str, since_ms: int) -> Sent:
    """What was delivered to *destination* of *channel*."""
    mine = (
        select(delivery.c.finished_at)
        .where(delivery.c.channel == channel, delivery.c.destination == destination, delivery.c.state == "delivered")
        .order_by(delivery.c.sequence.desc())
    )
    newest = mine.limit(_MOST_COUNTED).subquery()
    number = connection.execute(
        select(func.count()).select_from(newest).where(newest.c.finished_at >= since_ms)
    ).scalar_one()
    return Sent(connection.execute(mine.limit(1)).scalar(), int(number))
