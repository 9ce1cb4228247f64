"""Ids: time-ordered 63-bit numbers with a node part, never reused, monotone when the clock steps back.

Layout, from the high end: 41 bits milliseconds since 2020-01-01, 10 bits node, 12 bits sequence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
_SEQUENCE_BITS = 12
_NODE_BITS = 10
_HIGHEST = (1 << 63) - 1
BLOCK_SIZE = 1 << _SEQUENCE_BITS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class IdMaker:
    """Makes ids for one node; any thread may ask.

    *floor* is the highest id that the store already holds; nothing at or below its millisecond is handed out.
    """

    def __init__(self, node: int = 0, floor: int = 0, now_ms: Callable[[], int] = _now_ms) -> None:
        if not 0 <= node < 1 << _NODE_BITS:
            raise ValueError("a node number has 10 bits")
        self._node = node
        self._now_ms = now_ms
        self._tick = floor >> (_SEQUENCE_BITS + _NODE_BITS)
        self._lock = threading.Lock()
        self._sequence = BLOCK_SIZE  # the floor's millisecond counts as used up

    def next(self) -> int:
        """One new id."""
        with self._lock:
            self._advance()
            made = self._compose(self._sequence)
            self._sequence += 1
            return made

    def block(self) -> IdBlock:
        """A whole millisecond's ids, for one task in a worker process, which cannot ask this maker."""
        with self._lock:
            self._sequence = BLOCK_SIZE
            self._advance()
            self._sequence = BLOCK_SIZE
            return IdBlock(self._compose(0))

    def _advance(self) -> None:
        now = self._now_ms() - _EPOCH_MS
        if now > self._tick:
            self._tick, self._sequence = now, 0
        elif self._sequence >= BLOCK_SIZE:
            self._tick, self._sequence = self._tick + 1, 0

    def _compose(self, sequence: int) -> int:
        return (self._tick << (_SEQUENCE_BITS + _NODE_BITS)) | (self._node << _SEQUENCE_BITS) | sequence


class IdBlock:
    """`BLOCK_SIZE` ids that belong to one task alone."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._ids: Iterator[int] = iter(range(first, first + BLOCK_SIZE))

    def next(self) -> int:
        """The next id of the block. Raises `StopIteration` when a task wants more than `BLOCK_SIZE`."""
        return next(self._ids)


def id_floor(at_ms: int) -> int:
    """The lowest id that can have been made at *at_ms* (milliseconds since 1970 UTC) or later.

    The highest number a store can hold for a moment that no id reaches (after 2089).
    """
    return min(max(0, at_ms - _EPOCH_MS) << (_SEQUENCE_BITS + _NODE_BITS), _HIGHEST)
