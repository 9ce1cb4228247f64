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
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from hub.connectors.settings import Settings
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.units import Duration, Size
from hub.engine.contracts import Description, EndpointState, Health, Received, Reply, SourceContext

reactor: Any = _reactor

UNFINISHED = (".tmp", ".part", ".filepart", ".partial", ".crdownload")
CALL_WITHIN = 300.0
"""Seconds that one visit to the folder may take."""


class PickupSettings(Settings):
    """What every source of files lets one choose."""

    poll: Duration = Field(60.0, description="How often to look into the folder.", examples=["10m"])
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


class Pickup:
    """A source that polls a folder by two tasks of its connector, in the transfer workers.

    ``<name>.collect`` is given the settings and how the settled files looked; it replies with how every
    wanted file looks now and the content of those settled ones that did not change. ``<name>.after`` does
    with taken files what the settings say. Either may reply ``{"failure": sentence, "state": word}`` instead.
    """

    def __init__(self, name: str, address: str, settings: PickupSettings, context: SourceContext) -> None:
        self._name = name
        self._address = address
        self._settings = settings
        self._context = context
        self._first_seen: dict[str, tuple[Look, float]] = {}
        self._taken: dict[str, Look] = {}
        """Files whose content is stored and which are still there."""
        self._running = False
        self._paused = False
        self._visit: Deferred[None] = succeed(None)
        self._visiting = False
        self._next: Any = None
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    def start(self) -> None:
        """Begin polling."""
        self._running = True
        self._later(0)

    def pause(self) -> None:
        """Look no more; a visit under way is finished."""
        self._paused = True
        self._cancel()

    def resume(self) -> None:
        """Look again at once."""
        self._paused = False
        if self._running and not self._visiting:
            self._cancel()
            self._later(0)

    def stop(self) -> Deferred[None]:
        """End after the visit under way."""
        self._running = False
        self._cancel()
        done: Deferred[None] = Deferred()
        self._visit.addCallback(done.callback)
        self._stand(EndpointState.STOPPED)
        return done

    def health(self) -> tuple[Health, ...]:
        """How the last visit went."""
        state = EndpointState.STOPPED if self._paused else self._state
        return (Health(state, self._address, self._since, self._detail),)

    def _later(self, seconds: float) -> None:
        self._next = reactor.callLater(seconds, self._begin)

    def _cancel(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _begin(self) -> None:
        self._visiting = True
        self._visit = ensureDeferred(self._visited())

    async def _visited(self) -> None:
        pause = self._settings.poll
        try:
            pause = await self._collect()
        except Exception as error:  # whatever it is, the next visit tries again
            self._context.log.failure(f"{self._name}: visit failed", error)
            what = error.what if isinstance(error, HubError) else f"The visit failed ({type(error).__name__})."
            self._stand(EndpointState.RETRYING, what)
        self._visiting = False
        if self._running and not self._paused:
            self._later(pause)

    async def _collect(self) -> float:
        """One visit; returns how long to wait for the next."""
        reply = await self._call("collect", {"settled": self._settled(), "taken": self._marks(self._taken)})
        if self._failed(reply):
            return self._settings.poll
        listing = {name: Look(*mark) for name, mark in reply.header["listing"].items()}
        self._taken = {name: look for name, look in self._taken.items() if listing.get(name) == look}
        for file in reply.header["files"]:
            name = str(file["name"])
            if await self._receive(name, reply.parts[file["part"]]):
                self._taken[name] = listing[name]
        too_large = int(reply.header["too_large"])
        self._stand(EndpointState.CONNECTED, f"{too_large} files are too large to take." if too_large else "")
        if self._taken and self._settings.after != "keep":
            done = await self._call("after", {"names": sorted(self._taken)})
            if not self._failed(done):
                for name in done.header["done"]:
                    del self._taken[name]
                if done.header["refused"]:
                    self._stand(EndpointState.CONNECTED, f"{done.header['refused']} taken files cannot be moved.")
        return self._note(listing, more=bool(reply.header["more"]))

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
        return min([self._settings.poll, *soon])

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

    def _failed(self, reply: Reply) -> bool:
        sentence = reply.header.get("failure")
        if sentence is None:
            return False
        self._stand(EndpointState(reply.header["state"]), sentence)
        self._context.log.warning(f"{self._name}: folder not reached", state=reply.header["state"])
        return True

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail


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
