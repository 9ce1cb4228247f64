"""The business clock of the simulators: days that pass in seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class BusinessClock:
    """Business time, computed from real time with an epoch in both and a speed.

    ``day_seconds`` says how many real seconds one business day lasts.
    """

    business_epoch: datetime
    real_epoch: float
    day_seconds: float

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BusinessClock:
        """Read the ``clock`` object of a simulator's configuration.

        Raises ``ValueError`` when the epoch has no zone: a simulator never guesses one.
        """
        epoch = datetime.fromisoformat(config["business_epoch"])
        if epoch.tzinfo is None:
            raise ValueError("clock.business_epoch needs a zone, for example 2026-03-02T06:00:00-06:00")
        return cls(epoch, float(config["real_epoch"]), float(config["day_seconds"]))

    def now(self) -> datetime:
        """Return the business time of this moment, in the epoch's zone."""
        real = time.time() - self.real_epoch
        return self.business_epoch + timedelta(seconds=real * DAY / self.day_seconds)

    def real_delay(self, when: datetime) -> float:
        """Return how many real seconds remain until a business time; 0.0 when it has passed."""
        business = (when - self.now()).total_seconds()
        return max(0.0, business * self.day_seconds / DAY)
