"""Opening the store: SQLite (the embedded default) or PostgreSQL, the same code with another URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url

from hub.core.errors import HubError
from hub.store.hot import run


class StoreAwayError(HubError):
    """The store cannot be reached: its server is away, or will not let us in, or its file cannot be opened."""

    code = "H136"


def open_store(url: str) -> Engine:
    """The store at *url* (``sqlite:////site/var/hub.db``, ``postgresql+psycopg://...``), set to keep its promises.

    SQLite: WAL, synchronous=FULL (a commit is on disk before it returns), incremental auto-vacuum, temporary data in
    memory so that nothing readable reaches a temporary file. Transactions begin where the code says, not where the
    driver guesses; one with the option ``writes`` is the only writer from its beginning. Connecting raises
    :class:`StoreAwayError` where that cannot be.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False, "cached_statements": 512})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")
    event.listen(engine, "handle_error", partial(_say_away, parsed))
    return engine


def _say_away(url: URL, context: ExceptionContext) -> None:
    """Raise :class:`StoreAwayError` in place of what a driver raises when it cannot connect."""
    if context.connection is None and context.statement is None:
        said = str(context.original_exception).strip().splitlines() or [type(context.original_exception).__name__]
        raise StoreAwayError(
            "The store cannot be reached.",
            where=url.set(query={}).render_as_string(hide_password=True),
            found=said[0],
            fix="See whether its server runs and lets this machine in; for a file, whether it may be opened.",
        ) from context.original_exception


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (2,):  # setting it, even again, waits for the writer
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "temp_store=MEMORY",
        "foreign_keys=ON",
        "secure_delete=ON",
        "cache_size=-16384",
        "wal_autocheckpoint=8000",  # checkpoint() runs beside the writer; this is for when it cannot keep up
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    run(connection, "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def checkpoint(store: Engine) -> None:
    """Copy what SQLite's write-ahead log holds into the database; nobody waits, here or elsewhere."""
    if store.dialect.name == "sqlite":
        connection = store.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()


@contextmanager
def reading(store: Engine) -> Iterator[Connection]:
    """A connection in one read snapshot. Keep it short: an endless reader stops SQLite's WAL from resetting."""
    isolation = "REPEATABLE READ" if store.dialect.name == "postgresql" else None
    with store.connect() as connection:
        if isolation:
            connection.execution_options(isolation_level=isolation)
        with connection.begin():
            yield connection
