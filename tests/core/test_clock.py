"""The business clock: the practice's day, in its own zone, at whatever speed a demonstration wants."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub.core.clock as clocks
from hub.core.clock import DAY_MS, BusinessClock, at

CHICAGO = ZoneInfo("America/Chicago")
REAL = 1_800_000_000_000
EPOCH = int(datetime(2026, 11, 9, 8, 0, tzinfo=CHICAGO).timestamp() * 1000)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The machine's time, in a list so that a test can move it."""
    now = [REAL]
    monkeypatch.setattr(clocks, "real_ms", lambda: now[0])
    return now


def test_by_default_it_is_the_machines_time(real: list[int]) -> None:
    assert BusinessClock().now_ms() == real[0]


def test_a_fast_clock_passes_a_business_day_in_its_seconds(real: list[int]) -> None:
    clock = BusinessClock(CHICAGO, business_epoch_ms=EPOCH, real_epoch_ms=REAL, day_seconds=4.0)
    assert clock.today() == date(2026, 11, 9)
    real[0] += 4_000
    assert clock.now_ms() == EPOCH + DAY_MS
    assert clock.today() == date(2026, 11, 10)


def test_what_is_due_in_a_business_day_is_waited_for_in_real_seconds(real: list[int]) -> None:
    clock = BusinessClock(CHICAGO, business_epoch_ms=EPOCH, real_epoch_ms=REAL, day_seconds=4.0)
    assert clock.real_seconds_until(EPOCH + DAY_MS) == pytest.approx(4.0)
    real[0] += 9_000
    assert clock.real_seconds_until(EPOCH + DAY_MS) == 0.0


def test_the_practices_day_is_not_the_day_of_utc(real: list[int]) -> None:
    real[0] = int(datetime(2026, 11, 10, 3, 0, tzinfo=UTC).timestamp() * 1000)
    assert BusinessClock(CHICAGO).today() == date(2026, 11, 9)
    assert BusinessClock().today() == date(2026, 11, 10)


def test_a_day_begins_at_local_midnight_also_when_the_clocks_change() -> None:
    clock = BusinessClock(CHICAGO)
    lengths = [
        clock.midnight_ms(date(2026, month, day + 1)) - clock.midnight_ms(date(2026, month, day))
        for month, day in ((3, 8), (6, 1), (11, 1))
    ]
    assert [length / 3_600_000 for length in lengths] == [23, 24, 25]


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_survive_the_way_through_a_datetime(milliseconds: int) -> None:
    moment = at(milliseconds, CHICAGO)
    assert round(moment.timestamp() * 1000) == milliseconds
    assert moment == at(milliseconds)
