"""Work that falls due by the business clock. What is due stands in a table and survives restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure as TwistedFailure

from hub.engine.journal import StoreFailedError
from hub.engine.steps import Surroundings, error_of
from hub.engine.transactions import Decisions
from hub.store.changes import Changes, Update, apply
from hub.store.database import reading
from hub.store.tables import due

DUE_IN_HAND = 64
DUE_AGAIN_SECONDS = (5.0, 15.0, 60.0, 300.0)
"""How long a due row that could not be decided waits, after its first, second, ... failure."""


@dataclass(frozen=True, slots=True)
class _Failures:
    number: int
    until: float  # by the reactor's time


class Timers:
    """Has what is due decided, *every* so many seconds; what fails is tried again, later and later."""

    def __init__(self, around: Surroundings, decisions: Decisions, *, every: float = 0.25) -> None:
        self._around = around
        self._decisions = decisions
        self._loop = LoopingCall(self._look)
        self._loop.clock = around.reactor
        self._every = every
        self._in_hand: set[int] = set()
        self._failures: dict[int, _Failures] = {}
        self._stopped = False

    def start(self) -> None:
        """Begin to look."""
        self._loop.start(self._every, now=False)

    def stop(self) -> None:
        """Take up nothing more."""
        self._stopped = True
        if self._loop.running:
            self._loop.stop()

    @property
    def is_idle(self) -> bool:
        """Whether nothing that fell due is being decided."""
        return not self._in_hand

    def _look(self) -> Deferred[None]:
        room = DUE_IN_HAND - len(self._in_hand)
        if room <= 0:
            return succeed(None)
        # Those in hand and those that failed are still due: look past them.
        most = DUE_IN_HAND + len(self._in_hand) + len(self._failures)
        found = deferToThread(self._read_due, most)
        return found.addCallback(self._take_up, room).addErrback(self._look_failed)

    def _look_failed(self, failure: TwistedFailure) -> None:
        self._around.log.failure("timers.failed", error_of(failure))

    def _read_due(self, most: int) -> list[Any]:
        with reading(self._around.store) as connection:
            return list(
                connection.execute(
                    select(due)
                    .where(due.c.done.is_(False), due.c.business_at <= self._around.clock.now_ms())
                    .order_by(due.c.business_at)
                    .limit(most)
                ).all()
            )

    def _take_up(self, rows: list[Any], room: int) -> None:
        now = self._around.reactor.seconds()
        free = [row for row in rows if row.id not in self._in_hand and not self._waits(row.id, now)]
        # What failed before goes last, so that it keeps nothing waiting.
        free.sort(key=lambda row: row.id in self._failures)
        for row in [] if self._stopped else free[:room]:
            self._in_hand.add(row.id)
            decided = self._decide(row).addCallback(self._one_done, row.id).addErrback(self._one_failed, row.id)
            decided.addBoth(self._one_less, row.id)

    def _waits(self, row_id: int, now: float) -> bool:
        failures = self._failures.get(row_id)
        return failures is not None and failures.until > now

    def _decide(self, row: Any) -> Deferred[Any]:
        header = {
            "work": "due",
            "due_id": row.id,
            "kind": row.kind,
            "subject": row.subject,
            "subject_id": row.subject_id,
        }

        def complete(connection: Connection, changes: Changes, _reply: object) -> None:
            rearmed = any(
                isinstance(write, Update) and write.table == "due" and write.key.get("id") == row.id
                for write in changes.writes
            )
            if not rearmed:
                mine = Changes()
                mine.update("due", {"id": row.id}, row.version, done=True)
                apply(connection, mine)

        decided: Deferred[Any] = self._decisions.decide(header, (), complete)
        return decided

    def _one_done(self, _result: object, row_id: int) -> None:
        self._failures.pop(row_id, None)

    def _one_less(self, _result: object, row_id: int) -> None:
        self._in_hand.discard(row_id)

    def _one_failed(self, failure: TwistedFailure, row_id: int) -> None:
        error = error_of(failure)
        before = self._failures.get(row_id, _Failures(0, 0)).number
        wait = DUE_AGAIN_SECONDS[min(before, len(DUE_AGAIN_SECONDS) - 1)]
        self._failures[row_id] = _Failures(before + 1, self._around.reactor.seconds() + wait)
        if not self._stopped and not isinstance(error, StoreFailedError):
            self._around.log.failure("timers.one_failed", error, due=row_id)
