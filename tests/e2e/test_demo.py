"""The demonstration ends by itself, and its books agree."""

from __future__ import annotations

import pytest

from tests.e2e.playing import Played

pytestmark = pytest.mark.e2e


def test_a_demonstration_with_faults_ends_with_a_difference_of_nothing(played: Played) -> None:
    assert played.said["ok"], [check for check in played.said["checks"] if not check["ok"]]
    assert played.said["difference"] == "0.00"
    assert played.code == 0


def test_it_stops_in_order_and_logs_no_defect(played: Played) -> None:
    assert '"event": "engine.stopped"' in played.log
    assert "Traceback" not in played.log
    assert "worker.died" not in played.log
