"""What a check has to say: one sentence each, with the place, a stable code and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a site. *file* is relative to the site, *line* and *column* count from 1 (0: the whole file)."""

    file: str
    line: int
    column: int
    code: str
    level: Level
    sentence: str
    fix: str = ""

    @property
    def place(self) -> str:
        """``channels/ehr_visits.toml:27:7``, as editors and terminals open it."""
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])

    def plain(self) -> dict[str, object]:
        """The finding for ``--json``."""
        return asdict(self)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "claim"?``, or empty text when nothing known resembles *word*."""
    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f'did you mean "{close[0]}"?' if close else ""
