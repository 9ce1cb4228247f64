"""Processes are killed in the middle of the demonstration: nothing is lost, nothing is billed or posted twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from hub.core.errors import HubError
from tests.e2e.playing import ENGINE, WEB, WORKER, Demo, book, demo, eventually, kill, processes

pytestmark = pytest.mark.e2e

MESSAGES = "select 1 from message where onward = 'in progress' and not mapped and channel = 'ehr_visits'"
UNDECIDED = "select 1 from delivery where destination = 'billing' and state = 'queued'"
CLAIMS_ON_THEIR_WAY = "select 1 from delivery where channel = 'claims_out' and state = 'sending'"
RESULTS_ON_THEIR_WAY = "select 1 from delivery where channel = 'results_to_ehr' and state = 'sending'"
RESPONSES = "select 1 from message where onward = 'in progress' and channel = 'responses_in'"
POSTING = "select 1 from remittance where state in ('staged', 'posting')"
DUE = "select 1 from due where not done and business_at = 0 and kind != 'batch'"
MAPPED = "select 1 from message where mapped and channel = 'ehr_visits'"
DECIDED = "select 1 from delivery where destination = 'billing' and state = 'delivered'"
ALWAYS = "select 1"
DOORS = {"clearway": "clearinghouse", "granite": "payer"}
HANDED_OVER = 0.5
ENGINES_KILLED = 7

SEED = "9"
DOORS = {"clearway": "clearinghouse", "granite": "payer"}
DUE = "select 1 from due where done = 0 and business_at = 0 and kind != 'batch'"


def test_nothing_is_lost_and_nothing_happens_twice_when_processes_are_killed(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with demo(tmp_path / "demo", "--visits", "24", "--seed", SEED, "--faults", "--day-seconds", "2.5") as playing:
        operator = Operator(playing)
        operator.start()
        kill_engine = partial(_kill_engine, playing, dice)
        kill_worker = partial(_kill_worker, playing)
        killed = [
            kill_worker("mapping", MAPPED, MESSAGES),
            kill_engine("messages come in", MESSAGES),
            _kill_starting_engine(playing),
            kill_worker("billing", DECIDED, UNDECIDED),
            kill_engine("claims are on their way", CLAIMS_ON_THEIR_WAY),
            _kill_web(playing),
            kill_engine("a delivery's outcome is due", DUE),
            kill_engine("responses come in", RESPONSES),
            kill_worker("transfer", ALWAYS, ALWAYS),
            kill_engine("a remittance is being posted", POSTING),
            kill_engine("results go back", RESULTS_ON_THEIR_WAY),
        ]
        code, said = playing.outcome()
        operator.join()
        log, books = playing.log, playing.books
        attempts = Counter(outcome for (outcome,) in playing.rows("select outcome from attempt"))
        states = Counter(playing.rows("select channel, destination, state from delivery"))
        numbers = playing.rows("select partner, interchange_number from batch")
    for told in (killed, attempts, states, operator.decided):
        print(told)  # noqa: T201 - for `pytest -s`
    assert said["ok"], [check for check in said["checks"] if not check["ok"]]
    assert said["difference"] == "0.00"
    assert code == 0
    assert log.count('"process": "engine"') == ENGINES_KILLED
    assert log.count('"process": "web"') == 1
    assert "billing.refused" not in log
    assert "Traceback" not in log
    assert len(numbers) == len(set(numbers))
    taken = Counter((entry["door"], entry["pcn"]) for entry in books if entry["kind"] == "claim")
    assert not [claim for claim, times in taken.items() if times > 1]
    assert not [entry for entry in books if entry["kind"] == "file_in" and entry["reason"] == "025"]
    assert {state for channel, _, state in states if channel == "claims_out"} <= {"delivered", "closed"}
    assert not {"queued", "sending", "ambiguous"} & {state for _, _, state in states}


def _kill_engine(playing: Demo, dice: random.Random, what: str, query: str) -> str:
    """Kill the engine a moment after the store first shows that *what* is going on."""
    eventually(lambda: playing.ask("status"), "an engine that answers")
    (engine,) = processes(ENGINE, playing.site)
    _see(playing, what, query)
    time.sleep(dice.uniform(0, 0.02))  # anywhere within what was seen
    kill(engine)
    eventually(lambda: engine not in processes(ENGINE, playing.site), "the end of the engine")
    return what


def _kill_starting_engine(playing: Demo) -> str:
    """Kill the engine that takes the place of a killed one before it answers."""
    kill(eventually(lambda: processes(ENGINE, playing.site), "an engine that starts")[0])
    return "it starts"


def _kill_worker(playing: Demo, pool: str, done: str, query: str) -> str:
    """Kill a pool's worker in the middle of its work: it is stopped, is given work, and never wakes up."""
    eventually(lambda: playing.ask("status"), "an engine that answers")
    before = len(playing.rows(done))
    eventually(lambda: done == ALWAYS or len(playing.rows(done)) > before, f"{pool} at work", 120)
    # One of an engine that was killed while it started may still be on its way to find that out.
    worker = eventually(lambda: _only_worker(playing, pool), f"one worker of {pool}")
    os.kill(worker, signal.SIGSTOP)
    _see(playing, f"work for {pool}", query)
    time.sleep(HANDED_OVER)
    kill(worker)
    return pool


def _only_worker(playing: Demo, pool: str) -> int:
    found = [pid for pid in processes(WORKER, playing.site) if _is_of(pid, pool)]
    return found[0] if len(found) == 1 else 0


def _kill_web(playing: Demo) -> str:
    kill(eventually(lambda: processes(WEB, playing.site), "the pages' process")[0])
    return "web"


def _see(playing: Demo, what: str, query: str) -> None:
    eventually(lambda: playing.rows(query) or not playing.running, what, 120)
    assert playing.running, f"it ended before {what}"


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
                " where d.state in ('ambiguous', 'refused') and w.state = 'open' and d.destination != 'billing'"
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
