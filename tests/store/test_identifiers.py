from __future__ import annotations

from sqlalchemy import Connection, Engine, insert, union

from hub.store import tables
from hub.store.database import reading
from hub.store.identifiers import INSERT_IDENTIFIERS, STRETCH, identified, stretch_of

ONE, OTHER = b"1" * 16, b"2" * 16


def keep(store: Engine, sequence: int, *digests: tuple[str, bytes]) -> None:
    """A message that names *digests*."""
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        columns = dict.fromkeys(("organisation", "channel", "kind", "received_on", "onward", "answer"), "")
        numbers = {"sequence": sequence, "id": sequence, "received_at": 0, "size": 0, "raw_id": 0}
        connection.execute(insert(tables.message), {**columns, **numbers, "lane_digest": b""})
        INSERT_IDENTIFIERS(connection, [(stretch_of(sequence), *digest, sequence) for digest in digests])


def found(connection: Connection, *digests: tuple[str, bytes]) -> list[int]:
    return sorted(connection.execute(union(*identified(digests))).scalars())


def test_a_message_is_found_in_whatever_stretch_it_stands(store: Engine) -> None:
    sequences = [3, STRETCH - 1, STRETCH, 7 * STRETCH + 5]
    for sequence in sequences:
        keep(store, sequence, ("mrn", ONE))
    with reading(store) as connection:
        assert found(connection, ("mrn", ONE)) == sequences


def test_only_what_names_one_of_the_digests_is_found(store: Engine) -> None:
    keep(store, 1, ("mrn", ONE))
    keep(store, 2, ("account", ONE))
    keep(store, STRETCH, ("account", OTHER))
    with reading(store) as connection:
        assert found(connection, ("mrn", ONE), ("account", OTHER)) == [1, STRETCH]
        assert found(connection, ("mrn", OTHER)) == []


def test_nothing_is_found_where_nothing_is(store: Engine) -> None:
    with reading(store) as connection:
        assert found(connection, ("mrn", ONE)) == []
