"""One decision of billing: made from a read snapshot, returned as writes that the journal applies or refuses.

A decision reads and writes rows through itself, and so sees what it has already decided: a visit and its
charge may come in one message. It may be made several times for one cause (a stale snapshot, a crash), so
it takes nothing from outside its arguments, and whatever it does is keyed by its cause.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select

from hub.billing.config import BillingConfig
from hub.core.clock import BusinessClock
from hub.core.ids import IdBlock
from hub.core.secret import Secrets
from hub.core.vault import Vault
from hub.store.changes import Changes, Row
from hub.store.tables import metadata

CHUNK = 400  # writes after which long work stops and is taken up again, so that the journal's transactions stay short


@dataclass(slots=True)
class Decision:
    """What a decision stands on, and what it wrote so far.

    *complete* is False when the same work must be taken up again.
    """

    connection: Connection
    vault: Vault
    clock: BusinessClock
    ids: IdBlock
    config: BillingConfig
    now_ms: int  # the business instant, read once
    real_ms: int
    today: str  # the practice's day, ISO text
    actor: str = "hub"
    message_id: int | None = None
    channel: str = ""
    secrets: Secrets = field(default_factory=lambda: Secrets(()))
    changes: Changes = field(default_factory=Changes)
    complete: bool = True
    _rows: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=dict)
    _answers: dict[tuple[Any, ...], list[tuple[Any, ...]]] = field(default_factory=dict)
    _new: set[tuple[str, tuple[Any, ...]]] = field(default_factory=set)
    _changed: dict[str, dict[tuple[Any, ...], None]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether long work should stop here, set :attr:`complete` to False and go on in the next decision."""
        return len(self.changes.writes) >= CHUNK

    def owner(self) -> dict[str, Any]:
        """The columns that say whose a new row is."""
        return {"organisation": self.config.practice.organisation, "partition": 0}

    def seal(self, table: str, body: Any) -> bytes:
        """*body* (plain JSON values) for the ``body`` column of *table*."""
        return self.vault.seal_json(body, f"{table}.body")

    def unseal(self, table: str, sealed: bytes) -> Any:
        """What :meth:`seal` was given."""
        return self.vault.open_json(sealed, f"{table}.body")

    def count(self, name: str) -> None:
        """Count one more *name* in what the decision reports (``duplicate charges``)."""
        self.changes.counts[name] = self.changes.counts.get(name, 0) + 1

    def row(self, table: str, **equals: Any) -> Row | None:
        """The one row of *table* in which every named column has the value given, or None."""
        names = _key_of(table)
        if len(equals) == len(names) and all(name in equals for name in names):
            known = self._rows.get(table, {}).get(tuple(equals[name] for name in names))
            if known is not None:
                return known
        found = self.rows(table, **equals)
        return found[0] if found else None

    def rows(self, table: str, *, order_by: str = "", limit: int | None = None, **equals: Any) -> list[Row]:
        """The rows of *table* in which every named column has the value given, this decision's own writes included.

        A tuple stands for any of its values. What is returned is shared: change a row through
        :meth:`update` only.
        """
        question = (table, limit, order_by, *sorted(equals.items()))
        if question not in self._answers:
            statement = _question(table, tuple((name, _kind(value)) for name, value in equals.items()), order_by, limit)
            values = {name: value for name, value in equals.items() if value is not None}
            found = self.connection.execute(statement, values).mappings()
            self._answers[question] = [self._keep(table, dict(row)) for row in found]
        known = self._rows.get(table, {})
        keys = dict.fromkeys((*self._answers[question], *self._changed.get(table, ())))
        matching = [
            row
            for row in (known[key] for key in keys)
            if all(
                row[name] in value if isinstance(value, tuple) else row[name] == value for name, value in equals.items()
            )
        ]
        if order_by:
            matching.sort(key=lambda row: row[order_by])
        return matching[:limit]

    def insert(self, table: str, **values: Any) -> Row:
        """Add a row to *table*; columns not named take their defaults. Returns the row as later steps will see it."""
        row: Row = {}
        for column in metadata.tables[table].c:
            if column.name == "fence":  # the transaction that writes the row knows it
                continue
            default = column.default
            row[column.name] = values.pop(column.name, getattr(default, "arg", None))
        if values:
            raise KeyError(f"{table} has no column {', '.join(values)}")
        key = self._keep(table, row)
        self._new.add((table, key))
        self._changed.setdefault(table, {})[key] = None
        self.changes.insert(table, row)
        return row

    def update(self, table: str, row: Row, **values: Any) -> None:
        """Change *row*, which :meth:`row`, :meth:`rows` or :meth:`insert` returned."""
        row.update(values)
        key = {name: row[name] for name in _key_of(table)}
        self._changed.setdefault(table, {})[tuple(key.values())] = None
        if (table, tuple(key.values())) not in self._new:
            self.changes.update(table, key, row["version"], **values)

    def _keep(self, table: str, row: Row) -> tuple[Any, ...]:
        key = tuple(row[name] for name in _key_of(table))
        self._rows.setdefault(table, {}).setdefault(key, row)
        return key

    def open_item(
        self,
        *,
        queue: str,
        key: str,
        kind: str,
        sentence: str,
        money_cents: int = 0,
        due_on: str = "",
        rule: str = "",
        evidence: dict[str, Any] | None = None,
        again: bool = False,
        **subjects: Any,
    ) -> int:
        """Open a work item, unless one of the same *key* (one cause) was ever opened. Returns its id.

        With *again* the cause is one that can come back: an item that was resolved is opened anew, and says what is
        said now.
        *sentence* is for a biller and names nobody. *subjects* are the id columns of `work_item`
        (``claim_id=...``). *evidence* is sealed.
        """
        found = self.row("work_item", item_key=key)
        if found is not None:
            if again and found["state"] == "resolved":
                said = {"sentence": sentence, "rule": rule, "body": self.seal("work_item", evidence or {})}
                self.update("work_item", found, state="open", resolution="", **said)
                self.note_item(found["id"], "reopened", {"comment": "It came back."})
            return int(found["id"])
        subjects.setdefault("message_id", self.message_id)
        made = self.insert(
            "work_item",
            id=self.ids.next(),
            **self.owner(),
            queue=queue,
            item_key=key,
            kind=kind,
            sentence=sentence,
            rule=rule,
            money_cents=money_cents,
            opened_business_at=self.now_ms,
            due_on=due_on,
            state="open",
            body=self.seal("work_item", evidence or {}),
            **subjects,
        )
        return int(made["id"])

    def close_items(self, resolution: str, **equals: Any) -> None:
        """Resolve the open work items in which every named column has the value given, because their cause has gone."""
        for found in list(self.rows("work_item", state="open", **equals)):
            self.update("work_item", found, state="resolved", resolution=resolution)
            self.note_item(found["id"], "resolved", {"resolution": resolution})

    def close_item(self, key: str, resolution: str) -> None:
        """Resolve the open work item of *key*, if there is one."""
        self.close_items(resolution, item_key=key)

    def note_item(self, item_id: int, kind: str, said: dict[str, Any]) -> None:
        """Add what somebody (or the hub) did about a work item to its history."""
        self.insert(
            "work_event",
            id=self.ids.next(),
            item_id=item_id,
            at=self.now_ms,
            actor=self.actor,
            kind=kind,
            body=self.seal("work_event", said),
        )

    def later(self, *, kind: str, key: str, business_at: int, subject_id: int | None = None, subject: str = "") -> None:
        """Have *kind* of work come due at *business_at*, once for *key*."""
        if self.row("due", due_key=key) is None:
            self.insert(
                "due",
                id=self.ids.next(),
                due_key=key,
                kind=kind,
                business_at=business_at,
                subject_id=subject_id,
                subject=subject,
                done=False,
            )

    def rearm(self, *, kind: str, key: str, business_at: int, subject_id: int | None = None, subject: str = "") -> None:
        """Have *kind* of work come due at *business_at*, whatever was arranged, or done, under *key* before."""
        found = self.row("due", due_key=key)
        if found is None:
            self.later(kind=kind, key=key, business_at=business_at, subject_id=subject_id, subject=subject)
        else:
            self.update("due", found, business_at=business_at, done=False)


@cache
def _key_of(table: str) -> tuple[str, ...]:
    """The names of the primary key's columns."""
    return tuple(column.name for column in metadata.tables[table].primary_key)


def _kind(value: object) -> str:
    """How *value* is compared: one of several, nothing, or equal."""
    return "in" if isinstance(value, tuple) else "null" if value is None else "equal"


@lru_cache(maxsize=512)
def _question(table: str, conditions: tuple[tuple[str, str], ...], order_by: str, limit: int | None) -> Select[Any]:
    """The statement of :meth:`Decision.rows`; kept, because making one costs more than running it."""
    definition = metadata.tables[table]
    tests: list[ColumnElement[bool]] = []
    for name, kind in conditions:
        column = definition.c[name]
        if kind == "in":
            tests.append(column.in_(bindparam(name, expanding=True)))
        else:
            tests.append(column.is_(None) if kind == "null" else column == bindparam(name))
    statement = select(definition).where(*tests)
    if order_by:
        statement = statement.order_by(definition.c[order_by])
    return statement.limit(limit)


def detail(**facts: Any) -> str:
    """Facts without patient data, as the JSON text of an event's ``detail`` column."""
    return json.dumps(facts, default=str, separators=(",", ":"))
