"""A hub between an EHR and receivers that all keep books, and what must be true of the books in the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from hub.bench import crowd
from hub.bench.posting import PAYER, add_remittances
from hub.cli.run import prepare
from hub.core.errors import HubError
from hub.core.money import to_cents
from hub.core.vault import open_vault
from hub.engine.control import ask_engine
from hub.site.load import load_site
from hub.site.new import new_site
from hub.site.places import key_file, store_url
from hub.store.database import open_store
from tests.chaos.peers import Ehr, Receiver
from tests.chaos.watch import Act, Watch, kill
from tests.e2e.playing import ENGINE, processes

T = TypeVar("T")
WAIT = 240.0
CHANNEL = "forward"
MOST_OWED = 40
CLAIMS, CLAIMS_PAID_AT_ONCE = 2000, 50

_CHANNEL = """\
schema = 1
name = "forward"
title = "Everything that comes in, sent on thrice"
owner = "integration@alder.example"

[source]
type = "mllp"
listen = "tcp:127.0.0.1:0"
accepts = ["ADT^A04"]
lane = "patient"

[[step]]
name = "forward"
on = ["ADT^A04"]
run = "alder.forward:forward"

[destination.asking]
type = "mllp"
takes = ["asking"]
endpoint = "tcp:127.0.0.1:{asking}"
connections = 2
order = "patient"
ambiguous = "ask"
backoff = "100ms"
backoff_max = "300ms"
answer_within = "3s"

[destination.repeating]
type = "mllp"
takes = ["repeating"]
endpoint = "tcp:127.0.0.1:{repeating}"
connections = 2
order = "patient"
ambiguous = "retry"
backoff = "100ms"
backoff_max = "300ms"
answer_within = "3s"

