"""The two ends of the path: senders that wait for each answer, and a receiver that accepts everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall

reactor: Any = _reactor
TICK = 0.002
_END = b"\x1c\r"


class Receiver:
    """A listener at *port*, 0 for any, that answers AA at once; *seen* holds the control ids in their order."""

    def __init__(self, port: int = 0) -> None:
        self.seen: dict[bytes, None] = {}
        factory: Any = Factory.forProtocol(lambda: _Receiving(self.seen))
        factory.noisy = False
        self._port = reactor.listenTCP(port, factory, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def stop(self) -> Any:
        """Close the port."""
        return self._port.stopListening()


class _Receiving(Protocol):
    def __init__(self, seen: dict[bytes, None]) -> None:
        self._seen = seen
        self._buffer = b""

    def connectionMade(self) -> None:  # noqa: N802
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        *blocks, self._buffer = (self._buffer + data).split(_END)
        for block in blocks:
            control_id = block.split(b"|", 10)[9]
            self._seen.setdefault(control_id)
            transport: Any = self.transport
            transport.write(
                b"\x0bMSH|^~\\&|RECEIVER|BENCH|CLAIMHUB|BENCH|20260302||ACK|" + control_id + b"|T|2.5.1\r"
                b"MSA|AA|" + control_id + b"\r" + _END
            )


class Senders:
    """*connections* senders with one message under way on each.

    *may_send* is asked whenever a sender is free. Answers other than AA are counted as *refused*.
    """

    def __init__(self, port: int, connections: int, supply: Iterator[bytes], may_send: Callable[[], bool]) -> None:
        self._port = port
        self._connections = connections
        self._supply = supply
        self._may_send = may_send
        self._idle: list[_Sending] = []
        self._all: list[_Sending] = []
        self._ticks = LoopingCall(self._wake)
        self._running = False
        self.sent = 0
        self.acked = 0
        self.refused = 0
        self.waits: list[float] = []

    def start(self) -> Deferred[Any]:
        """Connect, then begin."""
        factory: Any = Factory.forProtocol(lambda: _Sending(self))
        factory.noisy = False
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self._port)
        connected = [endpoint.connect(factory) for _ in range(self._connections)]
        return gatherResults(connected).addCallback(self._begin)

    def stop(self) -> None:
        """Send nothing more; answers that are owed still count."""
        self._running = False
        if self._ticks.running:
            self._ticks.stop()

    def close(self) -> None:
        """Hang up."""
        for sending in self._all:
            transport: Any = sending.transport
            transport.loseConnection()

    @property
    def is_quiet(self) -> bool:
        """Whether every message sent has its answer."""
        return self.acked == self.sent

    def _begin(self, connected: list[Any]) -> None:
        self._all = connected
        self._idle = list(connected)
        self._running = True
        self._ticks.start(TICK)

    def _wake(self) -> None:
        while self._idle and self._may_send():
            self._send(self._idle.pop())

    def _send(self, sending: _Sending) -> None:
        self.sent += 1
        sending.send(next(self._supply))

    def answered(self, sending: _Sending, seconds: float, *, accepted: bool) -> None:
        """The peer answered what *sending* sent."""
        self.acked += 1
        self.refused += not accepted
        self.waits.append(seconds)
        if self._running and self._may_send():
            self._send(sending)
        else:
            self._idle.append(sending)


class _Sending(Protocol):
    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self._buffer = b""
        self._since = 0.0

    def connectionMade(self) -> None:  # noqa: N802
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def send(self, raw: bytes) -> None:
        self._since = perf_counter()
        transport: Any = self.transport
        transport.write(b"\x0b" + raw + _END)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self._buffer += data
        if self._buffer.endswith(_END):
            waited = perf_counter() - self._since
            answer, self._buffer = self._buffer, b""
            self._senders.answered(self, waited, accepted=b"\rMSA|AA|" in answer)
