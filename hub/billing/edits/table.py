"""The table of edits: what each one finds, how grave it is, what it prevents and what it needs to be made."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

ERROR, WARNING, INFO, REPAIR = "error", "warning", "info", "repair"
_SEVERITIES = {"E": ERROR, "W": WARNING, "I": INFO, "R": REPAIR}


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. *sentence* is for billers and names nobody.

    *form* is ``837``, ``837P`` or ``837I``. *needs* names reference data and facts without which it is not made.
    *prevents* are status codes of a 277CA (category:status:entity) and adjustment reasons. A site's rule may replace
    an edit that *may_be_loosened*; the others keep the implementation guide.
    """

    id: str
    severity: str
    form: str
    may_be_loosened: bool
    needs: tuple[str, ...]
    prevents: tuple[str, ...]
    sentence: str


def _read() -> dict[str, Edit]:
    with (files("hub.billing.edits") / "edits.csv").open(encoding="utf-8") as stream:
        return {
            row["id"]: Edit(
                id=row["id"],
                severity=_SEVERITIES[row["severity"]],
                form=row["form"],
                may_be_loosened=row["loosen"] == "yes",
                needs=tuple(row["needs"].split()),
                prevents=tuple(row["prevents"].split()),
                sentence=row["sentence"],
            )
            for row in csv.DictReader(stream)
        }


EDITS: dict[str, Edit] = _read()
"""Every edit by its id, in the order of the table."""


def preventing(*codes: str) -> tuple[str, ...]:
    """The edits that find the cause of an adjustment of *codes* (``CO-27``) before a claim leaves."""
    wanted = {f"CARC-{code.partition('-')[2]}" for code in codes}
    return tuple(each.id for each in EDITS.values() if wanted.intersection(each.prevents))
