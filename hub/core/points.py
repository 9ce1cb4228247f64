"""Named points: places in the code at which a test may hold a process still, and do to it what it likes.

Where ``HUB_POINTS`` in the environment names a UNIX socket, :func:`reached` tells whoever listens there which point was
reached in which process, and waits for a byte of answer; whoever it is may meanwhile end the process, its database or
its peers. Without it, as in production, a point is a call that does nothing.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

POINTS = {
    "message.written": "A message is written; its transaction is not committed.",
    "message.committed": "A message is on disk; its sender has no answer yet.",
    "steps.written": "What the steps came to is written, with the first intents; not committed.",
    "delivery.intending": "An attempt is written as being sent; not committed.",
    "delivery.intended": "An attempt is on disk as being sent; no byte has left.",
    "delivery.answered": "The destination has answered; that is not recorded.",
    "delivery.recorded": "What became of an attempt is on disk.",
    "billing.decided": "A worker has decided; nothing of it is written.",
    "billing.applying": "A decision is written; its transaction is not committed.",
    "billing.chunk": "A part of long work is on disk, a remittance's claims for example; more of it follows.",
    "worker.began": "A worker process has a task.",
    "worker.replied": "A worker process has done a task; its engine has not heard of it.",
    "web.asked": "The engine has done what a page asked; its reader has no answer yet.",
}
"""Every point, and what holds when it is reached."""

_ENVIRONMENT = "HUB_POINTS"


def _nothing(_name: str) -> None:
    """What a point does in production."""


class _Wire:
    """Tells a listener which point was reached. Opened at once, because a mapping worker may not open one later."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lock = threading.Lock()

    def reached(self, name: str) -> None:
        with self._lock:
            self._socket.sendall(f"{name} {os.getpid()}\n".encode())
            self._socket.recv(1)


def _armed() -> Callable[[str], None]:
    path = os.environ.get(_ENVIRONMENT)
    return _Wire(path).reached if path else _nothing


reached: Callable[[str], None] = _armed()
"""Say that the point of this name, one of :data:`POINTS`, is reached."""
