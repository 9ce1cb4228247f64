"""The lock on mapping workers: once their scripts are loaded, no network, no other programs, no files."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hub.core.errors import HubError

_REFUSED = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
    "os.truncate", "os.kill", "os.putenv", "os.unsetenv", "shutil.", "ftplib.", "smtplib.", "urllib.", "http.",
    "ctypes.", "pty.", "webbrowser.", "sqlite3.connect", "tempfile.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class PurityError(HubError):
    """A mapping script reached for the network, a file or another program."""

    code = "H430"


def lock_down(transforms: Path) -> None:
    """Refuse, from now on and for the life of this process, everything that a pure mapping does not need.

    Python itself and the scripts below *transforms* may still be read, because modules are imported late. Raises
    nothing; what is refused raises :class:`PurityError` where it is tried.
    """
    readable = tuple(
        f"{os.path.realpath(folder)}{os.sep}"
        for folder in {
            sys.prefix,
            sys.base_prefix,
            *sysconfig.get_paths().values(),
            "/usr/share/zoneinfo",
            str(Path(__file__).parent.parent),
            str(transforms),
        }
    )

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            _refuse_file(arguments, readable)
        elif event.startswith(_REFUSED):
            raise PurityError(
                "A mapping has no network, no programs and no files.", found=event, fix="Take it from the message."
            )

    sys.addaudithook(refuse)


def _refuse_file(arguments: tuple[Any, ...], readable: tuple[str, ...]) -> None:
    path, _mode, flags = arguments
    if isinstance(path, int):
        return  # an open descriptor: the worker's own pipe
    if flags is not None and flags & _WRITING:
        raise PurityError("A mapping writes no files.", found="open", fix="Return a value instead.")
    if not f"{os.path.realpath(os.fsdecode(path))}{os.sep}".startswith(readable):
        raise PurityError(
            "A mapping reads no files.", found="open", fix="Read tables with table() at the top of the script."
        )
