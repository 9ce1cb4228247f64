"""Picking files up from a folder, wherever it is: what the sftp and files sources share.

A file is taken when its size and time of change have stood still for a while, and again after it was read. It
is removed, archived or remembered only after its content is durable.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from twisted.internet.defer import Deferred

from hub.connectors.polling import TimedPolling
from hub.connectors.times import Polls
from hub.core.errors import HubError
from hub.core.units import Duration, Size
from hub.engine.contracts import Description, EndpointState, Received, Reply, SourceContext
from hub.formats.hl7v2.batch import split_batch

UNFINISHED = (".tmp", ".part", ".filepart", ".partial", ".crdownload")
CALL_WITHIN = 300.0
"""Seconds that one visit to the folder may take."""


class PickupSettings(Polls):
    """What every source of files lets one choose."""

    settle: Duration = Field(
        1.0,
        description="How long a file's size and time must stand still before it is taken. While it is being "
        "written it is left alone.",
        examples=["5s"],
    )
    match: tuple[str, ...] = Field(
        ("*",),
        min_length=1,
        description="Which names to take, as patterns. Names that begin with a dot or end as unfinished "
        "uploads do (.tmp, .part, .filepart) are never taken.",
        examples=[["*.999", "*.277", "*.835"]],
    )
    after: Literal["archive", "delete", "keep"] = Field(
        "archive",
        description="What becomes of a file once its content is stored: moved into the archive folder, "
        "deleted, or left where it is.",
        examples=["archive"],
    )
    archive: str = Field(
        "archive",
        pattern=r"^[^/]+(/[^/]+)*$",
        description="The folder that archived files move to, within the polled one.",
        examples=["archive"],
    )
    split: Literal["no", "hl7", "lines"] = Field(
        "no",
        description="Whether a file holds several messages: HL7 ones, with or without FHS, BHS, BTS and FTS around "
        "them, or one on each line. Each becomes a message of its own; the file counts as taken when all are stored.",
        examples=["hl7"],
    )
    batch: int = Field(50, ge=1, description="How many files to take in one visit.", examples=[50])
    max_file: Size = Field(64 << 20, description="A larger file is left where it is, and reported.", examples=["64MB"])

    def wants(self, name: str) -> bool:
        """Whether a file of this name is to be taken."""
        if name.startswith(".") or name.lower().endswith(UNFINISHED):
            return False
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.match)


@dataclass(frozen=True, slots=True)
class Look:
    """How a file looked: *size* in bytes and *modified* in whatever unit its folder counts."""

    size: int
    modified: int


class Pickup(TimedPolling):
    """A source that polls a folder by two tasks of its connector, in the transfer workers.

    ``<name>.collect`` is given the settings and how the settled files looked; it replies with how every
    wanted file looks now and the content of those settled ones that did not change. ``<name>.after`` does
    with taken files what the settings say. Either may reply ``{"failure": sentence, "state": word}`` instead.
    """

    def __init__(self, name: str, address: str, settings: PickupSettings, context: SourceContext) -> None:
        super().__init__(name, address, context, settings)
        self._settings = settings
        self._first_seen: dict[str, tuple[Look, float]] = {}
        self._taken: dict[str, Look] = {}
        """Files whose content is stored and which are still there."""

    async def look(self) -> float:
        """One visit to the folder; returns how long to wait for the next."""
        reply = await self._call("collect", {"settled": self._settled(), "taken": self._marks(self._taken)})
        if self.failed(reply):
            return self.wait()
        listing = {name: Look(*mark) for name, mark in reply.header["listing"].items()}
        self._taken = {name: look for name, look in self._taken.items() if listing.get(name) == look}
        for file in reply.header["files"]:
            name = str(file["name"])
            if await self._receive_all(name, reply.parts[file["part"]]):
                self._taken[name] = listing[name]
        too_large = int(reply.header["too_large"])
        self.stand(EndpointState.CONNECTED, f"{too_large} files are too large to take." if too_large else "")
        if self._taken and self._settings.after != "keep":
            done = await self._call("after", {"names": sorted(self._taken)})
            if not self.failed(done):
                for name in done.header["done"]:
                    del self._taken[name]
                if done.header["refused"]:
                    self.stand(EndpointState.CONNECTED, f"{done.header['refused']} taken files cannot be moved.")
        return self._note(listing, more=bool(reply.header["more"]))

    async def _receive_all(self, name: str, content: bytes) -> bool:
        """Store every message of a file. Those that a file taken again brings a second time are known by intake."""
        for raw in _messages(content, self._settings.split):
            if not await self._receive(name, raw):
                return False
        return True

    async def _receive(self, name: str, raw: bytes) -> bool:
        refusal: str | None = None
        code = ""
        try:
            description = self._context.describe(raw)
        except HubError as error:
            description, refusal, code = Description(kind="unreadable"), error.what, error.code
        filtered = None
        if refusal is None and self._context.accepts and description.kind not in self._context.accepts:
            filtered = f"The channel does not take {description.kind}."
        try:
            await self._context.intake.receive(
                Received(
                    channel=self._context.channel,
                    raw=raw,
                    description=description,
                    source=name[:200],
                    refusal=refusal,
                    refusal_code=code,
                    filtered=filtered,
                    unheard=True,
                )
            )
        except Exception as error:  # it stays where it is, and is taken again
            self._context.log.failure(f"{self._name}: not stored, so left there", error)
            return False
        return True

    def _note(self, listing: Mapping[str, Look], *, more: bool) -> float:
        """Remember how the files that wait look, and say when to look again."""
        now = time.monotonic()
        known = self._first_seen
        self._first_seen = {
            name: known[name] if name in known and known[name][0] == look else (look, now)
            for name, look in listing.items()
            if name not in self._taken
        }
        if more:
            return 0
        waiting = [seen + self._settings.settle - now for _, seen in self._first_seen.values()]
        soon = [max(left, 0.01) for left in waiting if left > 0]
        return min([self.wait(), *soon])

    def _settled(self) -> dict[str, tuple[int, int]]:
        now = time.monotonic()
        return self._marks(
            {name: look for name, (look, seen) in self._first_seen.items() if now - seen >= self._settings.settle}
        )

    @staticmethod
    def _marks(looks: Mapping[str, Look]) -> dict[str, tuple[int, int]]:
        return {name: (look.size, look.modified) for name, look in looks.items()}

    def _call(self, task: str, header: Mapping[str, Any]) -> Deferred[Reply]:
        settings = self._settings.model_dump(mode="json")
        return self._context.workers.call(f"{self._name}.{task}", {"settings": settings, **header}, timeout=CALL_WITHIN)


def _messages(content: bytes, split: str) -> list[bytes]:
    match split:
        case "hl7":
            return split_batch(content)
        case "lines":
            return [line for line in content.splitlines() if line.strip()]
        case _:
            return [content]


class Gathering:
    """What a ``collect`` task brings home: the files of one visit, within the limits that the settings set.

    The task calls :meth:`see` for each file of the folder and reads those for which it returns True.
    """

    def __init__(self, settings: PickupSettings, header: Mapping[str, Any]) -> None:
        self._settings = settings
        self._settled = {name: Look(*mark) for name, mark in header["settled"].items()}
        self._taken = {name: Look(*mark) for name, mark in header["taken"].items()}
        self._listing: dict[str, Look] = {}
        self._contents: list[tuple[str, bytes]] = []
        self._bytes = 0
        self._too_large = 0
        self._more = False

    def see(self, name: str, look: Look) -> bool:
        """Note that the file is there; True when it is to be read now."""
        if not self._settings.wants(name):
            return False
        if look.size > self._settings.max_file:
            self._too_large += 1
            return False
        self._listing[name] = look
        if self._taken.get(name) == look or self._settled.get(name) != look:
            return False
        full = len(self._contents) >= self._settings.batch
        if full or (self._contents and self._bytes + look.size > self._settings.max_file):
            self._more = True
            return False
        return True

    def take(self, name: str, content: bytes, look_after: Look) -> None:
        """Keep *content* if the file still looks as it did before it was read, and is as long as it says."""
        if look_after != self._listing[name] or len(content) != look_after.size:
            self._listing[name] = look_after
            return
        self._contents.append((name, content))
        self._bytes += len(content)

    def gone(self, name: str) -> None:
        """The file vanished while it was being read."""
        self._listing.pop(name, None)

    def reply(self) -> Reply:
        """All of it, as the source wants it."""
        return Reply(
            {
                "listing": {name: (look.size, look.modified) for name, look in self._listing.items()},
                "files": [{"name": name, "part": part} for part, (name, _) in enumerate(self._contents)],
                "too_large": self._too_large,
                "more": self._more,
            },
            tuple(content for _, content in self._contents),
        )
