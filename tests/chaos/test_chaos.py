"""A short chaos: what `make chaos` plays for long."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.rounds import Round, clock_set_back, disk_full, kill_engine, kill_posting, lying_peers, play
from tests.chaos.world import world

pytestmark = pytest.mark.e2e

MISFORTUNES = (
    Round("peers that lie", lying_peers),
    kill_engine("delivery.answered"),
    kill_posting("billing.chunk"),
    Round("clock set back", clock_set_back),
    Round("disk full", disk_full),
)


def test_whatever_befalls_a_hub_the_books_of_its_peers_agree_with_its_own(tmp_path: Path) -> None:
    dice = random.Random(7)
    with world(tmp_path, seed=7) as it:
        wrong = [said for misfortune in MISFORTUNES for said in play(it, misfortune, dice)]
    assert not wrong
