"""A site at work beside a clearinghouse and a payer: the processes that `hub run` starts, on ports of their own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hub.core.vault import open_vault
from hub.demo.stage import USER, Stage, configurations, plan_play, set_stage, write_overlay
from hub.engine.control import EngineAwayError, ask_engine
from hub.site.load import load_site
from hub.site.places import control_socket, key_file, store_url
from hub.store.contents import read_content
from hub.store.database import open_store, reading
from hub.store.tables import message
from tests.e2e.playing import WAIT, WORKER, eventually, processes, rows


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as the store holds it."""

    id: int
    raw: bytes
    kind: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class AtWork:
    """A running hub, and where its partners are."""

    stage: Stage
    partners: dict[str, dict[str, Any]]
    log: Path

    @property
    def pages(self) -> str:
        """The address of the pages."""
        return f"http://127.0.0.1:{self.stage.web_port}"

    @property
    def hook(self) -> str:
        """The address that FHIR notifications are sent to."""
        return f"https://127.0.0.1:{self.stage.hook_port}/fhir/hook"

    def status(self) -> dict[str, Any] | None:
        """What the engine says of itself; None while it does not answer."""
        with suppress(EngineAwayError):
            return ask_engine(control_socket(load_site(self.stage.site)), "status", {}, actor="test")
        return None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the store holds."""
        return rows(self.stage.site, query, *values)

    def kept(self, channel: str) -> list[Kept]:
        """The messages of *channel*, in the order of receipt."""
        site = load_site(self.stage.site)
        vault = open_vault(key_file(site))
        store = open_store(store_url(site))
        with reading(store) as connection:
            found = connection.execute(
                select(message).where(message.c.channel == channel).order_by(message.c.sequence)
            ).all()
            kept = [
                Kept(row.id, read_content(connection, vault, row.raw_id), row.kind, row.onward, row.reason or "")
                for row in found
            ]
        store.dispose()
        return kept

    def sftp(self, *commands: str) -> str:
        """What OpenSSH's sftp prints when it gives the clearinghouse these *commands*."""
        known = self.stage.world / "known_hosts"
        known.write_text(self.partners["clearinghouse"]["known_hosts"] + "\n")
        options = {
            "Port": self.partners["clearinghouse"]["sftp_port"],
            "IdentityFile": self.stage.site / "var" / "secrets" / "clearway_key",
            "UserKnownHostsFile": known,
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        done = subprocess.run(
            ["sftp", "-F", "none", "-b", "-", *words, f"{USER}@127.0.0.1"],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def hub_at_work(folder: Path) -> Iterator[AtWork]:
    """The demonstration's site, open to every message and every sender, with its partners; stopped with the block."""
    stage = set_stage(folder)
    _open_up(stage.site)
    play = plan_play(1, 1, faults=False, day_seconds=30.0, started=time.time())
    log = folder / "hub.log"
    started: list[subprocess.Popen[bytes]] = []
    with log.open("w") as output:
        try:
            partners = _start_partners(stage, configurations(stage, play), output, started)
            write_overlay(stage, play, partners)
            _in_real_time(stage.site / "config" / "local.toml")
            command = [sys.executable, "-m", "hub.cli.main", "run", "--site", str(stage.site), "--json"]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output))
            hub = AtWork(stage, partners, log)
            eventually(lambda: hub.status() or started[-1].poll() is not None, "a hub that answers")
            assert started[-1].poll() is None, log.read_text()
            eventually(lambda: len(processes(WORKER, stage.site)) == 3, "every worker")
            yield hub
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT)
                assert process.stdin is not None
                process.stdin.close()


def _open_up(site: Path) -> None:
    """Take every message and every sender. Most of the corpus is marked as production, so is this site."""
    for file in (site / "config" / "hub.toml", *(site / "config" / "partners").glob("*.toml")):
        text, changed = re.subn('environment = "test"', 'environment = "production"', file.read_text())
        assert changed == 1
        file.write_text(text)
    channel = site / "channels" / "ehr_visits.toml"
    text, changed = re.subn(r"accepts = \[.*?\]\n", "", channel.read_text(), flags=re.DOTALL)
    assert changed == 1
    channel.write_text(text)
    script = site / "transforms" / "alder" / "responses.py"
    text, changed = re.subn(
        r"PARTNERS\.get\(file\.sender\)", 'PARTNERS.get(file.sender, "clearway")', script.read_text()
    )
    assert changed == 1
    script.write_text(text)


def _in_real_time(overlay: Path) -> None:
    lines = overlay.read_text().splitlines(keepends=True)
    overlay.write_text("".join(line for line in lines if not line.startswith('"hub.clock.')))


def _start_partners(
    stage: Stage, configuration: dict[str, dict[str, Any]], output: Any, started: list[subprocess.Popen[bytes]]
) -> dict[str, dict[str, Any]]:
    stage.world.mkdir(parents=True)
    for name, told in configuration.items():
        file = stage.world / f"{name}.json"
        file.write_text(json.dumps(told))
        command = [sys.executable, "-m", f"hub.simulators.{name}", str(file)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output))
    ready = {name: Path(told["ready"]) for name, told in configuration.items()}
    for name, file in ready.items():
        eventually(file.exists, f"the {name}")
    return {name: json.loads(file.read_text()) for name, file in ready.items()}
