"""Each sample folder of the demo site is a test: what a channel makes of a message is what is expected of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.site.load import Site, load_site
from hub.site.samples import Case, cases, differences

ROOT = Path(__file__).parents[2]
CASES = [case for channel in sorted((ROOT / "channels").glob("*.toml")) for case in cases(ROOT, channel.stem)]


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(ROOT).require_sound()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shown)
def test_a_sample_gives_what_is_expected_of_it(site: Site, case: Case) -> None:
    assert differences(site, case) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shown)
def test_a_sample_says_why_it_exists(case: Case) -> None:
    assert (case.folder / "note.md").read_text().strip()


def test_every_channel_has_samples(site: Site) -> None:
    assert {case.channel for case in CASES} == set(site.channels)
