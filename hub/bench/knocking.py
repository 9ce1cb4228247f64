"""A sender that knocks at a steady pace while the hub does something else: what its messages wait for an answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hub.engine.control import EngineAwayError, ask_engine

PACE_SECONDS = 0.05
ANSWER_SECONDS = 30.0
_START, _END = b"\x0b", b"\x1c\r"


class Knocking(threading.Thread):
    """Sends one message of *supply* after another to the MLLP source of *channel*, until :meth:`stop`.

    When the engine dies, the sender finds it again and repeats what was not answered, as an EHR does; the wait for that
    answer is not counted, because it says how long a start takes and not how busy the hub is.
    """

    def __init__(self, control: Path, channel: str, supply: Iterator[bytes]) -> None:
        super().__init__(daemon=True)
        self._control, self._channel, self._supply = control, channel, supply
        self._over = threading.Event()
        self.waits: list[float] = []
        self.answered = 0
        self.refused = 0

    def run(self) -> None:
        """Knock."""
        unanswered: bytes | None = None
        while not self._over.is_set():
            with suppress(OSError, EngineAwayError), self._connect() as line:
                while not self._over.is_set():
                    repeated, message = unanswered is not None, unanswered or next(self._supply)
                    unanswered = message
                    began = time.monotonic()
                    line.sendall(_START + message + _END)
                    self._take(_answer(line), None if repeated else began)
                    unanswered = None
                    self._over.wait(PACE_SECONDS)
            self._over.wait(PACE_SECONDS)

    def stop(self) -> None:
        """End after the message under way."""
        self._over.set()
        self.join()

    def _connect(self) -> socket.socket:
        status = ask_engine(self._control, "status", {}, actor="bench")
        address: str = status["channels"][self._channel]["sources"][0]["address"]
        line = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), ANSWER_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line

    def _take(self, answer: bytes, began: float | None) -> None:
        if b"\rMSA|AA|" not in answer:
            self.refused += 1
            return
        self.answered += 1
        if began is not None:
            self.waits.append(time.monotonic() - began)


def _answer(line: socket.socket) -> bytes:
    """The whole block that comes next. Raises `ConnectionError` when the other side goes away before its end."""
    found = b""
    while not found.endswith(_END):
        piece = line.recv(65536)
        if not piece:
            raise ConnectionError("closed before the answer's end")
        found += piece
    return found
