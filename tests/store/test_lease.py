"""One node works on a store, by the database's clock, and whoever was taken over writes nothing more."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from hub.store.lease import FencedOffError, Lease, StoreTakenError, guard, holder, release, renew, take


def taken(store: Engine, owner: str) -> Lease:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        return take(connection, owner)


def run_out(store: Engine) -> None:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("UPDATE node SET lease_until_at = 1"))


def test_a_second_node_is_refused_until_the_lease_of_the_first_is_over(store: Engine) -> None:
    first = taken(store, "north")
    with pytest.raises(StoreTakenError) as refused:
        taken(store, "south")
    assert refused.value.found == "north"
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        guard(connection, first)
        renew(connection, first)
        now = holder(connection)
    assert now is not None
    assert (now.owner, now.fence) == ("north", 1)
    assert 10_000 < now.left_ms <= 15_000
    run_out(store)
    assert taken(store, "south").fence == 2


def test_a_node_that_was_taken_over_writes_nothing_more(store: Engine) -> None:
    first = taken(store, "north")
    run_out(store)
    taken(store, "south")
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        for what in (guard, renew):
            with pytest.raises(FencedOffError):
                what(connection, first)
        release(connection, first)
        left = holder(connection)
    assert left is not None
    assert left.left_ms > 0, "who was taken over gives nothing back"


def test_a_node_that_is_started_again_fences_its_earlier_self_off_at_once(store: Engine) -> None:
    first, again = taken(store, "north"), taken(store, "north")
    assert again.fence == first.fence + 1
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        guard(connection, again)
        with pytest.raises(FencedOffError):
            guard(connection, first)


def test_a_lease_that_was_given_back_may_be_taken(store: Engine) -> None:
    first = taken(store, "north")
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        release(connection, first)
    assert taken(store, "south").owner == "south"
