"""A declared quota slows requests and never fails them; health says so in words."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock, deferLater

from hub.connectors import http
from hub.connectors.quota import Budget, Budgets, Quota
from hub.engine.contracts import EndpointState, Failure
from tests.connectors.behaviour import Peer, delivered, serving
from tests.connectors.peers import Surroundings, parcel, within
from tests.connectors.test_http import always, answering, poster, told

net: Any = reactor
NOON = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


class Turns:
    """A budget on a fake clock."""

    def __init__(self, file: Path | None = None, **figures: Any) -> None:
        self.clock = Clock()
        self.budget = Budget(Quota(name="api", **figures), self.clock.seconds, self.now, file)

    def now(self) -> dt.datetime:
        return NOON + dt.timedelta(seconds=self.clock.seconds())

    def taken(self, most: int = 10_000) -> list[float]:
        """When so many requests leave, one after the other."""
        left = []
        for _ in range(most):
            while wait := self.budget.take():
                self.clock.advance(wait)
            left.append(self.clock.seconds())
        return left


@given(st.integers(1, 20), st.integers(2, 60))
def test_no_second_has_more_requests_than_the_quota_allows(per_second: int, requests: int) -> None:
    left = Turns(per_second=per_second).taken(requests)
    for start in left:
        assert sum(start <= at < start + 0.999 for at in left) <= per_second


def test_the_last_fifth_of_a_days_requests_is_spread_over_the_rest_of_the_day() -> None:
    turns = Turns(per_day=100)
    left = turns.taken(100)
    assert left[79] == 0
    assert left[99] <= 12 * 3600
    gaps = [b - a for a, b in pairwise(left[80:])]
    assert min(gaps) == pytest.approx(max(gaps), rel=0.01) == pytest.approx(12 * 3600 / 21, rel=0.01)


def test_when_all_of_the_day_are_used_the_next_one_leaves_with_the_new_day() -> None:
    turns = Turns(per_day=3, day_begins="06:00", zone="America/Chicago")
    turns.taken(3)
    assert turns.now() < NOON + dt.timedelta(hours=24)
    turns.taken(1)
    assert turns.now() == dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)


def test_the_words_say_how_many_are_used_and_how_fast_the_next_ones_leave() -> None:
    turns = Turns(per_day=10)
    turns.taken(2)
    assert turns.budget.words() == "2 of 10 requests of the day are used."
    turns.taken(6)
    assert turns.budget.words() == ("8 of 10 requests of the day are used: one leaves every 14400.0 s until 00:00 UTC.")
    turns.taken(2)
    assert turns.budget.words().startswith("All 10 requests of the day are used")


def test_the_server_may_ask_to_wait_and_is_believed() -> None:
    turns = Turns(per_second=10)
    turns.taken(1)
    turns.budget.refused(30.0)
    assert turns.budget.take() == 30.0
    assert turns.budget.words() == "The server said that there were too many requests: the next one leaves in 30 s."


def test_a_server_that_does_not_say_how_long_is_left_alone_for_longer_and_longer() -> None:
    turns = Turns(per_second=1000)
    waits = []
    for _ in range(9):
        turns.budget.refused(None)
        waits.append(turns.budget.take())
        turns.clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    turns.budget.accepted()
    turns.budget.refused(None)
    assert turns.budget.take() == 1


@pytest_twisted.ensureDeferred
async def test_a_restart_forgets_nothing_of_what_was_used(tmp_path: Path) -> None:
    file = tmp_path / "quota" / "api.json"
    turns = Turns(file, per_day=1000)
    turns.taken(30)
    turns.budget.close()
    await within(ensureDeferred(_there(file)))
    assert Turns(file, per_day=1000).budget.words() == "30 of 1000 requests of the day are used."


async def _there(file: Path) -> None:
    while not file.exists() or json.loads(file.read_text())["used"] != 30:
        await deferLater(net, 0.01)


@pytest.mark.parametrize("broken", ["", "{}", "[]", '{"day": "2026-11-30"}', '{"day": "2026-11-29", "used": 7}'])
def test_a_broken_or_yesterdays_count_begins_at_none(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "api.json"
    file.write_text(broken)
    assert Turns(file, per_day=10).budget.words().startswith("0 of 10")


def test_destinations_that_name_one_quota_share_it(tmp_path: Path) -> None:
    budgets, clock = Budgets(), Clock()
    one = budgets.of(Quota(name="api", per_second=1), tmp_path, clock.seconds)
    other = budgets.of(Quota(name="api", per_second=1), tmp_path, clock.seconds)
    assert one.take() == 0
    assert other.take() == 1
    assert budgets.of(Quota(name="another", per_second=1), tmp_path, clock.seconds).take() == 0


@pytest.mark.parametrize("wrong", [{}, {"per_second": 0}, {"per_day": 1, "zone": "Mars/Olympus"}])
def test_a_quota_says_something_that_can_be_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Quota(name="api", **wrong)


@pytest_twisted.ensureDeferred
async def test_a_request_beyond_the_quota_is_not_made_and_comes_back_when_it_may(around: Surroundings) -> None:
    seen: list[bytes] = []

    def reply(peer: Peer, request: bytes) -> None:
        seen.append(request)
        peer.say(told("200 OK"))

    async with serving(answering(reply)) as server:
        destination = poster(around, server.port, quota={"name": "api", "per_day": 1})
        first = await within(destination.deliver(parcel(b"{}")))
        second = await within(destination.deliver(parcel(b"{}")))
        health = destination.health()[0]
        await within(destination.stop())
    assert (first.failure, second.failure) == (None, Failure.TRANSIENT)
    assert second.retry_after is not None
    assert 0 < second.retry_after <= 86_400
    assert len(seen) == 1
    assert "All 1 requests of the day are used" in health.detail


@pytest.mark.parametrize("status", ["429 Too Many Requests", "403 Forbidden"])
@pytest_twisted.ensureDeferred
async def test_what_the_server_calls_too_many_is_a_wait_for_everything_that_shares_the_quota(
    around: Surroundings, status: str
) -> None:
    quota = {"name": "api", "per_second": 100, "refused_by": [429, 403]}
    async with serving(always(told(status, b"", "Retry-After: 40"))) as server:
        (refused,) = await delivered(poster(around, server.port, quota=quota), parcel(b"{}"))
        (held,) = await delivered(poster(around, server.port, quota=quota), parcel(b"{}"))
    assert (refused.failure, refused.retry_after) == (Failure.TRANSIENT, 40)
    assert held.failure == Failure.TRANSIENT
    assert held.retry_after == pytest.approx(40, abs=2)
    assert "too many requests" in held.reason


@pytest_twisted.ensureDeferred
async def test_waiting_for_the_quota_is_no_failure_of_the_connection(around: Surroundings) -> None:
    async with serving(always(told("200 OK"))) as server:
        destination = poster(around, server.port, quota={"name": "api", "per_day": 1})
        await within(destination.deliver(parcel(b"{}")))
        await within(destination.deliver(parcel(b"{}")))
        assert destination.health()[0].state == EndpointState.CONNECTED
        await within(destination.stop())
    assert http.CONNECTOR.name == "http"
