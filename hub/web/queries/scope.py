"""What of billing belongs to some channels: for accounts that are narrowed to them.

A claim is of the channel that told of its visit. A work item is of the channels of its message, delivery, charge and
claim; one that names none of these is the whole practice's.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, or_, select

from hub.store.tables import charge, claim, delivery, message, visit, work_item


def claims_of(channels: Sequence[str]) -> ColumnElement[bool]:
    """The condition that a claim belongs to *channels*."""
    return select(visit.c.id).where(visit.c.id == claim.c.visit_id, visit.c.source_channel.in_(channels)).exists()


def items_of(channels: Sequence[str]) -> ColumnElement[bool]:
    """The condition that a work item belongs to *channels*."""
    on_claim = select(claim.c.id).join(visit, visit.c.id == claim.c.visit_id)
    return or_(
        select(message.c.id).where(message.c.id == work_item.c.message_id, message.c.channel.in_(channels)).exists(),
        select(delivery.c.id)
        .where(delivery.c.id == work_item.c.delivery_id, delivery.c.channel.in_(channels))
        .exists(),
        select(charge.c.id).where(charge.c.id == work_item.c.charge_id, charge.c.source_channel.in_(channels)).exists(),
        on_claim.where(claim.c.id == work_item.c.claim_id, visit.c.source_channel.in_(channels)).exists(),
    )


def has_claim(connection: Connection, claim_id: int, channels: Sequence[str]) -> bool:
    """Whether the claim belongs to *channels*."""
    found = connection.execute(select(claim.c.id).where(claim.c.id == claim_id, claims_of(channels)))
    return found.first() is not None


def has_item(connection: Connection, item_id: int, channels: Sequence[str]) -> bool:
    """Whether the work item belongs to *channels*."""
    found = connection.execute(select(work_item.c.id).where(work_item.c.id == item_id, items_of(channels)))
    return found.first() is not None
