"""The table of edits: what each finds and where, how grave it is, what mends it, what it prevents and what it needs."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.resources import files

from hub.formats.x12.place import Place, place

ERROR, WARNING, INFO, REPAIR = "error", "warning", "info", "repair"
_STATUS = re.compile(r"[A-Z][0-9]:[0-9]+(:[0-9A-Z]+)?")
_SEVERITIES = {"E": ERROR, "W": WARNING, "I": INFO, "R": REPAIR}


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. *sentence* is for billers and names nobody, *fix* says what they do about it, and where.

    *form* is ``837``, ``837P`` or ``837I``. *snip* is the level of the WEDI SNIP types that it belongs to, 1 to 7.
    *places* are where it looks on an 837P, *places_837i* on an 837I; a check that looks at several names the one.
    *needs* names reference data and facts without which it is not made. *prevents* are status codes of a 277CA
    (category:status:entity) and adjustment reasons. A site's rule may replace an edit that *may_be_loosened*; the
    others keep the implementation guide.
    """

    id: str
    severity: str
    form: str
    snip: int
    may_be_loosened: bool
    needs: tuple[str, ...]
    prevents: tuple[str, ...]
    places: tuple[Place, ...]
    places_837i: tuple[Place, ...]
    sentence: str
    fix: str

    def places_of(self, form: str) -> tuple[Place, ...]:
        """Where it looks on a claim of *form*, the usual place first."""
        return self.places_837i if form == "837I" else self.places

    @property
    def stc(self) -> tuple[str, ...]:
        """The status codes of a 277CA among what it prevents."""
        return tuple(code for code in self.prevents if _STATUS.fullmatch(code))


def _read() -> dict[str, Edit]:
    with (files("hub.billing.edits") / "edits.csv").open(encoding="utf-8") as stream:
        return {
            row["id"]: Edit(
                id=row["id"],
                severity=_SEVERITIES[row["severity"]],
                form=row["form"],
                snip=int(row["snip"]),
                may_be_loosened=row["loosen"] == "yes",
                needs=tuple(row["needs"].split()),
                prevents=tuple(row["prevents"].split()),
                places=_places(row["place"]),
                places_837i=_places(row["place_837i"] or row["place"]),
                sentence=row["sentence"],
                fix=row["fix"],
            )
            for row in csv.DictReader(stream)
        }


def _places(text: str) -> tuple[Place, ...]:
    return tuple(place(each) for each in text.split("; "))


EDITS: dict[str, Edit] = _read()
"""Every edit by its id, in the order of the table."""


def preventing(*codes: str) -> tuple[str, ...]:
    """The edits that find the cause of an adjustment of *codes* (``CO-27``) before a claim leaves."""
    wanted = {f"CARC-{code.partition('-')[2]}" for code in codes}
    return tuple(each.id for each in EDITS.values() if wanted.intersection(each.prevents))
