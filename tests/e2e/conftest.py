"""What the tests of the whole share: one site at work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.at_work import AtWork, hub_at_work


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    """A hub at work, open to every message."""
    with hub_at_work(tmp_path_factory.mktemp("work") / "stage") as running:
        yield running
