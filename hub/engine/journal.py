"""The journal: the one thread that writes the store, with group commit.

Writes that wait together share a transaction and its one sync. Each runs in a savepoint of its own, so that one that
fails does not fail its neighbours; writes of the same kind may run as one statement for all
(:meth:`Journal.submit_grouped`) and fall back to one by one when that fails. A transaction costs as much for one write
as for several, so while messages keep coming, writes that nobody waits for gather for some milliseconds. Where the
store can be synced apart from the commit, and many writes wait, another thread does so while the next transaction is
written; that is committed when the sync is over. A COMMIT or a sync that fails, or whose outcome is unknown, stops the
node: nobody is answered, and the restart reads from the store what really happened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure as TwistedFailure

from hub.core.errors import HubError
from hub.store.lease import SEND_SECONDS, Lease, guard
from hub.store.savepoint import STORE_FAILED, savepoint
from hub.store.syncing import log_sync, unsynced

MANY = 24
"""So many writes are worth a transaction of their own while the one before it is synced."""

PATIENCE_SECONDS = 0.016
"""So long a write that nobody waits for may wait for company, while messages keep coming."""
ALONG_SECONDS = 0.010
"""After so long it goes along with whatever is written, so that it takes no transaction of its own."""
AT_ONCE = 32
"""No more of them share a transaction: a sender waits for the one that is in hand, and then for its own."""
LULL_SECONDS = 0.002
"""So long after an intake was told, without another, messages do not keep coming."""

T = TypeVar("T")
R = TypeVar("R")

ApplyMany = Callable[[Connection, Sequence[Any]], Sequence[Any]]


class StoreFailedError(HubError):
    """The store could not commit, or it is unknown whether it did. Nothing may be answered."""

    code = "H140"


class CallsFromThread(Protocol):
    """The part of a reactor that the journal needs."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:  # noqa: A002, N802
        """Run *callable* on the reactor's thread."""


@dataclass(slots=True, eq=False)
class _Job:
    deferred: Deferred[Any]
    apply: Callable[[Connection], Any] | None = None
    apply_many: ApplyMany | None = None
    request: Any = None
    urgent: bool = False
    since: float = 0.0  # monotonic


