"""A whole benchmark, too short to say how fast anything is: that it measures, and leaves nothing undone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from hub.bench.loaded import Waits, benchmark_loaded
from hub.bench.measure import FIELDS
from hub.bench.start import first_answers

pytestmark = pytest.mark.e2e

SHORT = """
import sys
from hub.bench import measure
measure.QUICK = measure.Windows(warm=0.2, saturate=0.5, seek=1.0, prove=1.5, bare=0.5)
measure.GROWTH = 1.0  # a busy machine proves nothing here
from hub.cli.main import main
sys.exit(main(["bench", "--json", "--connections", "2", "--folder", sys.argv[1]]))
"""


def test_a_benchmark_gives_every_figure_and_everything_acknowledged_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (figures,) = json.loads(done.stdout)
    assert tuple(figures) == FIELDS
    assert figures["connections"] == 2
    assert all(figures[name] > 0 for name in FIELDS)
    store = sqlite3.connect(folder / "site" / "var" / "hub.db")
    outcomes = dict(store.execute("SELECT onward, count(*) FROM message GROUP BY onward").fetchall())
    states = dict(store.execute("SELECT state, count(*) FROM delivery GROUP BY state").fetchall())
    store.close()
    assert set(outcomes) == {"done"}
    assert states == {"delivered": outcomes["done"]}


def test_a_number_of_connections_that_makes_no_sense_is_refused() -> None:
    from hub.cli.main import main

    assert main(["bench", "--connections", "0"]) == 2


def test_a_remittance_is_posted_to_the_cent_and_measured(tmp_path: Path) -> None:
    words = ["bench", "--json", "--remittance", "60", "--folder", str(tmp_path / "bench")]
    done = subprocess.run(
        [sys.executable, "-m", "hub.cli.main", *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["claims"] == 60
    assert figures["lines_per_s"] > 0
    assert figures["largest_process_mb"] > 0


def test_the_start_is_measured_to_the_first_answer(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    first, second = first_answers(tmp_path / "bench", 2, lambda _: None)
    assert first > 0
    assert second > 0
    store = sqlite3.connect(tmp_path / "bench" / "site" / "var" / "hub.db")
    assert store.execute("SELECT count(*) FROM message").fetchone() == (2,)
    store.close()


@pytest_twisted.inlineCallbacks
def test_what_senders_wait_is_measured_idle_and_loaded(tmp_path: Path) -> Any:
    (tmp_path / "bench").mkdir()
    waits: list[Waits] = yield benchmark_loaded(
        reactor, tmp_path / "bench", 5000, rate=20.0, seconds=2.0, show=lambda _: None
    )
    assert [one.state for one in waits] == ["idle", "loaded"]
    assert all(one.answers and one.ack_p50_ms <= one.ack_p99_ms for one in waits)
    assert waits[1].pages
