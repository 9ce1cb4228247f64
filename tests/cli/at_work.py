"""Sites, stores and peers that the commands' tests work with."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy import select as sql_select

from hub.cli.run import prepare
from hub.core.ids import IdMaker
from hub.core.vault import open_vault
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from hub.site.load import load_site
from hub.site.new import new_site
from hub.site.places import key_file, store_url
from hub.store.contents import content_rows
from hub.store.counters import Counts, add_counts
from hub.store.database import open_store, reading
from hub.store.tables import attempt, audit, content, delivery, identifier, message

WAIT = 60.0
DFT = (
    b"MSH|^~\\&|EHR|CLINIC|CLAIMHUB|HUB|20261109100000-0600||DFT^P03^DFT_P03|CHG-1|T|2.5.1\r"
    b"PID|1||100007^^^CLINIC^MR||SAMPLETON^ALVA||19700101|F|||||||||||A-7001^^^CLINIC^AN\r"
)
CLAIMS = b"ISA*00*          *00*          *ZZ*US*ZZ*THEM*261109*1000*^*00501*000000001*0*T*:~IEA*0*000000001~"


def hub(*words: str | Path, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "hub.cli.main", *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WAIT,
        env={**os.environ, **(env or {})},
        check=False,
    )


def quiet_site(folder: Path) -> Path:
    """A new site with an empty store, its listener on any port."""
    new_site(folder)
    channel = folder / "channels" / "ehr_visits.toml"
    text, changed = re.subn(r'listen = "tcp:[^"]*"', 'listen = "tcp:127.0.0.1:0"', channel.read_text())
    assert changed == 1
    channel.write_text(text)
    prepare(load_site(folder))
    return folder


class Kept:
    """The store of a site that has worked: a visit's charges, and claims that may have arrived."""

    def __init__(self, folder: Path) -> None:
        self.folder = quiet_site(folder)
        site = load_site(folder)
        self.store = open_store(store_url(site))
        self._vault = open_vault(key_file(site))
        self._ids = IdMaker()
        self._sequence = 0
        self.charges = self.keep(
            "ehr_visits", "DFT^P03", "CHG-1", DFT, mrn="100007", account="A-7001", name="SAMPLETON ALVA"
        )
        self.claims = self.keep("claims_out", "837P", "B0001", CLAIMS)
        self.ambiguous = self.deliver(self.claims, "837P", "ambiguous", CLAIMS)

    def keep(self, channel: str, kind: str, control_id: str, raw: bytes, **identifiers: str) -> int:
        """A message that is done; its id."""
        self._sequence += 1
        message_id, raw_id = self._ids.next(), self._ids.next()
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(
                insert(message),
                {
                    "sequence": self._sequence,
                    "id": message_id,
                    "organisation": "clinic",
                    "channel": channel,
                    "kind": kind,
                    "control_id": control_id,
                    "received_at": int(time.time() * 1000),
                    "received_on": "2026-11-09",
                    "finished_at": int(time.time() * 1000),
                    "size": len(raw),
                    "lane_digest": b"",
                    "onward": "done",
                    "answer": "not owed",
                    "raw_id": raw_id,
                },
            )
            connection.execute(insert(content), content_rows(self._vault, raw_id, raw))
            for name, text in identifiers.items():
                connection.execute(
                    insert(identifier),
                    {
                        "stretch": 0,
                        "kind": name,
                        "digest": self._vault.digest(name, text),
                        "message_sequence": self._sequence,
                    },
                )
            add_counts(connection, Counts({(channel, "2026-11-09", name): 1 for name in ("received", "done")}))
        return message_id

    def deliver(self, message_id: int, kind: str, state: str, body: bytes) -> int:
        """A delivery of that message in *state*; its id."""
        delivery_id, body_id, now = self._ids.next(), self._ids.next(), int(time.time() * 1000)
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            sequence = connection.execute(sql_select(message.c.sequence).where(message.c.id == message_id)).scalar_one()
            connection.execute(
                insert(delivery),
                {
                    "sequence": delivery_id,
                    "id": delivery_id,
                    "organisation": "clinic",
                    "message_sequence": sequence,
                    "message_id": message_id,
                    "channel": "claims_out",
                    "destination": "clearinghouse",
                    "kind": kind,
                    "name": "B0001.837",
                    "lane_digest": b"",
                    "state": state,
                    "attempts": 1,
                    "reason": "The connection was lost while the file was sent.",
                    "created_at": now,
                    "body_id": body_id,
                },
            )
            connection.execute(
                insert(attempt),
                {"delivery_id": delivery_id, "number": 1, "started_at": now, "ended_at": now, "outcome": "ambiguous"},
            )
            connection.execute(insert(content), content_rows(self._vault, body_id, body))
        return delivery_id

    def audited(self) -> list[dict[str, Any]]:
        """The audit log after the making of the site."""
        with reading(self.store) as connection:
            rows = [dict(row) for row in connection.execute(sql_select(audit).order_by(audit.c.sequence)).mappings()]
        return [row for row in rows if row["actor"] != "hub"]


@contextmanager
def engine_that_answers(folder: Path, answer: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Something on the control socket that gives *answer* to everything; the requests it got."""
    requests: list[dict[str, Any]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            requests.append(json.loads(self.rfile.readline()))
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    with socketserver.ThreadingUnixStreamServer(str(folder / "var" / "control.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield requests
        server.shutdown()


@contextmanager
def mllp_receiver(answer: Callable[[int, bytes], bytes | None]) -> Iterator[tuple[str, list[bytes]]]:
    """An MLLP listener's address, and what came; *answer* gets the number and bytes of a message, None is silence."""
    received: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = FrameReader()
            while data := self.request.recv(65536):
                for event in reader.feed(data):
                    assert isinstance(event, Frame)
                    received.append(event.raw)
                    reply = answer(len(received), event.raw)
                    if reply is not None:
                        self.request.sendall(frame(reply))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"mllp://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


class Running:
    """``hub run`` in a process group of its own, as a terminal would start it."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hub.cli.main", "run", "--site", str(folder), "--json", *words],
            stdout=subprocess.PIPE,
            bufsize=0,
            stderr=(folder / "var" / "log").open("wb"),
            start_new_session=True,
        )
        self.log = folder / "var" / "log"

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            line = self.process.stdout.readline() if ready else b""
            assert line, f"no {name}: {self.log.read_text()}"
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"no {name}: {self.log.read_text()}")

    def interrupt(self) -> None:
        """Ctrl-C: everybody in the foreground gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT)


def until(found: Callable[[], Any]) -> Any:
    """What *found* returns once it is true."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        if result := found():
            return result
    raise AssertionError("it did not happen in time")