class Journal:
    """Writes to *store* from one thread; results come back on the reactor's thread.

    *on_failure* is called once, on the reactor's thread, when the store has failed; the node must stop then.
    """

    def __init__(
        self,
        store: Engine,
        reactor: CallsFromThread,
        on_failure: Callable[[BaseException], None],
        *,
        batch: int = 128,
    ) -> None:
        self._store = store
        self._kept: Connection | None = None
        self._reactor = reactor
        self._on_failure = on_failure
        self._batch = batch
        self._urgent: deque[_Job] = deque()
        self._prompt: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._told_at = 0.0  # of the last intake, monotonic
        self._wake = threading.Condition()
        self._closing = False
        self._failed: BaseException | None = None
        self._lease: Lease | None = None
        self._sends_until = 0.0
        self._sync = log_sync(store)
        self._committed: SimpleQueue[tuple[list[_Job], list[Any]] | None] = SimpleQueue()
        self._synced = threading.Event()
        """What was committed is on disk."""
        self._synced.set()
        self._threads = [threading.Thread(target=self._run, name="journal", daemon=True)]
        if self._sync is not None:
            self._threads.append(threading.Thread(target=self._run_syncs, args=(self._sync,), name="sync", daemon=True))

    def start(self) -> None:
        """Start writing."""
        for thread in self._threads:
            thread.start()

    def hold(self, lease: Lease, asked_at: float) -> None:
        """From now on write only while *lease* counts, which was given or prolonged at *asked_at*, monotonic time."""
        self._lease = lease
        self._sends_until = asked_at + SEND_SECONDS

    @property
    def may_send(self) -> bool:
        """Whether the store is surely ours still, so that what was intended may be sent."""
        return self._lease is None or time.monotonic() < self._sends_until

    def stop(self) -> None:
        """Write what waits, then end the threads. Blocks; call it off the reactor's thread or after the reactor."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        for thread in self._threads:
            thread.join()
        if self._kept is not None:
            self._kept.close()

    def submit(self, write: Callable[[Connection], T], *, urgent: bool = False, patient: bool = False) -> Deferred[T]:
        """Run *write* in a transaction; fires with its result after the commit.

        An exception of *write* undoes that write alone and is what the Deferred fails with. *urgent* writes (intake)
        go first. While they keep coming, *patient* ones, for which nothing else waits, are written some at a time:
        that takes a fraction of the processor's time, and keeps senders from waiting for them.
        """
        return self._put(_Job(Deferred(), apply=write), urgent, patient)

    def submit_grouped(
        self,
        apply_many: Callable[[Connection, Sequence[R]], Sequence[T]],
        request: R,
        *,
        urgent: bool = False,
        patient: bool = False,
    ) -> Deferred[T]:
        """Like :meth:`submit`, for writes that *apply_many* does for many requests at once, in their order."""
        return self._put(_Job(Deferred(), apply_many=apply_many, request=request), urgent, patient)

    def _put(self, job: _Job, urgent: bool, patient: bool) -> Deferred[Any]:
        with self._wake:
            if self._failed is None and not self._closing:
                (self._urgent if urgent else self._patient if patient else self._prompt).append(job)
                job.urgent, job.since = urgent, time.monotonic()
                self._wake.notify()
                return job.deferred
        job.deferred.errback(StoreFailedError("Nothing more is written; the node is stopping."))
        return job.deferred

    def _run(self) -> None:
        jobs: list[_Job] = []
        try:
            while groups := self._await_jobs():
                jobs = [job for group in groups for job in group]
                self._write(groups, jobs)
                jobs = []
        except BaseException as error:
            self._fail(jobs, error)
        self._committed.put(None)

    def _await_jobs(self) -> list[list[_Job]]:
        """The jobs of the next transaction, alike ones together; none when the journal stops."""
        with self._wake:
            while not self._may_write():
                self._wake.wait(self._patient_in() if self._patient and self._synced.is_set() else None)
            return _alike(self._next_jobs())

    def _write(self, groups: list[list[_Job]], jobs: list[_Job]) -> None:
        results = self._commit(groups)
        if self._sync is not None and self._waiting >= MANY:
            self._synced.clear()
            self._committed.put((jobs, results))
            return
        if self._sync is not None:  # few would wait for it in any case
            self._sync()
        self._tell(jobs, results)

    def _run_syncs(self, sync: Callable[[], None]) -> None:
        """Bring each commit to the disk, then have its results told."""
        while (committed := self._committed.get()) is not None:
            jobs, results = committed
            try:
                sync()
            except BaseException as error:
                self._fail(jobs, error)
                self._synced.set()
                return
            with self._wake:
                self._synced.set()
                self._wake.notify()
            self._tell(jobs, results)

    def _tell(self, jobs: list[_Job], results: list[Any]) -> None:
        if jobs[0].urgent:
            self._told_at = time.monotonic()
        self._reactor.callFromThread(_fire, jobs, results)

    def _may_write(self) -> bool:
        """Whether to begin a transaction; while one is being synced only for many writes, because few cost as much."""
        if self._closing or self._waiting >= MANY:
            return True
        return self._synced.is_set() and bool(self._urgent or self._prompt or self._patience_is_over())

    @property
    def _waiting(self) -> int:
        return len(self._urgent) + len(self._prompt) + len(self._patient)

    def _patience_is_over(self) -> bool:
        return bool(self._patient) and (self._closing or self._waiting >= MANY or self._patient_in() <= 0)

    def _goes_along(self) -> bool:
        return bool(self._patient) and time.monotonic() - self._patient[0].since >= ALONG_SECONDS

    def _patient_in(self) -> float:
        """Seconds until the patient writes have waited long enough."""
        return min(self._patient[0].since + PATIENCE_SECONDS, self._told_at + LULL_SECONDS) - time.monotonic()

    def _next_jobs(self) -> list[_Job]:
        over = self._patience_is_over()
        jobs = _first(self._urgent, self._batch)
        jobs += _first(self._prompt, max(self._batch - len(jobs), 8))
        if over or (jobs and self._goes_along()):
            jobs += _first(self._patient, max(AT_ONCE - len(jobs), 8))
        return jobs

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """What to write with. SQLite remembers pages by connection, until another one writes: so one is kept there."""
        if self._sync is None:
            with self._store.connect() as connection:
                yield connection
        else:
            self._kept = self._kept or unsynced(self._store)
            yield self._kept

    def _commit(self, groups: list[list[_Job]]) -> list[Any]:
        results: list[Any] = []
        fence = self._lease.fence if self._lease is not None else 0
        with self._connected() as connection, connection.execution_options(writes=True, fence=fence).begin():
            if self._lease is not None:
                guard(connection, self._lease)
            for group in groups:
                results.extend(_apply(connection, group))
            self._synced.wait()
            if self._failed is not None:
                raise self._failed
        return results

    def _fail(self, jobs: list[_Job], error: BaseException) -> None:
        with self._wake:
            is_first, self._failed = self._failed is None, self._failed or error
            waiting = [*jobs, *self._urgent, *self._prompt, *self._patient]
            self._urgent.clear()
            self._prompt.clear()
            self._patient.clear()
        failure = StoreFailedError(
            "The store could not commit.",
            found=type(error.orig).__name__ if isinstance(error, DBAPIError) and error.orig else type(error).__name__,
            fix="See whether its disk is full or the server is gone. Nobody was answered.",
        )
        stopped = TwistedFailure(failure)  # type: ignore[no-untyped-call]
        if is_first:
            self._reactor.callFromThread(self._on_failure, error)
        self._reactor.callFromThread(_fire, waiting, [stopped] * len(waiting))


def _first(jobs: deque[_Job], most: int) -> list[_Job]:
    """Take up to *most* of *jobs*."""
    return [jobs.popleft() for _ in range(min(len(jobs), most))]


def _alike(jobs: list[_Job]) -> list[list[_Job]]:
    """*jobs* with those that share an `apply_many` put together, in the order of each group's first.

    Jobs that wait at the same time do not depend on each other: what depends on a write is submitted after its commit.
    """
    groups: dict[object, list[_Job]] = {}
    for job in jobs:
        # Bound methods are made anew at each access: those of one object are equal, not identical.
        groups.setdefault(job.apply_many or job, []).append(job)
    return list(groups.values())


def _apply(connection: Connection, jobs: list[_Job]) -> list[Any]:
    """The results of *jobs*, which share one `apply_many` or are a single `apply`; a failure stands for its own job."""
    apply_many = jobs[0].apply_many
    if apply_many is None:
        return [_alone(connection, jobs[0])]
    try:
        with savepoint(connection):
            return list(apply_many(connection, [job.request for job in jobs]))
    except STORE_FAILED:
        raise
    except Exception:
        return [_alone(connection, job) for job in jobs]


def _alone(connection: Connection, job: _Job) -> Any:
    try:
        with savepoint(connection):
            if job.apply is not None:
                return job.apply(connection)
            assert job.apply_many is not None
            return job.apply_many(connection, [job.request])[0]
    except STORE_FAILED:
        raise
    except Exception:
        return TwistedFailure()  # type: ignore[no-untyped-call]


def _fire(jobs: list[_Job], results: list[Any]) -> None:
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, TwistedFailure):
            job.deferred.errback(result)
        else:
            job.deferred.callback(result)
