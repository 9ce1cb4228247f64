"""An EHR and two receivers with books of their own. They share nothing with the hub, so they cannot agree with it."""

from __future__ import annotations

import random
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

START, END = b"\x0b", b"\x1c\r"
PATIENTS = 5
Lie = Callable[[str], list[bytes] | None]
"""What a receiver sends for a message of this control id; None hangs up."""


def control_id(block: bytes) -> str:
    """MSH-10."""
    return block.split(b"\r")[0].split(b"|")[9].decode()


def accepted(name: str) -> bytes:
    """An acknowledgement of the message of this name."""
    return START + f"MSH|^~\\&|PEER|X|HUB|Y|20261123||ACK|K{name}|T|2.5.1\rMSA|AA|{name}\r".encode() + END


def message(name: str, patient: int) -> bytes:
    """A registration of that patient."""
    return (
        f"MSH|^~\\&|EHR|ALDER|HUB|X|20261123100000||ADT^A04^ADT_A01|{name}|T|2.5.1\rEVN|A04|20261123\r"
        f"PID|1||{patient}^^^ALDER^MR||SAMPLETON^ALVA\rPV1|1|O\r"
    ).encode()


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as a receiver got it."""

    name: str
    patient: str


class Receiver:
    """An MLLP receiver that writes down what comes, in order, and answers as *lie* says."""

    def __init__(self) -> None:
        self.book: list[Entry] = []
        self.lie: Lie = lambda name: [accepted(name)]
        self.dead = False
        """Whether it hangs up on whoever speaks, before anything is written down."""
        self._standing: set[socket.socket] = set()
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hang_up(self) -> None:
        """End the connections that stand."""
        with self._lock:
            standing, self._standing = self._standing, set()
        for connection in standing:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def names(self) -> list[str]:
        """What came, in order."""
        with self._lock:
            return [entry.name for entry in self.book]

    def _serve(self, connection: socket.socket) -> None:
        waiting = b""
        with suppress(OSError):
            if self.dead:
                return
            with self._lock:
                self._standing.add(connection)
            while data := connection.recv(65536):
                waiting += data
                while END in waiting:
                    block, _, waiting = waiting.partition(END)
                    name = control_id(block)
                    found = re.search(rb"\rPID\|\|\|([^|^\r]*)", block)
                    with self._lock:
                        self.book.append(Entry(name, found[1].decode() if found else ""))
                    said = self.lie(name)
                    if said is None:
                        return
                    for answer in said:
                        connection.sendall(answer)


class Ehr:
    """Sends messages over several connections, each patient on one, again until each is acknowledged; keeps a book."""

    def __init__(self, port: Callable[[], int], seed: int, connections: int = 3) -> None:
        self.acknowledged: list[tuple[str, int]] = []
        self._port = port
        self._dice = random.Random(seed)
        self._wanted = 0
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._over = False
        self._queues: list[list[tuple[str, int]]] = [[] for _ in range(connections)]
        self._threads = [threading.Thread(target=self._send, args=(queue,), daemon=True) for queue in self._queues]
        for thread in self._threads:
            thread.start()

    def send(self, count: int) -> None:
        """Have *count* more messages sent."""
        with self._more:
            for _ in range(count):
                self._wanted += 1
                patient = self._dice.randrange(PATIENTS)
                self._queues[patient % len(self._queues)].append((f"C{self._wanted:06}", patient))
            self._more.notify_all()

    @property
    def owed(self) -> int:
        """How many messages have no acknowledgement yet."""
        with self._lock:
            return self._wanted - len(self.acknowledged)

    def stop(self) -> None:
        """Send nothing more."""
        with self._more:
            self._over = True
            self._more.notify_all()

    def _send(self, queue: list[tuple[str, int]]) -> None:
        connection: socket.socket | None = None
        while True:
            with self._more:
                while not queue and not self._over:
                    self._more.wait()
                if self._over:
                    return
                name, patient = queue[0]
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self._port()), timeout=120)
                connection.sendall(START + message(name, patient) + END)
                answer = self._answer(connection)
            except OSError:
                answer = b""
            if f"MSA|AA|{name}".encode() not in answer:
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.05)
                continue
            with self._lock:
                queue.pop(0)
                self.acknowledged.append((name, patient))

    @staticmethod
    def _answer(connection: socket.socket) -> bytes:
        answer = b""
        while END not in answer:
            data = connection.recv(65536)
            if not data:
                return b""
            answer += data
        return answer
