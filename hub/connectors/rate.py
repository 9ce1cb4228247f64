"""How often each peer may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

PEERS = 10_000
"""How many peers are remembered; the one that was silent longest is forgotten first, and begins anew."""


class RateLimit:
    """At most *per_minute* requests a minute from each peer, in bursts of as many. *now* are seconds."""

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._burst = float(per_minute)
        self._now = now
        self._peers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, peer: str) -> float:
        """Count a request of *peer*: 0.0 when it may go on, else the seconds after which the next one may."""
        now = self._now()
        left, at = self._peers.pop(peer, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._burst / 60.0)
        wait = 0.0 if left >= 1.0 else (1.0 - left) * 60.0 / self._burst
        self._peers[peer] = (left - 1.0 if left >= 1.0 else left, now)
        if len(self._peers) > PEERS:
            self._peers.popitem(last=False)
        return wait
