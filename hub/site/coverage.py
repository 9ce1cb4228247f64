"""Which lines of the mapping scripts the samples reach."""

from __future__ import annotations

import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.site.scripts import Scripts


@dataclass(frozen=True, slots=True)
class Reached:
    """One script: how many lines its functions have, and those that no sample reached."""

    file: str
    lines: int
    missed: tuple[int, ...]


class Coverage:
    """Notes which lines below *folder* run."""

    def __init__(self, folder: Path) -> None:
        self._root = str(folder.resolve())
        self._seen: defaultdict[str, set[int]] = defaultdict(set)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what runs while the block does."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._root):
            return None
        seen = self._seen[frame.f_code.co_filename]

        def line(inner: types.FrameType, _event: str, _argument: Any) -> Any:
            seen.add(inner.f_lineno)
            return line

        return line

    def of(self, scripts: Scripts, modules: list[str]) -> list[Reached]:
        """What was reached of *modules*."""
        found = []
        for module in modules:
            path = scripts.path(module)
            lines = set(_lines(compile(path.read_text(encoding="utf-8"), str(path), "exec"), inner=False))
            missed = lines - self._seen[str(path)]
            found.append(Reached(scripts.shown(path), len(lines), tuple(sorted(missed))))
        return found


def _lines(code: types.CodeType, *, inner: bool) -> Iterator[int]:
    """The lines of the functions in *code*; those of the module itself run when it is loaded."""
    if inner:
        yield from (n for _, _, n in code.co_lines() if n is not None and n > code.co_firstlineno)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _lines(constant, inner=True)


def shown(numbers: tuple[int, ...]) -> str:
    """``33-35, 41``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
