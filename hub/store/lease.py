"""The lease: one node works on a store at a time, by the database's clock, and a fence keeps the writes of others out.

A node takes all partitions at once. Each taking raises the fence; whoever writes looks first whether the fence is still
its own, in the same transaction, so that a node that slept through the end of its lease cannot write any more. New rows
carry the fence as well, which says afterwards which taking they are from; nothing is decided by that.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hub.core.errors import HubError
from hub.store.hot import run

LEASE_MS = 15_000
RENEW_SECONDS = 4.0
SEND_SECONDS = 11.0
"""How long after a lease was asked for a node may send: well within it, because its clock is not the database's."""
PARTITIONS = 64

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}
_LOCK = {"sqlite": "", "postgresql": " FOR SHARE"}
"""A reader of the fence keeps it from being raised before its own transaction has ended."""


class StoreTakenError(HubError):
    """Another node works on this store."""

    code = "H143"


class FencedOffError(HubError):
    """Another node has taken the store over; nothing of this one's is written any more."""

    code = "H144"


@dataclass(frozen=True, slots=True)
class Lease:
    """What a node holds of a store: its own name, and the fence that its writes carry."""

    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the store: *left_ms* of its lease remain, zero or less when it is over."""

    owner: str
    fence: int
    until_at: int
    left_ms: int


def holder(connection: Connection) -> Holder | None:
    """Who has or had the store; None when nobody ever did."""
    now = _NOW[connection.dialect.name]
    row = run(
        connection,
        f'SELECT owner, fence, lease_until_at, lease_until_at - {now} FROM node WHERE "partition" = 0',  # noqa: S608
    ).fetchone()
    return Holder(*row) if row is not None else None


def take(connection: Connection, owner: str) -> Lease:
    """Take the store for the node *owner*. Raises :class:`StoreTakenError` while another's lease lasts.

    A node that takes its own lease again was started anew: its earlier self is fenced off.
    """
    until = f"{_NOW[connection.dialect.name]} + {LEASE_MS}"
    for partition in range(PARTITIONS):
        run(
            connection,
            'INSERT INTO node ("partition", owner, fence, lease_until_at) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING',
            (partition, owner),
        )
    taken = run(
        connection,
        f"UPDATE node SET owner = ?, fence = fence + 1, lease_until_at = {until} "  # noqa: S608 - text of our own
        f"WHERE owner = ? OR lease_until_at < {_NOW[connection.dialect.name]}",
        (owner, owner),
    )
    if taken.rowcount != PARTITIONS:
        found = holder(connection)
        raise StoreTakenError(
            "Another node works on this store.",
            found=found.owner if found is not None else "",
            fix="One node works on a store for now: stop that one first, or give this site a store of its own.",
        )
    found = holder(connection)
    assert found is not None
    return Lease(owner, found.fence)


def renew(connection: Connection, lease: Lease) -> None:
    """Prolong *lease*. Raises :class:`FencedOffError` when somebody else has the store."""
    renewed = run(
        connection,
        f"UPDATE node SET lease_until_at = {_NOW[connection.dialect.name]} + {LEASE_MS} "  # noqa: S608
        "WHERE owner = ? AND fence = ?",
        (lease.owner, lease.fence),
    )
    if renewed.rowcount != PARTITIONS:
        raise _fenced_off()


def release(connection: Connection, lease: Lease) -> None:
    """Give the store back: whoever is next need not wait."""
    run(
        connection,
        "UPDATE node SET lease_until_at = 0 WHERE owner = ? AND fence = ?",
        (lease.owner, lease.fence),
    )


def guard(connection: Connection, lease: Lease) -> None:
    """See that *lease* still counts, for the length of this transaction. Raises :class:`FencedOffError`."""
    row = run(
        connection,
        f'SELECT fence FROM node WHERE "partition" = 0{_LOCK[connection.dialect.name]}',  # noqa: S608
    ).fetchone()
    if row is None or row[0] != lease.fence:
        raise _fenced_off()


def _fenced_off() -> FencedOffError:
    return FencedOffError(
        "Another node has taken this store over; nothing more is written here.", fix="Stop one of the two."
    )
