from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.peers import Surroundings


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    (tmp_path / "var").mkdir()
    return Surroundings(tmp_path)
