"""The minute after a deploy: what counts as worse, and when it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from hub.cli.deploy_watch import DeployWatch, Standing, Tally, worse
from hub.store.tables import message
from tests.cli.at_work import Kept

UP = {"paused": False, "draining": False, "sources": [{"state": "listening"}], "destinations": {}}


def standing(*unwell: str, **outcomes: int) -> Standing:
    return Standing(Tally(outcomes, "The mapping stopped."), frozenset(unwell))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (standing(done=500), standing(done=9), ""),
        (standing(done=500), standing(done=9, errored=1), "1 of 10 messages ended in an error: The mapping stopped."),
        (standing(done=80, errored=20), standing(done=9, errored=1), ""),
        (standing(), standing(errored=1), "1 of 1 messages ended in an error"),
        (standing(done=90, held=10), standing(done=9, held=1), ""),
        (standing(done=90, held=10), standing(done=2, held=2), ""),
        (standing(done=90, held=10), standing(done=3, held=3), "3 of 6 messages were held; 10% before."),
        (standing("a.ehr", done=5), standing("a.ehr", done=5), ""),
        (standing(done=5), standing("a.ehr"), "a.ehr is not well any more."),
    ],
)
def test_worse_is_what_the_version_before_did_better(before: Standing, now: Standing, said: str) -> None:
    assert " ".join(worse(before, now)).startswith(said)
    assert bool(worse(before, now)) is bool(said)


class Site:
    """A site whose hub says what the test says, in a time of its own: a second for each look."""

    def __init__(self, folder: Path) -> None:
        self.kept = Kept(folder)
        self.store: Engine = self.kept.store
        self.now = 0.0
        self.down_from = 1e9
        self.slept: list[float] = []
        with self.store.begin() as connection:
            connection.execute(update(message).values(bundle="old", onward="done"))

    def ask(self, _command: str, _arguments: dict[str, Any]) -> dict[str, Any]:
        state = "retrying" if self.now >= self.down_from else "connected"
        return {"channels": {"relay": {**UP, "destinations": {"ehr": [{"state": state}]}}}}

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def came(self, outcome: str) -> None:
        new = self.kept.keep("ehr_visits", "DFT^P03", f"C{self.now}", b"MSH|")
        with self.store.begin() as connection:
            connection.execute(
                update(message).where(message.c.id == new).values(bundle="new", reason="KeyError", onward=outcome)
            )

    def watch(self) -> DeployWatch:
        return DeployWatch(self, "old", clock=lambda: self.now, sleep=self.sleep)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_a_version_that_does_well_is_watched_to_the_end(site: Site) -> None:
    watch = site.watch()
    site.came("done")
    now, found = watch.watch("new", 60.0)
    assert (now.tally.outcomes, found, site.now) == ({"done": 1}, [], 60.0)


def test_the_first_error_is_told_at_once(site: Site) -> None:
    watch = site.watch()
    site.came("errored")
    _, found = watch.watch("new", 60.0)
    assert found == ["1 of 1 messages ended in an error: KeyError"]
    assert site.slept == []


def test_a_connection_may_take_some_seconds_to_come_up_again(site: Site) -> None:
    watch = site.watch()
    site.down_from = 10.0
    _, found = watch.watch("new", 60.0)
    assert found == ["relay.ehr is not well any more."]
    assert site.now == 15.0
