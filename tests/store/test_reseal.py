"""Keys: a new one, and old values sealed anew until the old key is unused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, update

from hub.core.vault import Vault, VaultError, add_key, create_key_file, open_vault
from hub.store import tables
from hub.store.contents import CHUNK, content_rows, read_content
from hub.store.database import reading
from hub.store.reseal import key_uses, reseal, sealed_tables

OLD = Vault({1: b"o" * 32}, b"i" * 32)
NEW = Vault({1: b"o" * 32, 2: b"n" * 32}, b"i" * 32)


def fill(connection: Connection, vault: Vault, first: int, number: int) -> None:
    for content_id in range(first, first + number):
        connection.execute(insert(tables.content), content_rows(vault, content_id, b"MSH|%d" % content_id))
    connection.execute(
        insert(tables.patient),
        {"id": first, "organisation": "c", "updated_at": 1, "body": vault.seal_json({"n": first}, "patient.body")},
    )


def reseal_all(store: Engine) -> int:
    resealed = 0
    with reading(store) as connection:
        names = [table.name for table in sealed_tables(connection)]
    for name in names:
        after = None
        while True:
            with store.connect().execution_options(writes=True) as connection, connection.begin():
                done = reseal(connection, NEW, name, after)
            resealed, after = resealed + done.resealed, done.after
            if after is None:
                break
    return resealed


def test_resealing_leaves_an_old_key_unused_and_every_value_as_it_was(store: Engine) -> None:
    with store.begin() as connection:
        fill(connection, OLD, 1, 300)
        fill(connection, NEW, 1000, 5)
        connection.execute(insert(tables.content), content_rows(OLD, 5000, b"x" * (2 * CHUNK + 5)))
        assert key_uses(connection) == {1: 304, 2: 6}

    assert reseal_all(store) == 304
    assert reseal_all(store) == 0

    only_new = Vault({2: b"n" * 32}, b"i" * 32)
    with reading(store) as connection:
        assert key_uses(connection) == {2: 310}
        assert read_content(connection, only_new, 17) == b"MSH|17"
        assert read_content(connection, only_new, 5000) == b"x" * (2 * CHUNK + 5)
        bodies = connection.execute(select(tables.patient.c.body).order_by(tables.patient.c.id)).scalars()
        assert [only_new.open_json(body, "patient.body")["n"] for body in bodies] == [1, 1000]
        assert connection.execute(select(tables.content.c.key_id).distinct()).scalars().all() == [2]


def test_a_slice_is_small_however_large_the_values_are(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(insert(tables.content), content_rows(OLD, 1, os.urandom(6 * CHUNK)))
    with store.begin() as connection:
        done = reseal(connection, NEW, "content", None)
    assert 1 <= done.resealed <= 2
    assert done.after == (1, done.resealed - 1)


def test_a_row_version_does_not_move_because_its_value_is_sealed_anew(store: Engine) -> None:
    """Otherwise every decision in a worker's hands would have to be made again."""
    with store.begin() as connection:
        fill(connection, OLD, 1, 1)
    reseal_all(store)
    with reading(store) as connection:
        assert connection.execute(select(tables.patient.c.version)).scalars().all() == [1]


def test_a_value_that_was_altered_stops_the_resealing_and_stays(store: Engine) -> None:
    with store.begin() as connection:
        fill(connection, OLD, 1, 1)
        connection.execute(update(tables.patient).values(body=OLD.seal(b"{}", "claim.body")))
    with pytest.raises(VaultError), store.begin() as connection:
        reseal(connection, NEW, "patient", None)
    with reading(store) as connection:
        assert connection.execute(select(func.count()).select_from(tables.patient)).scalar_one() == 1


# ---------------------------------------------------------------- the key file


def test_a_process_that_runs_opens_what_another_sealed_with_a_key_added_since(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key_file(file)
    runs = open_vault(file)
    before = runs.seal(b"A", "content")

    assert add_key(file) == 2
    sealed = open_vault(file).seal(b"B", "content")

    assert runs.open(sealed, "content") == b"B"
    assert runs.key_id == 2, "from the first value of it on, it seals with the new key too"
    assert runs.open(before, "content") == b"A"


def test_a_rotation_keeps_the_file_private_the_old_keys_and_the_blind_indexes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key_file(file)
    before = open_vault(file)
    add_key(file)
    add_key(file)
    after = open_vault(file)

    assert file.stat().st_mode & 0o777 == 0o600
    assert after.key_ids == [1, 2, 3]
    assert after.digest("mrn", "4711") == before.digest("mrn", "4711")
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_that_no_file_holds_is_said_to_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key_file(file)
    with pytest.raises(VaultError, match="does not hold"):
        open_vault(file).open(Vault({9: b"z" * 32}, b"i" * 32).seal(b"A", "content"), "content")
