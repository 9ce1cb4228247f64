"""The parts of messages that are still being sent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

Pointer = tuple[str, str, str]
"""Sending application, sending facility and the continuation pointer."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The parts up to one that says by which pointer it goes on."""

    parts: tuple[bytes, ...]
    at: float


class Continuations:
    """Remembers parts until the message is whole: at most *limit* bytes, each for *within* seconds.

    A pointer is not forgotten when the next part comes, because a sender that got no answer sends that part again.
    What does not fit is forgotten from the oldest, and *forgotten* is called.
    """

    def __init__(self, limit: int, within: float, now: Callable[[], float], forgotten: Callable[[], None]) -> None:
        self._limit = limit
        self._within = within
        self._now = now
        self._forgotten = forgotten
        self._begun: OrderedDict[Pointer, _Begun] = OrderedDict()
        self._followed: set[Pointer] = set()
        self._bytes = 0

    def before(self, pointer: Pointer) -> tuple[bytes, ...] | None:
        """The parts that end with *pointer*, or None when they are not here."""
        self._drop_old()
        begun = self._begun.get(pointer)
        return begun.parts if begun else None

    def keep(self, pointer: Pointer, parts: tuple[bytes, ...]) -> None:
        """*parts* go on with *pointer*; the last of them is new."""
        self._drop_old()
        self._drop(pointer)
        self._begun[pointer] = _Begun(parts, self._now())
        self._bytes += len(parts[-1])
        while self._bytes > self._limit and len(self._begun) > 1:
            self._lose(next(iter(self._begun)))

    def went_on(self, pointer: Pointer) -> None:
        """The part that *pointer* announced has come: forgetting it later is no loss."""
        self._followed.add(pointer)

    def _drop_old(self) -> None:
        oldest = self._now() - self._within
        while self._begun:
            pointer, begun = next(iter(self._begun.items()))
            if begun.at > oldest:
                return
            self._lose(pointer)

    def _lose(self, pointer: Pointer) -> None:
        if pointer not in self._followed:
            self._forgotten()
        self._drop(pointer)

    def _drop(self, pointer: Pointer) -> None:
        begun = self._begun.pop(pointer, None)
        self._followed.discard(pointer)
        if begun is not None:
            self._bytes -= len(begun.parts[-1])
