"""What reference data says of the codes of one claim: read at once, then looked up by date of service."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, select

from hub.billing.refdata.kinds import Entry
from hub.core.errors import HubError
from hub.store.tables import refdata_code, refdata_pair, refdata_set

Facts = Mapping[str, str]


class NotLoadedError(HubError):
    """What an edit needs is not there for the date of service, so the edit was not made."""

    code = "H541"


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of a kind, with the entries that were asked for."""

    kind: str
    effective: str
    entries: Mapping[tuple[str, str], tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class Reference:
    """The editions in force, newest first within each kind."""

    editions: Mapping[str, tuple[Edition, ...]] = field(default_factory=dict)

    def code(self, kind: str, code: str, on: date) -> Facts | None:
        """What *kind* says of *code* on that day; None when it does not have it.

        Raises :class:`NotLoadedError` when no edition of *kind* is in force on that day.
        """
        return self.pair(kind, code, "", on)

    def pair(self, kind: str, first: str, second: str, on: date) -> Facts | None:
        """The same for a pair of codes, in this order."""
        day = on.isoformat()
        for edition in self.editions.get(kind, ()):
            if edition.effective <= day:
                for entry in edition.entries.get((first, second), ()):
                    if entry.effective <= day and (not entry.ends or day <= entry.ends):
                        return entry.facts
                return None
        raise NotLoadedError("Reference data that an edit needs is not loaded.", expected=kind)

    def seconds(self, kind: str, first: str, on: date) -> frozenset[str]:
        """The codes that *kind* pairs with *first* on that day. Raises :class:`NotLoadedError`."""
        day = on.isoformat()
        for edition in self.editions.get(kind, ()):
            if edition.effective <= day:
                return frozenset(pair[1] for pair in edition.entries if pair[0] == first)
        raise NotLoadedError("Reference data that an edit needs is not loaded.", expected=kind)


NOTHING = Reference()
_WHOLE = {"addon", "coverage", "usual"}  # where it matters that a code has pairs at all


def reference_of(kinds: Mapping[str, Iterable[Entry]], effective: str = "2000-01-01") -> Reference:
    """A reference of *kinds* as they are, one edition each: what samples are checked against."""
    return Reference({kind: (_edition(kind, effective, entries),) for kind, entries in kinds.items()})


def look_up(connection: Connection, codes: Collection[str]) -> Reference:
    """What the store's editions say of *codes* and of the pairs among them."""
    sets = connection.execute(
        select(refdata_set.c.id, refdata_set.c.kind, refdata_set.c.effective_on).where(refdata_set.c.state == "ready")
    ).all()
    if not sets:
        return NOTHING
    ids = [row.id for row in sets]
    found: dict[int, list[Entry]] = {}
    for row in connection.execute(
        select(refdata_code).where(refdata_code.c.set_id.in_(ids), refdata_code.c.code.in_(codes))
    ):
        entry = Entry(row.code, "", row.effective_on, row.ends_on, json.loads(row.facts))
        found.setdefault(row.set_id, []).append(entry)
    whole = [row.id for row in sets if row.kind in _WHOLE]
    for row in connection.execute(
        select(refdata_pair).where(
            refdata_pair.c.set_id.in_(ids),
            refdata_pair.c.first.in_(codes),
            refdata_pair.c.second.in_(codes) | refdata_pair.c.set_id.in_(whole),
        )
    ):
        entry = Entry(row.first, row.second, row.effective_on, row.ends_on, json.loads(row.facts))
        found.setdefault(row.set_id, []).append(entry)
    editions: dict[str, list[Edition]] = {}
    for row in sorted(sets, key=lambda row: (row.effective_on, row.id), reverse=True):
        editions.setdefault(row.kind, []).append(_edition(row.kind, row.effective_on, found.get(row.id, ())))
    return Reference({kind: tuple(each) for kind, each in editions.items()})


def _edition(kind: str, effective: str, entries: Iterable[Entry]) -> Edition:
    by_code: dict[tuple[str, str], tuple[Entry, ...]] = {}
    for entry in entries:
        key = (entry.code, entry.second)
        by_code[key] = (*by_code.get(key, ()), entry)
    return Edition(kind, effective, by_code)
