from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from hub.bench.processes import family, processor_seconds, resident_bytes


def test_the_processor_time_of_a_process_is_what_the_system_counts_for_all_its_threads() -> None:
    spend_until = time.process_time() + 0.1
    while time.process_time() < spend_until:
        pass
    times = os.times()
    assert processor_seconds(os.getpid()) == pytest.approx(times.user + times.system, abs=0.05)


def test_a_family_is_a_process_and_all_that_it_started() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        mine = family(os.getpid())
        assert mine[0] == os.getpid()
        assert child.pid in mine
        assert resident_bytes(child.pid) > 0
        child.communicate(b"\n")
    assert child.pid not in family(os.getpid())
