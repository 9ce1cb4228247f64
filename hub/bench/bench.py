"""One benchmark: the processes are started, each number of connections is measured, and all is taken down again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.bench.load import Receiver
from hub.bench.measure import BenchError, Figures, Measurement, Windows
from hub.bench.site import CHANNEL, make_site
from hub.core.log import Log
from hub.engine.control import EngineAwayError, ask_engine
from hub.site.load import load_site
from hub.site.places import control_socket
from hub.site.supervisor import Supervisor

START_SECONDS = 60.0


@inlineCallbacks
def benchmark(
    reactor: Any,
    folder: Path,
    connections: Sequence[int],
    windows: Windows,
    show: Callable[[str], None],
    measured: Callable[[Figures], None],
    prepare: Callable[[Path], None] = lambda _: None,
    turn: Callable[[], Deferred[Any]] = lambda: succeed(None),
) -> Any:
    """Measure each of *connections* with stores of their own in *folder*; *measured* is given each line of figures.

    *prepare* may change the site's folder before the hub starts. Each measurement begins when *turn* has fired, so that
    two benchmarks can take turns.
    Raises :class:`BenchError` when a process does not start or a message goes astray.
    """
    receiver = Receiver()
    make_site(folder / "site", receiver.port)
    prepare(folder / "site")
    reference = _Reference()
    with (folder / "hub.log").open("w") as log_file:
        command = [sys.executable, "-m", "hub.bench.reference", str(folder / "bare.db")]
        reactor.spawnProcess(reference, command[0], command, env=None, childFDs={0: "w", 1: "r", 2: log_file.fileno()})
        hub = Supervisor(folder / "site", reactor, Log(log_file), output=log_file.fileno())
        hub.start(web=False)
        try:
            show("starting")
            port = yield engine_port(reactor, folder / "site", hub)
            bare_port = yield reference.port
            pid = hub.pid("engine")
            assert pid is not None
            measurement = Measurement(reactor, port, bare_port, receiver, pid, windows, show)
            for number in connections:
                yield turn()
                measured((yield measurement.run(number)))
        finally:
            show("stopping")
            yield hub.stop()
            yield reference.stop()
            yield receiver.stop()


@inlineCallbacks
def engine_port(reactor: Any, folder: Path, hub: Supervisor) -> Any:
    """The port that the engine listens at, once it does."""
    socket = control_socket(load_site(folder).require_sound())
    deadline = reactor.seconds() + START_SECONDS
    while True:
        try:
            status = yield deferToThread(ask_engine, socket, "status", {}, actor="bench")
        except EngineAwayError:
            if hub.gave_up.called or reactor.seconds() > deadline:
                raise BenchError("The engine did not start.", fix="Its own words stand in hub.log.") from None
            yield deferLater(reactor, 0.1)
        else:
            address: str = status["channels"][CHANNEL]["sources"][0]["address"]
            return int(address.rpartition(":")[2])


class _Reference(ProcessProtocol):
    """The reference's process; *port* fires with where it listens."""

    transport: Any  # an IProcessTransport, whose zope interface mypy cannot follow

    def __init__(self) -> None:
        self.port: Deferred[int] = Deferred()
        self._gone: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:  # noqa: N802
        self.port.callback(int(data))

    def processEnded(self, reason: TwistedFailure) -> None:  # noqa: N802
        if not self.port.called:
            self.port.errback(BenchError("The reference did not start.", fix="Its own words stand in hub.log."))
        self._gone.callback(None)

    def stop(self) -> Deferred[None]:
        """End the process; fires when it is gone."""
        if not self._gone.called:
            self.transport.signalProcess("TERM")
        return self._gone
