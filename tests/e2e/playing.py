"""Runs `hub demo` and sites as processes, finds their processes, and reads their stores without disturbing them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

from hub.engine.control import EngineAwayError, ask_engine

T = TypeVar("T")
WAIT = 60.0
PAUSE = 0.02
DEMO_SECONDS = 400.0
LOOK_SECONDS = 3.0
ENGINE, WEB, WORKER = "hub.site.running", "hub.web.main", "hub.site.worker"


def eventually(look: Callable[[], T], what: str, seconds: float = WAIT) -> T:
    """What *look* says once that is something."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(PAUSE)
    return seen


def processes(module: str, site: Path) -> list[int]:
    """The ids of the processes that run *module* for the site at *site*."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if module.encode() in words and str(site).encode() in words:
            found.append(int(entry.name))
    return sorted(found)


def kill(pid: int) -> None:
    """End a process as a power cut would."""
    os.kill(pid, signal.SIGKILL)


class Demo:
    """`hub demo --once --json` in a process of its own, everything it keeps below *folder*."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.site = folder / "site"
        self._errors = (folder.parent / f"{folder.name}.errors").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hub.cli.main", "demo", "--once", "--json", "--folder", str(folder), *words],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def outcome(self, seconds: float = DEMO_SECONDS) -> tuple[int, dict[str, Any]]:
        """The exit code, and what it said as JSON."""
        said, _ = self.process.communicate(timeout=seconds)
        self._errors.seek(0)
        assert said, f"it said nothing: {self._errors.read()}\n{self.log[-4000:]}"
        return self.process.returncode, json.loads(said)

    @property
    def running(self) -> bool:
        """Whether it still plays."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """What the hub and the simulators wrote."""
        return (self.folder / "hub.log").read_text()

    @property
    def books(self) -> list[dict[str, Any]]:
        """The entries of the partners' books."""
        return [entry for name in ("clearinghouse", "payer") for entry in book(self.folder / "world", name)]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the store holds; nothing while it is not there yet."""
        return rows(self.site, query, *values)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any] | None:
        """The engine's answer to a person's command; None while no engine listens."""
        try:
            return ask_engine(self.site / "var" / "control.sock", command, arguments, actor="operator")
        except EngineAwayError:
            return None

    def close(self) -> None:
        """End it, whatever it does."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(WAIT)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()


@contextmanager
def demo(folder: Path, *words: str) -> Iterator[Demo]:
    """A demonstration that is ended with the block."""
    playing = Demo(folder, *words)
    try:
        yield playing
    finally:
        playing.close()


@dataclass(frozen=True, slots=True)
class Played:
    """A demonstration that has ended: its exit code, what it said as JSON, and what was *seen* while it ran."""

    folder: Path
    visits: int
    seed: int
    code: int
    said: dict[str, Any]
    log: str
    seen: tuple[tuple[str, bytes], ...]


def played_demo(folder: Path, *, visits: int, seed: int) -> Played:
    """Play a demonstration with faults; look at its write-ahead log and its metrics every few seconds."""
    seen: list[tuple[str, bytes]] = []
    words = ("--visits", str(visits), "--seed", str(seed), "--faults", "--day-seconds", "2")
    with demo(folder, *words) as playing:
        deadline = time.monotonic() + DEMO_SECONDS
        while playing.running and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            with suppress(OSError):
                seen.append(("hub.db-wal", (folder / "site" / "var" / "hub.db-wal").read_bytes()))
                seen.append(("/metrics", _metrics(folder / "site")))
        code, said = playing.outcome()
        return Played(folder, visits, seed, code, said, playing.log, tuple(seen))


def _metrics(site: Path) -> bytes:
    overlay = tomllib.loads((site / "config" / "local.toml").read_text())
    address = overlay["hub.web.listen"].removeprefix("tcp:")
    with urlopen(f"http://{address}/metrics", timeout=WAIT) as page:
        return bytes(page.read())


def rows(site: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What *query* finds in the store of the site at *site*."""
    try:
        with closing(sqlite3.connect(f"file:{site / 'var' / 'hub.db'}?mode=ro", uri=True, timeout=10)) as store:
            return store.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []


def book(world: Path, name: str) -> list[dict[str, Any]]:
    """The whole entries of one simulator's book."""
    try:
        lines = (world / f"{name}.books.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
