"""Upgrading a site's store: only forward, and only after the embedded store was copied."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import make_url

from hub.site.load import Site
from hub.site.places import store_url
from hub.store.database import open_store, reading
from hub.store.schema import make_ready, pending, revision, upgrade
from hub.store.snapshot import copy_sqlite, is_empty

COPIES = "before-upgrade"


def is_embedded(site: Site) -> bool:
    """Whether the site's store is a file of ours, and not a server's database."""
    return make_url(store_url(site)).get_backend_name() == "sqlite"


def copy_before(site: Site) -> Path:
    """Copy the embedded store as it is to ``var/before-upgrade/``; the file. Raises `SnapshotError`."""
    source = Path(make_url(store_url(site)).database or "")
    folder = site.var / COPIES
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"hub-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.db"
    copy_sqlite(source, target)
    return target


def bring_up_to_date(site: Site) -> Path | None:
    """What `hub run` does with a store: make an empty one, upgrade an embedded one of an earlier version after a copy.

    The copy, when one was made. Raises `NewerSchemaError`, and `OlderSchemaError` for a server's database, whose backup
    is not ours to make.
    """
    store = open_store(store_url(site))
    try:
        with reading(store) as connection:
            steps, found, empty = pending(connection), revision(connection), is_empty(connection)
        if not (steps and found and is_embedded(site)):
            make_ready(store)
            return None
        copy = None if empty else copy_before(site)
        upgrade(store)
        return copy
    finally:
        store.dispose()
