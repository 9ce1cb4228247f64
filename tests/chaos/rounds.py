"""What can happen to a hub, one round at a time: each begins and ends with books that agree."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.peers import accepted
from tests.chaos.server import Server
from tests.chaos.world import WAIT, World, eventually
from tests.e2e.playing import ENGINE, processes

ENGINE_POINTS = (
    "message.written",
    "message.committed",
    "steps.written",
    "delivery.intending",
    "delivery.intended",
    "delivery.answered",
    "delivery.recorded",
)
POSTING_POINTS = ("billing.decided", "billing.applying", "billing.chunk")
WORKER_POINTS = ("worker.began", "worker.replied")
MOST_MEMORY = 80 << 20
STOPPED_SECONDS = 4.0  # longer than a receiver's answer is waited for
ASKING = frozenset({"asking", "folder"})


@dataclass(frozen=True, slots=True)
class Round:
    """A misfortune of this *name*, and how it befalls a world while so many *messages* flow."""

    name: str
    befall: Callable[[World, random.Random], None]
    messages: int = 30


def play(world: World, misfortune: Round, dice: random.Random) -> list[str]:
    """Have *misfortune* befall *world*, let it settle, and return what its books say against the hub."""
    world.ehr.send(misfortune.messages)
    misfortune.befall(world, dice)
    world.ehr.send(misfortune.messages // 3)
    world.settle()
    return [f"{misfortune.name}: {wrong}" for wrong in world.verdict()]


def kill_engine(point: str) -> Round:
    """The engine is killed at *point*. What it calls ambiguous afterwards must be what was in flight then."""

    def befall(world: World, dice: random.Random) -> None:
        before = set(world.called_ambiguous)
        in_flight = {one for one in world.kill_at(point, nth=dice.randint(2, 9)) if one[0] in ASKING}
        received = {("asking", name) for name in world.asking.names} - world.in_state("delivered") - before
        assert received <= in_flight, f"sent and not in flight: {received - in_flight}"
        world.settle()
        called = world.called_ambiguous - before
        assert called == in_flight, f"called ambiguous {called}, in flight {in_flight}"

    return Round(f"engine killed at {point}", befall)


def kill_posting(point: str) -> Round:
    """The engine is killed at *point* while an 835 is being posted: every claim of it is paid once all the same."""

    def befall(world: World, dice: random.Random) -> None:
        world.pay()
        world.kill_at(point, nth=dice.randint(1, 5))

    return Round(f"engine killed at {point}, inside an 835", befall)


def kill_worker(point: str) -> Round:
    """A worker process is killed at *point*; its engine lives on."""

    def befall(world: World, dice: random.Random) -> None:
        world.kill_at(point, nth=dice.randint(1, 4))

    return Round(f"worker killed at {point}", befall)


def stop_engine(point: str) -> Round:
    """The engine stands still at *point*, while its receivers and its senders wait, and goes on."""

    def befall(world: World, dice: random.Random) -> None:
        def act(pid: int) -> None:
            os.kill(pid, signal.SIGSTOP)
            threading.Event().wait(STOPPED_SECONDS)
            os.kill(pid, signal.SIGCONT)

        world.at(point, act, nth=dice.randint(2, 9))

    return Round(f"engine stopped at {point}", befall)


def lying_peers(world: World, dice: random.Random) -> None:
    """Receivers hang up, answer to another message, twice, with rubbish, or not at all."""
    lies = random.Random(dice.random())

    def lie(name: str) -> list[bytes] | None:
        match lies.randrange(12):
            case 0:
                return None
            case 1:
                return [accepted("C999999")]
            case 2:
                return [accepted(name), accepted(name)]
            case 3:
                return [b"\x0bnonsense\x1c\r", accepted(name)]
            case 4:
                return []
            case 5:
                time.sleep(0.3)
        return [accepted(name)]

    honest = world.asking.lie
    world.asking.lie = world.repeating.lie = lie
    eventually(lambda: not world.ehr.owed, "acknowledgements", world.tail)
    threading.Event().wait(3.0)
    world.asking.lie = world.repeating.lie = honest


def disk_full(world: World, dice: random.Random) -> None:
    """No file can grow, for the engine and whatever is started in its place; then there is room again."""
    pid = world.engine()
    most = dice.randint(1, 200_000)
    for one in (world.hub, pid):
        resource.prlimit(one, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    world.ehr.send(20)
    eventually(lambda: pid not in processes(ENGINE, world.site), "a store that fails", world.tail)
    before = len(world.ehr.acknowledged)
    threading.Event().wait(2.0)
    assert len(world.ehr.acknowledged) <= before + 1, "acknowledged without room to store"
    for one in (world.hub, *processes(ENGINE, world.site)):
        resource.prlimit(one, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def clock_set_back(world: World, dice: random.Random) -> None:
    """The machine's clock is set back by an hour while a receiver refuses; it must be tried again in its time."""
    world.asking.lie = lambda _name: None
    world.repeating.lie = lambda _name: None
    threading.Event().wait(1.0)
    world.set_clock(-dice.randint(3_000, 4_000))
    world.asking.lie = world.repeating.lie = lambda name: [accepted(name)]


