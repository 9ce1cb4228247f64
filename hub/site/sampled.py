"""What samples say about the paths of mapping scripts: places that this sender leaves empty.

Senders differ in where they put a thing. A path that a script reads and that is empty in nearly every sample, while the
other usual place is filled, is a mistake that no table of the standard can show.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from hub.core.errors import HubError
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.path import PathError, parse_path
from hub.site.channels import Channel
from hub.site.findings import Finding
from hub.site.load import Site
from hub.site.samples import cases, read_message
from hub.site.scripts import field_paths

_PLACES: tuple[tuple[str, ...], ...] = (
    ("FT1-25.1", "FT1-7.1"),  # procedure code: of its own, or the transaction code
    ("FT1-19.1", "DG1-3.1"),  # diagnosis
    ("FT1-20.1", "FT1-21.1", "PV1-7.1"),  # who did it
    ("FT1-13.1", "FT1-16.1", "PV1-3.1"),  # where
    ("FT1-11.1", "FT1-12.1"),  # amount: extended, or of one unit
    ("FT1-2", "FT1-23.1"),  # the transaction's own id
    ("PID-18.1", "PV1-19.1", "PV1-50.1"),  # account
    ("PID-3.1", "PID-2.1", "PID-4.1"),  # medical record number
    ("IN1-3.1", "IN1-2.1", "IN1-4.1"),  # payer
    ("IN1-36", "IN1-49.1", "IN1-2.2"),  # member number
)
"""Places where senders put the same thing."""
_MOSTLY = 0.9


@dataclass(frozen=True, slots=True)
class _Read:
    path: str
    place: str
    line: int
    column: int


def sampled_paths(site: Site) -> Iterator[Finding]:
    """One warning for each path of a script that samples show empty where another usual place is filled."""
    told: set[tuple[str, str]] = set()
    for channel in site.channels.values():
        if channel.format != "hl7v2":
            continue
        messages = _messages(site, channel)
        for module in scripts_of(site, channel):
            shown = site.scripts.shown(site.scripts.path(module))
            reads = _reads(site.scripts.path(module).read_text(encoding="utf-8", errors="replace"))
            known = {read.place for read in reads}
            for read in reads:
                if (shown, read.path) in told:
                    continue
                finding = _finding(read, known, messages, shown)
                if finding is not None:
                    told.add((shown, read.path))
                    yield finding


def _finding(read: _Read, known: set[str], messages: list[Message], shown: str) -> Finding | None:
    others = next((set(places) - {read.place} for places in _PLACES if read.place in places), set())
    if not others or others & known:  # the script looks at another place, too
        return None
    segment = read.path[:3]
    having = [message for message in messages if message.each(segment)]
    empty = sum(not _is_filled(message, read.path) for message in having)
    if not having or empty < _MOSTLY * len(having):
        return None
    for other in sorted(others):
        filled = sum(_is_filled(message, other) for message in having)
        if filled * 2 > len(having):
            sentence = f"{read.path} is empty in {empty} of {len(having)} samples; {other} is not."
            fix = f"Does this sender use {other}? `hub try` shows what stands there."
            return Finding(shown, read.line, read.column, "H406", "warning", sentence, fix)
    return None


def _is_filled(message: Message, path: str) -> bool:
    """Whether one of the segments has something at *path*."""
    return any(segment[path] for segment in message.each(path[:3]))


def _reads(source: str) -> list[_Read]:
    """The paths that *source* reads. *place* is one without repetition, as the table above spells them."""
    found = []
    try:
        paths = list(field_paths(source))
    except SyntaxError:
        return []
    for text, line, column in paths:
        try:
            path = parse_path(text)
        except PathError:
            continue
        component = f".{path.component}" if path.component else ""
        found.append(_Read(text, f"{path.segment}-{path.field}{component}", line, column))
    return found


def _messages(site: Site, channel: Channel) -> list[Message]:
    """The samples of *channel* that can be read and that a step takes."""
    found = []
    try:
        folders = cases(site.folder, channel.name)
    except HubError:
        return []
    for case in folders:
        try:
            message = Message(read_message(case.message), encoding=channel.encoding)
        except HubError:
            continue
        if any(step.takes(message.type) for step in channel.steps):
            found.append(message)
    return found


def scripts_of(site: Site, channel: Channel) -> list[str]:
    """The scripts that *channel*'s steps run, with the neighbours that these import."""
    found: list[str] = []
    waiting = [step.module for step in channel.steps if step.run]
    while waiting:
        module = waiting.pop()
        path = site.scripts.path(module)
        if module in found or not path.is_file():
            continue
        found.append(module)
        package = module.rpartition(".")[0]
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                waiting += [f"{package}.{name}" if package else name for name in names]
    return found
