"""A part of a transaction that can be undone alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from hub.store.hot import run

STORE_FAILED = (OperationalError, InterfaceError, InternalError)
"""After one of these (disk full, I/O error, lost connection) the database may have rolled back on its own: savepoints
are gone and what follows would be committed piece by piece."""


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """What is written within is undone when it raises. As plain SQL: SQLAlchemy would compile each savepoint anew."""
    run(connection, "SAVEPOINT part")
    try:
        yield
    except STORE_FAILED:
        raise
    except BaseException:
        run(connection, "ROLLBACK TO SAVEPOINT part")
        run(connection, "RELEASE SAVEPOINT part")
        raise
    run(connection, "RELEASE SAVEPOINT part")
