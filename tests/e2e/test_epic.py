"""Epic, from visit to posted payment: its interfaces on one side, clearinghouse and payer on the other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import main
from hub.connectors.client_keys import new_key
from hub.demo.stage import configurations, plan_play, set_stage, write_overlay
from hub.site.packs import add_pack, packs
from tests.e2e.playing import book, eventually, rows

pytestmark = pytest.mark.e2e

VISITS = 2
DAY_SECONDS = 1.0
LONGEST = 240.0
OUR_OWN = ("ehr_visits", "ehr_fhir", "results_to_ehr")


class Epic:
    """The pack's simulator as a process, and what stands in its books."""

    def __init__(self, folder: Path, site: Path, day: str) -> None:
        self.books, self.hub_file, ready = folder / "epic.jsonl", folder / "hub.txt", folder / "ready.json"
        keys = folder / "keys.json"
        keys.write_text(subprocess.run(
            [sys.executable, "-m", "hub.cli.main", "jwks", "--site", str(site)],
            capture_output=True, text=True, check=True,
        ).stdout)  # fmt: skip
        command = [sys.executable, str(packs()["epic"] / "simulator.py"), "--visits", str(VISITS), "--day", day]
        command += ["--jwks", str(keys), "--token-life", "3", "--mllp-port", "0", "--fhir-port", "0"]
        command += ["--books", str(self.books), "--ready", str(ready), "--hub-file", str(self.hub_file)]
        self.process = subprocess.Popen(command)
        eventually(ready.exists, "Epic's interfaces")
        self.ready: dict[str, Any] = json.loads(ready.read_text())

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        lines = self.books.read_text().splitlines() if self.books.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["kind"] in kinds]


@pytest.fixture
def started() -> Any:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in reversed(processes):
        process.terminate()
        process.wait(60)


def test_a_visit_becomes_a_claim_and_its_payment_is_posted_in_epic(tmp_path: Path, started: Any) -> None:
    stage = set_stage(tmp_path / "stage")
    site = stage.site
    play = plan_play(1, 5, faults=False, day_seconds=DAY_SECONDS, started=time.time())
    _with_the_pack(site)
    epic = Epic(tmp_path, site, play.opening.date().isoformat())
    started.append(epic.process)
    partners = configurations(stage, play)
    del partners["ehr"]
    stage.world.mkdir(parents=True)
    ready = {name: _partner(stage.world, name, told, started) for name, told in partners.items()}
    write_overlay(stage, play, ready | {"ehr": {"fhir_base": "http://127.0.0.1:1/", "mllp_port": 1}})
    port = _point_at_epic(site, epic.ready)
    assert main(["connect", "epic_visits.fhir", "--site", str(site)]) == 0
    with (tmp_path / "hub.log").open("w") as log:
        run = [sys.executable, "-m", "hub.cli.main", "run", "--site", str(site), "--no-web", "--json"]
        started.append(subprocess.Popen(run, stdout=log, stderr=log, stdin=subprocess.PIPE))
        eventually(lambda: '"event": "engine.started"' in (tmp_path / "hub.log").read_text(), "the hub")
        epic.hub_file.write_text(f"127.0.0.1:{port}")
        eventually(lambda: epic.entries("played"), "every message of Epic's answered")
        assert {entry["answer"] for entry in epic.entries("sent")} == {"AA"}
        assert max(entry["attempts"] for entry in epic.entries("sent")) == 2  # the broken connections

        eventually(lambda: _all_told(stage.world, epic), "every payment posted in Epic", LONGEST)

    charged = rows(site, "SELECT count(*) FROM charge WHERE state <> 'credited'")
    assert charged[0][0] >= 3  # two visits of two lines, one of them taken back; supplies are none
    tokens = epic.entries("token")
    assert tokens
    assert {entry["error"] for entry in tokens} == {""}
    # The registration without IN1 had its insurance read, through a server that throttles.
    assert {entry["status"] for entry in epic.entries("fhir")} >= {200, 429}
    assert {entry["path"] for entry in epic.entries("fhir")} >= {"Encounter", "Patient", "Coverage"}
    assert "Traceback" not in (tmp_path / "hub.log").read_text()


def _with_the_pack(site: Path) -> None:
    add_pack(site, "epic")
    (site / "var/secrets/epic_key").write_bytes(new_key())
    for name in OUR_OWN:
        (site / f"channels/{name}.toml").unlink()
    channel = site / "channels/epic_results.toml"
    channel.write_text(channel.read_text().replace('ambiguous = "ask"  ', 'ambiguous = "retry"'))


def _partner(world: Path, name: str, told: dict[str, Any], started: Any) -> dict[str, Any]:
    file = world / f"{name}.json"
    file.write_text(json.dumps(told))
    started.append(subprocess.Popen([sys.executable, "-m", f"hub.simulators.{name}", str(file)]))
    eventually(Path(told["ready"]).exists, name)
    return dict(json.loads(Path(told["ready"]).read_text()))


def _point_at_epic(site: Path, ready: dict[str, Any]) -> int:
    """Lay the addresses of Epic's interfaces over the site's; the port at which the hub will listen for it."""
    overlay = site / "config/local.toml"
    lines = [
        line for line in overlay.read_text().splitlines() if not any(f"channels.{name}." in line for name in OUR_OWN)
    ]
    port = int(re.findall(r'ehr_visits.source.listen" = "tcp:127.0.0.1:(\d+)"', overlay.read_text())[0])
    values: dict[str, Any] = {
        "channels.epic_visits.source.listen": f"tcp:127.0.0.1:{port}",
        "channels.epic_visits.destination.fhir.base": ready["fhir_base"],
        "channels.epic_visits.destination.fhir.oauth.discover": ready["fhir_base"],
        "channels.epic_visits.destination.fhir.oauth.client_id": ready["client_id"],
        "channels.epic_visits.destination.fhir.backoff": "500ms",
        "channels.epic_results.destination.epic.endpoint": f"tcp:127.0.0.1:{ready['mllp_port']}",
        "channels.epic_results.destination.epic.backoff": "500ms",
    }
    overlay.write_text("\n".join([*lines, *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in values.items())]) + "\n")
    return port


def _all_told(world: Path, epic: Epic) -> bool:
    """Whether both visits were paid or denied, and Epic's books have every payment to the cent."""
    paid: Counter[str] = Counter()
    seen = set()
    for entry in book(world, "payer"):
        if entry["kind"] == "remittance" and entry["counts"]:
            for claim in entry["claims"]:
                seen.add(claim["pcn"])
                paid[entry["trace"]] += sum(line["paid_cents"] for line in claim["lines"])
    told: Counter[str] = Counter()
    for entry in epic.entries("posted"):
        if not entry["repeat"]:
            for line in entry["lines"]:
                if line["line_type"] == "PY":
                    told[line["trace"]] += int(Decimal(line["amount"]) * 100)
    return len(seen) == VISITS and sum(paid.values()) > 0 and +told == +paid
