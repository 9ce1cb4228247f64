"""The engine is killed between the parts of a message, and while answers are owed: nothing that came is forgotten."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.cli.run import prepare
from hub.core.vault import open_vault
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from hub.site.load import load_site
from hub.site.new import new_site
from hub.site.places import key_file, store_url
from hub.store.contents import read_content
from hub.store.database import open_store, reading
from tests.e2e.playing import ENGINE, WAIT, eventually, kill, processes, rows

pytestmark = pytest.mark.e2e

CHANNEL = """\
schema = 1
name = "results"
title = "Results that come in parts"
owner = "integration@alder.example"

[source]
type = "mllp"
listen = "tcp:127.0.0.1:{listen}"
accepts = ["ORU^R01"]

[source.application_acks]
endpoint = "tcp:127.0.0.1:{acks}"

[[step]]
name = "forward"
on = ["ORU^R01"]
forward = ["folder"]

[destination.folder]
type = "files"
folder = "{folder}"
order = "any"
ambiguous = "ask"
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def part(control_id: str, body: str, *, after: str = "", goes_on: str = "", asks: str = "") -> bytes:
    end = f"DSC|{goes_on}|F\r" if goes_on else ""
    msh = f"MSH|^~\\&|LAB|ALDER|HUB|HUB|20261123120000||ORU^R01|{control_id}|T|2.5.1||{after}|{asks}"
    return f"{msh}\r{body}\r{end}".encode()


class Site:
    """A hub in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.port, self.acks = free_port(), free_port()
        self.log = folder / "hub.log"
        new_site(self.folder)
        for kind in ("channels", "transforms", "tests"):
            shutil.rmtree(self.folder / kind)
        (self.folder / "channels").mkdir()
        (folder / "out").mkdir()
        told = CHANNEL.format(listen=self.port, acks=self.acks, folder=folder / "out")
        (self.folder / "channels" / "results.toml").write_text(told)
        prepare(load_site(self.folder))
        command = [sys.executable, "-m", "hub.cli.main", "run", "--site", str(self.folder), "--json", "--no-web"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill_engine(self) -> None:
        """End the engine as a power cut would; what watches over it starts another."""
        (engine,) = processes(ENGINE, self.folder)
        kill(engine)
        eventually(lambda: engine not in processes(ENGINE, self.folder), "the end of the engine")

    def send(self, raw: bytes) -> str:
        """The code that *raw* is answered with; as a sender does, it is sent again until somebody answers."""
        return eventually(lambda: self._ask(raw), "an answer")

    def _ask(self, raw: bytes) -> str:
        reader = FrameReader()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), WAIT) as connection:
            connection.sendall(frame(raw))
            while came := connection.recv(65536):
                for event in reader.feed(came):
                    if isinstance(event, Frame):
                        return Message(event.raw)["MSA-1"]
        return ""

    def raws(self) -> list[bytes]:
        """What the messages said, in their order."""
        site = load_site(self.folder)
        store = open_store(store_url(site))
        vault = open_vault(key_file(site))
        with reading(store) as connection:
            ids = rows(self.folder, "select raw_id from message order by sequence")
            found = [read_content(connection, vault, raw_id) for (raw_id,) in ids]
        store.dispose()
        return found

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


class Taker(threading.Thread):
    """Takes one application acknowledgement and acknowledges it."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.came: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.settimeout(WAIT)

    def run(self) -> None:
        connection, _ = self._server.accept()
        with self._server, connection:
            connection.settimeout(WAIT)
            reader = FrameReader()
            while not self.came:
                self.came += [event.raw for event in reader.feed(connection.recv(65536)) if isinstance(event, Frame)]
            named = Message(self.came[0]).header.control_id
            answer = f"MSH|^~\\&|LAB|ALDER|HUB|HUB|20261123||ACK|T1|T|2.5.1\rMSA|CA|{named}\r"
            connection.sendall(frame(answer.encode()))
            with contextlib.suppress(OSError):
                connection.recv(1)  # until the hub goes away


def test_parts_become_whole_though_the_engine_was_killed_between_them(site: Site) -> None:
    assert site.send(part("P1", "PID|1||100001\rOBX|1|TX|a||first", goes_on="A")) == "AA"
    site.kill_engine()
    assert site.send(part("P2", "OBX|2|TX|b||second", after="A", goes_on="B")) == "AA"
    site.kill_engine()
    assert site.send(part("P3", "OBX|3|TX|c||third", after="B")) == "AA"
    whole = Message(site.raws()[-1])
    assert [segment["OBX-5"] for segment in whole.each("OBX")] == ["first", "second", "third"]
    assert [onward for (onward,) in rows(site.folder, "select onward from message order by sequence")][:2] == [
        "filtered",
        "filtered",
    ]


def test_an_acknowledgement_that_was_owed_when_the_engine_was_killed_is_sent(site: Site) -> None:
    assert site.send(part("A1", "PID|1||100001\rOBX|1|TX|a||x", asks="AL|AL")) == "CA"
    eventually(lambda: rows(site.folder, "select 1 from message where answer = 'undelivered'"), "the end of its steps")
    site.kill_engine()
    taker = Taker(site.acks)
    taker.start()
    delivered = "select 1 from message where answer = 'delivered'"
    eventually(lambda: rows(site.folder, delivered), "the acknowledgement of the acknowledgement")
    said = Message(taker.came[0])
    assert (said["MSA-1"], said["MSA-2"]) == ("AA", "A1")
    assert rows(site.folder, "select 1 from source_note") == []
