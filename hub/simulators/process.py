"""What the three processes have in common: read a configuration, say when ready, stop cleanly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted import logger
from twisted.internet import reactor as _reactor

from hub.simulators.books import write_atomically

# The default reactor is chosen at run time; its module-level name has no type.
reactor: Any = _reactor


class Simulator(Protocol):
    """A simulator that can be started and stopped."""

    def start(self) -> dict[str, Any]:
        """Listen, begin to work, and return what the ready file should say."""
        ...

    def stop(self) -> None:
        """Stop working and close the books."""
        ...


def _log_warnings() -> None:
    """Write warnings and worse to standard error; the zope interfaces of the parts are unknown to mypy."""
    predicate: Any = logger.LogLevelFilterPredicate(defaultLogLevel=logger.LogLevel.warn)
    # Conch calls it an error when a client says goodbye.
    for namespace in ("twisted.conch", "hub.simulators.sftp_server"):
        predicate.setLogLevelForNamespace(namespace, logger.LogLevel.critical)
    text: Any = logger.textFileLogObserver(sys.stderr)
    observer: Any = logger.FilteringLogObserver(text, [predicate])
    logger.globalLogBeginner.beginLoggingTo([observer])


def run(build: Callable[[dict[str, Any]], Simulator]) -> None:
    """Run one simulator from the configuration file named on the command line, until SIGTERM."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python -m {build.__module__} CONFIG.json")
    _log_warnings()
    config: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    simulator = build(config)

    failures: list[Exception] = []

    def begin() -> None:
        try:
            ready = simulator.start()
        except Exception as problem:  # without this the reactor would run on with nothing to do
            failures.append(problem)
            reactor.stop()
            return
        reactor.addSystemEventTrigger("before", "shutdown", simulator.stop)
        write_atomically(Path(config["ready"]), json.dumps(ready))

    reactor.callWhenRunning(begin)
    reactor.run()
    if failures:
        raise SystemExit(f"{build.__module__}: {failures[0]}")
