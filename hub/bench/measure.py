"""What is measured: saturation, then the highest rate that leaves as fast as it comes, then the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from time import perf_counter, process_time
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import LoopingCall, deferLater

from hub.bench.load import Receiver, Senders
from hub.bench.messages import messages
from hub.bench.processes import family, processor_seconds, resident_bytes
from hub.core.errors import HubError

GROWTH = 0.01  # of the offered rate: what a queue may grow by and still count as not growing
STEP_DOWN = 0.93
TRIES = 8
IN_FLIGHT = 400  # messages between sender and receiver while the rate that balances is looked for
DRAIN_SECONDS = 120.0
SAMPLE = 0.1


class BenchError(HubError):
    """The benchmark could not be run to its end."""

    code = "H703"


@dataclass(frozen=True, slots=True)
class Windows:
    """How long is measured, in seconds: warming up, saturation, looking for the rate, proving it, the reference."""

    warm: float
    saturate: float
    seek: float
    prove: float
    bare: float


QUICK = Windows(warm=1.0, saturate=5.0, seek=5.0, prove=9.0, bare=4.0)
THOROUGH = Windows(warm=3.0, saturate=15.0, seek=15.0, prove=60.0, bare=15.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one number of connections.

    Waits are those of saturation, *rate_p99_ms* that of the rate that balances; *ratio* is delivered to bare. Processor
    times, of the kernel as well, are those of the rate that balances, for each delivered message.
    """

    connections: int
    acked_per_s: float
    delivered_per_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    rss_mb: float
    bare_acked_per_s: float
    ratio: float
    engine_cpu_us: float
    workers_cpu_us: float
    bench_cpu_us: float
    rate_p99_ms: float


FIELDS = tuple(field.name for field in fields(Figures))


