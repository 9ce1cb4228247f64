"""The audit log as its readers see it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from hub.store.tables import audit

PAGE = 100


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


def page(connection: Connection, actor: str, patient_id: int | None, before: int | None) -> tuple[list[AuditRow], bool]:
    """One page of records, newest first, and whether there are older ones."""
    statement = select(audit).order_by(audit.c.sequence.desc()).limit(PAGE + 1)
    if actor:
        statement = statement.where(audit.c.actor == actor)
    if patient_id is not None:
        statement = statement.where(audit.c.patient_id == patient_id)
    if before is not None:
        statement = statement.where(audit.c.sequence < before)
    found = [
        AuditRow(row.sequence, row.at, row.actor, row.action, row.object_type, row.object_id, row.reason, row.hash)
        for row in connection.execute(statement)
    ]
    return found[:PAGE], len(found) > PAGE
