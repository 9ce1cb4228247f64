from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, update

from hub.core.vault import Vault
from hub.security import audit
from hub.store import tables
from hub.store.database import open_store


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    tables.metadata.create_all(store)
    with store.connect() as connection, connection.begin():
        yield connection
    store.dispose()


def fill(connection: Connection, number: int = 5) -> None:
    for n in range(number):
        audit.record(connection, actor="osei", action="view", object_type="message", object_id=str(n), patient_id=n)


def test_an_untouched_chain_verifies_and_its_numbers_have_no_gap(connection: Connection) -> None:
    fill(connection)
    assert audit.verify(connection).broken is None
    assert list(connection.scalars(select(tables.audit.c.sequence).order_by(tables.audit.c.sequence))) == [
        1,
        2,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize("column", ["actor", "action", "object_id", "reason", "detail", "at", "patient_id"])
def test_changing_any_column_of_a_record_is_found_at_that_record(connection: Connection, column: str) -> None:
    fill(connection)
    value = 7 if column in {"at", "patient_id"} else "somebody else"
    connection.execute(update(tables.audit).where(tables.audit.c.sequence == 3).values({column: value}))
    assert audit.verify(connection).broken == 3


def test_a_removed_record_is_found_where_it_is_missing(connection: Connection) -> None:
    fill(connection)
    connection.execute(delete(tables.audit).where(tables.audit.c.sequence == 2))
    assert audit.verify(connection).broken == 2


def test_a_record_rewritten_with_a_fitting_hash_is_found_by_the_one_that_follows_it(connection: Connection) -> None:
    fill(connection)
    row = dict(connection.execute(select(tables.audit).where(tables.audit.c.sequence == 2)).mappings().one())
    row["actor"] = "somebody else"
    forged = audit.record_hash(row["previous_hash"], row)
    changes = {"actor": "somebody else", "hash": forged}
    connection.execute(update(tables.audit).where(tables.audit.c.sequence == 2).values(changes))
    assert audit.verify(connection).broken == 2


def test_records_cut_off_the_end_change_the_head(connection: Connection) -> None:
    fill(connection)
    before = audit.head(connection)
    connection.execute(delete(tables.audit).where(tables.audit.c.sequence == 5))
    assert audit.verify(connection).broken is None
    assert audit.head(connection) != before


KEY = Vault({1: b"k" * 32}, b"i" * 32).signing_key("audit")


def rewrite_from(connection: Connection, sequence: int) -> None:
    """Change a record, and compute every hash from it on anew, as somebody who can write to the store would."""
    rows = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence)).mappings().all()
    previous = audit.GENESIS
    for row in rows:
        changed = dict(row) | ({"actor": "somebody else"} if row["sequence"] == sequence else {})
        changed |= {"previous_hash": previous, "hash": audit.record_hash(previous, changed)}
        connection.execute(update(tables.audit).where(tables.audit.c.sequence == row["sequence"]).values(changed))
        previous = changed["hash"]


def test_a_chain_computed_anew_is_found_by_its_signed_checkpoints(connection: Connection) -> None:
    fill(connection)
    assert audit.add_checkpoint(connection, KEY) is not None
    assert audit.add_checkpoint(connection, KEY) is None, "nothing happened since"
    fill(connection)
    audit.add_checkpoint(connection, KEY)
    assert audit.verify(connection, KEY.public_key()).checkpoints == 2
    rewrite_from(connection, 7)
    found = audit.verify(connection, KEY.public_key())
    assert (found.broken, found.why) == (6, "the records from it to 10 were written anew")


def test_a_cut_off_end_is_found_by_a_checkpoint_that_was_kept_elsewhere(connection: Connection) -> None:
    fill(connection)
    made = audit.add_checkpoint(connection, KEY)
    kept = audit.parse_checkpoint(str(made))
    connection.execute(delete(tables.audit).where(tables.audit.c.sequence > 3))
    connection.execute(delete(tables.audit_checkpoint))
    assert audit.verify(connection, KEY.public_key()).broken is None
    assert audit.verify(connection, KEY.public_key(), [kept]).broken == 4


def test_a_forged_checkpoint_is_named(connection: Connection) -> None:
    fill(connection)
    other = Vault({1: b"k" * 32}, b"o" * 32).signing_key("audit")
    audit.add_checkpoint(connection, other)
    assert "not signed by this site" in audit.verify(connection, KEY.public_key()).why
    with pytest.raises(audit.CheckpointError):
        audit.parse_checkpoint("5.1.nonsense")
