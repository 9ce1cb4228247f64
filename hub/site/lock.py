"""The site's lock: one node works on a store, and nothing replaces a store that is being worked on."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO

from hub.core.errors import HubError


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
