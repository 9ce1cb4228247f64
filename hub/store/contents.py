"""Content apart from metadata: sealed, compressed, in chunks of at most 1 MB."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from hub.core.vault import Vault
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


def read_content(connection: Connection, vault: Vault, content_id: int) -> bytes:
    """The bytes kept under *content_id*. Raises `KeyError` when there are none (pruned)."""
    rows = connection.execute(
        select(content.c.body).where(content.c.id == content_id).order_by(content.c.ordinal)
    ).all()
    if not rows:
        raise KeyError(content_id)
    return b"".join(vault.open(row.body, _CONTEXT) for row in rows)
