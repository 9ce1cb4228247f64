"""Figures that take long to count are shown for a while as they were counted last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Counted = TypeVar("Counted")

AT_ONCE = 0.02
"""What is counted in so many seconds is counted each time, so that pages of most sites are always exact."""
TIMES = 50
"""How much longer than it took to count it a figure is kept: counting then takes 2 % of a core at most."""


class Kept:
    """The last result of each slow count, for a time that grows with what it cost."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._results: dict[str, tuple[float, Any]] = {}

    def get(self, name: str, count: Callable[[], Counted]) -> Counted:
        """What *count* returns, or what it returned under this *name* a short while ago."""
        with self._lock:
            until, result = self._results.get(name, (0.0, None))
            began = self._clock()
            if began < until:
                return result  # type: ignore[no-any-return]
        counted = count()
        ended = self._clock()
        if ended - began > AT_ONCE:
            with self._lock:
                self._results[name] = ended + TIMES * (ended - began), counted
        return counted
