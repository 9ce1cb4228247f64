"""Finding messages by what they name: the blind indexes of record numbers, accounts, visits and names.

Digests are random. In one index over all of them each would change a page of its own, and soon one that is in no cache.
So they are kept by stretches of so many messages: a commit changes pages of the newest stretch alone, and a search
looks into every stretch.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import CTE, Select, func, select

from hub.store.hot import InsertMany
from hub.store.tables import identifier, message

STRETCH = 4096
"""Messages of one stretch. Migration 0011 counts alike."""

INSERT_IDENTIFIERS = InsertMany(identifier, "stretch", "kind", "digest", "message_sequence")


def stretch_of(sequence: int) -> int:
    """The stretch that the message *sequence* belongs to."""
    return sequence // STRETCH


def identified(digests: Iterable[tuple[str, bytes]]) -> list[Select[tuple[int]]]:
    """Statements for the sequences of the messages that name one of *digests*, pairs of kind and blind index."""
    return [
        select(identifier.c.message_sequence).where(
            identifier.c.stretch.in_(select(_STRETCHES.c.number)),
            identifier.c.kind == kind,
            identifier.c.digest == digest,
        )
        for kind, digest in digests
    ]


def _stretches() -> CTE:
    """Every stretch, from the newest message's to the oldest one's."""
    newest = select((func.max(message.c.sequence) // STRETCH).label("number")).cte("stretches", recursive=True)
    oldest = select(func.min(message.c.sequence) // STRETCH).scalar_subquery()
    return newest.union_all(select(newest.c.number - 1).where(newest.c.number > oldest))


_STRETCHES = _stretches()
