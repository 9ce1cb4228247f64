"""Two clocks: the business clock (due dates, holds, follow-ups) and real time (sockets, leases, back-off).

A demo or a test may run the business clock fast; real time is never touched. Instants are kept as integer
milliseconds since 1970 UTC.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
_UTC = ZoneInfo("UTC")


def real_ms() -> int:
    """The machine's wall time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class BusinessClock:
    """The time that due dates live by.

    With the defaults it is the machine's time. With *day_seconds* below 86,400 it runs fast from *business_epoch_ms*,
    which stood at *real_epoch_ms*.
    """

    zone: ZoneInfo = _UTC
    business_epoch_ms: int = 0
    real_epoch_ms: int = 0
    day_seconds: float = 86_400.0

    def now_ms(self) -> int:
        """The business instant, in milliseconds since 1970 UTC."""
        passed = real_ms() - self.real_epoch_ms
        return self.business_epoch_ms + int(passed * 86_400 / self.day_seconds)

    def now(self) -> datetime:
        """The business instant in the practice's zone."""
        return at(self.now_ms(), self.zone)

    def today(self) -> date:
        """The practice's day."""
        return self.now().date()

    def midnight_ms(self, day: date) -> int:
        """The instant at which the practice's *day* begins."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp() * 1000)

    def real_seconds_until(self, business_ms: int) -> float:
        """How many real seconds remain until *business_ms*; 0.0 when it has passed."""
        return max(0.0, (business_ms - self.now_ms()) * self.day_seconds / DAY_MS)


def at(milliseconds: int, zone: ZoneInfo | None = None) -> datetime:
    """The aware datetime of *milliseconds* since 1970 UTC, in *zone* (UTC when not given)."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return instant.astimezone(zone) if zone is not None else instant
