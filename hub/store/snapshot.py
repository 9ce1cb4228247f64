"""A consistent copy of a store that is being written, whether it is whole, and what a restored one must not repeat.

SQLite copies through its online backup interface inside one read transaction: the copy is the store of that instant,
however much is written meanwhile, and no writer waits. PostgreSQL's own `pg_dump` and `pg_restore` do the same for a
server. Sources: sqlite.org/backup.html, PostgreSQL manual, "SQL Dump".
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, func, insert, make_url, or_, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.vault import Vault
from hub.store.schema import revision
from hub.store.tables import attempt, channel_state, control_number, delivery, metadata

_PAGES = 2048
_BUSY_SECONDS = 30.0
NUMBERS = ("interchange", "group")
EVERY_PARTNER = ("", "reference")


class SnapshotError(HubError):
    """A store cannot be copied or put back."""

    code = "H133"


def copy_sqlite(source: Path, target: Path, progress: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Copy the database file *source* to *target*, which must not exist; *progress* gets pages done and pages in all.

    Raises :class:`SnapshotError` when the disk is full or the source cannot be read. What was half written is removed.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.isolation_level = None
            # The open transaction pins one snapshot. Without it each step would see another store and begin anew.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            reader.backup(writer, pages=_PAGES, progress=lambda _, left, pages: progress(pages - left, pages))
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except (sqlite3.Error, OSError) as error:
        if not isinstance(error, FileExistsError):
            target.unlink(missing_ok=True)
        raise SnapshotError(
            "The store could not be copied.", where=str(target), found=str(error), fix="Is its disk full?"
        ) from None


def damage(store: Engine) -> str:
    """What SQLite's own check finds wrong with *store*; empty when nothing is, or for a server."""
    if store.dialect.name != "sqlite":
        return ""
    with store.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    return "" if found == "ok" else str(found)


def row_counts(connection: Connection) -> dict[str, int]:
    """How many rows each table holds; tables that a later version added are not there."""
    present = set(connection.dialect.get_table_names(connection))
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in sorted(metadata.tables.items())
        if name in present
    }


def open_samples(connection: Connection, vault: Vault) -> int:
    """Open one sealed value of every table that has any; how many. Raises `VaultError` when these are not its keys."""
    opened = 0
    for name, table in metadata.tables.items():
        if "body" not in table.c:
            continue
        context = "content" if name == "content" else f"{name}.body"
        for newest in (False, True):
            order = [column.desc() if newest else column for column in table.primary_key.columns]
            body = connection.execute(select(table.c.body).order_by(*order).limit(1)).scalar()
            if body:
                vault.open(body, context)
                opened += 1
    return opened


def is_empty(connection: Connection) -> bool:
    """Whether the store holds neither messages nor people's records."""
    if revision(connection) is None:
        return True
    names = ("message", "patient", "claim", "ledger_entry", "remittance")
    return not any(connection.execute(select(1).select_from(metadata.tables[name]).limit(1)).first() for name in names)


# ---------------------------------------------------------------- a restored store


def jump_ahead(connection: Connection, margin: int, partners: Iterable[str]) -> int:
    """Move every control number *margin* ahead, so that none that was given after the backup is given again.

    A counter of *partners* that the backup does not know begins behind the margin too. Returns how many were moved.
    """
    moved = connection.execute(
        update(control_number).values(value=control_number.c.value + margin, version=control_number.c.version + 1)
    ).rowcount
    rows = connection.execute(select(control_number.c.partner, control_number.c.name))
    known = {(row.partner, row.name) for row in rows}
    wanted = [EVERY_PARTNER, *((partner, name) for partner in partners for name in NUMBERS)]
    absent = [key for key in wanted if key not in known]
    if absent:
        connection.execute(
            insert(control_number),
            [{"partner": partner, "name": name, "value": 1 + margin, "version": 1} for partner, name in absent],
        )
    return moved + len(absent)


def mark_in_flight(connection: Connection, destinations: Collection[tuple[str, str]]) -> int:
    """Make every delivery that waited for one of *destinations* (channel, name) one that was being sent; how many.

    It may have gone after the backup was made. The engine's next start treats it as after a crash: its destination's
    rule for what is ambiguous decides.
    """
    if not destinations:
        return 0
    asked = or_(
        *(and_(delivery.c.channel == channel, delivery.c.destination == name) for channel, name in destinations)
    )
    rows = connection.execute(
        select(delivery.c.id, delivery.c.attempts).where(delivery.c.state == "queued", asked)
    ).all()
    now = real_ms()
    for row in rows:
        connection.execute(
            update(delivery)
            .where(delivery.c.id == row.id)
            .values(state="sending", attempts=row.attempts + 1, intent=True, version=delivery.c.version + 1)
        )
        connection.execute(
            insert(attempt),
            {
                "delivery_id": row.id,
                "number": row.attempts + 1,
                "started_at": now,
                "outcome": "sending",
                "actor": "restore",
            },
        )
    return len(rows)


def pause(connection: Connection, destinations: Iterable[tuple[str, str]], reason: str) -> None:
    """Pause *destinations* (channel, name) until a person resumes them."""
    for channel, name in destinations:
        values = {"paused": True, "actor": "restore", "reason": reason, "changed_at": real_ms()}
        key = (channel_state.c.channel == channel, channel_state.c.destination == name)
        if not connection.execute(update(channel_state).where(*key).values(**values)).rowcount:
            connection.execute(insert(channel_state), {"channel": channel, "destination": name, **values})


# ---------------------------------------------------------------- PostgreSQL's own tools


def dump_postgresql(url: str, target: Path) -> None:
    """Dump the database at *url* to *target*. Raises :class:`SnapshotError`, also when `pg_dump` is not there."""
    _tool("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
    target.chmod(0o600)
    _run([_path("pg_restore"), "--list", str(target)], {})


def load_postgresql(url: str, source: Path) -> None:
    """Fill the empty database at *url* with the dump *source*. Raises :class:`SnapshotError`."""
    _tool("pg_restore", url, "--exit-on-error", "--no-owner", "--no-privileges", "--single-transaction", str(source))


def _tool(name: str, url: str, *words: str) -> None:
    place = make_url(url).set(drivername="postgresql")
    secret = {"PGPASSWORD": place.password} if place.password else {}
    shown = place.set(password=None).render_as_string(hide_password=False)
    _run([_path(name), f"--dbname={shown}", *words], secret)


def _path(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SnapshotError(
            f"PostgreSQL's {name} is not on this machine.",
            fix="Install PostgreSQL's client programs, or use the server's own backups (continuous archiving).",
        )
    return found


def _run(command: list[str], environment: dict[str, str]) -> None:
    surroundings = {**os.environ, **environment}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SnapshotError(
            f"{Path(command[0]).name} failed.",
            found=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0],
        )
