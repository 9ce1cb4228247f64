"""How many requests a server lets us make: declared once, kept to by all destinations that share it.

What a quota does is to slow: nothing fails for it, and health says in words how fast requests leave and why.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from twisted.internet.threads import deferToThread

from hub.connectors.settings import Settings
from hub.core.files import replace_privately

UNHURRIED = 0.8
"""The share of a day's requests that leave as fast as they come; the rest is spread over what is left of the day."""
LONGEST_REFUSAL = 60.0
"""Seconds that we wait at most after a refusal that says nothing of how long."""
NOTED_EVERY = 25
"""After so many requests the count of the day is written down: a restart forgets no more of them."""


class Quota(Settings):
    """The requests that a server allows."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]{1,40}$",
        description="What the quota is called. Destinations whose quotas have one name share it.",
        examples=["ehr_api"],
    )
    per_second: float | None = Field(None, gt=0, description="Requests a second.", examples=[10])
    per_day: int | None = Field(
        None,
        ge=1,
        description="Requests a day. When four fifths are used the rest is spread evenly, so that they last until the "
        "day ends; when all are, requests wait for the next one.",
        examples=[50_000],
    )
    day_begins: str = Field(
        "00:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="When that day begins.", examples=["00:00"]
    )
    zone: str = Field("UTC", description="The time zone of day_begins.", examples=["America/New_York"])
    refused_by: tuple[int, ...] = Field(
        (429,), description="The statuses by which the server says that there were too many.", examples=[[429, 403]]
    )

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, KeyError, OSError):
            raise ValueError("this is no time zone, such as America/Chicago") from None
        return zone

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.per_second is None and self.per_day is None:
            raise ValueError("say per_second, per_day or both")
        return self

    def day_of(self, moment: dt.datetime) -> tuple[str, dt.datetime]:
        """The name of the quota's day that *moment* is in, and when the next one begins."""
        local = moment.astimezone(ZoneInfo(self.zone))
        hour, minute = map(int, self.day_begins.split(":"))
        begins = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if local < begins:
            begins -= dt.timedelta(days=1)
        return begins.date().isoformat(), begins + dt.timedelta(days=1)


class Budget:
    """What is left of one quota. *seconds* is monotonic, *now* the calendar's time; *file* outlives a restart."""

    def __init__(
        self, quota: Quota, seconds: Callable[[], float], now: Callable[[], dt.datetime], file: Path | None = None
    ) -> None:
        self.quota = quota
        self._seconds = seconds
        self._now = now
        self._file = file
        self._free_at = 0.0
        self._refused_until = 0.0
        self._refusals = 0
        self._day = ""
        self._used = 0
        self._noted = 0
        self._writing = False
        self._remember()

    def take(self) -> float:
        """Count a request that leaves now, and return 0.0; or return the seconds after which one may."""
        left = self._day_left()
        wait = max(self._free_at, self._refused_until) - self._seconds()
        if self.quota.per_day is not None and self._used >= self.quota.per_day:
            wait = max(wait, left)
        if wait > 0:
            return wait
        self._used += 1
        self._free_at = self._seconds() + self._spacing(left)
        if self._used - self._noted >= NOTED_EVERY:
            self._note()
        return 0.0

    def refused(self, after: float | None) -> None:
        """The server said that there were too many requests, and asked to wait *after* seconds where it said so."""
        self._refusals += 1
        wait = after if after is not None else min(LONGEST_REFUSAL, 2.0 ** min(self._refusals - 1, 10))
        self._refused_until = max(self._refused_until, self._seconds() + wait)

    def accepted(self) -> None:
        """The server answered: what it refused before is over."""
        self._refusals = 0

    def words(self) -> str:
        """How fast requests leave, and why; empty when there is nothing to say."""
        left = self._day_left()
        most, ends = self.quota.per_day, f"{self.quota.day_begins} {self.quota.zone}"
        refused = self._refused_until - self._seconds()
        if refused > 0:
            return f"The server said that there were too many requests: the next one leaves in {refused:.0f} s."
        if most is None:
            return ""
        if self._used >= most:
            return f"All {most} requests of the day are used: the next one leaves when a new day begins, {ends}."
        if self._is_slowed():
            every = self._spacing(left)
            return f"{self._used} of {most} requests of the day are used: one leaves every {every:.1f} s until {ends}."
        return f"{self._used} of {most} requests of the day are used."

    def close(self) -> None:
        """Write the count down."""
        if self._used != self._noted:
            self._note()

    def _day_left(self) -> float:
        now = self._now()
        day, ends = self.quota.day_of(now)
        if day != self._day:
            self._day, self._used, self._noted = day, 0, 0
        return (ends - now).total_seconds()

    def _is_slowed(self) -> bool:
        return self.quota.per_day is not None and self._used >= UNHURRIED * self.quota.per_day

    def _spacing(self, day_left: float) -> float:
        """Seconds between this request and the next."""
        spacing = 1 / self.quota.per_second if self.quota.per_second else 0.0
        if self.quota.per_day is not None and self._is_slowed():
            spacing = max(spacing, day_left / max(1, self.quota.per_day - self._used + 1))
        return spacing

    def _remember(self) -> None:
        self._day_left()
        try:
            noted = json.loads(self._file.read_text()) if self._file else {}
            if noted.get("day") == self._day:
                self._used = self._noted = int(noted["used"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # the first start, or a file that somebody broke: the server will say when it is too much

    def _note(self) -> None:
        """Have the count written down, by one thread at a time: an older count never comes after a newer."""
        self._noted = self._used
        if self._file is None or self._writing:
            return
        self._writing = True
        noted = (self._day, self._used)
        text = json.dumps({"day": self._day, "used": self._used})

        def written(_: object) -> None:  # also when it failed: then a count, and nothing else, is lost
            self._writing = False
            if noted != (self._day, self._noted):
                self._note()

        deferToThread(_write, self._file, text).addBoth(written)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_privately(file, text.encode())


class Budgets:
    """The budgets of this process, by the folder and name of their quotas: a deploy forgets none of what was used."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], Budget] = {}

    def of(self, quota: Quota, folder: Path, seconds: Callable[[], float]) -> Budget:
        """The budget that everything with *quota*'s name shares; its figures are those that were given last."""
        place = (folder, quota.name)
        budget = self._known.get(place)
        if budget is None:
            file = folder / f"{quota.name}.json"
            budget = self._known[place] = Budget(quota, seconds, _utc_now, file)
        budget.quota = quota
        return budget


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


BUDGETS = Budgets()
