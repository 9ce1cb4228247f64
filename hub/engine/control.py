"""The control socket: how pages and commands ask the engine for anything that changes state.

One JSON object per line in each direction: ``{"command", "args", "actor"}`` and ``{"ok": true, ...}`` or ``{"ok":
false, "error"}``. The socket is a file that only the hub's own user can open.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure as TwistedFailure

from hub.core.errors import HubError
from hub.core.log import Log

Command = Callable[[dict[str, Any], str], Any]


class EngineAwayError(HubError):
    """The engine does not answer on its control socket."""

    code = "H160"


class EngineRefusedError(HubError):
    """The engine, or billing, did not do what it was asked. *error* is theirs as it came; it keeps their code."""

    code = "H161"

    def __init__(self, error: Mapping[str, str]) -> None:
        words = {name: error[name] for name in ("where", "expected", "found", "fix") if name in error}
        super().__init__(error["what"], **words)
        self.code = error["code"]


class _Line(LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, commands: Mapping[str, Command], log: Log) -> None:
        self._commands = commands
        self._log = log

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        try:
            request = json.loads(line)
            name, arguments = request["command"], request.get("args", {})
            actor = request.get("actor", "hub")
            command = self._commands[name]
        except (ValueError, KeyError, TypeError):
            self._answer({"ok": False, "error": _plain(HubError("The engine knows no such command."))})
            return
        done: Deferred[Any] = maybeDeferred(command, arguments, actor)
        done.addCallback(self._succeeded).addErrback(self._failed, name)

    def _succeeded(self, result: dict[str, Any] | None) -> None:
        self._answer({"ok": True, **(result or {})})

    def _failed(self, failure: TwistedFailure, name: str) -> None:
        error = failure.value
        if not isinstance(error, HubError):
            assert error is not None
            self._log.failure("control.failed", error, command=name)
            error = HubError("The engine could not do this; its log says where it failed.")
        self._answer({"ok": False, "error": _plain(error)})

    def _answer(self, document: dict[str, Any]) -> None:
        if self.transport is not None:
            self.sendLine(json.dumps(document).encode())  # type: ignore[no-untyped-call]


class ControlFactory(Factory):
    """Serves *commands* on the control socket."""

    def __init__(self, commands: Mapping[str, Command], log: Log) -> None:
        self._commands = commands
        self._log = log

    def buildProtocol(self, addr: object) -> _Line:  # noqa: N802
        """One protocol per connection."""
        return _Line(self._commands, self._log)


def ask_engine(
    path: Path, command: str, arguments: dict[str, Any], *, actor: str, timeout: float = 30.0
) -> dict[str, Any]:
    """Have the engine at the socket *path* do *command*; blocks.

    Raises :class:`EngineAwayError` when it does not answer, and :class:`HubError` with the engine's own words when it
    refuses.
    """
    request = json.dumps({"command": command, "args": arguments, "actor": actor}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline() or b"null")
    except (OSError, ValueError):
        answer = None
    if answer is None:
        raise EngineAwayError(
            "The hub is not running, or does not answer.", where=str(path), fix="Start it with `hub run`."
        )
    if not answer["ok"]:
        raise EngineRefusedError(answer["error"])
    return dict(answer)


def _plain(error: HubError) -> dict[str, str]:
    return {name: getattr(error, name) for name in ("code", "what", "where", "expected", "found", "fix")}
