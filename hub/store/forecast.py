"""How large the store is, how fast it grows, and when its disk is full: from a sample an hour, kept for a week."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, insert, select

from hub.core.clock import DAY_MS
from hub.store.tables import setting

_SAMPLE = "size "
_HOUR_MS = 3_600_000
_KEPT_MS = 7 * DAY_MS
_NEEDED_MS = 2 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Forecast:
    """*used* bytes of the store, *free* bytes of its disk (None for a server's disk, which is not ours to ask).

    *growth* is bytes a day over the *hours* that the samples span, None before they span two. *days_left* is None while
    nothing grows or nothing is known.
    """

    used: int
    free: int | None
    growth: int | None
    hours: int
    days_left: float | None


def store_bytes(connection: Connection) -> int:
    """The bytes that the store's content takes. Pages that pruning freed count as free: they are used again first."""
    if connection.dialect.name == "sqlite":
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
    return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0)


def record_sample(connection: Connection, now: int, used: int) -> None:
    """Keep this hour's size, and forget those of more than a week ago."""
    hour = now // _HOUR_MS
    oldest = _name(hour - _KEPT_MS // _HOUR_MS)
    connection.execute(delete(setting).where(setting.c.name.startswith(_SAMPLE), setting.c.name < oldest))
    connection.execute(delete(setting).where(setting.c.name == _name(hour)))
    connection.execute(insert(setting), {"name": _name(hour), "value": str(used)})


def forecast(connection: Connection, folder: Path, now: int) -> Forecast:
    """The forecast of the store that *connection* reads, whose files (for SQLite) stand in *folder*."""
    used = store_bytes(connection)
    free = shutil.disk_usage(folder).free if connection.dialect.name == "sqlite" else None
    first = connection.execute(
        select(setting.c.name, setting.c.value)
        .where(setting.c.name.startswith(_SAMPLE), setting.c.name >= _name((now - _KEPT_MS) // _HOUR_MS))
        .order_by(setting.c.name)
        .limit(1)
    ).first()
    since = int(first.name.removeprefix(_SAMPLE)) * _HOUR_MS if first else now
    hours = (now - since) // _HOUR_MS
    if first is None or now - since < _NEEDED_MS:
        return Forecast(used, free, None, hours, None)
    growth = (used - int(first.value)) * DAY_MS // (now - since)
    days_left = free / growth if free is not None and growth > 0 else None
    return Forecast(used, free, growth, hours, days_left)


def _name(hour: int) -> str:
    return f"{_SAMPLE}{hour:08d}"
