"""A node whose store, journal and engine are real, and whose workers and destinations do what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine

from hub.store.database import open_store
from hub.store.tables import metadata
from tests.engine.node import Node


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    opened = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    metadata.create_all(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def both_stores(store_url: str) -> Iterator[Engine]:
    """A store of its own; the test runs on SQLite and on PostgreSQL."""
    opened = open_store(store_url)
    metadata.create_all(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes, which are stopped when the test ends."""
    made: list[Node] = []

    def make(store: Engine, **parts: Any) -> Node:
        made.append(Node(store, tmp_path, **parts))
        return made[-1]

    yield make
    for node in made:
        pytest_twisted.blockon(node.stop())
    for node in made:
        assert not node.store_failures, "the store failed behind the test's back"


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 120
