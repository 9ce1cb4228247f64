"""Writes as values: what a worker decides from a read snapshot, and what the journal applies or refuses.

A decision names the row versions it was made from. When one of them has moved on, or a row that must be new exists,
nothing of the decision is applied (:class:`StaleDecisionError`) and it is made anew.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, insert, update
from sqlalchemy import Update as UpdateStatement
from sqlalchemy.exc import IntegrityError

from hub.core.errors import HubError
from hub.store.tables import metadata

Row = dict[str, Any]


class StaleDecisionError(HubError):
    """A row that the decision was made from has changed since. Decide again from a new snapshot."""

    code = "H130"


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows. A row whose key exists makes the whole decision stale."""

    table: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """New *values* for the one row that *key* names, provided that it still has *version*; the version grows by one."""

    table: str
    key: Row
    version: int
    values: Row


@dataclass(frozen=True, slots=True)
class Emit:
    """A message that billing hands to the channels whose source is billing and takes *kind*.

    *body* is the message's raw content, *lane* what its order is kept by, *name* its control id. *identifiers* make it
    findable, as pairs of kind and text (only digests are stored).
    """

    kind: str
    body: bytes
    lane: str
    name: str
    identifiers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Changes:
    """Everything that one decision writes, applied in one transaction or not at all."""

    writes: list[Insert | Update] = field(default_factory=list)
    emits: list[Emit] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def insert(self, table: str, *rows: Row) -> None:
        """Add new *rows* of *table*."""
        self.writes.append(Insert(table, rows))

    def update(self, table: str, key: Row, version: int, **values: Any) -> None:
        """Change the row of *table* that *key* names and that was read at *version*.

        A second change of the same row joins the first, so that a row's version grows once per decision.
        """
        for write in self.writes:
            if isinstance(write, Update) and write.table == table and write.key == key:
                write.values.update(values)
                return
        self.writes.append(Update(table, key, version, values))


def apply(connection: Connection, changes: Changes) -> None:
    """Write *changes*. Raises :class:`StaleDecisionError`; the caller rolls back to its savepoint."""
    for write in changes.writes:
        table = metadata.tables[write.table]
        if isinstance(write, Insert):
            if not write.rows:
                continue
            try:
                connection.execute(insert(table), list(write.rows))
            except IntegrityError:
                raise StaleDecisionError("A row that should be new exists already.", where=write.table) from None
        else:
            statement = _update(write.table, tuple(write.key), tuple(write.values))
            values = {f"new_{name}": value for name, value in write.values.items()}
            values |= {f"key_{name}": value for name, value in write.key.items()}
            changed = connection.execute(statement, {**values, "was": write.version, "becomes": write.version + 1})
            if changed.rowcount != 1:
                raise StaleDecisionError("A row has changed since it was read.", where=write.table)


@lru_cache(maxsize=512)
def _update(name: str, key: tuple[str, ...], columns: tuple[str, ...]) -> UpdateStatement:
    """The statement of an :class:`Update`; kept, because making one costs more than running it."""
    table = metadata.tables[name]
    values = {column: bindparam(f"new_{column}", type_=table.c[column].type) for column in columns}
    return (
        update(table)
        .where(*(table.c[column] == bindparam(f"key_{column}") for column in key), table.c.version == bindparam("was"))
        .values(**values, version=bindparam("becomes"))
    )


def to_json(changes: Changes) -> str:
    """*changes* as text for the way between processes."""
    document = {
        "writes": [
            [w.table, list(w.rows)] if isinstance(w, Insert) else [w.table, w.key, w.version, w.values]
            for w in changes.writes
        ],
        "emits": [[e.kind, e.body, e.lane, e.name, list(e.identifiers)] for e in changes.emits],
        "counts": changes.counts,
    }
    return json.dumps(document, default=_encode_bytes, separators=(",", ":"))


def from_json(text: str) -> Changes:
    """The changes that :func:`to_json` was given."""
    document = json.loads(text, object_hook=_decode_bytes)
    changes = Changes(counts=document["counts"])
    for write in document["writes"]:
        if len(write) == 2:
            changes.writes.append(Insert(write[0], tuple(write[1])))
        else:
            changes.writes.append(Update(*write))
    for kind, body, lane, name, identifiers in document["emits"]:
        changes.emits.append(Emit(kind, body, lane, name, tuple((k, v) for k, v in identifiers)))
    return changes


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"a change holds text, numbers, booleans and bytes, not {type(value).__name__}")


def _decode_bytes(value: Row) -> Any:
    return base64.b64decode(value["$bytes"]) if set(value) == {"$bytes"} else value
