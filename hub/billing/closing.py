"""Month-end close: a month's figures are frozen, and whatever changes them later shows as a correction made later.

The ledger is append-only and each entry is posted on the day on which it is made, so a closed month cannot change; that
it did not is proved by the digest over its postings. What a later entry takes back of it is listed with its own day.
"""

from __future__ import annotations

import hashlib
import json
import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, and_, func, select

from hub.billing.asked import Answer, Args, CommandError, the_text
from hub.billing.decision import Decision
from hub.core.money import from_cents, to_cents
from hub.store.tables import closed_month, ledger_entry, ledger_posting

ROWS_AT_ONCE = 2000
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFigure:
    """One ledger account over a month: debits positive."""

    account: str
    brought_forward: Decimal
    moved: Decimal

    @property
    def carried_forward(self) -> Decimal:
        """The balance at the month's end."""
        return self.brought_forward + self.moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """An entry made after the month was over that takes back one of the month's; *amount* is what it turned over."""

    entry_id: int
    reverses_id: int
    posted_on: str
    kind: str
    actor: str
    rule: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed month as it was frozen. *unchanged* says whether the ledger still says exactly the same."""

    month: str
    closed_at: int
    closed_by: str
    note: str
    entries: int
    figures: tuple[AccountFigure, ...]
    unchanged: bool


def close_month(decision: Decision, args: Args) -> Answer:
    """``month`` (2026-03), ``note``: freeze the figures of a month that is over. Months are closed in their order."""
    month = the_text(args, "month")
    first, last = bounds(month)
    if decision.today <= last:
        raise CommandError("This month is not over.", where=month, expected=f"a day after {last}", found=decision.today)
    if decision.row("closed_month", month=month) is not None:
        raise CommandError("This month is closed already.", where=month)
    closed = set(decision.connection.execute(select(closed_month.c.month)).scalars())
    earlier = decision.connection.execute(
        select(func.substr(ledger_entry.c.posted_on, 1, 7)).where(ledger_entry.c.posted_on < first).distinct()
    ).scalars()
    if missing := sorted(set(earlier) - closed):
        raise CommandError("An earlier month is not closed.", where=month, expected=f"{missing[0]} first")
    figures, entries, last_id, digest = _counted(decision.connection, month)
    decision.insert(
        "closed_month",
        month=month,
        closed_business_at=decision.now_ms,
        closed_by=decision.actor,
        last_entry_id=last_id,
        entries=entries,
        digest=digest,
        figures=json.dumps(
            [[each.account, str(each.brought_forward), str(each.moved)] for each in figures], separators=(",", ":")
        ),
        note=str(args.get("note") or "")[:400],
    )
    return {"month": month, "entries": entries}


COMMANDS = {"close_month": close_month}


def months(connection: Connection) -> list[Closed]:
    """Every closed month, in order, held against what the ledger says of it now."""
    rows = connection.execute(select(closed_month).order_by(closed_month.c.month))
    return [_closed(connection, row._mapping) for row in rows]


def corrections(connection: Connection, month: str) -> list[Correction]:
    """What was taken back of *month* after its end, and when."""
    first, last = bounds(month)
    earlier = ledger_entry.alias("earlier")
    turned = (
        select(func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.entry_id == ledger_entry.c.id, ledger_posting.c.amount_cents > 0)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            ledger_entry.c.id,
            ledger_entry.c.reverses_id,
            ledger_entry.c.posted_on,
            ledger_entry.c.kind,
            ledger_entry.c.actor,
            ledger_entry.c.rule,
            func.coalesce(turned, 0).label("cents"),
        )
        .join(earlier, earlier.c.id == ledger_entry.c.reverses_id)
        .where(earlier.c.posted_on.between(first, last), ledger_entry.c.posted_on > last)
        .order_by(ledger_entry.c.id)
    )
    return [
        Correction(
            entry_id=row.id,
            reverses_id=row.reverses_id,
            posted_on=row.posted_on,
            kind=row.kind,
            actor=row.actor,
            rule=row.rule,
            amount=from_cents(int(row.cents)),
        )
        for row in rows
    ]


def changed(connection: Connection) -> Iterator[str]:
    """The closed months of which the ledger's sums say something else now: it must be none.

    The store adds up; that no single posting differs, :func:`months` proves by their digests.
    """
    for row in connection.execute(select(closed_month).order_by(closed_month.c.month)).all():
        first, last = bounds(row.month)
        entries, newest = connection.execute(
            select(func.count(), func.coalesce(func.max(ledger_entry.c.id), 0)).where(
                ledger_entry.c.posted_on.between(first, last)
            )
        ).one()
        moved = _moved(connection, first, last)
        frozen = {account: to_cents(Decimal(cents)) for account, _, cents in json.loads(row.figures)}
        if (entries, newest) != (row.entries, row.last_entry_id) or any(
            moved.get(account, 0) != frozen.get(account, 0) for account in {*moved, *frozen}
        ):
            yield row.month


def bounds(month: str) -> tuple[str, str]:
    """The first and last day of *month*, ISO text. Raises :class:`CommandError` for anything else."""
    if not _MONTH.match(month):
        raise CommandError("A month is written 2026-03.", found=month)
    year, number = int(month[:4]), int(month[5:])
    return f"{month}-01", f"{month}-{monthrange(year, number)[1]:02d}"


def _closed(connection: Connection, row: object) -> Closed:
    kept: dict[str, object] = dict(row)  # type: ignore[call-overload]
    month = str(kept["month"])
    figures, entries, _, digest = _counted(connection, month)
    frozen = tuple(
        AccountFigure(account=account, brought_forward=Decimal(before), moved=Decimal(moved))
        for account, before, moved in json.loads(str(kept["figures"]))
    )
    same = kept["digest"] == digest and kept["entries"] == entries and frozen == figures
    return Closed(
        month=month,
        closed_at=int(str(kept["closed_business_at"])),
        closed_by=str(kept["closed_by"]),
        note=str(kept["note"]),
        entries=int(str(kept["entries"])),
        figures=frozen,
        unchanged=same,
    )


def _counted(connection: Connection, month: str) -> tuple[tuple[AccountFigure, ...], int, int, bytes]:
    """The figures of *month*, how many entries it has, the last one's id, and the digest over its postings."""
    first, last = bounds(month)
    before = _by_account(connection, first)
    moved: dict[str, int] = {}
    hashed, seen, last_id = hashlib.sha256(), 0, 0
    rows = connection.execute(
        select(
            ledger_entry.c.id,
            ledger_entry.c.kind,
            ledger_entry.c.posted_on,
            ledger_posting.c.ordinal,
            ledger_posting.c.account,
            ledger_posting.c.amount_cents,
            ledger_posting.c.charge_id,
        )
        .outerjoin(ledger_posting, ledger_posting.c.entry_id == ledger_entry.c.id)
        .where(ledger_entry.c.posted_on.between(first, last))
        .order_by(ledger_entry.c.id, ledger_posting.c.ordinal)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for row in rows:
        hashed.update(repr(tuple(row)).encode())
        if row.account is not None:
            moved[row.account] = moved.get(row.account, 0) + int(row.amount_cents)
        if row.id != last_id:
            seen, last_id = seen + 1, row.id
    figures = tuple(
        AccountFigure(
            account=account,
            brought_forward=from_cents(before.get(account, 0)),
            moved=from_cents(moved.get(account, 0)),
        )
        for account in sorted({*before, *moved})
    )
    return figures, seen, last_id, hashed.digest()


def _by_account(connection: Connection, before: str) -> dict[str, int]:
    return _summed(connection, ledger_entry.c.posted_on < before)


def _moved(connection: Connection, first: str, last: str) -> dict[str, int]:
    return _summed(connection, ledger_entry.c.posted_on.between(first, last))


def _summed(connection: Connection, of_entries: ColumnElement[bool]) -> dict[str, int]:
    rows = connection.execute(
        select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .join(ledger_entry, and_(ledger_entry.c.id == ledger_posting.c.entry_id, of_entries))
        .group_by(ledger_posting.c.account)
    )
    return {account: int(cents) for account, cents in rows}
