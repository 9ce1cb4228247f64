"""One node on a store: a second is refused, one that is gone is followed, one that slept writes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, text

from hub.engine.journal import StoreFailedError
from hub.store import lease
from hub.store.lease import FencedOffError, StoreTakenError
from tests.engine.node import MakeNode, destination, raw
from tests.engine.test_steps import result_per_id


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)


def change(store: Engine, statement: str) -> None:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text(statement))


@pytest_twisted.inlineCallbacks
def test_a_second_node_on_a_store_is_refused_while_the_first_goes_on(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, destinations=[destination()], owner="north")
    yield first.start()
    second = make_node(both_stores, destinations=[destination()], owner="south")
    with pytest.raises(StoreTakenError) as refused:
        yield second.start()
    assert refused.value.found == "north"
    yield first.receive(raw("m1", "a"))
    yield first.settled()
    assert first.peer.ids == ["m1"]


@pytest_twisted.inlineCallbacks
def test_a_node_that_is_gone_is_followed_when_its_lease_is_over(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, destinations=[destination()], owner="north")
    yield first.start()
    yield first.stop()
    change(both_stores, "UPDATE node SET owner = 'gone', lease_until_at = 9000000000000")
    second = make_node(both_stores, destinations=[destination()], owner="south")
    started = second.start()
    yield second.until(lambda: any(line["event"] == "engine.waits" for line in second.log))
    change(both_stores, "UPDATE node SET lease_until_at = 1")
    yield started
    yield second.receive(raw("m1", "a"))
    yield second.settled()
    assert second.peer.ids == ["m1"]


@pytest_twisted.inlineCallbacks
def test_rows_say_under_which_fence_they_were_made(make_node: MakeNode, both_stores: Engine) -> Any:
    for number, owner in enumerate(("north", "south"), start=1):
        node = make_node(both_stores, destinations=[destination()], owner=owner)
        node.workers.mapping = result_per_id(
            {f"held{number}": {"held": [{"queue": "charge review", "reason": "No fee.", "path": ""}]}}
        )
        yield node.start()
        yield node.receive(raw(f"m{number}", "a"))
        yield node.receive(raw(f"held{number}"))
        yield node.settled()
        yield node.stop()
    with both_stores.connect() as connection:
        for table, expected in (("message", [1, 1, 2, 2]), ("delivery", [1, 2]), ("work_item", [1, 2])):
            found = connection.execute(text(f"SELECT fence FROM {table} ORDER BY fence")).scalars().all()
            assert found == expected, table


@pytest_twisted.inlineCallbacks
def test_a_node_that_was_taken_over_answers_nobody_and_ends(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, destinations=[destination()], owner="north")
    yield first.start()
    change(both_stores, "UPDATE node SET owner = 'south', fence = fence + 1")
    with pytest.raises(StoreFailedError):
        yield first.receive(raw("m1", "a"))
    assert first.messages() == {}
    yield first.until(lambda: first.store_failures)
    assert isinstance(first.store_failures.pop(), FencedOffError)


@pytest_twisted.inlineCallbacks
def test_nothing_is_sent_when_the_lease_may_be_over(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    journal = node.engine._journal
    node.engine._holding._renewing.stop()
    journal._sends_until = 0.0
    yield node.receive(raw("m1", "a"))
    yield node.until(node.deliveries)
    assert node.peer.ids == []
    yield node.engine._holding._renew()
    yield node.settled()
    assert node.peer.ids == ["m1"]
