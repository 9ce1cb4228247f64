"""The web process's side of the control socket: one JSON line there, one back.

The engine does whatever changes state.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from hub.core.errors import HubError

_LONGEST_ANSWER = 4 << 20


class EngineUnreachable(HubError):  # noqa: N818  it reads as what happened
    """The engine does not answer on its socket.

    Nothing was changed, or, after a time-out, nothing is known.
    """

    code = "H730"


class EngineRefused(HubError):  # noqa: N818
    """The engine answered that it will not do what was asked, in its own words."""

    code = "H731"


class Control:
    """Asks the engine. One connection per question: questions are rare and a pool would hide a restart."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path = path
        self._timeout = timeout

    def ask(self, command: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """What the engine answers to *command*.

        Raises :class:`EngineUnreachable` or :class:`EngineRefused`.
        """
        line = json.dumps({"command": command, "args": args, "actor": actor}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(str(self._path))
                connection.sendall(line)
                answer = json.loads(_line(connection))
        except (OSError, ValueError):
            raise EngineUnreachable(
                "The engine is not running, so nothing can be changed now.",
                fix="Start it with `hub run`; what is stored stays as it is.",
            ) from None
        if not answer.get("ok"):
            error = answer.get("error") or {}
            raise EngineRefused(
                str(error.get("what", "The engine refused.")),
                where=str(error.get("where", "")),
                expected=str(error.get("expected", "")),
                found=str(error.get("found", "")),
                fix=str(error.get("fix", "")),
            )
        return dict(answer)

    def write(self, name: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """Have the journal run the small write *name* of `hub.security.writes`."""
        return self.ask("write", {"name": name, "args": args}, actor)

    def billing(self, name: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """Have billing decide the command *name* and the journal apply the decision."""
        return self.ask("billing", {"name": name, "args": args}, actor)


def _line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk or len(received) > _LONGEST_ANSWER:
            raise OSError("the answer ended early")
        received += chunk
    return bytes(received)
