"""How fast a large 835 is posted, how much memory that takes, and whether ``kill -9`` changes a cent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from hub.bench import crowd
from hub.bench.knocking import Knocking
from hub.bench.measure import BenchError, quantile
from hub.bench.messages import messages
from hub.bench.processes import family, resident_bytes
from hub.bench.site import CHANNEL
from hub.billing import reconcile
from hub.core.money import to_cents
from hub.core.vault import open_vault
from hub.site.load import load_site
from hub.site.new import new_site
from hub.site.places import control_socket, key_file, store_url
from hub.store.database import open_store, reading
from hub.store.schema import upgrade
from hub.store.tables import message, remittance, remittance_claim

PAYER = "90001"
LOOK_SECONDS = 0.5
IDLE_KNOCKS = 40
START_SECONDS = 120.0
STUCK_SECONDS = 300.0
MEGABYTE = 1 << 20
_ENGINE = "hub.engine"

_CHANNEL = """\
schema = 1
name = "responses_in"
title = "Remittances"
owner = "bench@clinic.example"

[source]
type = "files"
folder = "{folder}"
poll = "1s"
after = "delete"
lane = "strict"

[[step]]
name = "responses"
on = ["835"]
run = "bench.responses:partner_file"

[destination.billing]
type = "billing"
"""

_KNOCKED = """\
schema = 1
name = "forward"
title = "What comes in meanwhile"
owner = "bench@clinic.example"

[source]
type = "mllp"
listen = "tcp:127.0.0.1:0"
accepts = ["ADT^A04", "DFT^P03"]
lane = "patient"

[[step]]
name = "look"
on = ["ADT^A04", "DFT^P03"]
run = "bench.look:look"

