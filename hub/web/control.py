"""The web process's side of the control socket: the engine does whatever changes state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub.core.points import reached
from hub.engine.control import EngineAwayError, EngineRefusedError, ask_engine

__all__ = ["Control", "EngineAwayError"]


class Control:
    """Asks the engine at one socket.

    One connection per question: questions are few, and a pool would hide a restart.
    """

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path = path
        self._timeout = timeout

    def ask(self, command: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """What the engine answers to *command*. Raises `EngineAwayError`, or `HubError` in the engine's words."""
        answer = ask_engine(self._path, command, args, actor=actor, timeout=self._timeout)
        reached("web.asked")
        return answer

    def write(self, name: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """Have the journal run the small write *name* of `hub.security.writes`."""
        return self.ask("write", {"name": name, "args": args}, actor)

    def billing(self, name: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """Have billing decide the command *name*.

        Returns its answer. Raises `EngineRefusedError` with billing's code and reason.
        """
        answer = self.ask("billing", {"name": name, "args": args}, actor).get("answer") or {}
        if not answer.get("ok", True):
            raise EngineRefusedError(answer["error"])
        return dict(answer)
