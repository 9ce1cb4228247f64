"""Where a site keeps what is not in its files: everything below ``var/``."""

from __future__ import annotations

from pathlib import Path

from hub.site.load import Site


def key_file(site: Site) -> Path:
    """The keys that everything in the store is sealed with."""
    return site.var / "keys.json"


def control_socket(site: Site) -> Path:
    """The engine's control socket."""
    return site.var / "control.sock"


def store_url(site: Site) -> str:
    """The store's URL: SQLite below ``var/`` unless the settings name another."""
    assert site.settings is not None
    url = site.settings.store.url
    return f"sqlite:///{site.var / 'hub.db'}" if url == "embedded" else url
