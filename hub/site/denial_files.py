"""What a site says of denials: ``config/denials.csv``, ``config/denial_remarks.csv`` and ``config/appeals/*.txt``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from hub.billing.denials.letters import LetterError, examine
from hub.billing.denials.table import (
    COLUMNS,
    REMARK_COLUMNS,
    DenialTable,
    DenialTableError,
    remark_of,
    rule_of,
    with_site,
)
from hub.site.findings import Finding

T = TypeVar("T")


def denial_table(folder: Path) -> tuple[DenialTable, list[Finding]]:
    """The shipped triage table with the site's rows over it, and what is wrong with those."""
    rules, findings = _read(folder, "config/denials.csv", COLUMNS, ("reason", "category", "action"), rule_of)
    remarks, found = _read(folder, "config/denial_remarks.csv", REMARK_COLUMNS, ("remark", "effect"), remark_of)
    return with_site(rules, remarks), findings + found


def appeal_letters(folder: Path) -> tuple[dict[str, str], list[Finding]]:
    """The site's own letters by name, and which of them cannot be written."""
    letters: dict[str, str] = {}
    findings = []
    for path in sorted((folder / "config" / "appeals").glob("*.txt")):
        name = path.relative_to(folder).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            examine(text)
        except LetterError as error:
            findings.append(Finding(name, error.line, 0, "H631", "error", error.what, error.fix))
            continue
        letters[path.stem] = text
    return letters, findings


def _read(
    folder: Path,
    name: str,
    columns: Iterable[str],
    needed: Iterable[str],
    made: Callable[[dict[str, str]], T],
) -> tuple[list[T], list[Finding]]:
    path = folder / name
    if not path.exists():
        return [], []
    rows: list[T] = []
    findings: list[Finding] = []
    with path.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened, restval="")
        headings = reader.fieldnames or ()
        wrong = [each for each in needed if each not in headings] + [each for each in headings if each not in columns]
        if wrong:
            what = f'The column "{wrong[0]}" is {"not known" if wrong[0] in headings else "missing"}.'
            return [], [Finding(name, 1, 0, "H630", "error", what, ",".join(columns))]
        for row in reader:
            try:
                rows.append(made(row))
            except DenialTableError as error:
                findings.append(Finding(name, reader.line_num, 0, "H630", "error", error.what, error.expected))
    return rows, findings
