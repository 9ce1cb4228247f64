"""Durations and sizes as people write them in files."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from hub.core.units import Duration, Size, seconds, size_bytes


class Settings(BaseModel):
    wait: Duration = 5.0
    limit: Size = 1024


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 0.5), ("30s", 30), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1.5h", 5400)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(("text", "expected"), [("512B", 512), ("64KB", 65_536), ("16MB", 16 << 20), ("1GB", 1 << 30)])
def test_a_size_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["15", 15, "15 m", "-1s", "1w", "", "m", None, "15m\n", True])
def test_a_duration_without_its_unit_is_refused_with_the_accepted_forms(text: object) -> None:
    with pytest.raises(ValueError, match='"15m"'):
        seconds(text)


@pytest.mark.parametrize("text", ["16", "16mb", "1.5MB", "-1B", "", None, True])
def test_a_size_without_its_unit_is_refused_with_the_accepted_forms(text: object) -> None:
    with pytest.raises(ValueError, match='"16MB"'):
        size_bytes(text)


def test_a_model_reads_both_and_keeps_its_defaults() -> None:
    assert Settings(wait="2m", limit="4KB") == Settings(wait=120.0, limit=4096)  # type: ignore[arg-type]
    assert Settings().wait == 5.0


def test_a_model_refuses_a_bare_number_from_a_file() -> None:
    with pytest.raises(ValidationError, match="number and a unit"):
        Settings.model_validate({"wait": 15})
