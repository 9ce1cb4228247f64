"""A TCP port that can be paused: what listening connectors share."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.tcp import Connection

from hub.connectors.errors import ListenError
from hub.connectors.settings import TcpEndpoint
from hub.core.clock import real_ms
from hub.core.log import Log
from hub.engine.contracts import EndpointState, Health

reactor: Any = _reactor
_TRY_AGAIN = 1.0


class Listener:
    """Opens *endpoint* by ``listen(port, interface)``.

    After a pause the same port is opened again, also where the kernel chose it.
    """

    def __init__(self, endpoint: TcpEndpoint, listen: Callable[[int, str], Any], log: Log) -> None:
        self._endpoint = endpoint
        self._listen = listen
        self._log = log
        self._wanted = False
        self._port: Any = None
        self._closing: Deferred[Any] = succeed(None)
        self._again: Any = None
        self._state = EndpointState.STOPPED
        self._since = real_ms()
        self._detail = ""

    def open(self) -> None:
        """Listen. Raises :class:`ListenError` when the port cannot be had."""
        self._wanted = True
        self._open()

    def close(self) -> Deferred[Any]:
        """Stop listening; connections that are open stay. Fires when the port is free."""
        self._wanted = False
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._port is not None:
            port, self._port = self._port, None
            self._closing = maybeDeferred(port.stopListening)
            self._stand(EndpointState.STOPPED)
        return self._closing

    def reopen(self) -> None:
        """Listen again, once the port is free; while another process holds it, keep trying."""
        self._wanted = True
        self._closing.addCallback(lambda _: self._try())

    def health(self, peers: int) -> Health:
        """How the port stands."""
        return Health(self._state, self._endpoint.shown, self._since, self._detail, peers)

    def _try(self) -> None:
        if not self._wanted or self._port is not None:
            return
        try:
            self._open()
        except ListenError as error:
            self._stand(EndpointState.RETRYING, error.what)
            self._again = reactor.callLater(_TRY_AGAIN, self._try)

    def _open(self) -> None:
        try:
            self._port = self._listen(self._endpoint.port, self._endpoint.host)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or "the system refused it"
            raise ListenError(
                f"The hub cannot listen on {self._endpoint.shown}: {reason}.",
                where=str(self._endpoint),
                fix="Choose another port, or stop the program that holds this one.",
            ) from None
        self._endpoint = TcpEndpoint(self._endpoint.host, self._port.getHost().port)
        self._stand(EndpointState.LISTENING)
        self._log.info("listening", address=self._endpoint.shown)

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        self._state, self._detail, self._since = state, detail, real_ms()


def keep_alive(transport: Any, seconds: float) -> None:
    """Have the system ask a peer of *transport* that was silent for *seconds* whether it is there, three times."""
    transport.setTcpKeepAlive(True)
    plain = getattr(transport, "transport", transport)  # beneath TLS
    handle = plain.getHandle()
    if isinstance(handle, socket.socket) and hasattr(socket, "TCP_KEEPIDLE"):
        every = max(1, round(seconds))
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, every // 3))
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def send_now(transport: Any, data: bytes) -> None:
    """Write *data* to *transport*, at once where that is possible.

    A transport's own `write` asks the reactor to be called back and costs three calls of the system more. What the
    kernel does not take now, and everything on a TLS transport, goes that way.
    """
    if isinstance(transport, Connection) and transport.connected and not _has_more(transport):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):  # else an error, which the next write meets again and reports as lost connection
            data = data[sent:]
    if data:
        transport.write(data)


def _has_more(transport: Any) -> bool:
    """Whether *transport* has something to write before, or must not write any more."""
    return bool(transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting or transport.disconnected)
