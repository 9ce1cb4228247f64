"""Work queues: what stands in each, and one item with its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from hub.store.tables import charge as charges
from hub.store.tables import (
    claim,
    claim_line,
    denial,
    denial_action,
    ledger_posting,
    number_rule,
    remittance,
    work_event,
    work_item,
)
from hub.web.queries.scope import items_of

PAGE = 100
_NEVER = "9999"  # sorts behind every day


@dataclass(frozen=True, slots=True)
class QueueCount:
    """One queue: open items, their money, since when (business time) the oldest."""

    queue: str
    count: int
    cents: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Item:
    """One work item. The *sealed* evidence is opened by whoever shows it."""

    id: int
    queue: str
    kind: str
    sentence: str
    rule: str
    money_cents: int
    claim_id: int | None
    claim_number: str
    claim_state: str
    payer_id: str
    service_on: str
    charge_id: int | None
    patient_id: int | None
    message_id: int | None
    remittance_id: int | None
    remittance_claim_id: int | None
    delivery_id: int | None
    source_path: str
    opened_business_at: int
    due_on: str
    state: str
    resolution: str
    assignee: str
    snoozed_until: str
    version: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """Something a person did with an item. The *sealed* words are opened by whoever shows them."""

    at: int
    actor: str
    kind: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """The charge, claim, remittance or denial of an item, as far as deciding about it needs."""

    id: int
    state: str
    version: int


@dataclass(frozen=True, slots=True)
class About:
    """What an item is about, line by line: a service line of its claim (*ordinal*), or the charge itself (0)."""

    ordinal: int
    code: str
    modifiers: str
    units_milli: int
    service_on: str
    cents: int
    performer: str
    department: str


@dataclass(frozen=True, slots=True)
class Appeal:
    """An appeal under way. The *sealed* letter is opened by whoever shows it."""

    id: int
    state: str
    version: int
    level: int
    due_on: str
    sent_on: str
    actor: str
    sealed: bytes


def counts(connection: Connection, today: str, within: tuple[str, ...] = ()) -> dict[str, QueueCount]:
    """Every queue that has open items, *within* some channels; those that rest beyond *today* are left out."""
    return {
        row[0]: QueueCount(row[0], row[1], int(row[2]), row[3])
        for row in connection.execute(
            select(
                work_item.c.queue,
                func.count(),
                func.sum(work_item.c.money_cents),
                func.min(work_item.c.opened_business_at),
            )
            .where(work_item.c.state == "open", work_item.c.snoozed_until <= today, *_of(within))
            .group_by(work_item.c.queue)
        )
    }


def about(connection: Connection, item: Item) -> list[About]:
    """The service lines of the claim of *item*, or its charge; at most 50."""
    if item.claim_id is not None:
        source = claim_line.join(charges, charges.c.id == claim_line.c.charge_id)
        columns = (claim_line, charges.c.performing_npi, charges.c.department)
        found = select(*columns).select_from(source).where(claim_line.c.claim_id == item.claim_id)
        return [
            About(
                row.ordinal, row.code, row.modifiers, row.units_milli, row.service_on, row.charge_cents,
                row.performing_npi, row.department,
            )
            for row in connection.execute(found.order_by(claim_line.c.ordinal).limit(50))
        ]  # fmt: skip
    if item.charge_id is None:
        return []
    return [
        About(
            0, row.code, row.modifiers, row.units_milli, row.service_on, row.amount_cents, row.performing_npi,
            row.department,
        )
        for row in connection.execute(select(charges).where(charges.c.id == item.charge_id))
    ]  # fmt: skip


def _of(within: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [items_of(within)] if within else []


def open_total(connection: Connection, today: str, within: tuple[str, ...] = ()) -> int:
    """How many items are open in all queues, *within* some channels; those that rest beyond *today* are left out."""
    awake = (work_item.c.state == "open", work_item.c.snoozed_until <= today, *_of(within))
    return int(connection.execute(select(func.count()).select_from(work_item).where(*awake)).scalar_one())


@dataclass(frozen=True, slots=True)
class Listing:
    """Which items a list shows: of one *queue*, *state* (open, resting or resolved), *assignee* (empty: anybody's).

    *after* is the last item of the page before, None for the first page; *within* are the channels whose items are
    meant, empty for all.
    """

    queue: str
    state: str
    today: str
    assignee: str = ""
    after: Item | None = None
    within: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items in the order in which they are worked, and whether more follow."""

    rows: tuple[Item, ...]
    more: bool


_due = case((work_item.c.due_on == "", _NEVER), else_=work_item.c.due_on)


def list_statement(asked: Listing) -> Select[Any]:
    """The statement behind :func:`items`, for the test of its query plan: the order is found in an index alone."""
    order = (_due, work_item.c.money_cents.desc(), work_item.c.id)
    ids = select(work_item.c.id).where(*_among(asked)).order_by(*order).limit(PAGE + 1).subquery()
    return (
        select(
            work_item, claim.c.control_number, claim.c.state.label("claim_state"), claim.c.payer_id, claim.c.service_on
        )
        .join(ids, ids.c.id == work_item.c.id)
        .join(claim, claim.c.id == work_item.c.claim_id, isouter=True)
        .order_by(*order)
    )


def _among(asked: Listing) -> list[ColumnElement[bool]]:
    item = work_item.c
    conditions = [item.queue == asked.queue, item.state == ("resolved" if asked.state == "resolved" else "open")]
    conditions += _of(asked.within)
    if asked.state != "resolved":
        rests = item.snoozed_until > asked.today
        conditions.append(rests if asked.state == "resting" else ~rests)
    if asked.assignee:
        conditions.append(item.assignee == asked.assignee)
    if asked.after is not None:
        due, cents = asked.after.due_on or _NEVER, asked.after.money_cents
        later = and_(item.money_cents == cents, item.id > asked.after.id)
        conditions.append(or_(_due > due, and_(_due == due, or_(item.money_cents < cents, later))))
    return conditions


def items(connection: Connection, asked: Listing) -> ItemPage:
    """One page of what *asked* names: first those due soonest, then by money, those due never last."""
    found = [_item(row) for row in connection.execute(list_statement(asked))]
    return ItemPage(tuple(found[:PAGE]), more=len(found) > PAGE)


def total(connection: Connection, asked: Listing) -> tuple[int, int]:
    """How many items *asked* names on all its pages, and their money in cents."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(work_item.c.money_cents), 0)).where(*_among(asked))
    ).one()
    return int(row[0]), int(row[1])


def get(connection: Connection, item_id: int) -> Item | None:
    """The item called *item_id*."""
    row = connection.execute(
        select(
            work_item, claim.c.control_number, claim.c.state.label("claim_state"), claim.c.payer_id, claim.c.service_on
        )
        .join(claim, claim.c.id == work_item.c.claim_id, isouter=True)
        .where(work_item.c.id == item_id)
    ).first()
    return _item(row) if row else None


def subject(connection: Connection, item: Item, what: str) -> Subject | None:
    """The row of *item* that an act is about.

    *what* is ``item``, ``charge``, ``claim``, ``remittance``, ``denial``, ``number_rule`` or ``denial action``: the
    appeal under way.
    """
    if what == "item":
        return Subject(item.id, item.state, item.version)
    if what == "denial action":
        under_way = appeal(connection, item.id)
        return Subject(under_way.id, under_way.state, under_way.version) if under_way else None
    if what == "number_rule":
        return _number_rule(connection, item)
    table, row_id = {
        "charge": (charges, item.charge_id),
        "claim": (claim, item.claim_id),
        "remittance": (remittance, item.remittance_id),
        "denial": (denial, item.id),
    }[what]
    if row_id is None:
        return None
    key = table.c.item_id if what == "denial" else table.c.id
    row = connection.execute(select(table.c.id, table.c.state, table.c.version).where(key == row_id)).first()
    return Subject(row.id, row.state, row.version) if row else None


def appeal(connection: Connection, item_id: int) -> Appeal | None:
    """The newest appeal of the denial of an item that is drafted or sent."""
    row = connection.execute(
        select(denial_action)
        .join(denial, denial.c.id == denial_action.c.denial_id)
        .where(
            denial.c.item_id == item_id,
            denial_action.c.kind == "appeal",
            denial_action.c.state.in_(("drafted", "sent")),
        )
        .order_by(denial_action.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Appeal(row.id, row.state, row.version, row.level, row.due_on, row.sent_on, row.actor, row.body)


def _number_rule(connection: Connection, item: Item) -> Subject | None:
    """The rule about a payer's numbers that *item* proposes: its key names it."""
    if item.kind != "number rule":
        return None
    key = connection.execute(select(work_item.c.item_key).where(work_item.c.id == item.id)).scalar_one()
    columns = (number_rule.c.id, number_rule.c.state, number_rule.c.version)
    row = connection.execute(select(*columns).where(number_rule.c.id == int(key.rpartition(":")[2]))).first()
    return Subject(row.id, row.state, row.version) if row else None


def owed(connection: Connection, claim_id: int) -> tuple[int, int]:
    """What payer and patient still owe for the charges of a claim, in cents."""
    on_claim = select(charges.c.id).where(charges.c.claim_id == claim_id)
    sums = {
        account: int(cents)
        for account, cents in connection.execute(
            select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
            .where(
                ledger_posting.c.charge_id.in_(on_claim),
                ledger_posting.c.account.in_(("receivable payer", "receivable patient")),
            )
            .group_by(ledger_posting.c.account)
        )
    }
    return sums.get("receivable payer", 0), sums.get("receivable patient", 0)


def history(connection: Connection, item_id: int) -> list[ItemEvent]:
    """What people did with an item, oldest first."""
    return [
        ItemEvent(row.at, row.actor, row.kind, row.body)
        for row in connection.execute(
            select(work_event).where(work_event.c.item_id == item_id).order_by(work_event.c.id)
        )
    ]


def _item(row: Any) -> Item:
    return Item(
        id=row.id,
        queue=row.queue,
        kind=row.kind,
        sentence=row.sentence,
        rule=row.rule,
        money_cents=row.money_cents,
        claim_id=row.claim_id,
        claim_number=row.control_number or "",
        claim_state=row.claim_state or "",
        payer_id=row.payer_id or "",
        service_on=row.service_on or "",
        charge_id=row.charge_id,
        patient_id=row.patient_id,
        message_id=row.message_id,
        remittance_id=row.remittance_id,
        remittance_claim_id=row.remittance_claim_id,
        delivery_id=row.delivery_id,
        source_path=row.source_path,
        opened_business_at=row.opened_business_at,
        due_on=row.due_on,
        state=row.state,
        resolution=row.resolution,
        assignee=row.assignee or "",
        snoozed_until=row.snoozed_until,
        version=row.version,
        sealed=row.body,
    )
