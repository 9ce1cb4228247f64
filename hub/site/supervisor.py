"""Starts the engine and the web process of a site, watches them, and starts again what died."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure as TwistedFailure

from hub.core.log import Log
from hub.site.bundle import current, take_files

REFUSED = 1  # an exit code that says: starting again would not help
AGAIN = 75  # an exit code that says: another version runs now, start me with it
LONG_ENOUGH_SECONDS = 30.0
PAGES_LATER_SECONDS = 1.0
"""How long the pages wait with their start, so that the engine has the machine until it answers its senders."""


class _Child(ProcessProtocol):
    def __init__(self, ended: Callable[[TwistedFailure], None]) -> None:
        self._ended = ended

    def processEnded(self, reason: TwistedFailure) -> None:  # noqa: N802
        self._ended(reason)


class Supervisor:
    """Keeps the processes of the site at *folder* running until :meth:`stop`.

    What they write goes to the file descriptor *output*. *gave_up* fires when the engine refuses to start: a second
    try would end the same.
    """

    def __init__(self, folder: Path, reactor: Any, log: Log, output: int = 2) -> None:
        self._folder = folder
        self._reactor = reactor
        self._log = log
        self._output = output
        self._children: dict[str, Any] = {}
        self._deaths: dict[str, int] = {}
        self._stopping = False
        self._gone: dict[str, Deferred[None]] = {}
        self.gave_up: Deferred[None] = Deferred()

    def warm_up(self) -> None:
        """Have the engine's process read its code, the longest part of a start, and wait for :meth:`start`.

        Without it, the process ends with this one.
        """
        self._spawn("engine", "hub.site.running", "--at-word")

    def start(self, *, web: bool = True, as_deployed: bool = False) -> None:
        """Start the processes with the site's files as they are now, or with the version that ran last."""
        (current if as_deployed else take_files)(self._folder)
        if "engine" in self._children:
            self._children["engine"].writeToChild(0, b"\n")
        else:
            self._spawn("engine", "hub.site.running")
        if web:
            self._reactor.callLater(PAGES_LATER_SECONDS, self._spawn, "web", "hub.web.main")

    def stop(self) -> Deferred[Any]:
        """Have the processes stop in order: pages first, then the engine, which drains. Fires when all are gone."""
        self._stopping = True
        for child in self._children.values():
            with suppress(ProcessExitedAlready):
                child.signalProcess("TERM")
        return DeferredList(list(self._gone.values()))

    def pid(self, name: str) -> int | None:
        """The process id of ``engine`` or ``web`` while it runs."""
        child = self._children.get(name)
        return child.pid if child is not None else None

    def _spawn(self, name: str, module: str, *options: str) -> None:
        if self._stopping:
            return
        started = self._reactor.seconds()
        self._gone[name] = Deferred()

        def ended(reason: TwistedFailure) -> None:
            del self._children[name]
            self._gone[name].callback(None)
            code = getattr(reason.value, "exitCode", None)
            if self._stopping:
                return
            if code == REFUSED and name == "engine":
                self.gave_up.callback(None)
                return
            if code == AGAIN:
                self._spawn(name, module)
                return
            lived_long = self._reactor.seconds() - started > LONG_ENOUGH_SECONDS
            self._deaths[name] = 1 if lived_long else self._deaths.get(name, 0) + 1
            wait = min(0.1 * 2 ** (self._deaths[name] - 1), 15.0)
            self._log.warning("process.died", process=name, exit=code, again_in_seconds=wait)
            self._reactor.callLater(wait, self._spawn, name, module)

        command = [sys.executable, "-m", module, "--site", str(self._folder), *options]
        self._children[name] = self._reactor.spawnProcess(
            _Child(ended), command[0], command, env=None, childFDs={0: "w", 1: self._output, 2: self._output}
        )
