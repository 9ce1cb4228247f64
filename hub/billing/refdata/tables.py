"""Delimited files as publishers write them: commas or tabs, headings in their own words, lines of notices before."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from hub.billing.refdata.errors import BadFileError

_OTHER_NAMES = {
    "hcpc": "code", "hcpcs": "code", "modifier": "code", "zip": "code", "zip_code": "code", "payer_id": "code",
    "add_dt": "effective", "effective_date": "effective", "start": "effective", "start_date": "effective",
    "term_dt": "ends", "termination_date": "ends", "stop": "ends", "end_date": "ends", "deletion_date": "ends",
}  # fmt: skip
_MOST_NOTICES = 40  # lines before the headings


class Table:
    """The rows of a delimited file below its headings. *names* are the headings in lower case, one word each."""

    def __init__(self, names: list[str], rows: Iterator[list[str]]) -> None:
        self.names = names
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Each row as a dictionary of trimmed texts by heading; blank rows are left out."""
        for row in self._rows:
            if any(row):
                yield {**dict.fromkeys(self.names, ""), **dict(zip(self.names, row, strict=False))}

    @staticmethod
    def cells(lines: Iterable[str], delimiter: str = "") -> Iterator[list[str]]:
        """The trimmed cells of each line; when no *delimiter* is known, it is the line's first tab or comma."""
        for line in lines:
            reader = csv.reader([line], delimiter=delimiter or _delimiter(line))
            yield [cell.strip() for cell in next(reader, [])]


def read_table(lines: Iterable[str], need: tuple[str, ...]) -> Table:
    """The table whose headings have the names *need*. Raises :class:`BadFileError` when no line does."""
    iterator = iter(lines)
    for number, line in enumerate(iterator):
        names = [_name(cell) for row in Table.cells([line]) for cell in row]
        if set(need) <= set(names):
            return Table(names, Table.cells(iterator, _delimiter(line)))
        if number >= _MOST_NOTICES:
            break
    raise BadFileError("The file has no line of headings.", expected=f"columns {', '.join(need)}")


def _delimiter(line: str) -> str:
    """What parts the cells of a heading: a later line may hold the other character in a description."""
    tab, comma = line.find("\t"), line.find(",")
    return "\t" if tab >= 0 and (comma < 0 or tab < comma) else ","


def _name(heading: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", heading.lower().lstrip("\ufeff")).strip("_")
    return _OTHER_NAMES.get(name, name)