def dead_destination(backlog: int) -> Round:
    """A receiver is away while so many messages wait for it: intake goes on, memory is bounded, order is kept."""

    def befall(world: World, dice: random.Random) -> None:
        engine = world.engine()
        world.repeating.dead = True
        world.repeating.hang_up()
        before, began = _memory(engine), time.monotonic()
        world.ehr.send(backlog)
        eventually(lambda: not world.ehr.owed, "acknowledgements", world.tail, WAIT + backlog / 50)
        took = time.monotonic() - began
        (waiting,) = [one for one in world.status()["waiting"] if one["destination"] == "repeating"]
        assert waiting["count"] >= backlog * 0.9, waiting
        assert waiting["oldest_seconds"] >= took / 2, waiting
        assert waiting["reason"], "why it waits is not said"
        grown = _memory(engine) - before
        print(f"     {backlog} wait: {backlog / took:.0f}/s taken in, {grown >> 20} MB more, {waiting['reason']}")
        assert grown < MOST_MEMORY, f"{grown >> 20} MB more for {backlog} that wait"
        world.repeating.dead = False

    return Round("a destination is dead", befall)


def _memory(pid: int) -> int:
    """The bytes of memory that a process keeps."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) << 10


def kill_server(server: Server, point: str) -> Round:
    """The database server is killed while an engine stands at *point*, and comes back after a while."""

    def befall(world: World, dice: random.Random) -> None:
        engine = world.engine()
        world.at(point, lambda _pid: server.kill(), nth=dice.randint(2, 9))
        world.ehr.send(10)
        eventually(lambda: engine not in processes(ENGINE, world.site), "an engine that ends", world.tail)
        threading.Event().wait(dice.uniform(0, 3))
        server.start()

    return Round(f"server killed at {point}", befall)


def every_round(dice: random.Random, count: int, server: Server | None = None, backlog: int = 3000) -> list[Round]:
    """*count* rounds in an order that *dice* chose, each kind before any comes twice; a *server* is hit, too."""
    kinds = [
        *(kill_engine(point) for point in ENGINE_POINTS),
        *(kill_posting(point) for point in POSTING_POINTS),
        *(kill_worker(point) for point in WORKER_POINTS),
        *(stop_engine(point) for point in ("message.committed", "delivery.intended", "delivery.answered")),
        Round("peers that lie", lying_peers),
        Round("clock set back", clock_set_back),
        dead_destination(backlog),
    ]
    if server is None:
        kinds.append(Round("disk full", disk_full))
    else:
        kinds += [kill_server(server, point) for point in ENGINE_POINTS]
    rounds: list[Round] = []
    while len(rounds) < count:
        rounds += dice.sample(kinds, len(kinds))
    return rounds[:count]
