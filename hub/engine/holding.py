"""Holding the store: this node's lease is taken before anything else, prolonged while it works, and given back."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure as TwistedFailure

from hub.core.log import Log
from hub.engine.journal import Journal, StoreFailedError
from hub.store import lease
from hub.store.lease import Holder, Lease, StoreTakenError, holder, release, renew, take


class Holding:
    """The lease of the node *owner*. *prolonged* is called whenever the store is surely ours for another while."""

    def __init__(self, journal: Journal, owner: str, log: Log, reactor: Any, prolonged: Callable[[], None]) -> None:
        self._journal = journal
        self._owner = owner
        self._log = log
        self._reactor = reactor
        self._prolonged = prolonged
        self._lease: Lease | None = None
        self._renewing = LoopingCall(self._renew)
        self._renewing.clock = reactor

    @inlineCallbacks
    def take(self) -> Any:
        """Take the store. Raises `StoreTakenError` when another node works on it.

        The lease of one that is gone is waited for; one that prolongs it meanwhile lives.
        """
        seen: Holder | None = None
        while self._lease is None:
            asked_at = monotonic()
            try:
                self._lease = yield self._journal.submit(lambda connection: take(connection, self._owner))
            except StoreTakenError:
                now: Holder | None = yield self._journal.submit(holder)
                if seen is not None and now is not None and now.until_at != seen.until_at:
                    raise
                seen = now
                self._log.info("engine.waits", owner=now.owner if now is not None else "")
                yield deferLater(self._reactor, lease.RENEW_SECONDS + 1.0)
            else:
                assert self._lease is not None
                self._journal.hold(self._lease, asked_at)
        self._renewing.start(lease.RENEW_SECONDS, now=False)

    def give_back(self) -> Deferred[None]:
        """Let the next node have the store at once."""
        if self._renewing.running:
            self._renewing.stop()
        held = self._lease
        if held is None:
            return succeed(None)

        def lost(failure: TwistedFailure) -> None:
            failure.trap(StoreFailedError)  # type: ignore[no-untyped-call]  # then the lease ends by itself

        given: Deferred[None] = self._journal.submit(lambda connection: release(connection, held))
        return given.addErrback(lost)

    @inlineCallbacks
    def _renew(self) -> Any:
        assert self._lease is not None
        held, asked_at = self._lease, monotonic()
        try:
            yield self._journal.submit(lambda connection: renew(connection, held), urgent=True)
        except StoreFailedError:
            return  # the node is about to end
        self._journal.hold(held, asked_at)
        self._prolonged()
