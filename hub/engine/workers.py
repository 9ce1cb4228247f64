"""Worker processes, as the engine sees them: pools that are started, watched, timed and started again."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure as TwistedFailure

from hub.core.cores import may_use
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.engine.contracts import Reply
from hub.engine.wire import FrameBuffer, pack


class WorkerDiedError(HubError):
    """The worker process died while it ran this task: by its doing, or because somebody ended the process."""

    code = "H151"


class WorkerTimedOutError(WorkerDiedError):
    """The worker process was ended because this task ran longer than it may; it would again."""


class TaskFailedError(HubError):
    """A task raised an error; *task_code* is that error's own code."""

    code = "H152"

    def __init__(self, error: Mapping[str, str]) -> None:
        super().__init__(
            error["what"],
            where=error["where"],
            expected=error["expected"],
            found=error["found"],
            fix=error["fix"],
        )
        self.task_code = error["code"]


@dataclass(slots=True, eq=False)
class _Call:
    frame: bytes
    deferred: Deferred[Reply]
    timeout: float


class _Worker(ProcessProtocol):
    """One worker process; runs one call at a time."""

    transport: Any  # an IProcessTransport, whose zope interface mypy cannot follow

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool = pool
        self.number = number
        self._frames = FrameBuffer()
        self._errors = b""
        self.call: _Call | None = None
        self._timer: Any = None
        self._timed_out = False
        self.gone: Deferred[None] = Deferred()

    def run(self, call: _Call) -> None:
        self.call = call
        self.transport.write(call.frame)
        self._timer = self._pool.reactor.callLater(call.timeout, self._time_out)

    def end(self) -> None:
        """Let the process finish what it runs: it stops when its input ends."""
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:  # noqa: N802
        for header, parts in self._frames.feed(data):
            if header.get("ready"):
                self._pool.idle(self)
                continue
            call = self._take_call()
            if call is None:
                continue
            if "error" in header:
                call.deferred.errback(TaskFailedError(header["error"]))
            else:
                call.deferred.callback(Reply(header["reply"], parts))
            if not self._timed_out:  # else it is being ended, and the next task would be blamed for that
                self._pool.idle(self)

    def errReceived(self, data: bytes) -> None:  # noqa: N802
        self._errors = (self._errors + data)[-65_536:]
        *lines, self._errors = self._errors.split(b"\n")
        for line in lines:
            self._pool.log_line(self.number, line)

    def processEnded(self, reason: TwistedFailure) -> None:  # noqa: N802
        call = self._take_call()
        self._pool.ended(self, reason)
        if call is not None:
            call.deferred.errback(
                WorkerTimedOutError(f"A worker was ended after {call.timeout:g} s.")
                if self._timed_out
                else WorkerDiedError("A worker process died while it ran this.")
            )
        self.gone.callback(None)

    def _take_call(self) -> _Call | None:
        call, self.call = self.call, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return call

    def _time_out(self) -> None:
        self._timed_out = True
        self.kill()

    def kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")


