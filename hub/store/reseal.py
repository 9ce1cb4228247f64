"""Sealing old rows anew with the newest key, in slices, until an old key is used by nothing any more.

A value is written back only while it is still the one that was read: a decision that changed it meanwhile sealed it
anew itself. Blind indexes are left alone. Their key never rotates, for they could not be searched any more; it opens
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, and_, func, inspect, select, tuple_, update

from hub.core.vault import Vault
from hub.store.tables import content, metadata

_ROWS = 64
_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice did. *after* is the key of the last row that was looked at, None at the table's end."""

    resealed: int
    after: tuple[Any, ...] | None


def sealed_tables(connection: Connection) -> Iterator[Table]:
    """The tables that hold sealed values, in the order of their names."""
    present = set(inspect(connection).get_table_names())
    for name, table in sorted(metadata.tables.items()):
        if "body" in table.c and name in present:
            yield table


def key_uses(connection: Connection) -> Counter[int]:
    """How many values each key id has sealed. Reads every row's first bytes."""
    uses: Counter[int] = Counter()
    for table in sealed_tables(connection):
        named = func.substr(table.c.body, 1, 2, type_=LargeBinary)
        for head, number in connection.execute(select(named, func.count()).group_by(named)):
            if head:
                uses[int.from_bytes(head, "big")] += number
    return uses


def reseal(connection: Connection, vault: Vault, name: str, after: Sequence[Any] | None) -> Slice:
    """Seal the next rows of the table *name* anew whose key is not the newest; *after* is where the last one ended."""
    table = metadata.tables[name]
    keys = list(table.primary_key.columns)
    size = func.length(table.c.body)
    looked = select(*keys, size.label("size"), func.substr(table.c.body, 1, 2, type_=LargeBinary).label("head"))
    if after is not None:
        looked = looked.where(tuple_(*keys) > tuple_(*after))
    newest = vault.key_id.to_bytes(2, "big")
    rows = connection.execute(looked.order_by(*keys).limit(_ROWS)).all()
    resealed, room, last = 0, _BYTES, None
    for row in rows:
        if resealed and row.size > room:
            return Slice(resealed, last)
        last = tuple(row[: len(keys)])
        if row.head and row.head != newest:
            _one(connection, vault, table, last)
            resealed += 1
            room -= row.size
    return Slice(resealed, last if len(rows) == _ROWS else None)


def _one(connection: Connection, vault: Vault, table: Table, key: tuple[Any, ...]) -> None:
    mine = and_(*(column == value for column, value in zip(table.primary_key.columns, key, strict=True)))
    old = connection.execute(select(table.c.body).where(mine)).scalar_one()
    context = "content" if table is content else f"{table.name}.body"
    values: dict[str, Any] = {"body": vault.seal(vault.open(old, context), context)}
    if table is content:
        values["key_id"] = vault.key_id
    connection.execute(update(table).where(mine, table.c.body == old).values(**values))
