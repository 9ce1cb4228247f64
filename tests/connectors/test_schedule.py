from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_twisted

from hub.connectors.schedule import CONNECTOR, Schedule, ScheduleSettings
from hub.core.clock import BusinessClock, real_ms
from hub.engine.contracts import EndpointState
from hub.site.describe import describer
from tests.connectors.peers import Surroundings, within

CHICAGO = ZoneInfo("America/Chicago")


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=CHICAGO).timestamp() * 1000)


def schedule(around: Surroundings, now: str, *, day_seconds: float = 86_400.0, **options: Any) -> Schedule:
    """A schedule whose business clock stands at *now* and runs a day in *day_seconds*."""
    settings = ScheduleSettings.model_validate({"name": "nightly", "cron": "0 6 * * *", **options})
    clock = BusinessClock(CHICAGO, ms(now), real_ms(), day_seconds)
    context = replace(around.source(CONNECTOR, describe=describer("json", "any")), clock=clock)
    return Schedule(settings, context)


def times(around: Surroundings) -> list[str]:
    return [json.loads(item.raw)["id"] for item in around.intake.received]


@pytest_twisted.ensureDeferred
async def test_each_time_makes_one_message_with_its_day(around: Surroundings) -> None:
    source = schedule(around, "2026-11-28T00:00:00", day_seconds=0.3)
    source.start()
    await around.intake.arrived(3)
    await within(source.stop())
    assert times(around)[:3] == [f"2026-{day}T06:00:00-06:00" for day in ("11-28", "11-29", "11-30")]
    (first, *_) = around.intake.received
    assert first.raw == b'{"day":"2026-11-28","event":"nightly","id":"2026-11-28T06:00:00-06:00"}'
    assert (first.description.kind, first.description.control_id) == ("nightly", "2026-11-28T06:00:00-06:00")


@pytest_twisted.ensureDeferred
async def test_a_schedule_that_is_new_makes_up_for_nothing(around: Surroundings) -> None:
    source = schedule(around, "2026-11-28T12:00:00")
    source._running = True
    await source.look()
    assert times(around) == []
    assert around.intake.marks["schedule nightly"].startswith("2026-11-28T12:00")


@pytest.mark.parametrize(
    ("missed", "made"),
    [
        ("once", ["2026-11-30T06:00:00-06:00"]),
        ("each", ["2026-11-28T06:00:00-06:00", "2026-11-29T06:00:00-06:00", "2026-11-30T06:00:00-06:00"]),
        ("skip", []),
    ],
)
@pytest_twisted.ensureDeferred
async def test_times_of_a_downtime_come_once_each_or_not_at_all(
    around: Surroundings, missed: str, made: list[str]
) -> None:
    around.intake.marks["schedule nightly"] = "2026-11-27T06:00:00-06:00"
    for _ in range(2):  # and what was made up for is not made up for again
        source = schedule(around, "2026-11-30T12:00:00", missed=missed)
        source._running = True
        await source.look()
        await within(source.stop())
    assert times(around) == made
    assert around.intake.marks["schedule nightly"] == "2026-11-30T06:00:00-06:00"


@pytest_twisted.ensureDeferred
async def test_what_could_not_be_stored_is_made_again(around: Surroundings) -> None:
    around.intake.marks["schedule nightly"] = "2026-11-29T06:00:00-06:00"
    around.intake.failing = RuntimeError("no store")
    source = schedule(around, "2026-11-30T12:00:00")
    source._again_after = 0.01
    source.start()
    await around.intake.arrived(2)
    assert source.health()[0].state == EndpointState.RETRYING
    around.intake.failing = None
    await around.intake.arrived(3)
    await within(source.stop())
    assert set(times(around)) == {"2026-11-30T06:00:00-06:00"}
    assert around.intake.marks["schedule nightly"] == "2026-11-30T06:00:00-06:00"


@pytest_twisted.ensureDeferred
async def test_a_pause_counts_as_a_downtime(around: Surroundings) -> None:
    source = schedule(around, "2026-11-28T00:00:00", day_seconds=0.3)
    source.pause()
    source.start()
    await within(source.stop())
    assert times(around) == []
