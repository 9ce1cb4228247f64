"""Bringing what was committed to the disk, apart from committing it: the next transaction is written meanwhile.

In SQLite's write-ahead log a commit is a frame behind the others, and durable once the log is synced
(https://www.sqlite.org/wal.html, *Durability*). With ``synchronous=FULL`` the commit waits for that. Those of an
:func:`unsynced` connection do not; whoever makes them must sync the log before anybody hears of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine

from hub.store.hot import run

_sync_data = getattr(os, "fdatasync", os.fsync)


class LogSync:
    """Syncs one write-ahead log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._is_listed = False

    def __call__(self) -> None:
        """Bring all that was committed before to the disk. Raises `OSError` when that is not known to have happened."""
        # Opened anew, so that it is the log that is in use. No lock is lost by closing it: SQLite keeps none on it.
        descriptor = os.open(self._log, os.O_RDWR)
        try:
            _sync_data(descriptor)
        finally:
            os.close(descriptor)
        if not self._is_listed:
            self._sync_folder()
            self._is_listed = True

    def _sync_folder(self) -> None:
        """See that the log, which may be new, is found again."""
        descriptor = os.open(self._log.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def unsynced(store: Engine) -> Connection:
    """A connection to *store*, SQLite, whose commits do not wait for the disk. It is the caller's, who closes it."""
    connection = store.connect()
    connection.detach()  # so that nobody is given it by the pool
    run(connection, "PRAGMA synchronous=NORMAL")
    return connection


def log_sync(store: Engine) -> LogSync | None:
    """What syncs the log of *store*; None where each commit must be waited for."""
    if store.dialect.name != "sqlite" or not store.url.database or store.url.database == ":memory:":
        return None
    return LogSync(Path(f"{store.url.database}-wal"))
