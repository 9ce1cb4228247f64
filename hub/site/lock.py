"""The site's lock: one node works on a store, and nothing replaces a store that is being worked on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from hub.core.errors import HubError

RUN = "run.pid"


class AlreadyRunningError(HubError):
    """Another engine works on this site."""

    code = "H601"


def lock_site(folder: Path) -> TextIO:
    """The lock of the site at *folder*, held until it is closed. Raises :class:`AlreadyRunningError`."""
    var = folder / "var"
    var.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (var / "engine.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunningError(
            "Another hub is running this site.", where=str(folder), fix="Stop it first, or use another site."
        ) from None
    return file


def lock_run(folder: Path) -> TextIO:
    """Hold, until it is closed, that this process is the `hub run` of the site at *folder*, and note its process id.

    Raises :class:`AlreadyRunningError`.
    """
    var = folder / "var"
    var.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (var / RUN).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunningError(
            "Another hub is running this site.", where=str(folder), fix="Stop it first: `hub stop`."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def running_pid(folder: Path) -> int | None:
    """The process id of the `hub run` of the site at *folder*; None when none runs."""
    try:
        with (folder / "var" / RUN).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read())
    except (FileNotFoundError, ValueError):
        pass
    return None
