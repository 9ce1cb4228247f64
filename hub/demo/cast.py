"""The cast of the demonstration: the simulators as processes of their own."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure as TwistedFailure

from hub.core.errors import HubError

READY_SECONDS = 180.0
LOOK_SECONDS = 0.05


class CastError(HubError):
    """A simulator ended when it should not."""

    code = "H701"


class _Actor(ProcessProtocol):
    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self.is_gone = False

    def processEnded(self, reason: TwistedFailure) -> None:  # noqa: N802
        self.is_gone = True
        self.gone.callback(None)


class Cast:
    """The running simulators. What they print goes to the file descriptor *output*."""

    def __init__(self, reactor: Any, configurations: dict[str, dict[str, Any]], folder: Path, output: int) -> None:
        self._reactor = reactor
        self._configurations = configurations
        self._folder = folder
        self._output = output
        self._actors: dict[str, _Actor] = {}
        self._processes: dict[str, Any] = {}

    @inlineCallbacks
    def start(self) -> Any:
        """Start all; returns what each says of its ports and keys once it listens. Raises :class:`CastError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, configuration in self._configurations.items():
            file = self._folder / f"{name}.json"
            file.write_text(json.dumps(configuration))
            command = [sys.executable, "-m", f"hub.simulators.{name}", str(file)]
            self._actors[name] = _Actor()
            self._processes[name] = self._reactor.spawnProcess(
                self._actors[name], command[0], command, env=None, childFDs={0: "w", 1: self._output, 2: self._output}
            )
        ready = {}
        for name, configuration in self._configurations.items():
            ready[name] = yield self._ready(name, Path(configuration["ready"]))
        return ready

    def summaries(self) -> dict[str, dict[str, Any]]:
        """The newest summary of each; empty for one that has written none yet."""
        return {name: _read(Path(c["summary"])) for name, c in self._configurations.items()}

    def stop(self) -> Deferred[Any]:
        """Have all stop cleanly; fires when they are gone."""
        for name, actor in self._actors.items():
            if not actor.is_gone:
                with suppress(ProcessExitedAlready):
                    self._processes[name].signalProcess("TERM")
        return DeferredList([actor.gone for actor in self._actors.values()])

    @inlineCallbacks
    def _ready(self, name: str, file: Path) -> Any:
        deadline = self._reactor.seconds() + READY_SECONDS
        while not file.exists():
            if self._actors[name].is_gone or self._reactor.seconds() > deadline:
                raise CastError(f"The simulator {name} did not start.", fix="Its own words stand above.")
            yield deferLater(self._reactor, LOOK_SECONDS)
        return _read(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}
