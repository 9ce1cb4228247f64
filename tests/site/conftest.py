from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the demo site that a test may spoil."""
    for part in ("config", "channels", "transforms", "tests/channels"):
        shutil.copytree(
            ROOT / part, tmp_path / "site" / part, ignore=shutil.ignore_patterns("__pycache__", "local.toml")
        )
    return tmp_path / "site"


@pytest.fixture
def spoil(copied: Path) -> Callable[[str, str, str], Path]:
    """Replace a text in a file of the copy, which must be there."""

    def replace(name: str, old: str, new: str) -> Path:
        text = (copied / name).read_text()
        assert old in text
        (copied / name).write_text(text.replace(old, new, 1))
        return copied

    return replace
