"""What senders wait for their answers when the hub has much else to do, beside what they wait when it has not.

A large 835 is posted, a mapping that never ends is tried again and again, and a person clicks through the pages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import Engine, select
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from hub.bench import crowd
from hub.bench.bench import engine_port
from hub.bench.load import Receiver, Senders
from hub.bench.measure import BenchError, quantile
from hub.bench.messages import messages
from hub.bench.posting import PAYER, add_remittances
from hub.bench.site import free_port, make_site
from hub.core.log import Log
from hub.core.vault import open_vault
from hub.security.users import ensure_first_user
from hub.site.load import load_site
from hub.site.places import key_file, store_url
from hub.site.supervisor import Supervisor
from hub.store.database import open_store, reading
from hub.store.schema import upgrade
from hub.store.tables import remittance

CONNECTIONS = 8
WARM_SECONDS = 5.0
QUIET_SECONDS = 60.0
LOOK_SECONDS = 0.5
LOOPS = 200

_LOOPING = """\
schema = 1
name = "looping"
title = "Files whose mapping never ends"
owner = "bench@clinic.example"

[source]
type = "files"
folder = "{folder}"
poll = "1s"
after = "delete"
lane = "patient"

[[step]]
name = "looping"
on = ["ADT^A04"]
run = "bench.looping:looping"

[destination.receiver]
type = "mllp"
takes = ["ADT^A08"]
endpoint = "tcp:127.0.0.1:{port}"
order = "patient"
ambiguous = "retry"
"""

_SCRIPT = '''\
"""A mistake as people make them: nothing ends this loop."""

from hub.scripting import Message, Outgoing, mapping


@mapping(accepts=["ADT^A04"], returns=Outgoing)
def looping(message: Message) -> Outgoing:
    """Count for ever."""
    count = 0
    while message.control_id:
        count += 1
    return Outgoing(kind="ADT^A08", body=message.raw, name="never")
'''


@dataclass(frozen=True, slots=True)
class Waits:
    """What senders waited for their answers, idle or loaded, while *offered_per_s* messages came in a second."""

    state: str
    offered_per_s: float
    answers: int
    ack_p50_ms: float
    ack_p99_ms: float
    pages: int


@inlineCallbacks
def benchmark_loaded(
    reactor: Any, folder: Path, claims: int, rate: float, seconds: float, show: Callable[[str], None]
) -> Any:
    """Offer *rate* messages per second for *seconds*, first to an idle hub, then to one that has much else to do.

    Gives a list of two :class:`Waits`. Raises :class:`BenchError` when a message is refused, or when the 835 of
    *claims* claims is posted before the time is over.
    """
    receiver = Receiver()
    site_folder, files, loops = folder / "site", folder / "remittances", folder / "loops"
    make_site(site_folder, receiver.port, web_port=(web_port := free_port()))
    add_remittances(site_folder, files)
    _add_looping(site_folder, loops, receiver.port)
    site = load_site(site_folder).require_sound()
    assert site.billing is not None
    store = open_store(store_url(site))
    upgrade(store)
    show(f"{claims:,} claims that wait for their payment")
    yield deferToThread(crowd.fill, store, open_vault(key_file(site)), site.billing, PAYER, claims)
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        login = ensure_first_user(connection, must_change=False)
    assert login is not None
    with (folder / "hub.log").open("w") as log_file:
        hub = Supervisor(site_folder, reactor, Log(log_file), output=log_file.fileno())
        hub.start()
        try:
            show("starting")
            port = yield engine_port(reactor, site_folder, hub)
            yield deferLater(reactor, WARM_SECONDS)
            show("idle")
            idle = yield _offer(reactor, port, "IDL", rate, seconds)
            with (folder / "crowd.835").open("wb") as file:
                for piece in crowd.remittance(site.billing, PAYER, "CLEARING01", "EXAMPLE01", claims):
                    file.write(piece)
            (folder / "crowd.835").rename(files / "crowd.835")
            _lay_loops(loops)
            show("waiting for the remittance to be posted")
            yield _until(reactor, lambda: _state(store) == "posting", "the remittance is not being posted")
            with tempfile.TemporaryFile() as seen:
                person = _browse(f"http://127.0.0.1:{web_port}", *login, seen)
                try:
                    yield _until(reactor, lambda: _pages(seen) > 0, "no page came")
                    show("loaded")
                    loaded = yield _offer(reactor, port, "LOD", rate, seconds)
                    pages = _pages(seen)
                finally:
                    person.kill()
                    person.wait()
            if _state(store) != "posting":
                raise BenchError("The load ended too early.", found=_state(store), fix="More claims.")
        finally:
            show("stopping")
            yield hub.stop()
            yield receiver.stop()
            store.dispose()
    return [_waits("idle", rate, idle, 0), _waits("loaded", rate, loaded, pages)]


def _add_looping(site_folder: Path, files: Path, port: int) -> None:
    files.mkdir()
    (site_folder / "channels" / "looping.toml").write_text(_LOOPING.format(folder=files, port=port))
    (site_folder / "transforms" / "bench" / "looping.py").write_text(_SCRIPT)


def _lay_loops(files: Path) -> None:
    supply = messages("LOOP")
    for number in range(LOOPS):
        made = files.parent / f"{number}.hl7"
        made.write_bytes(next(supply))
        shutil.move(made, files / made.name)
        next(supply)  # the charge that comes in turn; the loop is for registrations


@inlineCallbacks
def _offer(reactor: Any, port: int, run: str, rate: float, seconds: float) -> Any:
    begun = perf_counter()
    senders = Senders(port, CONNECTIONS, messages(run), lambda: senders.sent < (perf_counter() - begun) * rate)
    yield senders.start()
    yield deferLater(reactor, seconds)
    senders.stop()
    deadline = perf_counter() + QUIET_SECONDS
    while not senders.is_quiet:
        if perf_counter() > deadline:
            raise BenchError("Not every message was answered.", found=f"{senders.sent - senders.acked} were not")
        yield deferLater(reactor, 0.05)
    senders.close()
    if senders.refused:
        raise BenchError("Messages were refused.", found=str(senders.refused))
    return senders.waits


@inlineCallbacks
def _until(reactor: Any, is_so: Callable[[], bool], otherwise: str) -> Any:
    deadline = reactor.seconds() + 10 * QUIET_SECONDS
    while not is_so():
        if reactor.seconds() > deadline:
            raise BenchError("The load did not come about.", found=otherwise)
        yield deferLater(reactor, LOOK_SECONDS)


def _pages(seen: Any) -> int:
    """How many pages the person has seen: a byte each."""
    return os.fstat(seen.fileno()).st_size


def _state(store: Engine) -> str:
    with reading(store) as connection:
        return str(connection.execute(select(remittance.c.state)).scalar() or "")


def _browse(address: str, name: str, password: str, seen: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hub.bench.browse", address, name]
    person = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=seen)  # noqa: S603 - our own words
    assert person.stdin is not None
    person.stdin.write(f"{password}\n".encode())
    person.stdin.close()
    return person


def _waits(state: str, rate: float, waits: list[float], pages: int) -> Waits:
    ordered = sorted(waits)
    p50, p99 = (round(quantile(ordered, share) * 1000, 2) for share in (0.50, 0.99))
    return Waits(state, rate, len(ordered), p50, p99, pages)
