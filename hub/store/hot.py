"""The statements of the hot path as SQL text, for many rows at once, straight on the driver.

SQLAlchemy spends more on each row's parameters than the database on the row, and a driver lets go of the interpreter
for each row of an ``executemany``, which the engine's other thread then takes. So rows are tuples here, and one
statement carries up to `LARGEST` of them. The text is made from the tables of :mod:`hub.store.tables`, for SQLite and
PostgreSQL alike; a column that is forgotten or misspelled fails when this is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

LARGEST = 32
"""Rows of one statement. Sizes are powers of two, so that few texts exist and the drivers keep them prepared."""
_FENCE = "{fence}"
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]

Row = tuple[Any, ...]


def run(connection: Connection, text: str, values: Sequence[Any] = ()) -> Any:
    """Execute *text*, written with ``?``, on the driver's own connection; its cursor.

    Raises what SQLAlchemy would, without the values.
    """
    dialect: Any = connection.dialect
    if dialect.name == "postgresql":
        text = text.replace("?", "%s")
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(text, values)
    except dialect.dbapi.Error as error:
        raise DBAPIError.instance(text, None, error, dialect.dbapi.Error, dialect=dialect) from error
    return cursor


def marks(count: int) -> str:
    """*count* marks for values, between commas."""
    return ", ".join("?" * count)


class _Many:
    """A statement that is written once for each number of rows."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, int, int], str] = {}

    def _chunks(self, connection: Connection, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
        name, start, fence = connection.dialect.name, 0, connection.get_execution_options().get("fence", 0)
        while start < len(rows):
            size = min(LARGEST, 1 << (len(rows) - start).bit_length() - 1)
            text = self._texts.get((name, size, fence))
            if text is None:
                text = self._texts[name, size, fence] = self.text(name, size, fence)
            yield text, list(chain.from_iterable(rows[start : start + size]))
            start += size

    def text(self, dialect: str, count: int, fence: int = 0) -> str:
        """The statement for *count* rows on *dialect*, written under *fence*."""
        raise NotImplementedError


class InsertMany(_Many):
    """New rows of *table*: tuples of the values of *columns*; the other columns get the table's defaults.

    With *adding* a row that is there already has those columns added to instead.
    """

    def __init__(self, table: Table, *columns: str, adding: Sequence[str] = ()) -> None:
        super().__init__()
        given = [table.c[name] for name in columns]
        others = [column for column in table.c if column.name not in columns and not column.nullable]
        literals = [_default(column) for column in others]
        names = ", ".join(map(_quoted, (*given, *others)))
        self._head = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608 - names of our own
        self._row = f"({', '.join([*'?' * len(given), *literals])})"
        key = ", ".join(map(_quoted, table.primary_key))
        sums = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in adding)
        self._tail = f" ON CONFLICT ({key}) DO UPDATE SET {sums}" if adding else ""

    def text(self, dialect: str, count: int, fence: int = 0) -> str:
        """The statement for *count* rows on *dialect*, which *fence* stands in as a number: it costs a row nothing."""
        return self._head + ", ".join([self._row.replace(_FENCE, str(fence))] * count) + self._tail

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert *rows*."""
        for text, values in self._chunks(connection, rows):
            run(connection, text, values)


class UpdateMany(_Many):
    """Changes of rows of *table*: tuples of the values of *keys*, which find one row, and of the columns *sets*.

    *also* is set in each of them (SQL text by column); only rows that *where* (SQL text) holds for are changed.
    """

    def __init__(
        self, table: Table, keys: Sequence[str], sets: Sequence[str], *, also: str = "", where: str = ""
    ) -> None:
        super().__init__()
        self._columns = [table.c[name] for name in (*keys, *sets)]
        names = [f"v.column{number}" for number in range(1, len(self._columns) + 1)]
        pairs = list(zip(map(_quoted, self._columns), names, strict=True))
        assigned = [f"{column} = {name}" for column, name in pairs[len(keys) :]]
        changes = ", ".join([*assigned, *([also] if also else [])])
        self._head = f"UPDATE {table.name} SET {changes} FROM (VALUES "  # noqa: S608 - names of our own
        found = [f"{table.name}.{column} = {name}" for column, name in pairs[: len(keys)]]
        self._tail = f") AS v WHERE {' AND '.join([*found, *([where] if where else [])])}"

    def text(self, dialect: str, count: int, fence: int = 0) -> str:
        """The statement for *count* rows on *dialect*."""
        row = f"({marks(len(self._columns))})"
        first = row
        if dialect == "postgresql":  # else it takes every value for text
            first = f"({', '.join(f'?::{column.type.compile(_POSTGRESQL)}' for column in self._columns)})"
        return self._head + ", ".join([first, *[row] * (count - 1)]) + self._tail

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Change *rows*; how many were found."""
        return sum(run(connection, text, values).rowcount for text, values in self._chunks(connection, rows))


def _default(column: Column[Any]) -> str:
    """The default of *column* as SQL text. Raises `ValueError` when it has none: it must be given."""
    if column.name == "fence":
        return _FENCE
    value = column.default.arg if column.default is not None and column.default.is_scalar else None  # type: ignore[attr-defined]
    if isinstance(column.type, Boolean) and isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and "'" not in value:
        return f"'{value}'"
    raise ValueError(f"{column} has no default: its value must be given")


def _quoted(column: Column[Any]) -> str:
    return _POSTGRESQL.identifier_preparer.quote(column.name)
