"""The audit log: who looked at or changed what, as a chain of hashes that nobody can edit unseen.

Each record's hash is SHA-256 over the hash before it and the record's canonical JSON. :func:`verify` finds
the first record that was altered, removed or put in. Records cut off the end show when the head
(:func:`head`) was kept elsewhere. Source: 45 CFR 164.312(b), (c).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from hub.core.clock import real_ms
from hub.store.tables import audit as audit_table

GENESIS = bytes(32)
_FIELDS = ("sequence", "at", "actor", "action", "object_type", "object_id", "patient_id", "reason", "detail")


def record_hash(previous: bytes, record: Mapping[Any, Any]) -> bytes:
    """The hash of *record* (every column but the two hashes) after the one whose hash is *previous*."""
    canonical = json.dumps(
        {name: record[name] for name in _FIELDS}, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )
    return hashlib.sha256(previous + canonical.encode()).digest()


def head(connection: Connection) -> tuple[int, bytes]:
    """The newest record's sequence and hash; 0 and :data:`GENESIS` when there is none."""
    newest = connection.execute(
        select(audit_table.c.sequence, audit_table.c.hash).order_by(audit_table.c.sequence.desc()).limit(1)
    ).first()
    return (newest.sequence, newest.hash) if newest else (0, GENESIS)


def record(
    connection: Connection,
    *,
    actor: str,
    action: str,
    object_type: str = "",
    object_id: str = "",
    patient_id: int | None = None,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Append one record in the transaction of *connection*, which the journal owns: one writer, hence no gap.

    Returns its sequence. *detail* holds field names, counts and codes; never values of patients.
    """
    sequence, previous = head(connection)
    row: dict[str, Any] = {
        "sequence": sequence + 1,
        "at": real_ms(),
        "actor": actor,
        "action": action,
        "object_type": object_type,
        "object_id": object_id,
        "patient_id": patient_id,
        "reason": reason,
        "detail": json.dumps(dict(detail or {}), sort_keys=True, separators=(",", ":")),
    }
    connection.execute(insert(audit_table).values(**row, previous_hash=previous, hash=record_hash(previous, row)))
    return sequence + 1


def verify(connection: Connection) -> int | None:
    """The sequence of the first record that does not fit the chain, or None when every record does."""
    expected, previous = 1, GENESIS
    rows = connection.execution_options(stream_results=True).execute(
        select(audit_table).order_by(audit_table.c.sequence)
    )
    for row in rows.mappings():
        if row["sequence"] != expected or row["previous_hash"] != previous or row["hash"] != record_hash(previous, row):
            return expected
        expected, previous = expected + 1, row["hash"]
    return None
