"""Listens at the named points of a hub's processes, and decides there what happens to them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hub.core.points import POINTS

Act = Callable[[int], None]
"""What is done to the process of this id while it stands at its point."""


class Watch:
    """A listener for `HUB_POINTS`; each process that was told of it stands still at a point until it is answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: Counter[str] = Counter()
        self._waiting: dict[str, tuple[int, Act, threading.Event]] = {}
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, point: str, act: Act, *, nth: int = 1) -> threading.Event:
        """Have *act* done when *point* is reached for the *nth* time from now on; the event is set afterwards."""
        assert point in POINTS, point
        done = threading.Event()
        with self._lock:
            self._waiting[point] = (self.seen[point] + nth, act, done)
        return done

    def close(self) -> None:
        """Listen no more; whoever comes to a point goes on."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                name, pid = line.split()
                self._reached(name.decode(), int(pid))
                connection.sendall(b".")

    def _reached(self, name: str, pid: int) -> None:
        with self._lock:
            self.seen[name] += 1
            due = self._waiting.get(name)
            if due is None or self.seen[name] < due[0]:
                return
            del self._waiting[name]
        due[1](pid)
        due[2].set()


def kill(pid: int) -> None:
    """End the process as a power cut would, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while _lives(pid):
        threading.Event().wait(0.01)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
