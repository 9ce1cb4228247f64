"""A store with its tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from hub.store.database import open_store
from hub.store.schema import make_ready


@pytest.fixture
def store(store_url: str) -> Iterator[Engine]:
    """An empty store."""
    made = open_store(store_url)
    make_ready(made)
    yield made
    made.dispose()
