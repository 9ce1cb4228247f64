from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from hub.core.clock import DAY_MS
from hub.store import tables
from hub.store.database import reading
from hub.store.forecast import forecast, record_sample, store_bytes

NOW = 1_795_000_000_000
HOUR = 3_600_000
Usage = namedtuple("Usage", "total used free")


def sample(store: Engine, at: int, used: int) -> None:
    with store.begin() as connection:
        record_sample(connection, at, used)


def test_nothing_is_said_of_growth_before_there_are_samples_of_two_hours(store: Engine, tmp_path: Path) -> None:
    sample(store, NOW - HOUR, 1)
    with reading(store) as connection:
        told = forecast(connection, tmp_path, NOW)
    assert (told.growth, told.days_left) == (None, None)
    assert told.used > 100_000


def test_the_disk_is_full_when_its_free_bytes_are_used_at_the_rate_of_the_last_days(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(store) as connection:
        used = store_bytes(connection)
    at = NOW // HOUR * HOUR
    sample(store, at - 2 * DAY_MS, used - 50_000)
    sample(store, at - HOUR, used)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1_000_000))
    with reading(store) as connection:
        told = forecast(connection, tmp_path, at)
    assert told.growth is not None
    assert told.growth == pytest.approx(25_000, rel=0.5)  # the samples themselves may take a page
    if store.dialect.name == "sqlite":
        assert told.days_left == pytest.approx(1_000_000 / told.growth)
    else:
        assert (told.free, told.days_left) == (None, None)


def test_a_store_that_does_not_grow_never_fills_its_disk(store: Engine, tmp_path: Path) -> None:
    sample(store, NOW - DAY_MS, 1 << 40)
    with reading(store) as connection:
        told = forecast(connection, tmp_path, NOW)
    assert told.growth is not None
    assert told.growth < 0
    assert told.days_left is None


def test_samples_of_more_than_a_week_ago_are_forgotten_and_an_hour_has_one(store: Engine) -> None:
    for hours in range(0, 200, 10):
        sample(store, NOW + hours * HOUR, hours)
    sample(store, NOW + 190 * HOUR + 1, 7)
    with reading(store) as connection:
        assert connection.execute(select(func.count()).select_from(tables.setting)).scalar_one() == 17
