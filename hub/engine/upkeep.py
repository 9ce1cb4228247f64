"""Upkeep beside the work: pruning, expiry, free pages, the write-ahead log, and the size samples of the disk forecast.

It looks in a thread of its own and writes one small slice at a time through the journal, behind everything that is
urgent, so that no acknowledgement waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.core.clock import real_ms
from hub.core.log import Log
from hub.engine.journal import Journal, StoreFailedError
from hub.engine.notes import OpenItem, is_lost, tell_lost
from hub.engine.steps import error_of
from hub.store.database import checkpoint, reading
from hub.store.forecast import record_sample, store_bytes
from hub.store.retention import (
    Expired,
    Page,
    Retention,
    candidates,
    expired,
    give_back_pages,
    prune,
    remove_expired,
)

EVERY = 0.25
"""A busy log is full in half a second; then the writer copies what is left of it itself, while senders wait."""
SWEEP_EVERY_MS = 60_000
PASS_EVERY_MS = 3_600_000
SAMPLE_EVERY_MS = 3_600_000
PAGES = 64


class Upkeep:
    """Keeps the store of one node in shape. *now* is real time in milliseconds."""

    def __init__(
        self,
        store: Engine,
        journal: Journal,
        retention: Retention,
        log: Log,
        reactor: Any,
        open_item: OpenItem,
        *,
        every: float = EVERY,
        now: Callable[[], int] = real_ms,
    ) -> None:
        self._store = store
        self._journal = journal
        self._retention = retention
        self._log = log
        self._open_item = open_item
        self._lost = False  # whether there may be notes that a person must be told of
        self._now = now
        self._every = every
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._ticking: Deferred[Any] = succeed(None)
        self._sequences: tuple[int, ...] = ()
        self._after: int | None = None  # None: between two passes
        self._expired: list[Expired] = []
        self._pages_to_give = False
        self._chunks = self._messages = 0
        self._next_pass = self._next_sweep = self._next_sample = self._looked_at = 0

    def start(self) -> None:
        """Begin to look after the store."""
        self._loop.start(self._every, now=False)

    def stop(self) -> Deferred[Any]:
        """Begin nothing more; fires when the slice in hand is written."""
        if self._loop.running:
            self._loop.stop()
        ended: Deferred[Any] = Deferred()
        self._ticking.addBoth(lambda _: ended.callback(None))
        return ended

    def _tick(self) -> Deferred[Any]:
        self._ticking = self.step().addErrback(self._failed)
        return self._ticking

    def _failed(self, failure: TwistedFailure) -> None:
        error = error_of(failure)
        if isinstance(error, StoreFailedError):
            if self._loop.running:
                self._loop.stop()
            return
        self._log.failure("upkeep.failed", error)
        self._sequences, self._expired, self._after, self._lost = (), [], None, False
        self._next_pass = self._next_sweep = self._now() + SWEEP_EVERY_MS

    @inlineCallbacks
    def step(self) -> Any:
        """Fold the log, then one small thing: the most urgent one that is due. Returns whether there was any."""
        now = self._now()
        if now < self._looked_at:  # the clock was set back
            self._next_pass = self._next_sweep = self._next_sample = now
        self._looked_at = now
        yield deferToThread(checkpoint, self._store)
        if now >= self._next_sample:
            self._next_sample = now + SAMPLE_EVERY_MS
            used = yield deferToThread(self._read, store_bytes)
            yield self._journal.submit(lambda connection: record_sample(connection, now, used))
        elif self._lost:
            self._lost = yield self._journal.submit(lambda connection: tell_lost(connection, now, self._open_item))
        elif self._expired:
            yield self._remove_expired(now, self._expired.pop())
        elif now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY_MS
            self._lost = yield deferToThread(self._read, lambda connection: is_lost(connection, now))
            self._expired = yield deferToThread(self._read, lambda connection: expired(connection, now))
        elif self._sequences:
            yield self._prune(now)
        elif self._after is not None or now >= self._next_pass:
            yield self._look(now)
        elif self._pages_to_give:
            given = yield self._journal.submit(lambda connection: give_back_pages(connection, PAGES))
            self._pages_to_give = given == PAGES
        else:
            return False
        return True

    def _read(self, look: Callable[[Connection], Any]) -> Any:
        with reading(self._store) as connection:
            return look(connection)

    @inlineCallbacks
    def _remove_expired(self, now: int, found: Expired) -> Any:
        more = yield self._journal.submit(lambda connection: remove_expired(connection, now, found))
        if more:
            self._next_sweep = 0

    @inlineCallbacks
    def _prune(self, now: int) -> Any:
        sequences, retention = self._sequences, self._retention
        pruned = yield self._journal.submit(lambda connection: prune(connection, retention, now, sequences))
        self._sequences = pruned.again
        self._chunks += pruned.chunks
        self._messages += pruned.messages
        if self._after is None and not self._sequences:
            self._log.info("upkeep.pruned", chunks=self._chunks, messages=self._messages)
            self._chunks = self._messages = 0
            self._pages_to_give = True

    @inlineCallbacks
    def _look(self, now: int) -> Any:
        after, retention = self._after or 0, self._retention
        page: Page = yield deferToThread(self._read, lambda connection: candidates(connection, retention, now, after))
        self._sequences, self._after = page.sequences, page.after
        if page.after is None:
            self._next_pass = now + PASS_EVERY_MS
