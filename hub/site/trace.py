"""Values beside the lines of mapping scripts, for ``hub try``: which line gave which name which value.

Only for previews: tracing makes scripts many times slower.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_PATH = re.compile(r"\"([A-Z][A-Z0-9]{2}(?:\[[^\]]*\])?-\d[^\"|]*?)\s*(?:\|[^\"]*)?\"")
_HIDDEN = frozenset({"message", "event", "file", "line"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A name got a value on a line of a script: *step* is the mapping that ran, *paths* are what the line reads."""

    step: str
    file: str
    line: int
    name: str
    value: Any
    paths: tuple[str, ...]


@contextmanager
def tracing(folder: Path, shown: Callable[[Path], str]) -> Iterator[list[Seen]]:
    """Collect what happens in scripts below *folder* while the block runs. *shown* names a file for people."""
    linecache.checkcache()  # scripts are edited between two looks
    seen: list[Seen] = []
    root = str(folder.resolve())
    before = sys.gettrace()
    step = ""

    def calls(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal step
        if not frame.f_code.co_filename.startswith(root):
            return None
        if frame.f_back is None or not frame.f_back.f_code.co_filename.startswith(root):
            step = frame.f_code.co_name
        return _Frame(frame, step, seen, shown).trace

    sys.settrace(calls)
    try:
        yield seen
    finally:
        sys.settrace(before)


class _Frame:
    """One call of a function: what changed since its previous line belongs to that line."""

    def __init__(self, frame: FrameType, step: str, seen: list[Seen], shown: Callable[[Path], str]) -> None:
        self._step = step
        self._file = frame.f_code.co_filename
        self._shown = shown(Path(self._file))
        self._is_function = frame.f_code.co_name not in {"<module>", "<lambda>"}
        self._seen = seen
        self._line = frame.f_lineno
        self._known = dict(frame.f_locals)

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._is_function and event in {"line", "return"}:
            self._note(frame)
            self._line = frame.f_lineno
        return self.trace

    def _note(self, frame: FrameType) -> None:
        for name, value in frame.f_locals.items():
            new = name not in self._known or self._known[name] is not value
            if new and not name.startswith((".", "_")) and name not in _HIDDEN:
                text = linecache.getline(self._file, self._line)
                paths = tuple(_PATH.findall(text))
                self._seen.append(Seen(self._step, self._shown, self._line, name, value, paths))
        self._known = dict(frame.f_locals)