[destination.billing]
type = "billing"
"""

_LOOK = '''\
"""Messages that come meanwhile."""

from hub.scripting import Message, Skip, mapping


@mapping(accepts=["ADT^A04", "DFT^P03"], returns=Skip)
def look(message: Message) -> Skip:
    """Nothing comes of it."""
    return Skip(message, f"seen {message['PID-3[MR].1']}")
'''

_SCRIPT = '''\
"""Remittances for billing to read."""

from hub.scripting import PartnerFile, X12File, mapping


@mapping(accepts=["835"], returns=PartnerFile)
def partner_file(file: X12File) -> PartnerFile:
    """Whose file it is."""
    return PartnerFile(partner="clearinghouse", kinds=file.kinds)
'''


@dataclass(frozen=True, slots=True)
class Posted:
    """The figures of one remittance. The memory is the most that one process, and all of them together, held.

    The waits are of messages that came by MLLP while it was posted and, *idle*, before that; *answered* counts them.
    """

    claims: int
    file_mb: float
    read_seconds: float
    post_seconds: float
    lines_per_s: float
    largest_process_mb: float
    all_processes_mb: float
    killed: int
    answered: int
    ack_p50_ms: float
    ack_p99_ms: float
    idle_p50_ms: float
    idle_p99_ms: float


def measure(folder: Path, claims: int, show: Callable[[str], None], *, kill: bool = False) -> Posted:
    """Have a hub of its own in *folder* post an 835 of *claims* claims; with *kill* its processes die in the middle.

    Raises :class:`BenchError` when it does not end, or not at the right cent.
    """
    site_folder, files = folder / "remittance", folder / "remittance-files"
    _make_site(site_folder, files)
    site = load_site(site_folder).require_sound()
    config = site.billing
    assert config is not None
    store = open_store(store_url(site))
    upgrade(store)
    show(f"{claims:,} claims that wait for their payment")
    crowd.fill(store, open_vault(key_file(site)), config, PAYER, claims)
    path = files / "crowd.835"
    with (folder / "crowd.835").open("wb") as file:
        for piece in crowd.remittance(config, PAYER, "CLEARING01", "EXAMPLE01", claims):
            file.write(piece)
    size = (folder / "crowd.835").stat().st_size
    with (folder / "posting.log").open("w") as log:
        command = [sys.executable, "-m", "hub.cli.main", "run", "--no-web", "--site", str(site_folder)]
        hub = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - our own words
        knocking = Knocking(control_socket(site), CHANNEL, messages("K"))
        try:
            show("starting")
            knocking.start()
            idle = _idle_waits(knocking)
            (folder / "crowd.835").rename(path)
            watched = _Watched(store, hub.pid, claims, show, kill=kill)
            watched.run()
        finally:
            knocking.stop()
            hub.send_signal(signal.SIGTERM)
            hub.wait()
    _check(store, claims)
    _check_knocks(store, knocking)
    store.dispose()
    busy = sorted(knocking.waits[len(idle) :])
    seconds = watched.ended - watched.staged
    return Posted(
        claims=claims,
        file_mb=round(size / MEGABYTE, 1),
        read_seconds=round(watched.staged - watched.arrived, 1),
        post_seconds=round(seconds, 1),
        lines_per_s=round(claims / max(watched.ended - watched.arrived, LOOK_SECONDS), 1),
        largest_process_mb=round(watched.largest / MEGABYTE, 1),
        all_processes_mb=round(watched.together / MEGABYTE, 1),
        killed=watched.killed,
        answered=knocking.answered,
        ack_p50_ms=_ms(busy, 0.5),
        ack_p99_ms=_ms(busy, 0.99),
        idle_p50_ms=_ms(idle, 0.5),
        idle_p99_ms=_ms(idle, 0.99),
    )


def _idle_waits(knocking: Knocking) -> list[float]:
    """What the first messages waited, in order of size, when enough of them have been answered."""
    deadline = time.monotonic() + START_SECONDS
    while len(knocking.waits) < IDLE_KNOCKS:
        if time.monotonic() > deadline:
            raise BenchError("The hub answers nothing.", fix="Its own words stand in posting.log.")
        time.sleep(LOOK_SECONDS)
    return sorted(knocking.waits)


def _ms(waits: list[float], share: float) -> float:
    return round(quantile(waits, share) * 1000, 1)


def _make_site(folder: Path, files: Path) -> None:
    new_site(folder)
    for part in ("channels", "transforms", "tests"):
        shutil.rmtree(folder / part)
    (folder / "channels").mkdir()
    (folder / "transforms" / "bench").mkdir(parents=True)
    add_remittances(folder, files)
    (folder / "channels" / f"{CHANNEL}.toml").write_text(_KNOCKED)
    (folder / "transforms" / "bench" / "look.py").write_text(_LOOK)


def add_remittances(site_folder: Path, files: Path) -> None:
    """Have the site at *site_folder* post the 835s that are laid into the new folder *files*."""
    files.mkdir()
    (site_folder / "transforms" / "bench").mkdir(parents=True, exist_ok=True)
    (site_folder / "channels" / "responses_in.toml").write_text(_CHANNEL.format(folder=files))
    (site_folder / "transforms" / "bench" / "responses.py").write_text(_SCRIPT)


class _Watched:
    """Looks at the store and at the processes of the hub *pid* until the remittance is posted."""

    def __init__(self, store: Engine, pid: int, claims: int, show: Callable[[str], None], *, kill: bool) -> None:
        self._store, self._pid, self._claims, self._show = store, pid, claims, show
        self._kill_at = [claims // 3, 2 * claims // 3] if kill else []
        self.killed = self.largest = self.together = 0
        self.arrived = self.staged = self.ended = 0.0

    def run(self) -> None:
        """Return when it is posted. Raises :class:`BenchError`."""
        before, moved = (-1, ""), time.monotonic()
        while not self.ended:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._weigh()
            found = self._look()
            if found != before:
                before, moved = found, now
            posted, state = found
            if state and not self.arrived:
                self.arrived = now
            if state in {"posting", "posted"} and not self.staged:
                self.staged = now
            if state == "posted":
                self.ended = now
            if state == "held" or now - moved > STUCK_SECONDS:
                raise BenchError("The remittance was not posted.", found=f"{state or 'no remittance'}, {posted} claims")
            if self._kill_at and posted > self._kill_at[0]:
                self._kill_at.pop(0)
                self._kill()
            self._show(f"{state or 'waiting'}: {posted:,} of {self._claims:,} claims posted")

    def _look(self) -> tuple[int, str]:
        """How many claims are posted, or stored, and the remittance's state; ``reading`` before it is judged."""
        with reading(self._store) as connection:
            row = connection.execute(select(remittance.c.claims_posted, remittance.c.state)).first()
            if row is not None and row.state != "staged":
                return int(row.claims_posted), str(row.state)
            if row is not None:
                stored = connection.execute(select(func.count()).select_from(remittance_claim)).scalar_one()
                return -int(stored), "staged"
            file = select(message.c.id).where(message.c.channel == "responses_in")
            came = connection.execute(file.limit(1)).first() is not None
        return 0, "reading" if came else ""

    def _weigh(self) -> None:
        sizes = [_resident(pid) for pid in family(self._pid)]
        self.largest = max(self.largest, *sizes)
        self.together = max(self.together, sum(sizes))

    def _kill(self) -> None:
        """Kill every process of the hub but the one that starts them anew."""
        for pid in family(self._pid):
            if pid != self._pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.killed += 1


def _resident(pid: int) -> int:
    try:
        return resident_bytes(pid)
    except OSError:
        return 0


def _check(store: Engine, claims: int) -> None:
    with reading(store) as connection:
        figures = reconcile.figures(connection)
    expected = to_cents(crowd.PAID) * claims
    if not figures.ok or to_cents(figures.charges.paid) != expected or to_cents(figures.cash) != expected:
        raise BenchError(
            "The books do not agree after posting.", expected=str(expected), found=str(to_cents(figures.charges.paid))
        )


def _check_knocks(store: Engine, knocking: Knocking) -> None:
    """What was answered is stored, whatever was killed meanwhile."""
    with reading(store) as connection:
        kept = select(func.count()).select_from(message).where(message.c.channel == CHANNEL)
        stored = int(connection.execute(kept).scalar_one())
    if knocking.refused or stored < knocking.answered:
        raise BenchError(
            "Messages that came meanwhile were refused or lost.",
            expected=str(knocking.answered + knocking.refused),
            found=str(stored),
        )
