"""The audit log: who looked at or changed what, as a chain of hashes that nobody can edit unseen.

Each record's hash is SHA-256 over the hash before it and the record's canonical JSON. :func:`verify` finds the first
record that was altered, removed or put in. A chain that was computed anew, or cut off at its end, shows by the
checkpoints: head and time, signed with a key of the site (Ed25519), beside the log and wherever a copy was kept.
Source: 45 CFR 164.312(b), (c).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, insert, select

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.store.tables import audit as audit_table
from hub.store.tables import audit_checkpoint

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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain's head at a time, signed: what stood in the log until *sequence* cannot be changed unseen any more."""

    sequence: int
    at: int
    hash: bytes
    signature: bytes

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return f"claimhub audit {self.sequence} {self.at} {self.hash.hex()}".encode()

    def __str__(self) -> str:
        parts = (self.hash, self.signature)
        return ".".join(
            [str(self.sequence), str(self.at), *(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)]
        )


class CheckpointError(HubError):
    """A line is no checkpoint of the audit log."""

    code = "H721"


def parse_checkpoint(line: str) -> Checkpoint:
    """The checkpoint that `str` made *line* of. Raises :class:`CheckpointError` for anything else."""
    try:
        sequence, at, *parts = line.strip().split(".")
        head_hash, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        return Checkpoint(int(sequence), int(at), head_hash, signature)
    except ValueError:
        raise CheckpointError("This is no checkpoint.", expected="a line that `hub audit checkpoint` printed") from None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the log found: how many records, how many checkpoints, and the first record that is not right."""

    records: int
    checkpoints: int
    broken: int | None = None
    why: str = ""


def add_checkpoint(connection: Connection, key: Ed25519PrivateKey) -> Checkpoint | None:
    """Sign the head of the chain with *key* and keep it; None when it is signed already, or the log is empty."""
    sequence, head_hash = head(connection)
    newest = connection.execute(
        select(audit_checkpoint.c.sequence).order_by(audit_checkpoint.c.sequence.desc()).limit(1)
    ).scalar()
    if sequence == (newest or 0):
        return None
    unsigned = Checkpoint(sequence, real_ms(), head_hash, b"")
    made = Checkpoint(sequence, unsigned.at, head_hash, key.sign(unsigned.signed))
    connection.execute(
        insert(audit_checkpoint).values(sequence=sequence, at=made.at, hash=head_hash, signature=made.signature)
    )
    return made


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """Every checkpoint that the store keeps, oldest first."""
    rows = connection.execute(select(audit_checkpoint).order_by(audit_checkpoint.c.sequence))
    return [Checkpoint(row.sequence, row.at, row.hash, row.signature) for row in rows]


def verify(connection: Connection, key: Ed25519PublicKey | None = None, kept: Iterable[Checkpoint] = ()) -> Verdict:
    """Check every record against the one before it, and every checkpoint, those *kept* elsewhere too, against *key*."""
    signed: dict[int, Checkpoint] = {}
    for each in [*checkpoints(connection), *kept]:
        if key is not None:
            try:
                key.verify(each.signature, each.signed)
            except InvalidSignature:
                return Verdict(0, 0, each.sequence, "its checkpoint was not signed by this site")
        if each.sequence in signed and signed[each.sequence].hash != each.hash:
            return Verdict(0, 0, each.sequence, "two checkpoints vouch for different records")
        signed[each.sequence] = each
    expected, previous, vouched = 1, GENESIS, 0
    rows = connection.execution_options(stream_results=True).execute(
        select(audit_table).order_by(audit_table.c.sequence)
    )
    for row in rows.mappings():
        if row["sequence"] != expected:
            return Verdict(expected - 1, len(signed), expected, "it is missing")
        if row["hash"] != record_hash(row["previous_hash"], row):
            return Verdict(expected - 1, len(signed), expected, "it was altered")
        if row["previous_hash"] != previous:  # the record itself is whole: the one that it follows was another
            return Verdict(
                expected - 1, len(signed), max(1, expected - 1), "it is not the one that the next one follows"
            )
        if expected in signed and signed[expected].hash != row["hash"]:
            return Verdict(vouched, len(signed), vouched + 1, f"the records from it to {expected} were written anew")
        vouched = expected if expected in signed else vouched
        expected, previous = expected + 1, row["hash"]
    lost = [sequence for sequence in signed if sequence >= expected]
    if lost:
        return Verdict(expected - 1, len(signed), expected, f"a checkpoint vouches for records up to {max(lost)}")
    return Verdict(expected - 1, len(signed))
