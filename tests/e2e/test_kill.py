"""Processes are killed in the middle of the demonstration: nothing is lost, nothing is billed or posted twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub.core.errors import HubError
from tests.e2e.playing import ENGINE, WEB, WORKER, Demo, book, demo, eventually, kill, processes

pytestmark = pytest.mark.e2e

MESSAGES = "select 1 from message where onward = 'in progress' and channel = 'ehr_visits'"
CLAIMS_ON_THEIR_WAY = "select 1 from delivery where channel = 'claims_out' and state = 'sending'"
RESULTS_ON_THEIR_WAY = "select 1 from delivery where channel = 'results_to_ehr' and state = 'sending'"
RESPONSES = "select 1 from message where onward = 'in progress' and channel = 'responses_in'"
POSTING = "select 1 from remittance where state in ('staged', 'posting')"
SEED = "9"
DOORS = {"clearway": "clearinghouse", "granite": "payer"}
DUE = "select 1 from due where done = 0 and business_at = 0 and kind != 'batch'"


def test_nothing_is_lost_and_nothing_happens_twice_when_processes_are_killed(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with demo(tmp_path / "demo", "--visits", "24", "--seed", SEED, "--faults", "--day-seconds", "2.5") as playing:
        operator = Operator(playing)
        operator.start()
        killed = [
            _kill_engine(playing, "messages come in", lambda: playing.rows(MESSAGES), dice),
            _kill(playing, WORKER, "billing"),
            _kill_engine(playing, "claims are on their way", lambda: playing.rows(CLAIMS_ON_THEIR_WAY), dice),
            _kill(playing, WEB),
            _kill_engine(playing, "a delivery's outcome is due", lambda: playing.rows(DUE), dice),
            _kill_engine(playing, "responses come in", lambda: playing.rows(RESPONSES), dice),
            _kill(playing, WORKER, "transfer"),
            _kill_engine(playing, "a remittance is being posted", lambda: playing.rows(POSTING), dice),
            _kill_engine(playing, "results go back", lambda: playing.rows(RESULTS_ON_THEIR_WAY), dice),
        ]
        code, said = playing.outcome()
        operator.join()
        log, books = playing.log, playing.books
        attempts = Counter(outcome for (outcome,) in playing.rows("select outcome from attempt"))
        states = Counter(playing.rows("select channel, destination, state from delivery"))
        numbers = playing.rows("select partner, interchange_number from batch")
        web_again = log.count('"process": "web"')
    print(f"\nkilled: {killed}\nattempts: {attempts}\ndeliveries: {states}\noperator: {operator.decided}")
    assert said["ok"], [check for check in said["checks"] if not check["ok"]]
    assert said["difference"] == "0.00"
    assert code == 0
    assert log.count('"event": "engine.started"') == 1 + sum(what == ENGINE for what, _ in killed)
    assert web_again == 1
    assert "Traceback" not in log
    assert len(numbers) == len(set(numbers))
    taken = Counter((entry["door"], entry["pcn"]) for entry in books if entry["kind"] == "claim")
    assert not [claim for claim, times in taken.items() if times > 1]
    assert not [entry for entry in books if entry["kind"] == "file_in" and entry["reason"] == "025"]
    assert {state for channel, _, state in states if channel == "claims_out"} <= {"delivered", "closed"}
    assert not {"queued", "sending", "ambiguous"} & {state for _, _, state in states}


def _kill_engine(playing: Demo, what: str, seen: Callable[[], object], dice: random.Random) -> tuple[str, str]:
    """Kill the engine a moment after *seen* sees something, and wait for the next one to work."""
    eventually(lambda: playing.ask("status"), "an engine that answers")
    (engine,) = processes(ENGINE, playing.site)
    eventually(lambda: seen() or not playing.running, what, 120)
    assert playing.running, f"it ended before {what}"
    time.sleep(dice.uniform(0, 0.02))  # anywhere within what was seen
    kill(engine)
    eventually(lambda: engine not in processes(ENGINE, playing.site), "the end of the engine")
    return ENGINE, what


def _kill(playing: Demo, module: str, pool: str = "") -> tuple[str, str]:
    """Kill a process that is not the engine."""

    def found() -> list[int]:
        return [pid for pid in processes(module, playing.site) if not pool or _is_of(pid, pool)]

    eventually(lambda: playing.ask("status"), "an engine that answers")
    kill(eventually(found, f"a process {module} {pool}")[0])
    return module, pool


def _is_of(pid: int, pool: str) -> bool:
    return pool.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


@dataclass
class Operator:
    """Decides about claims that may have arrived as a person would: by asking the partner what it has."""

    playing: Demo
    decided: list[tuple[str, str, str]] = field(default_factory=list)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Begin to watch the queue."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the demonstration is over and nothing more can be decided."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _watch(self) -> None:
        while self.playing.running:
            for delivery_id, partner, name in self.playing.rows(
                "select d.id, d.destination, d.name from delivery d join work_item w on w.delivery_id = d.id"
                " where d.state in ('ambiguous', 'refused') and w.state = 'open'"
            ):
                self._decide(delivery_id, partner, name)
            time.sleep(0.3)

    def _decide(self, delivery_id: int, destination: str, name: str) -> None:
        has_it = destination in DOORS and self._partner_has(destination, name)
        try:
            if has_it:
                answer = self.playing.ask("close_delivery", delivery_id=delivery_id, reason="The partner has it.")
            else:
                reason = "The partner does not have it."
                answer = self.playing.ask("replay", **{"from": "delivery"}, delivery_id=delivery_id, reason=reason)
        except HubError as refused:
            self.decided.append((destination, name, refused.what))
            return
        if answer is not None:
            self.decided.append((destination, name, "closed" if has_it else "sent again"))

    def _partner_has(self, partner: str, name: str) -> bool:
        """Whether the file lies at the partner's door or was taken in; a moment later, as a telephone call is."""
        time.sleep(1.0)
        world = self.playing.folder / "world"
        lies_there = (world / partner / "inbound" / name).exists()
        return lies_there or any(
            entry["kind"] == "file_in" and entry["name"] == name for entry in book(world, DOORS[partner])
        )
