"""A node whose store, journal and engine are real, and whose workers and destinations do what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine

from hub.store.database import open_store
from hub.store.tables import metadata
from tests.engine.node import Node


@pytest.fixture
def nodes() -> list[Node]:
    """The nodes of the test; they are stopped while their store is still there."""
    return []


@pytest.fixture
def store(tmp_path: Path, nodes: list[Node]) -> Iterator[Engine]:
    with _opened(f"sqlite:///{tmp_path / 'hub.db'}", nodes) as opened:
        yield opened


@pytest.fixture
def both_stores(store_url: str, nodes: list[Node]) -> Iterator[Engine]:
    """A store of its own; the test runs on SQLite and on PostgreSQL."""
    with _opened(store_url, nodes) as opened:
        yield opened


@contextmanager
def _opened(url: str, nodes: list[Node]) -> Iterator[Engine]:
    opened = open_store(url)
    metadata.create_all(opened)
    yield opened
    for node in nodes:
        pytest_twisted.blockon(node.stop())
    opened.dispose()
    for node in nodes:
        assert not node.store_failures, "the store failed behind the test's back"


@pytest.fixture
def make_node(tmp_path: Path, nodes: list[Node]) -> Callable[..., Node]:
    """Makes nodes, which are stopped when the test ends."""

    def make(store: Engine, **parts: Any) -> Node:
        nodes.append(Node(store, tmp_path, **parts))
        return nodes[-1]

    return make


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 120
