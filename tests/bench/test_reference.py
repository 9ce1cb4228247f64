"""The reference is only worth comparing with if it keeps what it acknowledges."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from hub.bench.messages import messages

pytestmark = pytest.mark.e2e


def test_what_the_reference_acknowledged_is_in_its_store_when_it_is_killed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bare.db"
    reference = subprocess.Popen([sys.executable, "-m", "hub.bench.reference", str(file)], stdout=subprocess.PIPE)
    assert reference.stdout is not None
    sent = list(islice(messages("001"), 40))
    try:
        port = int(reference.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            answers = connection.makefile("rb")
            for raw in sent:
                connection.sendall(b"\x0b" + raw + b"\x1c\r")
                answer = b""
                while not answer.endswith(b"\x1c\r"):
                    answer += answers.read(1)
                assert b"\rMSA|AA|" + raw.split(b"|", 10)[9] in answer
            answers.close()
    finally:
        os.kill(reference.pid, signal.SIGKILL)
        reference.wait(30)
        reference.stdout.close()
    store = sqlite3.connect(file)
    assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [raw for (raw,) in store.execute("SELECT raw FROM message ORDER BY id")] == sent
    store.close()
