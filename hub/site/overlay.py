"""``config/local.toml``: settings of this machine alone, laid over the files without changing them.

Each entry is a dotted path and a value::

    "channels.ehr_visits.source.listen" = "tcp:127.0.0.1:0"
    "channels.responses_in.source[1].poll" = "2s"
    "hub.clock.day_seconds" = 30.0

The first part names the file: ``channels.NAME``, ``partners.NAME``, ``payers.ID``, ``hub``, ``practice`` or
``billing``.
"""

from __future__ import annotations

import re
from typing import Any

from hub.site.files import TomlFile
from hub.site.findings import Finding

OVERLAY = "config/local.toml"
_INDEX = re.compile(r"\[(\d+)\]")


class Overlay:
    """The entries of the overlay, and which of them have found their file."""

    def __init__(self, file: TomlFile | None) -> None:
        self._file = file
        self._entries: dict[tuple[str, ...], Any] = {}
        self._keys: dict[tuple[str, ...], str] = {}
        self._used: set[tuple[str, ...]] = set()
        for key, value in file.data.items() if file else ():
            path = tuple(_INDEX.sub(r".\1", key).split("."))
            self._entries[path] = value
            self._keys[path] = key

    def lay_over(self, document: tuple[str, ...], data: dict[str, Any]) -> None:
        """Change *data*, the content of the file that *document* names (``("channels", "ehr_visits")``)."""
        for path, value in self._entries.items():
            if path[: len(document)] == document and len(path) > len(document):
                self._used.add(path)
                _put(data, path[len(document) :], value)

    def findings(self) -> list[Finding]:
        """One note per entry in force, one error per entry that names no file."""
        if self._file is None:
            return []
        found = []
        for path, key in self._keys.items():
            line, column = self._file.place((key,))
            if path in self._used:
                sentence = f"This machine overrides {key}."
                found.append(Finding(OVERLAY, line, column, "H212", "info", sentence))
            else:
                sentence = f"{key} names no file of this site."
                fix = "Begin with channels.NAME, partners.NAME, payers.ID, hub, practice or billing."
                found.append(Finding(OVERLAY, line, column, "H213", "error", sentence, fix))
        return found


def _put(data: Any, path: tuple[str, ...], value: Any) -> None:
    """Set the place *path* of *data*, making the tables on the way. A path through something else is left alone."""
    *way, last = path
    for part in way:
        if isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, dict):
            data = data.setdefault(part, {})
        else:
            return
    if isinstance(data, list) and last.isdigit() and int(last) < len(data):
        data[int(last)] = value
    elif isinstance(data, dict):
        data[last] = value
