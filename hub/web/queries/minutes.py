"""Staff minutes: how long people are at work on items, by queue, from what they did in the hub.

A person is at an item from opening it until the next thing they do, five minutes at most: whoever goes for coffee does
not count. Nothing is measured but what the audit log holds anyway.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, select

from hub.store.tables import audit, work_item

IDLE_MS = 5 * 60_000
MOST = 200_000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class QueueMinutes:
    """One queue: the resolved items that people opened, their claims, and how long people were at them."""

    queue: str
    items: int
    claims: tuple[int, ...]
    milliseconds: int


def by_queue(connection: Connection) -> list[QueueMinutes]:
    """The queues by the time they take, of the newest 200,000 things that anybody did."""
    at_item: dict[int, int] = defaultdict(int)
    open_item: dict[str, tuple[int, int]] = {}
    first = connection.execute(
        select(audit.c.sequence).order_by(audit.c.sequence.desc()).offset(MOST).limit(1)
    ).scalar()
    rows = connection.execute(
        select(audit.c.actor, audit.c.at, audit.c.object_type, audit.c.object_id, audit.c.action)
        .where(audit.c.sequence > (first or 0))
        .order_by(audit.c.sequence)
    )
    for actor, at, object_type, object_id, action in rows:
        if actor in open_item:
            item_id, since = open_item.pop(actor)
            at_item[item_id] += min(IDLE_MS, max(0, at - since))
        if object_type == "work item" and action == "view" and object_id.isdigit():
            open_item[actor] = (int(object_id), at)
    return _by_queue(connection, at_item)


def _by_queue(connection: Connection, at_item: dict[int, int]) -> list[QueueMinutes]:
    items: dict[str, list[int]] = defaultdict(list)
    claims: dict[str, set[int]] = defaultdict(set)
    ids = sorted(at_item)
    for start in range(0, len(ids), _PAGE):
        rows = connection.execute(
            select(work_item.c.id, work_item.c.queue, work_item.c.claim_id).where(
                work_item.c.id.in_(ids[start : start + _PAGE]), work_item.c.state == "resolved"
            )
        )
        for item_id, queue, claim_id in rows:
            items[queue].append(at_item[item_id])
            if claim_id is not None:
                claims[queue].add(claim_id)
    made = [QueueMinutes(queue, len(spent), tuple(sorted(claims[queue])), sum(spent)) for queue, spent in items.items()]
    return sorted(made, key=lambda each: -each.milliseconds)
