"""The time that a reactor's timers live by."""

from __future__ import annotations

import time
from typing import Any


def live_by_monotonic_time(reactor: Any) -> None:
    """Have the timers of *reactor* go by monotonic time, before any is set.

    Twisted's own go by the machine's clock: once that is set back by an hour, nothing is due for an hour.
    """
    reactor.seconds = time.monotonic
