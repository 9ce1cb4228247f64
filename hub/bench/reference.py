"""The reference: a bare MLLP listener that stores a row by group commit and answers.

Run as ``python -m hub.bench.reference FILE``. It does the least that can be called durable: no parsing beyond the
control id, no duplicates, lanes, mapping or encryption. It shares no code with the hub, so that it cannot share its
slowness.
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol

reactor: Any = _reactor
BATCH = 256
_Row = tuple["_Peer", bytes]


class _Peer(Protocol):
    def __init__(self, rows: queue.SimpleQueue[_Row]) -> None:
        self._rows = rows
        self._buffer = b""

    def connectionMade(self) -> None:  # noqa: N802
        transport: Any = self.transport
        transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        *blocks, self._buffer = (self._buffer + data).split(b"\x1c\r")
        for block in blocks:
            self._rows.put((self, block[1:]))

    def stored(self, raw: bytes) -> None:
        """The row is on disk."""
        control_id = raw.split(b"|", 10)[9]
        transport: Any = self.transport
        transport.write(
            b"\x0bMSH|^~\\&|BARE|BENCH|||20260302||ACK|" + control_id + b"|T|2.5.1\rMSA|AA|" + control_id + b"\r\x1c\r"
        )


def _write(file: str, rows: queue.SimpleQueue[_Row]) -> None:
    """Store what waits, all of it in one transaction, as long as the process lives."""
    store = sqlite3.connect(file, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE message (id INTEGER PRIMARY KEY, raw BLOB NOT NULL)",
    ):
        store.execute(statement)
    while True:
        batch = [rows.get()]
        while len(batch) < BATCH and not rows.empty():
            batch.append(rows.get())
        store.execute("BEGIN IMMEDIATE")
        store.executemany("INSERT INTO message (raw) VALUES (?)", [(raw,) for _, raw in batch])
        store.execute("COMMIT")
        reactor.callFromThread(_answer, batch)


def _answer(batch: list[_Row]) -> None:
    for peer, raw in batch:
        peer.stored(raw)


def main() -> None:
    """Listen on a free port of loopback, say which on standard output, and serve until SIGTERM."""
    rows: queue.SimpleQueue[_Row] = queue.SimpleQueue()
    factory: Any = Factory.forProtocol(lambda: _Peer(rows))
    factory.noisy = False
    threading.Thread(target=_write, args=(sys.argv[1], rows), daemon=True).start()
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    reactor.callWhenRunning(lambda: sys.stdout.write(f"{port.getHost().port}\n") and sys.stdout.flush())
    reactor.run()


if __name__ == "__main__":
    main()
