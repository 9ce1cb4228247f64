"""Keeping a process on one processor core.

The threads of a Python process take turns. On several cores each turn wakes another core and finds its caches cold: the
engine's reactor and journal, which pass a turn on thousands of times a second, need a third less time on one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def stay_on_one_core() -> frozenset[int]:
    """Keep this thread, and what it starts, on one of the cores that it may use; those that it might use before.

    It is the one that the fewest other processes are kept to: several hubs on one machine choose different ones. With
    one core, or where the system knows no such thing, nothing changes.
    """
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) > 1:
        taken = _taken()
        os.sched_setaffinity(0, {min(allowed, key=lambda core: (taken[core], (core - os.getpid()) % len(allowed)))})
    return frozenset(allowed)


def _taken() -> Counter[int]:
    """How many processes, as far as this one sees them, are kept to each core. The kernel's own do not count."""
    taken: Counter[int] = Counter()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            cores = os.sched_getaffinity(int(process.name))
            if len(cores) == 1 and (process / "cmdline").read_bytes():
                taken.update(cores)
    return taken


def may_use(cores: Collection[int], pid: int = 0) -> None:
    """Let a process, this one when no *pid* is given, use *cores* again; none means that nothing is said."""
    if cores:
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, cores)
