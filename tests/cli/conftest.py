"""What all tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.at_work import Running, quiet_site


@pytest.fixture(autouse=True)
def nothing_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs of the machine listen at is not what these tests are about."""
    monkeypatch.setattr("hub.site.ports.refusal", lambda _address: "")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A new site with an empty store, its listener on any port."""
    return quiet_site(tmp_path / "site")


@pytest.fixture
def running(site: Path) -> Iterator[Running]:
    """The site at work, without its pages."""
    process = Running(site, "--no-web")
    yield process
    process.close()
