"""How far sources have come in what they read. A mark moves in the transaction that stores what it stands for."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, insert, select, update

from hub.engine.contracts import Mark
from hub.store.tables import setting

_LONGEST = 64


def read_mark(connection: Connection, channel: str, name: str) -> str | None:
    """The place that is kept under *name* for *channel*; None when there is none."""
    return connection.execute(select(setting.c.value).where(setting.c.name == _key(channel, name))).scalar()


def write_mark(connection: Connection, channel: str, mark: Mark) -> None:
    """Keep *mark* for *channel*, in the place of an earlier one."""
    key = _key(channel, mark.name)
    if not connection.execute(update(setting).where(setting.c.name == key).values(value=mark.place)).rowcount:
        connection.execute(insert(setting), {"name": key, "value": mark.place})


def _key(channel: str, name: str) -> str:
    """What a mark is called among the settings: readable, and distinct where it has to be cut."""
    key = f"mark {channel}/{name}"
    if len(key) <= _LONGEST:
        return key
    digest = hashlib.blake2b(key.encode(), digest_size=6).hexdigest()
    return f"{key[: _LONGEST - 13]}~{digest}"
