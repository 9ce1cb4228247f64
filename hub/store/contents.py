"""Content apart from metadata: sealed, compressed, in chunks of at most 1 MB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from hub.core.vault import Vault
from hub.store.hot import InsertMany
from hub.store.tables import content

CHUNK = 1 << 20
_CONTEXT = "content"


def content_rows(vault: Vault, content_id: int, body: bytes) -> list[dict[str, Any]]:
    """The rows of `content` that keep *body* under *content_id*."""
    chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)] or [b""]
    return [
        {"id": content_id, "ordinal": i, "key_id": vault.key_id, "body": vault.seal(chunk, _CONTEXT)}
        for i, chunk in enumerate(chunks)
    ]


INSERT_CONTENTS = InsertMany(content, "id", "ordinal", "key_id", "body")


def content_tuples(vault: Vault, content_id: int, body: bytes) -> list[tuple[int, int, int, bytes]]:
    """As :func:`content_rows`, for :data:`INSERT_CONTENTS`."""
    if len(body) <= CHUNK:
        return [(content_id, 0, vault.key_id, vault.seal(body, _CONTEXT))]
    return [(row["id"], row["ordinal"], row["key_id"], row["body"]) for row in content_rows(vault, content_id, body)]


def read_content(connection: Connection, vault: Vault, content_id: int) -> bytes:
    """The bytes kept under *content_id*. Raises `KeyError` when there are none (pruned).

    The first chunk is pruned first, so that what has begun to leave is never taken for the whole.
    """
    rows = connection.execute(
        select(content.c.ordinal, content.c.body).where(content.c.id == content_id).order_by(content.c.ordinal)
    ).all()
    if not rows or rows[0].ordinal:
        raise KeyError(content_id)
    return b"".join(vault.open(row.body, _CONTEXT) for row in rows)


def stream_content(connection: Connection, vault: Vault, content_id: int, offset: int = 0) -> Iterator[bytes]:
    """The bytes kept under *content_id* from *offset* on, chunk by chunk, so that one chunk is in memory at a time.

    Raises `KeyError` when there are none (pruned).
    """
    ordinal, skipped = divmod(offset, CHUNK)
    found = select(content.c.body).where(content.c.id == content_id)
    while (row := connection.execute(found.where(content.c.ordinal == ordinal)).first()) is not None:
        yield vault.open(row.body, _CONTEXT)[skipped:]
        ordinal, skipped = ordinal + 1, 0
    if ordinal == 0:
        raise KeyError(content_id)
