"""Schemas of other versions: an earlier one is brought up to date with its rows, a later one is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, inspect, select, text

from hub.core.vault import Vault
from hub.store import schema, tables
from hub.store.contents import content_rows, read_content
from hub.store.database import open_store, reading
from hub.store.identifiers import identified

VAULT = Vault({1: b"k" * 32}, b"i" * 32)


@pytest.fixture
def store(store_url: str) -> Iterator[Engine]:
    made = open_store(store_url)
    yield made
    made.dispose()


def make_first(store: Engine) -> None:
    """A store as the first version made it, with a message, its content and a claim's ledger entry."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(tables.setting), {"name": "bundle", "value": "abc"})
        connection.execute(insert(tables.content), content_rows(VAULT, 7, b"MSH|^~\\&|EHR"))
        connection.execute(
            text(
                "INSERT INTO message (sequence, id, organisation, partition, fence, channel, bundle, kind, control_id,"
                " sender, source, received_at, received_on, size, lane_digest, onward, mapped, steps_outcome, answer,"
                " flags, raw_id, version) VALUES (1, 2, 'clinic', 0, 0, 'ehr_visits', '', 'ADT^A04', 'C1', '', '', 1,"
                " '2026-11-09', 12, :nothing, 'done', :yes, 'done', 'delivered', '', 7, 1)"
            ),
            {"nothing": b"", "yes": True},
        )
        connection.execute(
            text("INSERT INTO identifier (kind, digest, message_sequence) VALUES ('mrn', :digest, 1)"),
            {"digest": VAULT.digest("mrn", "A1")},
        )
        connection.execute(
            text(
                "INSERT INTO attempt (delivery_id, number, started_at, outcome, reason, actor)"
                " VALUES (3, 2, 1, 'transient', 'Busy.', 'hub'), (3, 1, 1, 'transient', 'Away.', 'hub')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO duplicate (channel, sender, control_id, content_digest, message_id, repeats, expires_at)"
                " VALUES ('ehr_visits', 'EHR', 'C1', :digest, 2, 4, 9)"
            ),
            {"digest": b"d"},
        )
        connection.execute(
            text(
                "INSERT INTO ledger_entry (id, entry_key, kind, business_at, posted_on, recorded_at, actor, rule, memo)"
                " VALUES (5, 'k', 'charge', 1, '2026-11-09', 1, 'hub', '', '')"
            )
        )


def test_a_store_of_the_first_version_survives_to_the_newest_with_its_rows(store: Engine) -> None:
    make_first(store)
    with reading(store) as connection:
        steps = schema.pending(connection)
    assert [step.revision for step in steps][-1:] == [schema.newest()][: len(steps)]
    assert all(step.sentence for step in steps)

    schema.upgrade(store)

    with reading(store) as connection:
        assert schema.pending(connection) == []
        assert connection.execute(select(tables.message.c.control_id)).scalars().all() == ["C1"]
        assert connection.execute(select(tables.ledger_entry.c.entry_key)).scalars().all() == ["k"]
        assert read_content(connection, VAULT, 7) == b"MSH|^~\\&|EHR"
        (by_number,) = identified([("mrn", VAULT.digest("mrn", "A1"))])
        assert connection.execute(by_number).scalars().all() == [1]
        attempts = select(tables.attempt.c.reason).order_by(tables.attempt.c.number)
        assert connection.execute(attempts).scalars().all() == ["Away.", "Busy."]
        assert connection.execute(select(tables.duplicate)).one() == ("ehr_visits", "EHR", "C1", b"d", 2, 4, 9)
        assert set(inspect(connection).get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_an_empty_store_is_made_ready_and_an_older_one_with_data_is_not_touched(store: Engine, tmp_path: Path) -> None:
    make_first(store)
    if schema.newest() == "0001":
        pytest.skip("There is only one schema so far.")
    with pytest.raises(schema.OlderSchemaError, match="earlier version"):
        schema.make_ready(store)
    with reading(store) as connection:
        assert schema.revision(connection) == "0001"

    empty = open_store(f"sqlite:///{tmp_path / 'empty.db'}")
    schema.make_ready(empty)
    with reading(empty) as connection:
        assert schema.is_current(connection)
    empty.dispose()


def test_a_store_of_a_later_version_is_refused_and_left_as_it_is(store: Engine) -> None:
    schema.upgrade(store)
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for attempt in (schema.make_ready, schema.upgrade):
        with pytest.raises(schema.NewerSchemaError, match="newer version"):
            attempt(store)

    with reading(store) as connection:
        assert schema.revision(connection) == "9999"


def test_the_newest_schema_is_the_one_that_no_migration_goes_on_from() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert schema.newest() == ScriptDirectory.from_config(config).get_current_head()
