"""The athenahealth pack against its simulator: from a webhook to the payment told back, whatever goes amiss."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from hub.demo.stage import Stage, configurations, plan_play, set_stage, write_overlay
from hub.site.packs import add_pack, packs
from tests.e2e.playing import WAIT, book, eventually, rows

pytestmark = pytest.mark.e2e

OWN_CHANNELS = ("ehr_visits", "ehr_fhir", "results_to_ehr")
SECRETS = {"athena_client": "athena-client", "athena_hook_key": "athena-hook-key"}
PAID = re.compile(r"paid (-?[\d.]+) of")


@dataclass(frozen=True)
class Ehr:
    """The simulator, the hub's site and the partners' books."""

    stage: Stage
    port: int

    def play(self, **command: Any) -> Any:
        """Have the simulator do something."""
        request = Request(f"http://127.0.0.1:{self.port}/play", json.dumps(command).encode())
        with urlopen(request, timeout=WAIT) as answer:
            return json.loads(answer.read())

    def book(self, kind: str) -> list[dict[str, Any]]:
        """The entries of one kind in the simulator's book."""
        return [entry for entry in book(self.stage.world, "athena") if entry["kind"] == kind]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the hub's store holds."""
        return rows(self.stage.site, query, *values)

    def amounts(self, code: str) -> list[int]:
        """The amounts of the charges with *code* that stand, in cents."""
        found = self.rows("SELECT amount_cents FROM charge WHERE code = ? AND state <> 'void' ORDER BY id", code)
        return [amount for (amount,) in found]


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ehr]:
    """A practice with the pack's two channels, a clearinghouse, payers, and days of a second."""
    stage = set_stage(tmp_path_factory.mktemp("athena") / "stage")
    for name in OWN_CHANNELS:
        (stage.site / "channels" / f"{name}.toml").unlink()
    add_pack(stage.site, "athena")
    for name, value in SECRETS.items():
        (stage.site / "var" / "secrets" / name).write_text(value)
    play = plan_play(1, 1, faults=False, day_seconds=1.0, started=time.time())
    told = {name: each for name, each in configurations(stage, play).items() if name != "ehr"}
    started: list[subprocess.Popen[bytes]] = []
    with (stage.folder / "hub.log").open("w") as output:

        def run(*command: str, out: Any = output) -> subprocess.Popen[bytes]:
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=output))
            return started[-1]

        try:
            ready = {name: _partner(stage, name, each, run) for name, each in told.items()}
            port = _simulator(stage, run)
            partners = {name: json.loads(eventually(_text(file), name)) for name, file in ready.items()}
            write_overlay(stage, play, {**partners, "ehr": {"fhir_base": "http://unused.example", "mllp_port": 1}})
            _overlay(stage, port)
            run(sys.executable, "-m", "hub.cli.main", "run", "--site", str(stage.site), "--no-web", "--json")
            yield Ehr(stage, port)
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT)


def _text(file: Path) -> Any:
    return lambda: file.read_text() if file.exists() else ""


def _partner(stage: Stage, name: str, told: dict[str, Any], run: Any) -> Path:
    stage.world.mkdir(exist_ok=True)
    file = stage.world / f"{name}.json"
    file.write_text(json.dumps(told))
    run(sys.executable, "-m", f"hub.simulators.{name}", str(file))
    return Path(told["ready"])


def _simulator(stage: Stage, run: Any) -> int:
    """Start the pack's simulator; its port."""
    simulator = packs()["athena"] / "simulator.py"
    books = stage.world / "athena.books.jsonl"
    hook = f"http://127.0.0.1:{stage.hook_port}/fhir/athena"
    process = run(
        sys.executable, str(simulator), "--hook", hook, "--books", str(books), "--seed", "5", out=subprocess.PIPE
    )
    return int(json.loads(process.stdout.readline())["port"])


