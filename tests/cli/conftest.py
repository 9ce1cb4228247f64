"""What all tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def nothing_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs of the machine listen at is not what these tests are about."""
    monkeypatch.setattr("hub.site.ports.refusal", lambda _address: "")
