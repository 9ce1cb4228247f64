"""How much a demonstration plays, and how fast."""

from __future__ import annotations

import pytest

from hub.demo.stage import plan_play
from hub.demo.year import visits_of


@pytest.mark.parametrize(("days", "visits"), [(5, 100), (30, 600), (90, 720), (365, 730), (1000, 2000)])
def test_a_month_is_busy_and_a_year_takes_minutes(days: int, visits: int) -> None:
    assert visits_of(days) == visits


def test_all_visits_lie_within_the_days_that_are_played() -> None:
    for days in (30, 365):
        play = plan_play(visits_of(days), 1, faults=True, day_seconds=None, started=0.0, days=days)
        working_days = days * 5 / 7
        assert play.visits <= play.visits_per_day * working_days * 1.2
