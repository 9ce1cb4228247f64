"""Ending with the process that started us, whatever became of it."""

from __future__ import annotations

import os
import signal
import threading


def stop_with_parent() -> None:
    """Have this process get SIGTERM when its standard input, a pipe from its parent, ends.

    The kernel closes the pipe even when the parent was killed, so nothing is left running behind it.
    """

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
