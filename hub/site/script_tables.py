"""Code tables of mapping scripts: CSV files beside the scripts, read once when the scripts are loaded."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from hub.core.errors import HubError
from hub.core.reads import noted

_FOLDER: ContextVar[Path] = ContextVar("transforms folder")


class TableError(HubError):
    """A code table cannot be used."""

    code = "H404"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    ``row["column"]`` is its text; asking for a column that the table lacks raises :class:`TableError`.
    """

    table: str
    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        try:
            found = self.values[column]
            noted(found, f"{self.table}:{self.line} {column}")
            return found
        except KeyError:
            raise TableError(
                f'The table has no column "{column}".',
                where=self.table,
                expected=f"one of {', '.join(self.values)}",
            ) from None


class Table:
    """Rows by the text of their key column."""

    def __init__(self, name: str, rows: dict[str, Row]) -> None:
        self.name = name
        self._rows = rows

    def get(self, key: str) -> Row | None:
        """The row whose key column is *key*, or None."""
        return self._rows.get(key)

    def rows(self) -> Iterator[Row]:
        """Every row, in the order of the file."""
        yield from self._rows.values()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<Table {self.name}, {len(self)} rows>"


@contextmanager
def tables_from(folder: Path) -> Iterator[None]:
    """Let :func:`table` read below *folder* while scripts are loaded."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def table(path: str, *, key: str) -> Table:
    """The CSV table at *path*, relative to ``transforms/``, by its column *key*.

    For the top level of a script; inside a mapping there are no files. Raises :class:`TableError` when the file is
    absent, has no such column, or has a key twice.
    """
    folder = _FOLDER.get(None)
    if folder is None:
        raise TableError(
            "A table is read when the script is loaded, not while it maps.",
            where=path,
            fix="Move the call of table() to the top of the script.",
        )
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise TableError("There is no such table.", where=f"transforms/{path}", expected="a CSV file")
    return read_table(file, name=f"transforms/{path}", key=key)


def read_table(file: Path, *, name: str, key: str) -> Table:
    """The table in *file*, called *name* in errors. Raises :class:`TableError` as :func:`table` does."""
    with file.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened, restval="")
        if key not in (reader.fieldnames or ()):
            raise TableError(
                f'The table has no column "{key}".',
                where=f"{name}:1",
                expected=f"one of {', '.join(reader.fieldnames or ())}",
            )
        rows: dict[str, Row] = {}
        for values in reader:
            if None in values:
                raise TableError("A row has more cells than the heading.", where=f"{name}:{reader.line_num}")
            row = Row(name, reader.line_num, {column: text.strip() for column, text in values.items()})
            if row[key] in rows:
                raise TableError(f'The key "{row[key]}" stands twice.', where=f"{name}:{reader.line_num}")
            rows[row[key]] = row
    return Table(name, rows)