def _overlay(stage: Stage, port: int) -> None:
    """Point the pack's channels at the simulator, beside what is there for the channels that stayed."""
    overlay = stage.site / "config" / "local.toml"
    gone = tuple(f'"channels.{name}.' for name in OWN_CHANNELS)
    lines = [line for line in overlay.read_text().splitlines() if not line.startswith(gone)]
    api = f"http://127.0.0.1:{port}"
    fetch, notes = "channels.athena_events.destination.fetch", "channels.athena_results.destination.athena"
    values: dict[str, Any] = {
        "channels.athena_events.source[0].listen": f"tcp:127.0.0.1:{stage.hook_port}",
        "channels.athena_events.source[0].tls": False,
        "channels.athena_events.source[1].cron": "0 2 * * sun",
        f"{fetch}.base": f"{api}/v1/195900",
        f"{notes}.url": f"{api}/v1/195900/claims/{{claimid}}/note",
        f"{notes}.look": f"{api}/v1/195900/claims/{{claimid}}/notes",
    }
    for destination in (fetch, notes):
        values |= {
            f"{destination}.oauth.token_url": f"{api}/oauth2/v1/token",
            f"{destination}.answer_within": "3s",
            f"{destination}.quota.per_second": 20,
            f"{destination}.backoff": "200ms",
            f"{destination}.backoff_max": "2s",
        }
    lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items()]
    overlay.write_text("\n".join(lines) + "\n")


def test_a_webhook_is_answered_in_time_while_the_api_hangs(ehr: Ehr) -> None:
    ehr.play(do="set", hanging=True)
    ehr.play(do="visit", day="2026-03-02", procedures=[["99212", "85.00"]])
    heard = eventually(lambda: [each for each in ehr.book("notification") if each["status"]], "an answer to a webhook")
    assert [each["seconds"] < 2.0 for each in heard] == [True] * len(heard)
    assert ehr.amounts("99212") == []
    ehr.play(do="set", hanging=False)
    eventually(lambda: ehr.amounts("99212") == [8500], "the charge, once the API answers")


def test_whatever_the_order_of_notifications_the_newest_state_stands(ehr: Ehr) -> None:
    ehr.play(do="set", shuffled=True, twice=True, slow=0.2)
    claim = ehr.play(do="visit", day="2026-03-02", procedures=[["99202", "145.00"], ["36415", "15.00"]])
    for amount in ("150.00", "155.00", "160.00"):
        ehr.play(do="change", claimid=claim["claimid"], procedures=[["99202", amount], ["36415", "15.00"]])
        ehr.play(do="let go")
    ehr.play(do="change", claimid=claim["claimid"], procedures=[["99202", "165.00"]])
    ehr.play(do="set", shuffled=False, twice=False, slow=0)
    eventually(lambda: ehr.amounts("99202") == [16500], "the newest amount")
    eventually(lambda: ehr.amounts("36415") == [], "the procedure that is no longer there taken back")
    transactions = len(ehr.rows("SELECT id FROM charge WHERE code = '99202'"))
    assert transactions == 1


def test_a_payment_is_told_back_once_though_api_quota_and_tokens_fail(ehr: Ehr) -> None:
    ehr.play(do="set", per_second=6, retry_after=1, token_seconds=2, page=1, fail_every=9, lose_notes=True, late=0.2)
    for _ in range(3):
        ehr.play(do="visit", day="2026-03-03", procedures=[["99213,25", "135.00"], ["93000", "60.00"]])

    def settled() -> bool:
        claims = [claim for entry in _remittances(ehr) for claim in entry["claims"]]
        told = [each for each in ehr.book("note") if "decided on" in each["text"]]
        return len({claim["pcn"] for claim in claims}) >= 3 and len({_name(each) for each in told}) >= len(claims)

    eventually(settled, "a note for each decision of the payer", 240.0)
    notes = ehr.book("note")
    assert [name for name, times in Counter(map(_name, notes)).items() if times > 1] == []
    paid = sum(Decimal(amount) for each in notes for amount in PAID.findall(each["text"]))
    known = {claim["pcn"]: claim for entry in _remittances(ehr) for claim in entry["claims"]}
    assert paid * 100 == sum(line["paid_cents"] for claim in known.values() for line in claim["lines"])
    assert {each["status"] for each in ehr.book("request")} >= {200, 401, 503}
    assert len(ehr.rows("SELECT id FROM charge WHERE code = '93000'")) == 3


def _remittances(ehr: Ehr) -> list[dict[str, Any]]:
    """What the payers paid and for which claims; those of the other tests are among them."""
    return [entry for entry in book(ehr.stage.world, "payer") if entry["kind"] == "remittance" and entry["counts"]]


def _name(note: dict[str, Any]) -> str:
    return str(note["text"].partition(":")[0])
