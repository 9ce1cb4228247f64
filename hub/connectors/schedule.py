"""A source that makes a message at set times, so that steps can run without anybody who sends.

Which times have been is kept with the messages: none comes twice, and those that fell into a downtime are dealt with
as the channel says.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

from pydantic import Field, model_validator

from hub.connectors.polling import Polling
from hub.connectors.times import Calendar, Cron, last_due, next_due, require_due
from hub.core.exact_json import canonical_json
from hub.engine.contracts import Connector, EndpointState, Mark, Received, Source, SourceContext

LONGEST_WAIT = 60.0
"""The machine's clock may be set: after so many seconds it is looked at again."""
AGAIN_AFTER = 5.0


class ScheduleSettings(Calendar):
    """Times at each of which one message is made: `{"event": name, "id": the time, "day": its date}`."""

    name: str = Field(
        "schedule",
        pattern=r"^[a-z][a-z0-9_]{0,29}$",
        description="What the times are called: the kind of the messages. Another name begins anew.",
        examples=["nightly"],
    )
    cron: Cron = Field(
        description="When: minute, hour, day of month, month, day of week. A time that a change of clocks leaves out "
        "comes right after it; one that would come twice comes once.",
        examples=["0 6 * * mon-fri"],
    )
    missed: Literal["once", "each", "skip"] = Field(
        "once",
        description="What becomes of times at which the hub did not run or the channel was paused: one message for "
        "the latest of them, one for each, or none.",
        examples=["once"],
    )
    late: float = Field(
        60.0,
        ge=1,
        description='With missed = "skip": by how many seconds a time may be late and still count.',
        examples=[60],
    )

    @property
    def mark(self) -> str:
        """What the newest time is kept under."""
        return f"schedule {self.name}"

    @model_validator(mode="after")
    def _some_time_is_open(self) -> Self:
        require_due(self.cron, self)
        return self


class Schedule(Polling):
    """Makes the messages."""

    def __init__(self, settings: ScheduleSettings, context: SourceContext) -> None:
        super().__init__("schedule", settings.cron, context, AGAIN_AFTER)
        self._settings = settings
        self._last: dt.datetime | None = None

    async def look(self) -> float:
        """Make a message for what has come due; returns how long it is to the next time."""
        last = await self._dealt_with()
        while self.goes_on and (due := self._next(last)) is not None and due <= self._context.clock.now():
            last = await self._come(self._latest(due))
        upcoming = self._next(last)
        if upcoming is None:
            self.stand(EndpointState.IDLE, "No further time is due.")
            return LONGEST_WAIT
        self.stand(EndpointState.CONNECTED, f"next at {upcoming.isoformat(timespec='minutes')}")
        wait = self._context.clock.real_seconds_until(int(upcoming.timestamp() * 1000))
        return min(max(wait, 0.001), LONGEST_WAIT)

    async def _dealt_with(self) -> dt.datetime:
        """The newest time that is dealt with. A schedule that is new begins now."""
        if self._last is None:
            place = await self._context.intake.place(self._context.channel, self._settings.mark)
            self._last = dt.datetime.fromisoformat(place) if place else self._context.clock.now()
            if not place:
                await self._context.intake.keep(self._context.channel, self._mark(self._last))
        return self._last

    def _next(self, after: dt.datetime) -> dt.datetime | None:
        return next_due(self._settings.cron, self._settings, after, self._context.zone)

    def _latest(self, due: dt.datetime) -> dt.datetime:
        """Of the times from *due* until now, the one to go on with."""
        if self._settings.missed == "each":
            return due
        return last_due(self._settings.cron, self._settings, self._context.clock.now(), self._context.zone) or due

    async def _come(self, due: dt.datetime) -> dt.datetime:
        late = (self._context.clock.now() - due).total_seconds()
        if self._settings.missed == "skip" and late > self._settings.late:
            await self._context.intake.keep(self._context.channel, self._mark(due))
        else:
            raw = canonical_json({"event": self._settings.name, "id": due.isoformat(), "day": due.date()})
            await self._context.intake.receive(
                Received(
                    channel=self._context.channel,
                    raw=raw,
                    description=self._context.describe(raw),
                    source=f"schedule {self._settings.name}",
                    mark=self._mark(due),
                )
            )
        self._last = due
        return due

    def _mark(self, time: dt.datetime) -> Mark:
        return Mark(self._settings.mark, time.isoformat())


def open_source(settings: ScheduleSettings, context: SourceContext) -> Source:
    """A source that makes a message at each time."""
    return Schedule(settings, context)


CONNECTOR = Connector(
    name="schedule",
    summary="A message at set times: a cron expression in a time zone, within business hours.",
    source_settings=ScheduleSettings,
    open_source=open_source,
)
