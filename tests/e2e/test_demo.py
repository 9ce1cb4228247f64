"""The demonstration ends by itself, and its books agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.playing import demo

pytestmark = pytest.mark.e2e


def test_a_demonstration_with_faults_ends_with_a_difference_of_nothing(tmp_path: Path) -> None:
    with demo(tmp_path / "demo", "--visits", "24", "--seed", "3", "--faults", "--day-seconds", "2") as playing:
        code, said = playing.outcome()
        log = playing.log
    assert said["ok"], [check for check in said["checks"] if not check["ok"]]
    assert said["difference"] == "0.00"
    assert code == 0
    assert "Traceback" not in log
    assert "engine.stopped" in log
