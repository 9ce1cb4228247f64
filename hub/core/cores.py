"""Keeping a process on one processor core.

The threads of a Python process take turns. On several cores each turn wakes another core and finds its caches cold: the
engine's reactor and journal, which pass a turn on thousands of times a second, need a third less time on one.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress


def stay_on_one_core() -> frozenset[int]:
    """Keep this thread, and what it starts, on one of the cores that it may use; those that it might use before.

    With one core, or where the system knows no such thing, nothing changes.
    """
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) > 1:
        os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})
    return frozenset(allowed)


def may_use(cores: Collection[int], pid: int = 0) -> None:
    """Let a process, this one when no *pid* is given, use *cores* again; none means that nothing is said."""
    if cores:
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, cores)
