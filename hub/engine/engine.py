"""The engine of one node: it wires channels, starts and stops them, and says how they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, func, select
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.threads import deferToThread

from hub.core.clock import BusinessClock, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.secret import Secrets
from hub.core.vault import Vault
from hub.engine.asked import Asked, Write
from hub.engine.awaited import Awaited
from hub.engine.contracts import Health
from hub.engine.control import Command
from hub.engine.holding import Holding
from hub.engine.intake import Arrival, StoreIntake
from hub.engine.journal import Journal
from hub.engine.plan import SitePlan
from hub.engine.running import Inside, Pauses, RunningChannel
from hub.engine.steps import Surroundings
from hub.engine.swap import (
    Deployment,
    Prepare,
    Record,
    Swap,
    no_bundles,
    note_start,
    paused_by_channel,
    unrecorded,
)
from hub.engine.timers import Timers
from hub.engine.transactions import Decisions
from hub.engine.upkeep import Upkeep
from hub.engine.workers import WorkerPools
from hub.store.retention import Retention
from hub.store.tables import metadata


class HubEngine:
    """Runs a site's channels on a Twisted reactor. *writes* are the small writes that pages may ask for by name."""

    def __init__(
        self,
        plan: SitePlan,
        *,
        store: Engine,
        vault: Vault,
        clock: BusinessClock,
        secrets: Secrets,
        workers: WorkerPools,
        ids: IdMaker,
        var: Path,
        log: Log,
        reactor: Any,
        writes: Mapping[str, Write],
        first_work: Sequence[dict[str, Any]],
        on_failure: Callable[[BaseException], None],
        retention: Retention | None = None,
        prepare: Prepare = no_bundles,
        record: Record = unrecorded,
        owner: str = "node",
    ) -> None:
        self._log = log
        self._first_work = first_work
        self._journal = Journal(store, reactor, on_failure)
        self._workers = workers
        self._around = Surroundings(
            store, self._journal, vault, ids, clock, workers, log, plan.organisation, plan.bundle, reactor, Awaited()
        )
        self._intake = StoreIntake(self._journal, vault, ids, clock, plan, self._arrived, self._around.awaited)
        self._decisions = Decisions(self._around, plan, self._intake, self._arrived)
        self._timers = Timers(self._around, self._decisions)
        self._upkeep = Upkeep(store, self._journal, retention or Retention(), log, reactor, self._around.open_item)
        self._inside = Inside(
            self._around, self._intake, self._decisions, secrets, plan.environment, plan.zone, var, self._arrived
        )
        self._channels = {name: RunningChannel(channel, self._inside) for name, channel in plan.channels.items()}
        self._asked = Asked(self._around, self._channels, self._intake, self._decisions, self._arrived, writes)
        self._record = record
        self._swap = Swap(plan, self._channels, self._inside, workers, prepare, record)
        self._started_at = real_ms()
        self._holding = Holding(self._journal, owner, log, reactor, self._prolonged)

    @property
    def plan(self) -> SitePlan:
        """What runs."""
        return self._swap.plan

    # ------------------------------------------------------------ life

    @inlineCallbacks
    def start(self) -> Any:
        """Recover what the store holds, then begin to listen. Fails with a `HubError` when a source cannot start."""
        self._journal.start()
        yield self._holding.take()
        paused = yield self._journal.submit(self._prepare)
        for name, channel in self._channels.items():
            channel.build(paused.get(name, {}))
        for channel in self._channels.values():
            yield channel.start()
        self._timers.start()
        for channel in self._channels.values():
            yield channel.open()
        self._upkeep.start()  # after the sources have taken up what they kept: they make it last longer
        # Last, because nobody waits for them to be acknowledged, and several processes that start keep the cores busy.
        self._workers.start()
        self._log.info("engine.started", channels=len(self._channels), bundle=self.plan.bundle)

    @inlineCallbacks
    def stop(self) -> Any:
        """Close listeners, let what is in hand end, write what waits; queues stay on disk."""
        channels = list(self._channels.values())
        yield DeferredList([channel.stop_sources() for channel in channels])
        self._timers.stop()
        for channel in channels:
            channel.stop_steps()
        yield DeferredList([channel.stop_destinations() for channel in channels])
        yield DeferredList(self._workers.stop())
        yield self._upkeep.stop()
        yield self._holding.give_back()
        yield deferToThread(self._journal.stop)
        self._log.info("engine.stopped")

    def _prolonged(self) -> None:
        for channel in self._channels.values():
            for deliveries in channel.deliveries.values():
                deliveries.wake()

    def _prepare(self, connection: Connection) -> Pauses:
        settings = {"bundle": self.plan.bundle, "started_at": str(self._started_at)}
        note_start(connection, self._first_work, self._around.ids.next, settings)
        self._record(connection, Deployment(self.plan.bundle, "", "start", "hub run", ""))
        return paused_by_channel(connection)

    def _arrived(self, arrival: Arrival) -> None:
        channel = self._channels.get(arrival.channel)
        if channel is not None and channel.steps is not None:  # else a deploy adds it, and its start brings the message
            channel.steps.arrived(arrival)

    # ------------------------------------------------------------ what people ask

    def commands(self) -> dict[str, Command]:
        """The commands of the control socket."""
        return {"status": self._status, "deploy": self._deploy, **self._asked.commands()}

    def _status(self, _arguments: dict[str, Any], _actor: str) -> dict[str, Any]:
        return {
            "bundle": self.plan.bundle,
            "started_at": self._started_at,
            "idle": self._is_idle(),
            "channels": {name: self._channel_status(channel) for name, channel in self._channels.items()},
            "workers": {name: self._workers[name].waiting for name in ("mapping", "billing", "transfer")},
        }

    def _is_idle(self) -> bool:
        return self._timers.is_idle and all(channel.is_idle for channel in self._channels.values())

    def _channel_status(self, channel: RunningChannel) -> dict[str, Any]:
        return {
            "paused": channel.paused,
            "draining": channel.draining,
            "idle": channel.is_idle,
            "sources": [_health(one) for source in channel.sources for one in source.health()],
            "destinations": {
                name: [_health(one) for one in deliveries.destination.health()]
                for name, deliveries in channel.deliveries.items()
            },
        }

    def _deploy(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        """Go over to another bundle. *arguments*: bundle, expected (what is thought to run), reason, kind."""
        reason = str(arguments.get("reason", "")).strip()
        if not reason:
            raise HubError("A deploy needs a reason.", fix="Say why; it is kept in the history.")
        kind = arguments.get("kind", "deploy")
        return self._swap.deploy(arguments["bundle"], arguments["expected"], reason, actor, kind)


def highest_id(connection: Connection) -> int:
    """The highest id that the store holds: the floor for new ones."""
    highest = [
        connection.execute(select(func.max(table.c.id))).scalar() or 0
        for table in metadata.tables.values()
        if "id" in table.c and isinstance(table.c.id.type, BigInteger)
    ]
    return max(highest)


def _health(one: Health) -> dict[str, Any]:
    return {
        "state": one.state.value,
        "address": one.address,
        "since_at": one.since_ms,
        "detail": one.detail,
        "peers": one.peers,
    }
