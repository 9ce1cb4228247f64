"""A destination that is dead while very many messages come in for it, and then is back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from sqlalchemy import select
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread

from hub.bench.bench import engine_port
from hub.bench.load import Receiver, Senders
from hub.bench.measure import BenchError, quantile
from hub.bench.messages import messages, patient_of
from hub.bench.processes import resident_bytes
from hub.bench.site import free_port, make_site
from hub.core.clock import real_ms
from hub.core.log import Log
from hub.site.load import load_site
from hub.site.places import store_url
from hub.site.supervisor import Supervisor
from hub.store.database import open_store, reading
from hub.store.tables import message
from hub.web.queries.status import Waiting, waiting

CONNECTIONS = 8
RUN = "LOG"
STUCK_SECONDS = 120.0
RETRIED_WITHIN = 300.0
"""The longest that a destination waits before it tries a dead peer again, unless its channel says otherwise."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The figures of one backlog. The waits are of the first and the last tenth of the messages.

    *oldest_s* and *reason* are what the status page says of the queue before the destination is back; *retried_s*
    passed then until the first message went, and *drained_per_s* counts from that on.
    """

    messages: int
    oldest_s: float
    reason: str
    acked_per_s: float
    first_p99_ms: float
    last_p99_ms: float
    retried_s: float
    drained_per_s: float
    rss_mb: float


@inlineCallbacks
def benchmark_backlog(reactor: Any, folder: Path, count: int, show: Callable[[str], None]) -> Any:
    """Send *count* messages to a hub whose destination is dead, then bring the destination to life.

    Gives the :class:`Backlog`. Raises :class:`BenchError` when a message is refused or lost, or when what one patient's
    messages became arrives in another order than they were taken in.
    """
    receiver_port = free_port()
    make_site(folder / "site", receiver_port)
    with (folder / "hub.log").open("w") as log_file:
        hub = Supervisor(folder / "site", reactor, Log(log_file), output=log_file.fileno())
        hub.start(web=False)
        receiver = None
        try:
            show("starting")
            port = yield engine_port(reactor, folder / "site", hub)
            memory = _Memory(hub.pid("engine") or 0)
            show(f"{count:,} messages for a destination that is dead")
            begun = perf_counter()
            waits = yield _send(reactor, port, count)
            acked_per_s = count / (perf_counter() - begun)
            shown = yield deferToThread(_shown, folder / "site", count)
            show("the destination is back")
            back = perf_counter()
            receiver = Receiver(receiver_port)
            yield _until_one_came(reactor, receiver)
            begun = perf_counter()
            yield _until_all_came(reactor, receiver, count, show)
            drained_per_s = count / (perf_counter() - begun)
            require_order(_taken_in(folder / "site"), receiver.seen)
        finally:
            show("stopping")
            yield hub.stop()
            if receiver is not None:
                yield receiver.stop()
    tenth = max(1, count // 10)
    first, last = (round(quantile(sorted(part), 0.99) * 1000, 1) for part in (waits[:tenth], waits[-tenth:]))
    oldest_s, reason = shown
    return Backlog(
        messages=count,
        oldest_s=oldest_s,
        reason=reason,
        acked_per_s=round(acked_per_s, 1),
        first_p99_ms=first,
        last_p99_ms=last,
        retried_s=round(begun - back, 1),
        drained_per_s=round(drained_per_s, 1),
        rss_mb=round(memory.most, 1),
    )


class _Memory:
    """The most memory that a process was seen to hold."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most = 0.0
        LoopingCall(self._look).start(0.5).addErrback(lambda _: None)  # it ends with the process

    def _look(self) -> None:
        self.most = max(self.most, resident_bytes(self._pid) / (1 << 20))


@inlineCallbacks
def _send(reactor: Any, port: int, count: int) -> Any:
    senders = Senders(port, CONNECTIONS, messages(RUN), lambda: senders.sent < count)
    yield senders.start()
    acked, moved = 0, reactor.seconds()
    while senders.acked < count:
        yield deferLater(reactor, 0.05)
        if senders.acked > acked:
            acked, moved = senders.acked, reactor.seconds()
        if reactor.seconds() - moved > STUCK_SECONDS:
            raise BenchError("Not every message was answered.", found=f"{count - acked} were not")
    senders.stop()
    senders.close()
    if senders.refused:
        raise BenchError("Messages were refused.", found=str(senders.refused))
    return senders.waits


@inlineCallbacks
def _until_one_came(reactor: Any, receiver: Receiver) -> Any:
    deadline = reactor.seconds() + RETRIED_WITHIN + STUCK_SECONDS
    while not receiver.seen:
        if reactor.seconds() > deadline:
            raise BenchError("The destination is back, and nothing was sent to it.")
        yield deferLater(reactor, 0.01)


@inlineCallbacks
def _until_all_came(reactor: Any, receiver: Receiver, count: int, show: Callable[[str], None]) -> Any:
    came, moved = 0, reactor.seconds()
    while came < count:
        yield deferLater(reactor, 0.1)
        if len(receiver.seen) > came:
            came, moved = len(receiver.seen), reactor.seconds()
            show(f"{count - came:,} messages wait")
        if reactor.seconds() - moved > STUCK_SECONDS:
            raise BenchError("Not everything that was acknowledged was delivered.", found=f"{count - came} were not")


def _shown(site_folder: Path, count: int) -> tuple[float, str]:
    """What the status page says of the queue: the age of the oldest in seconds, and why it waits.

    Raises :class:`BenchError` unless it says that *count* wait, and why.
    """
    store = open_store(store_url(load_site(site_folder).require_sound()))
    deadline = perf_counter() + STUCK_SECONDS  # the last messages are still being mapped
    found: list[Waiting] = []
    while perf_counter() < deadline:
        with reading(store) as connection:
            found = waiting(connection)
        if found and found[0].count >= count and found[0].reason:
            break
        sleep(0.2)
    store.dispose()
    if not found or found[0].count != count or not found[0].reason:
        raise BenchError("The queue is not shown with its reason.", expected=f"{count} wait", found=str(found)[:200])
    return round((real_ms() - found[0].oldest_at) / 1000, 1), found[0].reason


def _taken_in(site_folder: Path) -> list[str]:
    """The control ids of all messages, in the order in which the hub took them in."""
    store = open_store(store_url(load_site(site_folder).require_sound()))
    with reading(store) as connection:
        found = list(connection.execute(select(message.c.control_id).order_by(message.c.sequence)).scalars())
    store.dispose()
    return found


def require_order(taken_in: Sequence[str], arrived: Iterable[bytes]) -> None:
    """Raise :class:`BenchError` unless each patient's messages *arrived* in the order in which they were *taken in*."""
    places = {control_id: place for place, control_id in enumerate(taken_in)}
    last: dict[int, int] = {}
    for sent in arrived:
        control_id = sent.decode().removeprefix("F")
        place, patient = places[control_id], patient_of(int(control_id.removeprefix(RUN)))
        if place < last.get(patient, -1):
            raise BenchError(
                "A patient's messages changed their order.", expected=taken_in[last[patient]], found=control_id
            )
        last[patient] = place
