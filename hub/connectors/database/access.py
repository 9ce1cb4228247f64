"""Reaching a database from a worker: connections, what fails in words without data, and the probe.

Sources: SQLAlchemy 2.1, "Dealing with Disconnects" and "DBAPI Errors"; PostgreSQL, appendix A (SQLSTATE) and
libpq's connection parameters; PEP 249 (exceptions).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from hub.connectors.database.settings import DatabaseDestinationSettings, DatabaseLogin, DatabaseSourceSettings
from hub.connectors.reach import UnreachedError
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.engine.contracts import EndpointState

_WRONG_LOGIN = ("28",)  # invalid authorization specification
_PASSING = ("08", "40", "53", "55", "57", "58")
"""SQLSTATE classes of what passes: connections, rollbacks, resources, locks, operator intervention, system errors."""


class DriverError(HubError):
    """The database's driver is not installed, or the URL names none."""

    code = "H415"


def open_database(login: DatabaseLogin, secrets: Secrets, folder: Path) -> Engine:
    """The engine for *login*, one for all calls of this process with the same. Raises :class:`DriverError`."""
    url = make_url(login.url)
    if login.password is not None:
        url = url.set(password=secrets.value(login.password))
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(folder / url.database))
    return _engine(url, login.connect_within, login.answer_within)


def close_databases() -> None:
    """Forget every engine of this process."""
    _engine.cache_clear()


@lru_cache(maxsize=16)
def _engine(url: URL, connect_within: float, answer_within: float) -> Engine:
    arguments: dict[str, Any] = {}
    driver = url.get_driver_name() if url.drivername.count("+") else url.get_backend_name()
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": answer_within}
    elif driver == "psycopg":
        arguments = {
            "connect_timeout": max(2, math.ceil(connect_within)),  # libpq takes less than two as two
            "options": f"-c statement_timeout={int(answer_within * 1000)}",
            "keepalives_idle": 30,
            "tcp_user_timeout": int(answer_within * 1000),
            "application_name": "claimhub",
        }
    try:
        return create_engine(
            url, connect_args=arguments, pool_size=1, max_overflow=0, pool_pre_ping=True, hide_parameters=True
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        missing = getattr(error, "name", None) or url.drivername
        raise DriverError(
            "The driver of this database is not installed.",
            where=f"{url.drivername}://",
            found=str(missing),
            fix="Install it beside the hub, or correct the URL: PostgreSQL is postgresql+psycopg.",
        ) from None


def is_gone(error: Exception) -> bool:
    """Whether the connection was lost, so that nobody knows what became of the last request on it."""
    return (isinstance(error, DBAPIError) and error.connection_invalidated) or isinstance(
        error, DisconnectionError | TimeoutError
    )


def passes(error: Exception) -> bool:
    """Whether the same may succeed later: a lock, a restart, a full disk. What was not committed has not happened."""
    if is_gone(error):
        return True
    state = sqlstate(error)
    if state:
        return state.startswith((*_PASSING, *_WRONG_LOGIN))
    if isinstance(error, IntegrityError):
        return False
    # Drivers without SQLSTATE: SQLite says OperationalError for a lock and for a wrong statement alike.
    name = str(getattr(getattr(error, "orig", None), "sqlite_errorname", ""))
    if name:
        return name.split("_")[1] in {"BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "NOMEM", "PROTOCOL"}
    return isinstance(error, OperationalError | InterfaceError)


def sqlstate(error: Exception) -> str:
    """The SQLSTATE that the server gave; empty where there is none."""
    found = getattr(getattr(error, "orig", None), "sqlstate", None)
    return str(found) if found else ""


def in_words(error: Exception) -> str:
    """What failed, by kind and code alone: the server's sentence may quote what it choked on."""
    orig = getattr(error, "orig", None)
    code = sqlstate(error) or str(getattr(orig, "sqlite_errorname", "")) or ""
    kind = type(orig if orig is not None else error).__name__
    return f"{kind} ({code})" if code else kind


def state_of(error: Exception) -> EndpointState:
    """How the endpoint stands after *error*."""
    if sqlstate(error).startswith(_WRONG_LOGIN):
        return EndpointState.LOGIN_FAILED
    return EndpointState.RETRYING if passes(error) else EndpointState.CONNECTED


def probe(login: DatabaseLogin, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Log in, and see that the query or the receipts are there. Raises `HubError` with what keeps one from it."""
    where = make_url(login.url).render_as_string()
    try:
        engine = open_database(login, secrets, folder)
        with engine.connect() as connection:
            yield f"logged in to {where} ({engine.dialect.name})"
            yield from _look(login, connection)
            connection.rollback()
    except SQLAlchemyError as error:
        raise UnreachedError(f"The database does not do this: {in_words(error)}.", where=where) from None


def _look(login: DatabaseLogin, connection: Connection) -> Iterator[str]:
    """Whether what the settings speak of is there. Nothing is changed."""
    if isinstance(login, DatabaseSourceSettings):
        found = connection.execute(text(f"SELECT * FROM ({login.query}) AS found WHERE 1 = 0"))  # noqa: S608  the site's own
        columns = list(found.keys())
        missing = [name for name in login.key if name not in columns]
        if missing:
            raise UnreachedError(
                "The query gives no column for the key.", expected=", ".join(missing), found=", ".join(columns)
            )
        yield f"the query gives the columns {', '.join(columns)}"
    elif isinstance(login, DatabaseDestinationSettings) and login.receipts is not None:
        connection.execute(text(f"SELECT name, digest FROM {login.receipts} WHERE 1 = 0"))  # noqa: S608  the site's own
        yield f"the table {login.receipts} is there"
