"""What the tests of the whole share: one site at work, and one demonstration that was played to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.at_work import AtWork, hub_at_work
from tests.e2e.playing import Played, played_demo


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    """A hub at work, open to every message."""
    with hub_at_work(tmp_path_factory.mktemp("work") / "stage") as running:
        yield running


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A demonstration with faults that has ended, and what could be seen of its hub from outside while it ran."""
    return played_demo(tmp_path_factory.mktemp("played") / "demo", visits=24, seed=3)
