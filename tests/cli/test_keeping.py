"""Backup, restore, upgrade and keys as a person types them, while a real hub runs; and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from hub.site.load import load_site
from hub.site.places import store_url
from hub.store.database import open_store, reading
from hub.store.tables import audit, message
from tests.cli.at_work import DFT, WAIT, Running, hub


class Sender:
    """Sends messages one after the other on a connection of its own, and remembers which were acknowledged."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("mllp://").removeprefix("tcp:").rpartition(":")
        self._place = (host, int(port))
        self.acknowledged: list[str] = []
        self.some = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()
        assert self.some.wait(WAIT), "no message was acknowledged"

    def _send(self) -> None:
        try:
            with socket.create_connection(self._place, timeout=WAIT) as connection:
                reader = FrameReader()
                for number in range(1, 100_000):
                    if self._over.is_set():
                        return
                    control_id = f"FLOW-{number}"
                    raw = DFT.replace(b"CHG-1", control_id.encode()).replace(b"A-7001", b"A-%d" % number)
                    connection.sendall(frame(raw))
                    answer = self._answer(connection, reader)
                    if answer is None:
                        return
                    assert b"MSA|AA|" + control_id.encode() in answer
                    self.acknowledged.append(control_id)
                    if number >= 25:
                        self.some.set()
        except OSError:
            return  # the listener was closed: what had no answer may be sent again by whoever sent it

    @staticmethod
    def _answer(connection: socket.socket, reader: FrameReader) -> bytes | None:
        while data := connection.recv(65536):
            for event in reader.feed(data):
                assert isinstance(event, Frame)
                return event.raw
        return None

    def stop(self) -> list[str]:
        self._over.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        return self.acknowledged


def control_ids(site: Path) -> set[str]:
    store = open_store(store_url(load_site(site)))
    with reading(store) as connection:
        found = set(connection.execute(select(message.c.control_id)).scalars())
    store.dispose()
    return found


def audited(site: Path) -> list[str]:
    store = open_store(store_url(load_site(site)))
    with reading(store) as connection:
        found = list(connection.execute(select(audit.c.action).order_by(audit.c.sequence)).scalars())
    store.dispose()
    return found


def answer(*words: str | Path) -> dict[str, Any]:
    done = hub(*words, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.e2e
def test_told_to_end_by_a_service_manager_while_messages_flow_everything_acknowledged_is_kept(
    site: Path, running: Running
) -> None:
    sender = Sender(running.event("running")["sources"][0]["address"])
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(WAIT) == 0, running.log.read_text()
    acknowledged = sender.stop()
    log = running.log.read_text()
    assert "engine.stopped" in log
    assert '"level": "error"' not in log, log
    assert set(acknowledged) <= control_ids(site)


@pytest.mark.e2e
def test_a_backup_of_a_hub_at_work_restores_with_everything_that_was_acknowledged_before_it(
    site: Path, running: Running, tmp_path: Path
) -> None:
    sender = Sender(running.event("running")["sources"][0]["address"])
    before = list(sender.acknowledged)
    made = answer("backup", tmp_path, "--site", site, "--with-keys")
    assert running.process.poll() is None
    refused = hub("restore", made["file"], "--site", site, "--force")
    assert refused.returncode == 1
    assert "Another hub is running this site" in refused.stderr
    sender.stop()

    restored = answer("restore", made["file"], "--site", tmp_path / "new")

    assert restored["margin"] == 1000
    assert set(before) <= control_ids(tmp_path / "new")
    assert "backup" in audited(site)
    again = Running(tmp_path / "new", "--no-web")
    try:
        sender = Sender(again.event("running")["sources"][0]["address"])
        assert sender.stop()
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(WAIT) == 0
    finally:
        again.close()


@pytest.mark.e2e
def test_keys_rotate_beneath_a_running_hub_until_the_old_one_is_unused(site: Path, running: Running) -> None:
    sender = Sender(running.event("running")["sources"][0]["address"])
    assert answer("keys", "rotate", "--site", site)["added"] == 2
    sender.stop()

    answer("keys", "reseal", "--site", site)
    listed = answer("keys", "list", "--site", site)

    assert listed["newest"] == 2
    uses = {key["id"]: key["values"] for key in listed["keys"]}
    assert uses[2] > 0
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(WAIT) == 0
    answer("keys", "reseal", "--site", site)
    listed = answer("keys", "list", "--site", site)
    assert {key["id"]: key["values"] for key in listed["keys"]}[1] == 0
    assert '"level": "error"' not in running.log.read_text()
    assert audited(site)[-1] == "reseal"


# ---------------------------------------------------------------- upgrades


def set_schema(site: Path, number: str) -> None:
    store = open_store(store_url(load_site(site)))
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})
    store.dispose()


def test_an_upgrade_says_that_there_is_nothing_to_do(site: Path) -> None:
    said = answer("upgrade", "--site", site)
    assert (said["steps"], said["done"], said["copy"]) == ([], False, None)


def test_a_store_of_a_later_version_is_refused_by_every_command_in_a_sentence(site: Path) -> None:
    set_schema(site, "9999")
    for words in (("run", "--no-web"), ("upgrade",)):
        done = hub(words[0], "--site", site, *words[1:])
        assert done.returncode == 1
        assert done.stderr.startswith("H131 The store was written by a newer version of the hub"), done.stderr
        assert "Traceback" not in done.stderr


def first_schema(site: Path) -> None:
    """Take the site's store back to what the first version made, with a message in it."""
    from tests.store.test_schema import make_first

    file = site / "var" / "hub.db"
    for path in site.glob("var/hub.db*"):
        path.unlink()
    store = open_store(f"sqlite:///{file}")
    make_first(store)
    store.dispose()


def test_an_upgrade_of_a_store_of_the_first_version_copies_it_before(site: Path) -> None:
    first_schema(site)
    dry = answer("upgrade", "--site", site, "--dry-run")
    assert (dry["from"], dry["done"]) == ("0001", False)
    said = answer("upgrade", "--site", site)
    assert said["done"]
    copy = open_store(f"sqlite:///{said['copy']}")
    with reading(copy) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
        assert connection.execute(text("SELECT count(*) FROM message")).scalar_one() == 1
    assert Path(said["copy"]).stat().st_mode & 0o777 == 0o600
    store = open_store(store_url(load_site(site)))
    with reading(store) as connection:
        assert connection.execute(select(func.count()).select_from(message)).scalar_one() == 1


@pytest.mark.e2e
def test_a_run_brings_an_older_embedded_store_forward_and_says_where_the_copy_is(site: Path) -> None:
    first_schema(site)
    running = Running(site, "--no-web")
    try:
        running.event("running")
        (copy,) = (site / "var" / "before-upgrade").iterdir()
        assert str(copy) in running.log.read_text()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(WAIT) == 0
    finally:
        running.close()
