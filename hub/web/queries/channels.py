"""How a channel does over time: latency, what is usual at this hour, the last day by quarter hours, what was sent."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, union_all

from hub.store.tables import delivery, message, rate
from hub.web.render import age

SAMPLE = 200
QUARTERS = 96
_MOST_COUNTED = 10_000
_HOUR, _DAY, _WEEK = 60, 1440, 7
_WEEK_MS, _DAY_MS = 7 * 86_400_000, 86_400_000
_MISSED_LEAST, _QUIET_TIMES, _QUIET_LEAST_MS = 10, 10, 15 * 60_000


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
    middles = [now - day * _DAY for day in range(1, _WEEK + 1)]
    days = [
        select(func.sum(rate.c.received).label("received")).where(
            rate.c.channel == channel, rate.c.minute.between(middle - _HOUR // 2, middle + _HOUR // 2)
        )
        for middle in middles
    ]
    received = [int(number) for number in connection.execute(union_all(*days)).scalars() if number]
    return Usual(sum(received) / len(received), len(received)) if len(received) > 1 else None


def missed(connection: Connection, channel: str, last_in: int, now_ms: int, after_ms: int | None) -> str:
    """Why it is wrong that *channel* received nothing since *last_in*, in a sentence; empty while it is not.

    What came a week before decides, so that nights and weekends are quiet without alarm. With *after_ms*, nothing may
    come for so long, at hours at which something came a week before: through all of that time when it is shorter than a
    day, else at all. Without it, ten messages must be missed. A channel younger than a week is held against its last
    days at this hour, and against *after_ms* as it is.
    """
    quiet = now_ms - last_in
    if quiet < (_QUIET_LEAST_MS if after_ms is None else after_ms):
        return ""
    oldest = connection.execute(select(func.min(rate.c.minute)).where(rate.c.channel == channel)).scalar()
    if oldest is None or oldest > (now_ms - _WEEK_MS) // 60_000:
        if after_ms is not None:
            return "Its file says how long that may be."
        often = usual(connection, channel, now_ms)
        if often is None or quiet <= _QUIET_TIMES * often.gap_ms:
            return ""
        return f"At this hour a message usually comes every {age(often.gap_ms)}."
    if after_ms is None:
        count = _came(connection, channel, last_in - _WEEK_MS, now_ms - _WEEK_MS)
        return f"A week ago {count} messages came in that time." if count >= _MISSED_LEAST else ""
    begins, ends = now_ms - after_ms - _WEEK_MS, now_ms - _WEEK_MS
    middle = ends if after_ms >= _DAY_MS else (begins + ends) // 2
    first = _came(connection, channel, begins, middle)
    second = first if middle == ends else _came(connection, channel, middle, ends)
    return "A week ago messages came in that time." if first and second else ""


def _came(connection: Connection, channel: str, begins_ms: int, ends_ms: int) -> int:
    """How many messages *channel* received between two times, by the minute."""
    counted = select(func.coalesce(func.sum(rate.c.received), 0)).where(
        rate.c.channel == channel, rate.c.minute >= begins_ms // 60_000, rate.c.minute < ends_ms // 60_000
    )
    return int(connection.execute(counted).scalar_one())


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


def last_sent(connection: Connection, channel: str, destination: str) -> int | None:
    """When *destination* of *channel* last took something (ms)."""
    newest = (
        select(delivery.c.finished_at)
        .where(delivery.c.channel == channel, delivery.c.destination == destination, delivery.c.state == "delivered")
        .order_by(delivery.c.sequence.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar()


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
