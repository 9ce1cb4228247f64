"""The audit log as its readers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, String, cast, func, select

from hub.store.tables import audit
from hub.web.queries.distinct import distinct

PAGE = 100
REVIEWED = "break glass reviewed"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One record."""

    sequence: int
    at: int
    actor: str
    action: str
    object_type: str
    object_id: str
    reason: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one person did about a patient: how often, first and last."""

    actor: str
    action: str
    times: int
    first_at: int
    last_at: int


def page(
    connection: Connection,
    *,
    actor: str = "",
    action: str = "",
    patients: Sequence[int] = (),
    before: int | None = None,
) -> tuple[list[AuditRow], bool]:
    """One page of records, newest first, and whether there are older ones."""
    statement = select(audit).order_by(audit.c.sequence.desc()).limit(PAGE + 1)
    if actor:
        statement = statement.where(audit.c.actor == actor)
    if action:
        statement = statement.where(audit.c.action == action)
    if patients:
        statement = statement.where(audit.c.patient_id.in_(patients))
    if before is not None:
        statement = statement.where(audit.c.sequence < before)
    found = [_row(row) for row in connection.execute(statement)]
    return found[:PAGE], len(found) > PAGE


def who_saw(connection: Connection, patients: Sequence[int]) -> list[Viewer]:
    """Everybody who looked at or changed something of *patients*: how often, when first and last; the last first."""
    rows = connection.execute(
        select(audit.c.actor, audit.c.action, func.count(), func.min(audit.c.at), func.max(audit.c.at))
        .where(audit.c.patient_id.in_(patients))
        .group_by(audit.c.actor, audit.c.action)
        .order_by(func.max(audit.c.at).desc())
    )
    return [Viewer(*row) for row in rows]


def emergencies(connection: Connection, *, reviewed: bool = False) -> list[AuditRow]:
    """Emergency accesses that nobody reviewed yet (or all of them), newest first."""
    asked = select(audit).where(audit.c.action == "break glass").order_by(audit.c.sequence.desc()).limit(PAGE)
    if not reviewed:
        done = select(audit.c.object_id).where(audit.c.action == REVIEWED).scalar_subquery()
        asked = asked.where(cast(audit.c.sequence, String).not_in(done))
    return [_row(row) for row in connection.execute(asked)]


def actions(connection: Connection) -> list[str]:
    """What was ever done."""
    return distinct(connection, audit.c.action)


def _row(row: Any) -> AuditRow:
    return AuditRow(row.sequence, row.at, row.actor, row.action, row.object_type, row.object_id, row.reason, row.hash)
