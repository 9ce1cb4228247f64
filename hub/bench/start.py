"""How long a sender waits for its first answer after ``hub run`` was typed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hub.bench.measure import BenchError
from hub.bench.messages import messages
from hub.bench.site import free_port, make_site

LONGEST_SECONDS = 60.0
_AGAIN_SECONDS = 0.01
_END = b"\x1c\r"


def first_answers(folder: Path, times: int, show: Callable[[str], None]) -> list[float]:
    """Seconds from the start of ``hub run``, pages included, to the first acknowledgement, *times* times over.

    The site is made in *folder*; its store is there from the second time on. Raises :class:`BenchError` when no answer
    comes.
    """
    hl7_port, web_port = free_port(), free_port()
    site = folder / "site"
    make_site(site, receiver_port=free_port(), listen_port=hl7_port, web_port=web_port)
    found = []
    with (folder / "hub.log").open("w") as log:
        for number in range(times):
            show(f"start {number + 1} of {times}")
            since = time.monotonic()
            command = [sys.executable, "-m", "hub.cli.main", "run", "--site", str(site)]
            hub = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own words
            try:
                _ask_until_answered(hl7_port, next(messages(f"{number:03d}")))
                found.append(time.monotonic() - since)
            finally:
                hub.send_signal(signal.SIGTERM)
                hub.wait()
    return found


def _ask_until_answered(port: int, raw: bytes) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_SECONDS) as sender:
                sender.sendall(b"\x0b" + raw + _END)
                answer = b""
                while not answer.endswith(_END):
                    answer += sender.recv(4096) or _END
        except OSError:
            time.sleep(_AGAIN_SECONDS)
            continue
        if b"\rMSA|AA|" in answer:
            return
        raise BenchError("The first message was not accepted.", found=f"an answer of {len(answer)} bytes")
    raise BenchError("The hub did not answer.", expected=f"an answer within {LONGEST_SECONDS:g} s")
