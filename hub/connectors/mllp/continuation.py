"""The parts of messages that are still being sent: in memory, and as notes beside the stored parts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import inlineCallbacks

from hub.core.clock import real_ms
from hub.engine.contracts import Followed, Intake, Note, Noted
from hub.formats.hl7v2.header import Header

NOTED = "part"
"""The kind of the notes beside parts. Each is named after its sender and pointer; its text is the name before it."""
_LOST = (
    "A message that comes in parts did not come whole: after this part the next one did not come in time. Its sender "
    "was told that each part is stored; ask for the whole message again."
)


class Begun(NamedTuple):
    """The parts up to one that says by which pointer it goes on, and the names of their notes."""

    parts: tuple[bytes, ...] = ()
    names: tuple[str, ...] = ()
    at: float = 0.0


class Continuations:
    """Remembers parts until the message is whole: at most *limit* bytes, each for *within* seconds.

    A pointer is not forgotten when the next part comes, because a sender that got no answer sends that part again.
    What does not fit is forgotten from the oldest, and *forgotten* is called; its note stays.
    """

    def __init__(self, limit: int, within: float, now: Callable[[], float], forgotten: Callable[[], None]) -> None:
        self._limit = limit
        self._within = within
        self._now = now
        self._forgotten = forgotten
        self._begun: OrderedDict[str, Begun] = OrderedDict()
        self._followed: set[str] = set()
        self._bytes = 0

    @inlineCallbacks
    def take_up(self, intake: Intake, channel: str) -> Any:
        """Remember what the store holds of parts. They wait as long as if they had just come."""
        notes: list[Noted] = yield intake.noted(channel, NOTED, self._until())
        raws: dict[str, bytes] = {}
        room = self._limit
        for note in notes:
            again = yield intake.again(note.message_id)
            if again is None or len(again.raw) > room:
                continue
            raws[note.name] = again.raw
            room -= len(again.raw)
        before = {note.name: note.text for note in notes}
        for note in reversed(notes):
            names = _up_to(note.name, before)
            if all(name in raws for name in names):
                self._keep(note.name, Begun(tuple(raws[name] for name in names), names, self._now()))
                if note.followed:
                    self._followed.add(note.name)

    def before(self, name: str) -> Begun | None:
        """The parts that end with the pointer *name*, or None when they are not here."""
        self._drop_old()
        return self._begun.get(name)

    def goes_on(self, name: str, before: Begun, raw: bytes) -> tuple[Note | Followed, ...]:
        """*raw*, which follows *before*, goes on with the pointer *name*: what is to be noted beside it."""
        self._drop_old()
        known = self._begun.get(name)
        repeated = known is not None and known.parts[-1] == raw
        if not repeated:
            self._followed.discard(name)
        self._keep(name, Begun((*before.parts, raw), (*before.names, name), self._now()))
        note = Note(NOTED, self._until(), name, before.names[-1] if before.names else "", _LOST)
        return (note, *self.follows(before))

    def follows(self, before: Begun) -> tuple[Followed, ...]:
        """A part has come that follows *before*: forgetting those later is no loss."""
        if not before.names:
            return ()
        self._followed.add(before.names[-1])
        return (Followed(NOTED, before.names, self._until()),)

    def _until(self) -> int:
        return real_ms() + round(self._within * 1000)

    def _keep(self, name: str, begun: Begun) -> None:
        self._drop(name)
        self._begun[name] = begun
        self._bytes += len(begun.parts[-1])
        while self._bytes > self._limit and len(self._begun) > 1:
            self._lose(next(iter(self._begun)))

    def _drop_old(self) -> None:
        oldest = self._now() - self._within
        while self._begun:
            name, begun = next(iter(self._begun.items()))
            if begun.at > oldest:
                return
            self._lose(name)

    def _lose(self, name: str) -> None:
        if name not in self._followed:
            self._forgotten()
        self._followed.discard(name)
        self._drop(name)

    def _drop(self, name: str) -> None:
        begun = self._begun.pop(name, None)
        if begun is not None:
            self._bytes -= len(begun.parts[-1])


def name_of(header: Header, pointer: str) -> str:
    """What the parts up to *pointer* are called: the same for whoever sends the next one over which connection."""
    sender = f"{header.sending_application}\0{header.sending_facility}\0{pointer}"
    return hashlib.blake2b(sender.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _up_to(name: str, before: dict[str, str]) -> tuple[str, ...]:
    """The names of the notes up to *name*, the first part's first. One that is not there ends it."""
    names = [name]
    while (name := before.get(name, "")) and name not in names:
        names.append(name)
    return tuple(reversed(names))
