from __future__ import annotations

import pytest

from hub.bench.measure import quantile, slope


def test_a_quantile_is_a_value_that_was_measured() -> None:
    waits = [float(number) for number in range(1, 101)]
    assert quantile(waits, 0.5) == 50.0
    assert quantile(waits, 0.99) == 99.0
    assert quantile([3.0], 0.99) == 3.0


def test_a_queue_that_stays_as_long_as_it_is_has_no_slope_and_one_that_grows_has_its_rate() -> None:
    assert slope([(0.0, 7.0), (1.0, 7.0), (2.0, 7.0)]) == 0.0
    assert slope([(0.0, 10.0), (0.5, 35.0), (1.0, 60.0)]) == pytest.approx(50.0)
