"""Keeping a process on one core."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os
from hub.core.cores import may_use, stay_on_one_core
before = os.sched_getaffinity(0)
told = stay_on_one_core()
during = os.sched_getaffinity(0)
may_use(told)
assert told == before == os.sched_getaffinity(0), (told, before)
assert len(during) == 1 and during <= before, during
"""


def test_a_process_stays_on_one_of_its_cores_until_it_may_use_them_again() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)


def test_one_core_is_kept() -> None:
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    subprocess.run([sys.executable, "-c", one + PROGRAM], check=True, timeout=60)