[destination.folder]
type = "files"
takes = ["folder"]
folder = "{folder}"
order = "patient"
ambiguous = "ask"
backoff = "100ms"
backoff_max = "300ms"
"""

_SCRIPT = '''\
"""Each message goes on to three destinations, under its own name."""

from hub.scripting import Builder, Message, Outgoing, mapping


@mapping(accepts="ADT^A04", returns=Outgoing)
def forward(message: Message):
    """The registration, as each of the three takes it."""
    for kind in ("asking", "repeating", "folder"):
        out = Builder(
            type="ADT^A08^ADT_A01", control_id=message.control_id, sent=message["MSH-7.1"],
            sending=("HUB", "ALDER"), receiving=("PEER", "X"), processing_id="T",
        )
        out.add("PID", {"3.1": message["PID-3.1"]})
        yield Outgoing(kind=kind, body=out, name=message.control_id)
'''


def make_site(folder: Path, places: Mapping[str, object], *, url: str = "embedded") -> Path:
    """A site with one channel to three destinations, whose *places* are ports and a folder."""
    new_site(folder)
    for part in ("channels", "transforms", "tests"):
        shutil.rmtree(folder / part)
    (folder / "channels").mkdir()
    (folder / "transforms" / "alder").mkdir(parents=True)
    (folder / "channels" / f"{CHANNEL}.toml").write_text(_CHANNEL.format(**places))
    (folder / "transforms" / "alder" / "forward.py").write_text(_SCRIPT)
    settings = folder / "config" / "hub.toml"
    settings.write_text(settings.read_text().replace('"embedded"', f'"{url}"'))
    prepare(load_site(folder))
    return folder


class World:
    """A hub at work, its EHR, its receivers, and the listener at its named points."""

    def __init__(self, folder: Path, *, seed: int, url: str = "embedded") -> None:
        self.asking, self.repeating = Receiver(), Receiver()
        self.folder = folder / "out"
        self.folder.mkdir(parents=True)
        places = {"asking": self.asking.port, "repeating": self.repeating.port, "folder": self.folder}
        self.site = make_site(folder / "site", places, url=url)
        self._remittances = folder / "remittances"
        self.claims_paid = 0
        self._wait_for_payment()
        self.watch = Watch(folder / "points")
        self.log = folder / "log"
        self._clock = folder / "clock"
        self.set_clock(0)
        self.called_ambiguous: set[tuple[str, str]] = set()
        self._reader = create_engine(store_url(load_site(self.site)), poolclass=NullPool)
        self._hub: subprocess.Popen[bytes] | None = None
        self.start()
        self.ehr = Ehr(self._port, seed)

    def _wait_for_payment(self) -> None:
        """Have claims wait for the 835s of :meth:`pay`."""
        add_remittances(self.site, self._remittances)
        site = load_site(self.site).require_sound()
        assert site.billing is not None
        self._billing = site.billing
        store = open_store(store_url(site))
        crowd.fill(store, open_vault(key_file(site)), site.billing, PAYER, CLAIMS)
        store.dispose()

    # ---- life

    def start(self) -> None:
        """Start the hub."""
        with self.log.open("ab") as log:
            self._hub = subprocess.Popen(
                [sys.executable, "-m", "hub.cli.main", "run", "--site", str(self.site), "--json", "--no-web"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "HUB_POINTS": str(self.watch.path),
                    "CHAOS_CLOCK": str(self._clock),
                    "PYTHONPATH": str(Path(__file__).parent / "clock"),
                },
                start_new_session=True,
            )

    def close(self) -> None:
        """End everything."""
        self.ehr.stop()
        self.watch.close()
        if self._hub is not None and self._hub.poll() is None:
            self._hub.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._hub.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._hub.pid, signal.SIGKILL)
            self._hub.wait(30)
        for peer in (self.asking, self.repeating):
            peer.close()
        self._reader.dispose()

    @property
    def hub(self) -> int:
        """The process id of `hub run`."""
        assert self._hub is not None
        return self._hub.pid

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The engine's answer. Raises `HubError` when there is none."""
        assert self._hub is None or self._hub.poll() is None, self.log.read_text()
        return ask_engine(self.site / "var" / "control.sock", command, arguments, actor="operator", timeout=10.0)

    def _port(self) -> int:
        try:
            (source,) = self.ask("status")["channels"][CHANNEL]["sources"]
        except HubError as away:
            raise ConnectionRefusedError from away
        return int(source["address"].rpartition(":")[2])

    def status(self) -> dict[str, Any]:
        """What `hub status` says."""
        command = [sys.executable, "-m", "hub.cli.main", "status", "--site", str(self.site), "--json"]
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
        return found

    # ---- what the store says, in plain SQL

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What *query* finds."""
        with self._reader.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def in_state(self, state: str) -> set[tuple[str, str]]:
        """The deliveries in *state*: destination and name."""
        return set(self.rows(f"select destination, name from delivery where state = '{state}'"))  # type: ignore[arg-type]

    # ---- what is done to it

    def kill_at(self, point: str, *, nth: int = 1) -> set[tuple[str, str]]:
        """Kill the process that comes to *point*; what was in flight then, by the store that was left."""
        left: list[set[tuple[str, str]]] = []

        def act(pid: int) -> None:
            kill(pid)
            left.append(self.in_state("sending"))

        self.at(point, act, nth=nth)
        return left[0]

    def at(self, point: str, act: Act, *, nth: int = 1) -> None:
        """Have messages flow until *act* is done at *point*."""
        done = self.watch.at(point, act, nth=nth)
        deadline = time.monotonic() + WAIT
        while not done.wait(0.3):
            assert time.monotonic() < deadline, f"nobody came to {point}: {self.tail()}"
            if self.ehr.owed < MOST_OWED:
                self.ehr.send(5)

    def pay(self) -> None:
        """Lay an 835 that pays the next claims where the hub looks for it."""
        first, self.claims_paid = self.claims_paid, self.claims_paid + CLAIMS_PAID_AT_ONCE
        pieces = crowd.remittance(self._billing, PAYER, "CLEARING01", "EXAMPLE01", CLAIMS_PAID_AT_ONCE, first)
        written = self.folder.parent / f"{first}.835"
        written.write_bytes(b"".join(pieces))
        written.rename(self._remittances / written.name)

    def set_clock(self, wrong_by: int) -> None:
        """Have the hub's processes believe in another time: *wrong_by* seconds from the true one."""
        self._clock.write_text(f"{wrong_by:12}")

    def engine(self) -> int:
        """The engine's process id, once it answers."""
        eventually(self._answers, "an engine that answers", self.tail)
        (pid,) = processes(ENGINE, self.site)
        return pid

    def _answers(self) -> bool:
        with contextlib.suppress(HubError):
            return bool(self.ask("status"))
        return False

    def settle(self) -> None:
        """Wait until all is acknowledged and nothing is under way, deciding as a person would what is ambiguous."""
        eventually(lambda: not self.ehr.owed, "acknowledgements", self.tail)
        eventually(self._is_over, "the end of what is under way", self.tail)

    def _is_over(self) -> bool:
        self._decide()
        if self.rows("select count(*) from remittance where state = 'posted'") != [(self._payments(),)]:
            return False
        open_now = "select 1 from message where onward = 'in progress' union select 1 from delivery"
        return not self.rows(f"{open_now} where state in ('queued', 'sending', 'ambiguous', 'refused') limit 1")

    def _decide(self) -> None:
        """Ask the receiver whether it has what is ambiguous: it is closed if so, else sent again."""
        for delivery_id, destination, name in self.rows(
            "select id, destination, name from delivery where state = 'ambiguous' order by sequence"
        ):
            self.called_ambiguous.add((destination, name))
            has_it = (self.folder / name).exists() if destination == "folder" else name in self.asking.names
            command, more = ("close_delivery", {}) if has_it else ("replay", {"from": "delivery"})
            with contextlib.suppress(HubError):
                self.ask(command, delivery_id=delivery_id, reason="The receiver was asked.", **more)

    def tail(self) -> str:
        """The end of what the hub wrote, and what is not settled."""
        try:
            left = self.rows("select destination, state, reason from delivery where state != 'delivered'")
        except OperationalError as error:
            left = [(type(error).__name__,)]
        open_now = Counter(left)
        return f"{self.log.read_text()[-2000:]}\n{open_now}\nowed {self.ehr.owed}"

    # ---- the verdict

    def verdict(self) -> list[str]:
        """Everything that the books say against the hub; empty when nothing is."""
        acknowledged = [name for name, _ in self.ehr.acknowledged]
        wrong = _differences("acknowledged and not stored", set(acknowledged), self._stored())
        files = [file.name for file in self.folder.iterdir() if not file.name.startswith(".")]
        for who, got in (("asking", self.asking.names), ("repeating", self.repeating.names), ("folder", files)):
            wrong += _differences(f"acknowledged and not at {who}", set(acknowledged), set(got))
            wrong += _differences(f"at {who} and never acknowledged", set(got), set(acknowledged))
        wrong += [f"twice at asking: {name}" for name, times in Counter(self.asking.names).items() if times > 1]
        for receiver in (self.asking, self.repeating):
            wrong += self._out_of_order(receiver)
        return wrong + self._sums() + self._money()

    def _payments(self) -> int:
        return self.claims_paid // CLAIMS_PAID_AT_ONCE

    def _money(self) -> list[str]:
        """Every claim of the 835s is paid once, to the cent, and nothing else is."""
        paid = to_cents(crowd.PAID) * self.claims_paid
        account = "select coalesce(sum(amount_cents), 0) from ledger_posting where account = "
        expected = {
            f"{account}'cash'": paid,
            f"{account}'clearing'": 0,
            f"{account}'receivable patient'": to_cents(crowd.CHARGE) * 20 // 150 * self.claims_paid,
            "select count(*) from ledger_entry where kind = 'payment'": self.claims_paid,
            "select count(distinct claim_id) from ledger_entry where kind = 'payment'": self.claims_paid,
            "select count(*) from remittance_claim where state = 'posted'": self.claims_paid,
        }
        found = {query: int(self.rows(query)[0][0]) for query in expected}
        return [
            f"{query}: {found[query]} and not {wanted}" for query, wanted in expected.items() if found[query] != wanted
        ]

    def _stored(self) -> set[str]:
        names = [str(name) for (name,) in self.rows(f"select control_id from message where channel = '{CHANNEL}'")]
        assert len(names) == len(set(names)), "a message is stored twice"
        return set(names)

    def _out_of_order(self, receiver: Receiver) -> list[str]:
        """Patients whose messages came in another order than they were acknowledged in; repeats do not count."""
        sent: defaultdict[str, list[str]] = defaultdict(list)
        for name, patient in self.ehr.acknowledged:
            sent[str(patient)].append(name)
        came: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for entry in list(receiver.book):
            came[entry.patient].setdefault(entry.name)
        return [f"out of order: patient {patient}" for patient, names in sent.items() if list(came[patient]) != names]

    def _sums(self) -> list[str]:
        """The kept counters against a count of the rows."""
        kept = dict(self.rows("select name, sum(value) from counter where value != 0 group by name"))  # type: ignore[arg-type]
        counted = dict(self.rows("select onward, count(*) from message group by onward"))  # type: ignore[arg-type]
        counted["received"] = sum(counted.values())
        kept = {name: int(value) for name, value in kept.items() if name in {*counted, "in progress"} and value}
        return [] if kept == counted else [f"the counters say {kept}, the rows {counted}"]


def _differences(what: str, expected: set[str], found: set[str]) -> list[str]:
    missing = sorted(expected - found)
    return [f"{what}: {missing[:5]} and {len(missing)} in all"] if missing else []


def eventually(look: Callable[[], T], what: str, tail: Callable[[], str], seconds: float = WAIT) -> T:
    """What *look* says once that is something."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{tail()}"
        threading.Event().wait(0.05)
    return seen


@contextlib.contextmanager
def world(folder: Path, *, seed: int = 1, url: str = "embedded") -> Iterator[World]:
    """A world that ends with the block."""
    made = World(folder, seed=seed, url=url)
    try:
        yield made
    finally:
        made.close()


def said(log: Path) -> list[dict[str, Any]]:
    """The events that the hub's processes wrote."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