class Measurement:
    """Measures an engine at *port*, which delivers to *receiver*, and a reference at *bare_port*.

    *engine_pid* names the engine's process; *show* is told in words what is being measured.
    """

    def __init__(
        self,
        reactor: Any,
        port: int,
        bare_port: int,
        receiver: Receiver,
        engine_pid: int,
        windows: Windows,
        show: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._bare_port = bare_port
        self._receiver = receiver
        self._pid = engine_pid
        self._windows = windows
        self._show = show
        self._runs = 0
        self._sent = 0
        self._rss = 0.0
        self._used = _Used()
        self._waits: list[float] = []  # of the rate that was offered last

    @inlineCallbacks
    def run(self, connections: int) -> Any:
        """The :class:`Figures` for *connections*. Raises :class:`BenchError` when messages are refused or lost."""
        windows = self._windows
        self._rss = 0.0
        watching = LoopingCall(self._watch_memory)
        watching.start(0.5)
        shown = f"{connections} connection{'s' if connections > 1 else ''}"
        try:
            self._show(f"{shown}: bare listener")
            bare = yield self._saturate(self._bare_port, connections, windows.bare)
            self._show(f"{shown}: saturation")
            acked = yield self._saturate(self._port, connections, windows.saturate)
            self._show(f"{shown}: waiting for the queue to empty")
            yield self._drained()
            self._show(f"{shown}: looking for the rate that balances")
            rate = yield self._seek(connections)
            yield self._drained()
            delivered = yield self._prove(connections, rate, shown)
        finally:
            watching.stop()
        waits = sorted(acked.waits)
        return Figures(
            connections=connections,
            acked_per_s=round(acked.per_second, 1),
            delivered_per_s=round(delivered, 1),
            ack_p50_ms=round(quantile(waits, 0.50) * 1000, 2),
            ack_p99_ms=round(quantile(waits, 0.99) * 1000, 2),
            rss_mb=round(self._rss, 1),
            bare_acked_per_s=round(bare.per_second, 1),
            ratio=round(delivered / bare.per_second, 3),
            engine_cpu_us=round(self._used.engine, 1),
            workers_cpu_us=round(self._used.workers, 1),
            bench_cpu_us=round(self._used.bench, 1),
            rate_p99_ms=round(quantile(sorted(self._waits), 0.99) * 1000, 2),
        )

    @inlineCallbacks
    def _saturate(self, port: int, connections: int, seconds: float) -> Any:
        """Every sender sends again as soon as it is answered."""
        senders = self._senders(port, connections, lambda: True)
        yield senders.start()
        yield deferLater(self._reactor, self._windows.warm)
        before, since, senders.waits = senders.acked, perf_counter(), []
        yield deferLater(self._reactor, seconds)
        per_second = (senders.acked - before) / (perf_counter() - since)
        waits = senders.waits
        yield self._end(senders, counts=port == self._port)
        return _Saturation(per_second, waits)

    @inlineCallbacks
    def _seek(self, connections: int) -> Any:
        """Deliveries per second while no more than a fixed number of messages is between sender and receiver."""
        start, delivered = self._sent, self._receiver.seen
        senders = self._senders(self._port, connections, lambda: start + senders.sent - len(delivered) < IN_FLIGHT)
        yield senders.start()
        yield deferLater(self._reactor, self._windows.warm)
        before, since = len(delivered), perf_counter()
        yield deferLater(self._reactor, self._windows.seek)
        per_second = (len(delivered) - before) / (perf_counter() - since)
        yield self._end(senders)
        return per_second

    @inlineCallbacks
    def _prove(self, connections: int, rate: float, shown: str) -> Any:
        """The highest rate, from *rate* downwards, at which the queue does not grow; deliveries per second at it."""
        for _ in range(TRIES):
            self._show(f"{shown}: {rate:.0f} per second offered")
            delivered, growth = yield self._offer(connections, rate)
            yield self._drained()
            if growth <= GROWTH * rate:
                return delivered
            rate *= (
                STEP_DOWN  # what left meanwhile is no guide: an engine that takes in too much sends less than it could
            )
        raise BenchError(
            "No rate was found at which the queue does not grow.", fix="Is something else using this machine?"
        )

    @inlineCallbacks
    def _offer(self, connections: int, rate: float) -> Any:
        """Deliveries per second and growth of the queue in messages per second, while *rate* is offered."""
        begun = perf_counter()
        senders = self._senders(self._port, connections, lambda: senders.sent < (perf_counter() - begun) * rate)
        yield senders.start()
        yield deferLater(self._reactor, self._windows.warm)
        used = self._processor_times()
        start, before, since, senders.waits = self._sent, len(self._receiver.seen), perf_counter(), []
        backlog: list[tuple[float, float]] = []

        def sample() -> None:
            now = perf_counter()
            backlog.append((now - since, start + (now - begun) * rate - len(self._receiver.seen)))

        sampling = LoopingCall(sample)
        sampling.start(SAMPLE)
        yield deferLater(self._reactor, self._windows.prove)
        sampling.stop()
        arrived = len(self._receiver.seen) - before
        delivered = arrived / (perf_counter() - since)
        self._used = self._processor_times().per_message_since(used, max(1, arrived))
        self._waits = senders.waits
        yield self._end(senders)
        return delivered, slope(backlog)

    def _processor_times(self) -> _Used:
        engine, *workers = map(processor_seconds, family(self._pid))
        return _Used(engine, sum(workers), process_time())

    def _senders(self, port: int, connections: int, may_send: Callable[[], bool]) -> Senders:
        self._runs += 1
        return Senders(port, connections, messages(f"{self._runs:03d}"), may_send)

    @inlineCallbacks
    def _end(self, senders: Senders, *, counts: bool = True) -> Any:
        """Stop sending and wait for the answers that are owed."""
        senders.stop()
        deadline = perf_counter() + DRAIN_SECONDS
        while not senders.is_quiet:
            if perf_counter() > deadline:
                raise BenchError("Not every message was answered.", found=f"{senders.sent - senders.acked} were not")
            yield deferLater(self._reactor, 0.01)
        senders.close()
        if senders.refused:
            raise BenchError("Messages were refused.", found=str(senders.refused))
        if counts:
            self._sent += senders.sent

    @inlineCallbacks
    def _drained(self) -> Any:
        """Wait until everything that was acknowledged has been delivered."""
        deadline = perf_counter() + DRAIN_SECONDS
        while (missing := self._sent - len(self._receiver.seen)) > 0:
            if perf_counter() > deadline:
                raise BenchError("Not everything that was acknowledged was delivered.", found=f"{missing} were not")
            yield deferLater(self._reactor, 0.05)

    def _watch_memory(self) -> None:
        self._rss = max(self._rss, resident_bytes(self._pid) / (1 << 20))


@dataclass(frozen=True, slots=True)
class _Used:
    """Processor time of the engine, its workers, and the benchmark itself: in seconds, or in microseconds a message."""

    engine: float = 0.0
    workers: float = 0.0
    bench: float = 0.0

    def per_message_since(self, before: _Used, messages: int) -> _Used:
        """Microseconds for each of *messages*, from the seconds *before* to these."""
        spent = (self.engine - before.engine, self.workers - before.workers, self.bench - before.bench)
        return _Used(*(1e6 * seconds / messages for seconds in spent))


@dataclass(frozen=True, slots=True)
class _Saturation:
    per_second: float
    waits: list[float]


def quantile(ordered: list[float], share: float) -> float:
    """The value that *share* of the *ordered* values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def slope(points: list[tuple[float, float]]) -> float:
    """The slope of the line of least squares through *points*."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
