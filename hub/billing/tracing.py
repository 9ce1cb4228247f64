"""From a balance to the entries that it is made of, and from a posted cent to the segment of the 835 that says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, tuple_

from hub.billing.closing import bounds
from hub.core.money import from_cents
from hub.core.vault import Vault
from hub.formats.x12.segments import Segment, read_segments
from hub.store.contents import stream_content
from hub.store.tables import claim, ledger_entry, ledger_posting, message, remittance


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One posting: what moved, why, by whom, and where it comes from. *balance* runs over what was asked for.

    *place* is where the amount stands (``ISA 000000101, segment 12 SVC``) in the message *message_id*, of whose
    transactions it is the one numbered *transaction*, from 1; *trace* is the payment's number.
    """

    entry_id: int
    posted_on: str
    kind: str
    account: str
    amount: Decimal
    balance: Decimal
    code: str
    payer_id: str
    control_number: str
    actor: str
    rule: str
    trace: str
    place: str
    message_id: int | None
    transaction: int | None
    reverses_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the postings that were asked for, in order; *balance* is that of all of them.

    *further* is where the next page begins, None after the last.
    """

    postings: tuple[Traced, ...]
    balance: Decimal
    further: tuple[int, int] | None


def traced(
    connection: Connection,
    *,
    control_number: str = "",
    account: str = "",
    payer_id: str = "",
    month: str = "",
    trace: str = "",
    entry_id: int | None = None,
    after: tuple[int, int] = (0, 0),
    limit: int = 1000,
) -> Page:
    """At most *limit* of the postings that fit, those *after* an entry and its posting.

    What comes before and behind them is added up by the store, and never read.
    """
    conditions: list[ColumnElement[bool]] = []
    if control_number:
        conditions.append(claim.c.control_number == control_number)
    if account:
        conditions.append(ledger_posting.c.account == account)
    if payer_id:
        conditions.append(ledger_posting.c.payer_id == payer_id)
    if month:
        conditions.append(ledger_entry.c.posted_on.between(*bounds(month)))
    if trace:
        conditions.append(remittance.c.trace == trace)
    if entry_id is not None:
        conditions.append(ledger_entry.c.id == entry_id)
    place = tuple_(ledger_posting.c.entry_id, ledger_posting.c.ordinal)
    total = _joined(select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0))).where(*conditions)
    whole = int(connection.execute(total).scalar_one())
    cents = int(connection.execute(total.where(place <= after)).scalar_one()) if after > (0, 0) else 0
    statement = _joined(
        select(ledger_entry, ledger_posting, remittance.c.trace, remittance.c.ordinal, claim.c.control_number)
    )
    rows = connection.execute(
        statement.where(*conditions, place > after)
        .order_by(ledger_posting.c.entry_id, ledger_posting.c.ordinal)
        .limit(limit + 1)
    ).mappings()
    found: list[Traced] = []
    last = after
    for row in rows:
        if len(found) == limit:
            return Page(postings=tuple(found), balance=from_cents(whole), further=last)
        cents += int(row[ledger_posting.c.amount_cents])
        last = (row[ledger_posting.c.entry_id], row[ledger_posting.c.ordinal])
        found.append(_traced(row, cents))
    return Page(postings=tuple(found), balance=from_cents(whole), further=None)


def _joined(statement: Select[Any]) -> Select[Any]:
    return (
        statement.select_from(ledger_entry)
        .join(ledger_posting, ledger_posting.c.entry_id == ledger_entry.c.id)
        .outerjoin(remittance, remittance.c.id == ledger_entry.c.remittance_id)
        .outerjoin(claim, claim.c.id == ledger_posting.c.claim_id)
    )


def _traced(row: RowMapping, balance_cents: int) -> Traced:
    return Traced(
        entry_id=row[ledger_entry.c.id],
        posted_on=row[ledger_entry.c.posted_on],
        kind=row[ledger_entry.c.kind],
        account=row[ledger_posting.c.account],
        amount=from_cents(int(row[ledger_posting.c.amount_cents])),
        balance=from_cents(balance_cents),
        code=row[ledger_posting.c.code],
        payer_id=row[ledger_posting.c.payer_id],
        control_number=row[claim.c.control_number] or "",
        actor=row[ledger_entry.c.actor],
        rule=row[ledger_entry.c.rule],
        trace=row[remittance.c.trace] or "",
        place=row[ledger_posting.c.reference],
        message_id=row[ledger_entry.c.message_id],
        transaction=row[remittance.c.ordinal],
        reverses_id=row[ledger_entry.c.reverses_id],
    )


def segments_of(connection: Connection, vault: Vault, postings: Sequence[Traced]) -> dict[str, Segment]:
    """The segments that *postings* of one entry came from, by their place; none where no message says it any more.

    A message is read once, piece by piece, and no further than the last segment that is asked for.
    """
    wanted: dict[int, set[tuple[int | None, str]]] = {}
    for each in postings:
        if each.message_id is not None and each.place.startswith("ISA "):
            wanted.setdefault(each.message_id, set()).add((each.transaction, each.place))
    found: dict[str, Segment] = {}
    for message_id, places in wanted.items():
        transaction = 0
        for segment in _segments(connection, vault, message_id):
            transaction += segment.id == "ST"
            if (transaction, segment.place) in places:
                found[segment.place] = segment
                places.remove((transaction, segment.place))
                if not places:
                    break
    return found


def _segments(connection: Connection, vault: Vault, message_id: int) -> Iterator[Segment]:
    raw_id = connection.execute(select(message.c.raw_id).where(message.c.id == message_id)).scalar()
    if raw_id is None:
        return
    try:
        yield from read_segments(stream_content(connection, vault, raw_id))
    except KeyError:
        return  # its content left the store
