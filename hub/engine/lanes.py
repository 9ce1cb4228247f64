"""Lanes: within one, entries go in order and one batch at a time; different lanes go side by side.

Pure bookkeeping, no I/O. An entry may stand in two lanes (a merge of two patients) and then waits for both, or in none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[E]):
    entry: E
    lanes: tuple[bytes, ...]
    listed: bool = False  # already among the ready ones


@dataclass(slots=True)
class _Lane(Generic[E]):
    queue: deque[_Waiting[E]] = field(default_factory=deque)
    busy: int = 0  # entries of this lane that are in hand


class Lanes(Generic[E]):
    """Holds entries until their lanes are free."""

    def __init__(self) -> None:
        self._lanes: dict[bytes, _Lane[E]] = {}
        self._ready: deque[_Waiting[E]] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        """How many entries wait; those in hand are not counted."""
        return self._waiting

    @property
    def has_ready(self) -> bool:
        """Whether some entry may go now."""
        return bool(self._ready)

    def waiting_in(self, lane: bytes) -> int:
        """How many entries wait in *lane*."""
        return len(self._lanes[lane].queue) if lane in self._lanes else 0

    def is_idle(self, lanes: tuple[bytes, ...]) -> bool:
        """Whether an entry added now to *lanes* would be ready at once."""
        return all(name not in self._lanes for name in lanes)

    def add(self, entry: E, lanes: tuple[bytes, ...]) -> None:
        """Put *entry* at the end of its *lanes* (none, one, or several different ones)."""
        waiting = _Waiting(entry, lanes)
        for name in lanes:
            self._lanes.setdefault(name, _Lane()).queue.append(waiting)
        self._waiting += 1
        self._list_if_ready(waiting)

    def hold(self, lanes: tuple[bytes, ...]) -> None:
        """Make *lanes* busy with something that is not an entry here (a decision that a person owes)."""
        for name in lanes:
            self._lanes.setdefault(name, _Lane()).busy += 1

    def take(self, most: int, *, follow: bool = False) -> list[tuple[E, tuple[bytes, ...]]]:
        """Up to *most* entries that may go now, with their lanes, which are busy until :meth:`release`.

        With *follow* an entry may bring along the next ones of its lanes, to be run in this order within one batch.
        """
        taken: list[tuple[E, tuple[bytes, ...]]] = []
        mine: dict[bytes, int] = {}
        while self._ready and len(taken) < most:
            waiting = self._ready.popleft()
            self._take(waiting, taken, mine)
            if follow:
                self._follow(waiting.lanes, taken, mine, most)
        return taken

    def take_next(self, lanes: tuple[bytes, ...]) -> E | None:
        """The entry that waits only for the one that is in hand in *lanes*, which are now kept by both of them."""
        lane = self._lanes[lanes[0]] if len(lanes) == 1 else None
        if lane is None or lane.busy != 1 or not lane.queue or lane.queue[0].listed or lane.queue[0].lanes != lanes:
            return None
        taken: list[tuple[E, tuple[bytes, ...]]] = []
        self._take(lane.queue[0], taken, {})
        return taken[0][0]

    def release(self, lanes: tuple[bytes, ...]) -> None:
        """One entry of *lanes* is done (or a :meth:`hold` is over): the next may go when nothing else is in hand."""
        for name in lanes:
            lane = self._lanes[name]
            lane.busy -= 1
            if lane.busy == 0:
                if lane.queue:
                    self._list_if_ready(lane.queue[0])
                else:
                    del self._lanes[name]

    def _take(self, waiting: _Waiting[E], taken: list[tuple[E, tuple[bytes, ...]]], mine: dict[bytes, int]) -> None:
        for name in waiting.lanes:
            lane = self._lanes[name]
            lane.queue.popleft()
            lane.busy += 1
            mine[name] = mine.get(name, 0) + 1
        self._waiting -= 1
        taken.append((waiting.entry, waiting.lanes))

    def _follow(
        self,
        lanes: tuple[bytes, ...],
        taken: list[tuple[E, tuple[bytes, ...]]],
        mine: dict[bytes, int],
        most: int,
    ) -> None:
        for name in lanes:
            queue = self._lanes[name].queue
            while queue and len(taken) < most:
                following = queue[0]
                if following.listed or not self._belongs_to(following, mine):
                    break
                self._take(following, taken, mine)

    def _belongs_to(self, waiting: _Waiting[E], mine: dict[bytes, int]) -> bool:
        """Whether *waiting* heads all its lanes and nothing but this batch keeps them busy."""
        return all(
            self._lanes[name].queue[0] is waiting and self._lanes[name].busy == mine.get(name, 0)
            for name in waiting.lanes
        )

    def _list_if_ready(self, waiting: _Waiting[E]) -> None:
        if waiting.listed:
            return
        for name in waiting.lanes:
            lane = self._lanes[name]
            if lane.busy or lane.queue[0] is not waiting:
                return
        waiting.listed = True
        self._ready.append(waiting)
