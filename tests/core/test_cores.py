"""Keeping a process on one core."""

from __future__ import annotations

import os
import subprocess
import sys

from hub.core.cores import _taken

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


CHOOSES = """
from collections import Counter
import hub.core.cores
before = sorted(os.sched_getaffinity(0))
hub.core.cores._taken = lambda: Counter({before[0]: 2, before[-1]: 1})
hub.core.cores.stay_on_one_core()
assert before[0] not in os.sched_getaffinity(0) or len(before) == 1
"""


def test_a_core_that_fewer_processes_are_kept_to_is_chosen() -> None:
    subprocess.run([sys.executable, "-c", f"import os\n{CHOOSES}"], check=True, timeout=60)


def test_a_process_that_is_kept_to_a_core_counts() -> None:
    core = min(os.sched_getaffinity(0))
    program = f"import os, sys; os.sched_setaffinity(0, {{{core}}}); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        assert _taken()[core] >= 1
        process.stdin.close()
