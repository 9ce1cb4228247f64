"""Servers that misbehave in the ways that every destination must tell apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from hub.engine.contracts import Destination, Outcome, Parcel
from tests.connectors.peers import within

Behaviour = Callable[["Peer", bytes], None]
Greeting = Callable[["Peer"], None]


class Peer(Protocol):
    """A server's connection that does what its test says with the bytes that come."""

    def __init__(self, behave: Behaviour, greet: Greeting | None) -> None:
        self._behave = behave
        self._greet = greet
        self.seen = b""

    def connectionMade(self) -> None:  # noqa: N802
        if self._greet is not None:
            self._greet(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.seen += data
        self._behave(self, data)

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def drop(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def bye(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class Server:
    """A TCP server of a test: counts connections, collects what it saw."""

    def __init__(self, behave: Behaviour, greet: Greeting | None = None, port: int = 0) -> None:
        self.peers: list[Peer] = []

        def build(_: Any = None) -> Peer:
            peer = Peer(behave, greet)
            self.peers.append(peer)
            return peer

        factory: Any = Factory.forProtocol(build)
        factory.noisy = False
        net: Any = reactor
        self._port = net.listenTCP(port, factory, interface="127.0.0.1")
        self.port = int(self._port.getHost().port)

    async def close(self) -> None:
        await within(self._port.stopListening())
        for peer in self.peers:
            peer.drop()


@asynccontextmanager
async def serving(behave: Behaviour, greet: Greeting | None = None, port: int = 0) -> AsyncIterator[Server]:
    server = Server(behave, greet, port)
    try:
        yield server
    finally:
        await server.close()


async def free_port() -> int:
    """A port at which nobody listens."""
    server = Server(lambda _peer, _data: None)
    await server.close()
    return server.port


async def delivered(destination: Destination, *parcels: Parcel) -> list[Outcome]:
    """Send the parcels at the same time and stop."""
    destination.start()
    try:
        under_way: list[Deferred[Outcome]] = [destination.deliver(parcel) for parcel in parcels]
        return [await within(one) for one in under_way]
    finally:
        stopped = destination.stop()
        if stopped is not None:
            await within(stopped)
