"""Two versions of a site held against each other: what a deploy would change, by connector and by file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub.site.bundle import read_bundle
from hub.site.channels import Channel
from hub.site.load import Site

UNCHANGED, CHANGED, ADDED, REMOVED = "unchanged", "changed", "added", "removed"


@dataclass(frozen=True, slots=True)
class Part:
    """One connector of a channel, or one other file: *name* is ``ehr_visits.source`` or a path."""

    name: str
    change: str

    @property
    def is_connector(self) -> bool:
        """Whether this is a source or a destination, with a socket or sessions of its own."""
        return "/" not in self.name


def compare(before: Site, after: Site) -> list[Part]:
    """Every connector of both with what becomes of it, then every other file that changes."""
    parts: list[Part] = []
    for name in sorted({*before.channels, *after.channels}):
        old, new = _connectors(before.channels.get(name)), _connectors(after.channels.get(name))
        parts += [Part(f"{name}.{end}", _change(old.get(end), new.get(end))) for end in {**old, **new}]
    return [*parts, *_files(before, after)]


def connector_changes(parts: list[Part]) -> list[str]:
    """What *parts* say of connectors, in lines for people."""
    width = max((len(part.name) for part in parts), default=0)
    return [f"{part.name:<{width}}  {_words(part)}" for part in parts]


def _words(part: Part) -> str:
    if part.is_connector and part.change == UNCHANGED:
        return "unchanged: its connections stay"
    return part.change


def _connectors(channel: Channel | None) -> dict[str, Any]:
    """Each connector of *channel* with all that decides how it works."""
    if channel is None:
        return {}
    told = (channel.format, channel.lane, channel.encoding, channel.accepts)
    found: dict[str, Any] = {}
    for number, source in enumerate(channel.sources, 1):
        found["source" if len(channel.sources) == 1 else f"source[{number}]"] = (source, told)
    return {**found, **channel.destinations}


def _change(before: Any, after: Any) -> str:
    if before is None:
        return ADDED
    if after is None:
        return REMOVED
    return UNCHANGED if before == after else CHANGED


def _files(before: Site, after: Site) -> Iterator[Part]:
    old, new = read_bundle(before.folder).files, read_bundle(after.folder).files
    for name in sorted({*old, *new}):
        change = _change(old.get(name), new.get(name))
        if change != UNCHANGED:
            yield Part(name, change)
