"""A clearinghouse: 837P files in by SFTP; TA1, 999, 277CA and the payers' files out.

Run it by ``python -m hub.simulators.clearinghouse CONFIG.json``. The configuration has ``clock``,
``user``, ``authorized_key`` (the hub's public key), ``sftp_root``, ``exchange`` (a folder shared with the
payer process), ``ready``, ``books``, ``summary``, and optionally ``seed``, ``faults``, ``payers`` (ids;
default all that are not direct), ``listen`` (``{"sftp_port": 0}``), ``refuse_seconds`` (how long logins
are refused, with faults) and ``reject_group`` (refuse the first file's transaction by 999). The ready
file says ``sftp_port`` and ``known_hosts``.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from hub.simulators.acknowledgements import Source
from hub.simulators.books import Books, write_atomically
from hub.simulators.clock import BusinessClock
from hub.simulators.desk import Desk, Outbox
from hub.simulators.process import reactor, run
from hub.simulators.sftp_server import Folder, SftpServer
from hub.simulators.whole_world import enlarge
from hub.simulators.world import CLEARINGHOUSE, PAYERS
from hub.simulators.x12 import Claim837

POLL_SECONDS = 0.1
REFUSE_AFTER = timedelta(hours=30)
REPEAT_AFTER = timedelta(hours=6)


class Clearinghouse:
    """The clearinghouse process."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._clock = BusinessClock.from_config(config["clock"])
        self._faults = bool(config.get("faults"))
        self._refuse_seconds = float(config.get("refuse_seconds", 4.0)) if self._faults else 0.0
        self._exchange = Path(config["exchange"])
        for name in ("to_payer", "from_payer"):
            (self._exchange / name).mkdir(parents=True, exist_ok=True)
        folder = Folder(Path(config["sftp_root"]))
        self._books = Books(Path(config["books"]), Path(config["summary"]), self._clock, self.summary)
        self._outbox = Outbox(CLEARINGHOUSE, folder, self._books, self._faults)
        if config.get("world") == "whole":
            enlarge()
        known = {each.payer_id for each in PAYERS.values() if each.receiver == CLEARINGHOUSE}
        self._desk = Desk(
            source=Source(CLEARINGHOUSE, "AY", "CLEARWAY", CLEARINGHOUSE),
            folder=folder,
            outbox=self._outbox,
            books=self._books,
            clock=self._clock,
            payers=set(config.get("payers") or known),
            faults=self._faults,
            reject_group=bool(config.get("reject_group")),
            careless=self._faults,
            accepted_status="A2:20",
            hand_over=self._forward,
        )
        self._server = SftpServer(folder, config["user"], config["authorized_key"], self._refuses)
        self._port = int(config.get("listen", {}).get("sftp_port", 0))
        self._refusing_since = 0.0
        self._poller = LoopingCall(self._poll)
        self._forwarded = self._brought = self._repeats = 0
        self._repeats_pending = 0

    def start(self) -> dict[str, Any]:
        """Listen and begin to poll; returns the port and the host key's known_hosts line."""
        port = self._server.listen(self._port)
        self._books.start()
        self._poller.start(POLL_SECONDS)
        return {"sftp_port": port, "known_hosts": self._server.known_hosts_line()}

    def stop(self) -> None:
        """Stop polling and close the books."""
        self._poller.stop()
        self._books.stop()

    def summary(self) -> dict[str, Any]:
        """Return the counts for progress displays."""
        waiting = any((self._exchange / "from_payer").iterdir())
        busy = self._desk.busy or self._outbox.unfinished or self._repeats_pending or waiting
        return {
            "files": self._desk.files,
            "claims_received": self._desk.claims_received,
            "claims_accepted": self._desk.claims_accepted,
            "claims_rejected": self._desk.claims_received - self._desk.claims_accepted,
            "payer_files": self._brought,
            "idle": not busy,
        }

    def _refuses(self) -> bool:
        """Refuse logins for some real seconds, once, on the second day."""
        if not self._refuse_seconds or self._clock.now() < self._clock.business_epoch + REFUSE_AFTER:
            return False
        if not self._refusing_since:
            self._refusing_since = time.monotonic()
            self._books.record("fault", fault="login_refused", seconds=self._refuse_seconds)
        return time.monotonic() - self._refusing_since < self._refuse_seconds

    def _poll(self) -> None:
        self._desk.poll()
        for path in sorted((self._exchange / "from_payer").iterdir()):
            if not path.name.startswith("."):
                text = path.read_text()
                path.unlink()
                self._bring(path.name, text)

    def _forward(self, batch: str, claims: list[Claim837]) -> None:
        """Hand accepted claims to the payers."""
        self._forwarded += 1
        message = {"batch": batch, "claims": [claim.to_json() for claim in claims]}
        write_atomically(self._exchange / "to_payer" / f"{self._forwarded:06d}.json", json.dumps(message))

    def _bring(self, name: str, text: str) -> None:
        """Put a payer's file into /outbound; with faults, some 835s come again under another name."""
        self._brought += 1
        kind = "835" if name.endswith(".835") else "277CA"
        self._outbox.put(name, kind, text)
        if self._faults and kind == "835":
            self._repeats += 1
            if self._repeats % 6 == 1:
                self._repeats_pending += 1
                delay = self._clock.real_delay(self._clock.now() + REPEAT_AFTER)
                reactor.callLater(delay, self._repeat, name, text)

    def _repeat(self, name: str, text: str) -> None:
        self._repeats_pending -= 1
        self._outbox.put(f"AGAIN_{name}", "835", text, repeat_of=name)


if __name__ == "__main__":
    run(Clearinghouse)
