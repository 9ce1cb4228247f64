from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.connectors.times import Calendar, Polls, last_due, next_due
from hub.core.clock import BusinessClock

CHICAGO = ZoneInfo("America/Chicago")
ALWAYS = Calendar()
START = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=CHICAGO)


def due(cron: str, first: str, days: int, calendar: Calendar = ALWAYS) -> list[str]:
    """Every time from *first* on within *days*."""
    found, time = [], at(first)
    end = at(first) + dt.timedelta(days=days)
    while (upcoming := next_due(cron, calendar, time, "America/Chicago")) is not None and upcoming < end:
        found.append(upcoming.isoformat(timespec="minutes"))
        time = upcoming
    return found


def test_a_time_that_the_change_to_summer_leaves_out_comes_right_after_it() -> None:
    assert due("30 2 * * *", "2026-03-07T00:00", 3) == [
        "2026-03-07T02:30-06:00",
        "2026-03-08T03:00-05:00",
        "2026-03-09T02:30-05:00",
    ]


def test_a_time_that_the_change_to_winter_brings_twice_comes_once() -> None:
    assert due("30 1 * * *", "2026-10-31T00:00", 3) == [
        "2026-10-31T01:30-05:00",
        "2026-11-01T01:30-05:00",
        "2026-11-02T01:30-06:00",
    ]


def test_monday_is_the_first_day_by_number_and_by_name() -> None:
    assert due("0 9 * * 1", "2026-11-27T00:00", 7) == due("0 9 * * mon", "2026-11-27T00:00", 7)
    assert due("0 9 * * 1", "2026-11-27T00:00", 7) == ["2026-11-30T09:00-06:00"]


def test_a_zone_of_its_own_goes_before_that_of_the_practice() -> None:
    found = next_due("0 6 * * *", Calendar(zone="America/New_York"), at("2026-06-01T00:00"), "America/Chicago")
    assert found is not None
    assert found.isoformat() == "2026-06-01T06:00:00-04:00"


def test_outside_of_business_hours_and_on_closed_days_nothing_is_due() -> None:
    calendar = Calendar.model_validate({"hours": "08:30-10:00", "closed": ["2026-11-26"]})
    assert due("*/30 * * * *", "2026-11-25T00:00", 3, calendar) == [
        *(f"2026-11-25T{time}-06:00" for time in ("08:30", "09:00", "09:30", "10:00")),
        *(f"2026-11-27T{time}-06:00" for time in ("08:30", "09:00", "09:30", "10:00")),
    ]


@given(
    st.sampled_from(["*/7 * * * *", "30 1 * * *", "30 2 * * *", "0 9 * * mon-fri", "15 3 1 * *"]),
    st.integers(0, 300 * 24 * 60).map(lambda minutes: START + dt.timedelta(minutes=minutes, seconds=7)),
)
def test_the_last_time_and_the_next_one_have_none_between_them(cron: str, now: dt.datetime) -> None:
    last, upcoming = (look(cron, ALWAYS, now, "America/Chicago") for look in (last_due, next_due))
    assert last is not None
    assert upcoming is not None
    assert last <= now < upcoming
    assert next_due(cron, ALWAYS, last, "America/Chicago") == upcoming


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cron": "0 6 * *"}, "five fields"),
        ({"cron": "61 6 * * *"}, "Bad minute"),
        ({"cron": "0 6 * * *", "zone": "Chicago"}, "time zone"),
        ({"cron": "0 6 * * *", "hours": "8-17"}, "08:30-17:00"),
        ({"cron": "0 6 * * *", "hours": "17:00-08:00"}, "first and the last"),
        ({"cron": "0 3 * * *", "hours": "08:00-17:00"}, "names no time"),
        ({"hours": "08:00-17:00"}, "write cron too"),
    ],
)
def test_what_could_never_be_due_is_said_when_the_file_is_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Polls.model_validate(settings)


def test_a_poll_waits_its_seconds_or_until_the_next_time_of_cron() -> None:
    clock = BusinessClock(CHICAGO)
    assert Polls(poll=30.0).wait(clock, "UTC") == 30.0
    assert 0 < Polls(cron="* * * * *").wait(clock, "UTC") <= 60
