"""A proof, not luck: `strace` sees each acknowledgement go after the sync that covers its message, however slow."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from hub.core.errors import HubError
from hub.engine.control import ask_engine
from tests.chaos.peers import END, START
from tests.chaos.trace import CALLS, Call, calls, unsynced
from tests.chaos.world import CHANNEL, eventually, make_site

pytestmark = pytest.mark.e2e

STALL_SECONDS = 2.0
ONE_BY_ONE, AT_ONCE, CONNECTIONS = 30, 10, 6


def message(name: str) -> bytes:
    """One that the channel keeps and does not take, so that nothing but its receipt is written."""
    return START + f"MSH|^~\\&|EHR|ALDER|HUB|X|20261123100000||ADT^A31|{name}|T|2.5.1\rPID|1\r".encode() + END


@contextmanager
def traced_engine(site: Path, trace: Path) -> Iterator[int]:
    """The port of an engine beneath `strace`, every twentieth of whose syncs stalls."""
    strace = shutil.which("strace")
    assert strace, "strace is missing: `make test` installs it, or apt-get install strace"
    stall = f"inject=fdatasync:delay_enter={int(STALL_SECONDS * 1_000_000)}:when=20+20"
    watched = ["-e", f"trace={','.join(CALLS)}", "-e", stall, "-s", "4000", "-o", str(trace)]
    process = subprocess.Popen(
        [
            strace,
            "-f",
            "--seccomp-bpf",
            "-ttt",
            "-T",
            "-y",
            *watched,
            sys.executable,
            "-m",
            "hub.site.running",
            "--site",
            str(site),
        ],
        stdin=subprocess.PIPE,
    )
    try:
        yield eventually(lambda: _port(site), "an engine that answers", lambda: str(process.poll()))
    finally:
        assert process.stdin is not None
        process.stdin.close()  # the engine ends with its parent
        process.wait(120)


def _port(site: Path) -> int:
    with suppress(HubError):
        status = ask_engine(site / "var" / "control.sock", "status", {}, actor="test")
        return int(status["channels"][CHANNEL]["sources"][0]["address"].rpartition(":")[2])
    return 0


def send(port: int, *names: str) -> None:
    """Send the messages of these names at once and wait for their answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(b"".join(message(name) for name in names))
        answers = b""
        while answers.count(END) < len(names):
            data = connection.recv(65536)
            assert data, "the hub hung up"
            answers += data


class Pulse:
    """Asks the pages' process for its health, again and again."""

    def __init__(self, site: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = site / "config" / "hub.toml"
        settings.write_text(settings.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{port}"))
        self._address = f"https://127.0.0.1:{port}/healthz"
        self._trust = ssl.create_default_context()
        self._trust.check_hostname, self._trust.verify_mode = False, ssl.CERT_NONE  # it is not what is asked here
        self.answers: list[float] = []
        self._over = threading.Event()
        self._process = subprocess.Popen([sys.executable, "-m", "hub.web.main", "--site", str(site)])
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        eventually(lambda: self.answers, "healthy pages", lambda: "")

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            with suppress(OSError), urllib.request.urlopen(self._address, timeout=60, context=self._trust) as answer:
                assert answer.read() == b"ok\n"
                self.answers.append(time.time())

    def close(self) -> None:
        self._over.set()
        self._thread.join(60)
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def test_each_acknowledgement_goes_after_the_sync_that_covers_it(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {"asking": 9, "repeating": 9, "folder": tmp_path})
    names = [f"ONE{number}" for number in range(ONE_BY_ONE)]
    groups = [[f"G{group}N{number}" for number in range(AT_ONCE)] for group in range(CONNECTIONS)]
    with ExitStack() as stack:
        pulse = Pulse(site)
        stack.callback(pulse.close)
        port = stack.enter_context(traced_engine(site, tmp_path / "trace"))
        for name in names:
            send(port, name)
        senders = [threading.Thread(target=send, args=(port, *group)) for group in groups]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(120)
    seen = calls(tmp_path / "trace")
    assert not unsynced(seen, [*names, *(name for group in groups for name in group)])
    stalls = [call for call in seen if call.name == "fdatasync" and call.ended - call.began >= STALL_SECONDS]
    assert stalls, "no sync was stalled"
    answers = [call for call in seen if call.name == "sendto" and "MSA|AA|ONE" in call.text]
    for stall in stalls:
        assert not [call for call in answers if stall.began < call.began < stall.ended], "answered within a stall"
        assert [at for at in pulse.answers if stall.began < at < stall.ended], "no health within a stall"


def test_an_answer_that_went_before_its_sync_would_be_found() -> None:
    came = Call("recvfrom", 'recvfrom(9, "MSH|A|M1|T"', 1.0, 1.1)
    wrote = Call("pwrite64", "pwrite64(5</x/hub.db-wal>, ", 1.2, 1.3)
    synced = Call("fdatasync", "fdatasync(5</x/hub.db-wal>)", 1.4, 1.6)
    early = Call("sendto", 'sendto(9, "MSA|AA|M1"', 1.5, 1.5)
    late = Call("sendto", 'sendto(9, "MSA|AA|M1"', 1.7, 1.7)
    assert unsynced([came, wrote, synced, early], ["M1"]) == ["M1"]
    assert unsynced([came, wrote, synced, late], ["M1"]) == []
    before = Call("fdatasync", "fdatasync(5</x/hub.db-wal>)", 1.1, 1.2)
    assert unsynced([came, before, wrote, late], ["M1"]) == ["M1"]
