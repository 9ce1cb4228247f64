"""What the X12 tests share: the project's own samples and, where it is there, a corpus of other people's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"
DEFAULT_CORPUS = Path(__file__).parents[3] / ".." / "shared" / "samples"


class Samples:
    """The project's own interchanges by name."""

    names = tuple(sorted(p.stem for p in SAMPLES.glob("*.edi")))

    def __getitem__(self, name: str) -> bytes:
        return (SAMPLES / f"{name}.edi").read_bytes()


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = Path(os.environ.get("HUB_CORPUS", DEFAULT_CORPUS)) / "x12"
    if not folder.is_dir():
        pytest.skip("The corpus of sample interchanges is absent; set HUB_CORPUS to its folder.")
    return folder
