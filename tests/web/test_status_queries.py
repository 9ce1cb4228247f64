"""What the status page counts comes out the same, however it is found."""

from __future__ import annotations

from dataclasses import astuple

from sqlalchemy import Connection, delete, insert

from hub.store import tables
from hub.web.queries import status

from .conftest import World


def put(connection: Connection, sequence: int, channel: str, destination: str, state: str, reason: str = "") -> None:
    connection.execute(
        insert(tables.delivery).values(
            sequence=sequence, id=sequence, organisation="alder", message_sequence=1, message_id=1, channel=channel,
            destination=destination, kind="ADT^A08", lane_digest=b"l", state=state, attempts=sequence, reason=reason,
            created_at=1000 * sequence, body_id=1,
        )
    )  # fmt: skip


def test_what_waits_is_told_by_destination_with_the_reason_of_the_oldest(world: World) -> None:
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(delete(tables.attempt))
        connection.execute(delete(tables.delivery))
        assert status.waiting(connection) == []
        put(connection, 1, "a", "x", "delivered")
        put(connection, 2, "a", "y", "delivered")
        put(connection, 4, "a", "y", "sending", "refused")
        put(connection, 3, "a", "y", "ambiguous", "broke off")
        put(connection, 9, "a", "y", "queued")
        put(connection, 5, "b", "x", "queued", "login failed")
        put(connection, 6, "b", "x", "queued")
        put(connection, 7, "b", "z", "refused", "no")

        assert [astuple(each) for each in status.waiting(connection)] == [
            ("a", "y", 3, 3000, "broke off", 3, 1),
            ("b", "x", 2, 5000, "login failed", 5, 0),
        ]