class WorkerPool:
    """*size* processes that run *command*, on *cores* if any are given; calls wait in order for the next idle one."""

    def __init__(
        self,
        name: str,
        size: int,
        command: Sequence[str],
        reactor: Any,
        ids: IdMaker,
        log: Log,
        cores: Collection[int] = (),
    ) -> None:
        self.name = name
        self.reactor = reactor
        self._size = size
        self._command = list(command)
        self._cores = cores
        self._ids = ids
        self._log = log.bind(pool=name)
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._waiting: deque[_Call] = deque()
        self._stopping = False
        self._deaths = 0
        self._ready: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the processes."""
        for number in range(self._size):
            self._spawn(number)

    def begin(self) -> Deferred[None]:
        """Start the processes; fires when one of them is ready, fails when one died before."""
        if self._stopping:
            return succeed(None)
        self._ready = Deferred()
        self.start()
        return self._ready

    def call(
        self, task: str, header: Mapping[str, Any], parts: tuple[bytes, ...] = (), *, timeout: float = 60.0
    ) -> Deferred[Reply]:
        """Run *task*; see :class:`hub.engine.contracts.Workers`."""
        frame = pack({**header, "task": task, "first_id": self._ids.block().first}, parts)
        call = _Call(frame, Deferred(), timeout)
        if self._stopping:
            call.deferred.errback(WorkerDiedError("The node is stopping."))
            return call.deferred
        self._waiting.append(call)
        self._dispatch()
        return call.deferred

    def stop(self) -> list[Deferred[None]]:
        """Let the running tasks end; those that wait fail. The Deferreds fire when the processes are gone."""
        self._stopping = True
        for call in self._waiting:
            call.deferred.errback(WorkerDiedError("The node is stopping."))
        self._waiting.clear()
        for worker in self._workers:
            worker.end()
        return [worker.gone for worker in self._workers]

    def kill(self) -> None:
        """End the processes now."""
        for worker in list(self._workers):
            worker.kill()

    def idle(self, worker: _Worker) -> None:
        """*worker* can take another call."""
        self._deaths = 0
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready.callback(None)
        self._idle.append(worker)
        self._dispatch()

    def ended(self, worker: _Worker, reason: TwistedFailure) -> None:
        """*worker*'s process is gone; start another, slower when they keep dying."""
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready.errback(WorkerDiedError("A worker could not be started."))
        if self._stopping:
            return
        self._deaths += 1
        status = reason.value.exitCode if isinstance(reason.value, ProcessTerminated | ProcessDone) else None
        self._log.warning("worker.died", number=worker.number, exit=status)
        self.reactor.callLater(min(0.05 * 2**self._deaths, 10.0), self._spawn, worker.number)

    def log_line(self, number: int, line: bytes) -> None:
        """Pass on a line that a worker wrote to standard error, if it is one of the hub's own log lines.

        Anything else may be a script's print of patient data; it is counted, not repeated.
        """
        try:
            entry = json.loads(line)
        except ValueError:
            self._log.warning("worker.printed", number=number, bytes=len(line))
            return
        if isinstance(entry, dict) and "event" in entry:
            fields = {k: v for k, v in entry.items() if isinstance(v, str | int | float | bool)}
            self._log.info(str(fields.pop("event")), **fields)

    def _spawn(self, number: int) -> None:
        if self._stopping:
            return
        worker = _Worker(self, number)
        self._workers.add(worker)
        process = self.reactor.spawnProcess(worker, self._command[0], self._command, env=None)
        may_use(self._cores, process.pid)  # from its first step on: to read its code would keep the engine's core busy

    def _dispatch(self) -> None:
        while self._idle and self._waiting:
            self._idle.pop().run(self._waiting.popleft())


class WorkerPools:
    """Routes a task to its pool by the task's name."""

    def __init__(self, pools: Mapping[str, WorkerPool]) -> None:
        self._pools = dict(pools)

    def __getitem__(self, name: str) -> WorkerPool:
        return self._pools[name]

    def call(
        self, task: str, header: Mapping[str, Any], parts: tuple[bytes, ...] = (), *, timeout: float = 60.0
    ) -> Deferred[Reply]:
        """Run *task*: mapping and billing tasks have pools of their own, all others are transfers."""
        pool = {"map": "mapping", "billing.decide": "billing"}.get(task, "transfer")
        return self._pools[pool].call(task, header, parts, timeout=timeout)

    def exchange(self, pools: Mapping[str, WorkerPool]) -> dict[str, WorkerPool]:
        """Have *pools* take all further calls of their names; those that they replace, which run what they have."""
        old = {name: self._pools[name] for name in pools}
        self._pools.update(pools)
        return old

    def start(self) -> None:
        """Start every pool, each when the one before is ready: together they would keep the cores from the engine."""
        pools = iter(list(self._pools.values()))

        def start_next(_: object) -> None:
            pool = next(pools, None)
            if pool is not None:
                pool.begin().addBoth(start_next)

        start_next(None)

    def stop(self) -> list[Deferred[None]]:
        """Stop every pool; see :meth:`WorkerPool.stop`."""
        return [gone for pool in self._pools.values() for gone in pool.stop()]

    def kill(self) -> None:
        """End every process now."""
        for pool in self._pools.values():
            pool.kill()
