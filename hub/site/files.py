"""TOML files with the line and column of every key.

`tomllib` says nothing of places, so a small scanner walks the same text once more. It reads only documents that
`tomllib` has accepted, which is why it may be simple.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.site.findings import Finding

Key = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?\Z")
_PART = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))\s*(\.)?')
_OPENERS, _CLOSERS = "[{", "]}"


@dataclass(frozen=True, slots=True)
class TomlFile:
    """One file of the site. *name* is its path relative to the site; *places* are (line, column) by key."""

    name: str
    data: dict[str, Any]
    places: dict[Key, tuple[int, int]] = field(default_factory=dict)

    def place(self, key: Key) -> tuple[int, int]:
        """Where *key* stands, or the nearest table around it; (0, 0) for the file as a whole."""
        while key:
            if key in self.places:
                return self.places[key]
            key = key[:-1]
        return 0, 0

    def finding(self, key: Key, code: str, sentence: str, fix: str = "", *, warning: bool = False) -> Finding:
        """A finding about *key* of this file."""
        line, column = self.place(key)
        return Finding(self.name, line, column, code, "warning" if warning else "error", sentence, fix)


def read_toml(folder: Path, name: str) -> TomlFile | Finding:
    """The file *name* below *folder*, or the finding that says why it cannot be read."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError:
        return Finding(name, 0, 0, "H203", "error", "This file is missing.", "hub init writes a whole site.")
    except UnicodeDecodeError:
        return Finding(name, 0, 0, "H200", "error", "This file is not UTF-8 text.")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        what, line, column = (found[1], found[2] or 0, found[3] or 0) if found else (str(error), 0, 0)
        fix = "Codes are texts: write them in quotes." if "value" in what.lower() else ""
        return Finding(name, int(line), int(column), "H200", "error", f"This is not TOML: {what}.", fix)
    return TomlFile(name, data, positions(text))


def positions(text: str) -> dict[Key, tuple[int, int]]:
    """Line and column of every table header and key in *text*, a valid TOML document."""
    places: dict[Key, tuple[int, int]] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        column = len(line) - len(line.lstrip()) + 1
        header = _HEADER.fullmatch(line) if line.lstrip().startswith("[") else None
        if header:
            table = _within(_parts(header[2])[0], counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                places.setdefault(table, (number + 1, column))
                table = (*table, counts[table])
            places[table] = (number + 1, column)
            number += 1
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            number += 1
            continue
        key, end = _parts(line)
        places[(*table, *key)] = (number + 1, column)
        number = _value_end(lines, number, end + 1) + 1
    return places


def _within(key: Key, counts: dict[Key, int]) -> Key:
    """*key* with the number of the current item after each array of tables that it goes through."""
    found: Key = ()
    for number, part in enumerate(key, 1):
        found = (*found, part)
        if found in counts and number < len(key):
            found = (*found, counts[found])
    return found


def _parts(text: str) -> tuple[Key, int]:
    """The dotted key that *text* begins with, and where it ends."""
    parts: list[str] = []
    at = 0
    while found := _PART.match(text, at):
        parts.append(next(group for group in found.groups()[:3] if group is not None))
        at = found.end()
        if not found[4]:
            break
    return tuple(parts), at


def _value_end(lines: list[str], number: int, at: int) -> int:
    """The number of the line on which the value that begins at *at* of line *number* ends."""
    depth = 0
    quote = ""
    while True:
        line = lines[number]
        while at < len(line):
            if quote:
                if line[at] == "\\" and quote[0] == '"':
                    at += 1
                elif line.startswith(quote, at):
                    at += len(quote) - 1
                    quote = ""
            elif line[at] in "\"'":
                quote = line[at] * 3 if line.startswith(line[at] * 3, at) else line[at]
                at += len(quote) - 1
            elif line[at] == "#":
                break
            elif line[at] in _OPENERS:
                depth += 1
            elif line[at] in _CLOSERS:
                depth -= 1
            at += 1
        if (not quote or len(quote) == 1) and depth <= 0:
            return number
        number, at = number + 1, 0
        if number >= len(lines):
            return number
