"""Reference data in the store: loaded in a stream, published whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update

from hub.billing.refdata.errors import BadFileError
from hub.billing.refdata.kinds import KINDS, Entry
from hub.core.clock import real_ms
from hub.store.tables import refdata_code, refdata_pair, refdata_set

CHUNK = 5_000  # rows of a transaction: the journal waits no longer than this takes


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """One edition of one kind. *effective* is the first date of service that it is for."""

    id: int
    kind: str
    edition: str
    effective: str
    rows: int
    state: str


def load_set(store: Engine, kind: str, file: Path, *, edition: str, effective: date, actor: str) -> LoadedSet:
    """Load *file* as the edition *edition* of *kind*, in force for dates of service from *effective* on.

    Edits see it when all of it is there. An edition that was loaded half is loaded anew; a whole one stays. Raises
    :class:`BadFileError`.
    """
    if kind not in KINDS:
        raise BadFileError("There is no such kind of reference data.", found=kind, expected=", ".join(KINDS))
    try:
        digest = hashlib.sha256(file.read_bytes()).digest()
    except OSError as error:
        raise BadFileError("The file cannot be read.", where=str(file), found=error.strerror or "") from None
    set_id = _begin(store, kind, edition, effective, digest, actor)
    table = refdata_pair if KINDS[kind].pairs else refdata_code
    entries = KINDS[kind].read(_lines(file))
    count, seen = 0, set[tuple[str, str, str]]()
    while chunk := list(islice(entries, CHUNK)):
        rows = [_row(set_id, table, entry) for entry in chunk if not _known(entry, seen)]
        with store.connect().execution_options(writes=True) as connection, connection.begin():
            if rows:
                connection.execute(insert(table), rows)
        count += len(rows)
    if not count:
        raise BadFileError("The file holds nothing of that kind.", where=str(file), expected=KINDS[kind].source)
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(refdata_set).where(refdata_set.c.id == set_id).values(rows=count, state="ready"))
    return LoadedSet(set_id, kind, edition, effective.isoformat(), count, "ready")


def loaded_sets(connection: Connection) -> list[LoadedSet]:
    """Every edition in the store, by kind and date."""
    order = (refdata_set.c.kind, refdata_set.c.effective_on, refdata_set.c.id)
    return [
        LoadedSet(row.id, row.kind, row.edition, row.effective_on, row.rows, row.state)
        for row in connection.execute(select(refdata_set).order_by(*order))
    ]


def _begin(store: Engine, kind: str, edition: str, effective: date, digest: bytes, actor: str) -> int:
    """The id of a new set that nobody sees yet; what a broken load left of the same edition is removed."""
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        same = (refdata_set.c.kind == kind) & (refdata_set.c.edition == edition)
        found = connection.execute(select(refdata_set).where(same)).one_or_none()
        if found is not None and found.state == "ready":
            how = "It is the same file." if found.digest == digest else "It was made of another file."
            raise BadFileError(
                f"This edition is loaded already. {how}", found=f"{kind} {edition}", fix="Give it another --version."
            )
        if found is not None:
            for table in (refdata_code, refdata_pair):
                connection.execute(delete(table).where(table.c.set_id == found.id))
            connection.execute(delete(refdata_set).where(same))
        set_id = int(connection.execute(select(func.coalesce(func.max(refdata_set.c.id), 0))).scalar_one()) + 1
        connection.execute(
            insert(refdata_set),
            {
                "id": set_id,
                "kind": kind,
                "edition": edition,
                "effective_on": effective.isoformat(),
                "digest": digest,
                "rows": 0,
                "state": "loading",
                "loaded_at": real_ms(),
                "loaded_by": actor,
            },
        )
    return set_id


def _lines(file: Path) -> Iterator[str]:
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8", errors="replace", newline="") as stream:
            yield from stream
    except (OSError, EOFError):
        raise BadFileError("The file cannot be read.", where=str(file)) from None


def _known(entry: Entry, seen: set[tuple[str, str, str]]) -> bool:
    """Whether the file said it before: publishers repeat lines, and a set holds each code once for each date."""
    key = (entry.code, entry.second, entry.effective)
    known = key in seen
    seen.add(key)
    return known


def _row(set_id: int, table: Table, entry: Entry) -> dict[str, object]:
    names = {"first": entry.code, "second": entry.second} if table is refdata_pair else {"code": entry.code}
    facts = json.dumps(entry.facts, separators=(",", ":"))
    return {"set_id": set_id, **names, "effective_on": entry.effective, "ends_on": entry.ends, "facts": facts}
