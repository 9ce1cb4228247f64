"""What Twisted itself reports (an unhandled error in a Deferred, a failed callback) as lines of the hub's own log."""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogBeginner

from hub.core.log import Log


def watch_twisted(log: Log) -> None:
    """Write Twisted's failures to *log*, by type and place; everything else it says is dropped."""

    def observe(event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            log.failure("unhandled", failure.value, namespace=str(event.get("log_namespace", "")))

    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False, discardBuffer=True)  # type: ignore[list-item]
