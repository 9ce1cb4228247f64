"""When something is due: a cron expression in a time zone, within business hours and outside closed days.

Source: crontab(5) of Vixie's cron as Debian has it. What falls into the hour that a change of clocks leaves out is due
right after it; what falls into the hour that comes twice is due once, unless it is due every few minutes anyway.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hub.connectors.settings import Settings
from hub.core.clock import BusinessClock
from hub.core.units import Duration

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)\Z")
_LOOKED_AT = 5_000
"""How many times of the expression are looked at for one that is open: then there is none."""


def _cron(value: object) -> object:
    message = (
        'a cron expression has five fields, minute, hour, day of month, month and day of week: "0 6 * * mon-fri" is '
        "six o'clock from Monday to Friday"
    )
    if not isinstance(value, str) or len(value.split()) != 5:
        raise ValueError(message)
    try:
        CronSim(value, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    except CronSimError as error:
        raise ValueError(f"{message} ({error})") from None
    return value


def _zone(value: object) -> object:
    try:
        if isinstance(value, str) and value:
            ZoneInfo(value)
            return value
    except (KeyError, OSError, ValueError):
        pass
    raise ValueError('a time zone is a name such as "America/Chicago"')


def _hours(value: object) -> object:
    match = _HOURS.match(value) if isinstance(value, str) else None
    if match is None or (match[1], match[2]) >= (match[3], match[4]):
        raise ValueError('hours are the first and the last minute of a day: "08:30-17:00"')
    return value


Cron = Annotated[str, BeforeValidator(_cron), WithJsonSchema({"type": "string"})]
Zone = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string"})]
Hours = Annotated[str, BeforeValidator(_hours), WithJsonSchema({"type": "string", "pattern": _HOURS.pattern})]


class Calendar(Settings):
    """The zone, hours and days within which a cron expression counts."""

    zone: Zone | None = Field(
        None,
        description="The time zone of cron, hours and closed. Left out, the practice's.",
        examples=["America/Chicago"],
    )
    hours: Hours | None = Field(
        None,
        description="Of the times of cron, only those within these business hours count.",
        examples=["08:30-17:00"],
    )
    closed: tuple[dt.date, ...] = Field(
        (), description="Days on which no time of cron counts.", examples=[["2026-11-26", "2026-12-25"]]
    )


class Polls(Calendar):
    """How often a source looks: every so often, or at the times of a cron expression."""

    poll: Duration = Field(60.0, description="How often to look, unless cron says when.", examples=["10m"])
    cron: Cron | None = Field(
        None,
        description="When to look: minute, hour, day of month, month, day of week. Instead of poll.",
        examples=["*/15 6-20 * * mon-fri"],
    )

    @model_validator(mode="after")
    def _some_time_is_open(self) -> Self:
        if self.cron is None:
            if self.hours or self.closed or self.zone:
                raise ValueError("zone, hours and closed are about the times of cron; write cron too")
        else:
            require_due(self.cron, self)
        return self

    def wait(self, clock: BusinessClock, practice_zone: str) -> float:
        """The seconds until the next look."""
        if self.cron is None:
            return self.poll
        upcoming = next_due(self.cron, self, clock.now(), practice_zone)
        assert upcoming is not None  # by the check above
        return max(clock.real_seconds_until(int(upcoming.timestamp() * 1000)), 0.001)


def require_due(cron: str, calendar: Calendar) -> None:
    """Raise `ValueError` when *cron* names no time that is open by *calendar*."""
    if next_due(cron, calendar, dt.datetime.now(dt.UTC), "UTC") is None:
        raise ValueError("cron names no time that is within hours and outside closed")


def next_due(cron: str, calendar: Calendar, after: dt.datetime, practice_zone: str) -> dt.datetime | None:
    """The first time of *cron* later than *after* that is open by *calendar*; None when there is none."""
    start = after.astimezone(ZoneInfo(calendar.zone or practice_zone))
    return _first_open(CronSim(cron, start), calendar)


def last_due(cron: str, calendar: Calendar, until: dt.datetime, practice_zone: str) -> dt.datetime | None:
    """The last time of *cron* not later than *until* that is open by *calendar*; None when there is none."""
    start = until.astimezone(ZoneInfo(calendar.zone or practice_zone)) + dt.timedelta(minutes=1)
    found = CronSim(cron, start.replace(second=0, microsecond=0), reverse=True)
    return _first_open((time for time in found if time <= until), calendar)


def _first_open(times: Iterator[dt.datetime], calendar: Calendar) -> dt.datetime | None:
    return next((time for time in islice(times, _LOOKED_AT) if _is_open(time, calendar)), None)


def _is_open(time: dt.datetime, calendar: Calendar) -> bool:
    if time.date() in calendar.closed:
        return False
    if calendar.hours is None:
        return True
    first, _, last = calendar.hours.partition("-")
    return first <= time.strftime("%H:%M") <= last
