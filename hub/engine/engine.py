"""The engine of one node: it wires channels, starts and stops them, and does what people ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, Table, delete, func, insert, select, update
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.threads import deferToThread

from hub.core.clock import DAY_MS, BusinessClock, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.secret import Secrets
from hub.core.vault import Vault
from hub.engine.awaited import Awaited
from hub.engine.contracts import (
    Description,
    Health,
    Received,
)
from hub.engine.control import Command
from hub.engine.holding import Holding
from hub.engine.intake import Arrival, StoreIntake
from hub.engine.journal import Journal
from hub.engine.outcomes import DONE, settle
from hub.engine.plan import ChannelPlan, SitePlan
from hub.engine.running import Inside, Pauses, RunningChannel
from hub.engine.steps import NewDelivery, Surroundings, delivery_of
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
from hub.engine.transactions import Decisions, Timers
from hub.engine.upkeep import Upkeep
from hub.engine.workers import WorkerPools
from hub.store.contents import read_content
from hub.store.retention import Retention
from hub.store.tables import (
    channel_state,
    charge,
    claim,
    delivery,
    denial,
    due,
    message,
    metadata,
    setting,
    work_item,
)

TOKENS_KEPT_MS = 30 * DAY_MS
_SUBJECTS: dict[str, Table] = {"claim_id": claim, "charge_id": charge, "denial_id": denial, "item_id": work_item}
Write = Callable[[Connection, dict[str, Any]], dict[str, Any]]


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
        self._writes = writes
        self._first_work = first_work
        self._journal = Journal(store, reactor, on_failure)
        self._workers = workers
        self._around = Surroundings(
            store, self._journal, vault, ids, clock, workers, log, plan.organisation, plan.bundle, reactor, Awaited()
        )
        self._intake = StoreIntake(self._journal, vault, ids, clock, plan, self._arrived, self._around.awaited)
        self._decisions = Decisions(self._around, plan, self._intake, self._arrived)
        self._timers = Timers(self._around, self._decisions, reactor)
        self._upkeep = Upkeep(store, self._journal, retention or Retention(), log, reactor, self._around.open_item)
        self._inside = Inside(
            self._around, self._intake, self._decisions, secrets, plan.environment, plan.zone, var, self._arrived
        )
        self._channels = {name: RunningChannel(channel, self._inside) for name, channel in plan.channels.items()}
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
        return {
            "status": self._status,
            "pause": self._pause,
            "drain": self._drain,
            "resume": self._resume,
            "replay": self._replay,
            "close_delivery": self._close_delivery,
            "billing": self._billing,
            "write": self._write,
            "deploy": self._deploy,
        }

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

    def _pause(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        return self._set_paused(arguments, actor, "pause")

    def _drain(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        """Take nothing in any more, and let what is there be worked and sent."""
        return self._set_paused({**arguments, "destination": ""}, actor, "drain")

    def _resume(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        return self._set_paused(arguments, actor, "resume")

    def _set_paused(self, arguments: dict[str, Any], actor: str, act: str) -> Deferred[Any]:
        channel = self._channel(arguments["channel"])
        destination = arguments.get("destination") or ""
        if destination and destination not in channel.plan.destinations:
            raise HubError(f'Channel "{channel.plan.name}" has no destination of that name.')
        reason = str(arguments.get("reason", "")).strip()
        if act != "resume" and not reason:
            raise HubError("A pause needs a reason.", fix="Say why; the others will see it.")
        if act == "drain" and not channel.sources:
            raise HubError("This channel takes in nothing by itself: billing feeds it.", fix="Pause it instead.")
        paused, draining = act == "pause", act == "drain"

        def write(connection: Connection) -> None:
            values = {"paused": paused, "draining": draining, "actor": actor, "reason": reason, "changed_at": real_ms()}
            key = (channel_state.c.channel == channel.plan.name, channel_state.c.destination == destination)
            if not connection.execute(update(channel_state).where(*key).values(**values)).rowcount:
                connection.execute(
                    insert(channel_state),
                    {"channel": channel.plan.name, "destination": destination, **values},
                )
            self._audit(connection, actor, act, "channel", channel.plan.name, reason)

        def take_effect(_result: None) -> dict[str, Any]:
            channel.mark_paused(destination, paused=paused, draining=draining)
            for source in () if destination else channel.sources:
                (source.resume if act == "resume" else source.pause)()
            resting = channel.resting()
            for part in channel.parts(destination):
                if part in resting:
                    part.pause()
                else:
                    part.resume()
            return {}

        return self._journal.submit(write).addCallback(take_effect)

    def _deploy(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        """Go over to another bundle. *arguments*: bundle, expected (what is thought to run), reason, kind."""
        reason = str(arguments.get("reason", "")).strip()
        if not reason:
            raise HubError("A deploy needs a reason.", fix="Say why; it is kept in the history.")
        kind = arguments.get("kind", "deploy")
        return self._swap.deploy(arguments["bundle"], arguments["expected"], reason, actor, kind)

    def _channel(self, name: str) -> RunningChannel:
        try:
            return self._channels[name]
        except KeyError:
            raise HubError(f'There is no channel "{name}".', fix=f"One of: {', '.join(self._channels)}.") from None

    def _replay(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        """Take a message through its steps again, or one of its deliveries to its destination again."""
        reason = str(arguments.get("reason", "")).strip()
        if not reason:
            raise HubError("A replay needs a reason.", fix="Say why; it is kept with the message.")
        if arguments.get("from", "raw") == "delivery":
            return self._send_again(int(arguments["delivery_id"]), reason, actor, arguments.get("token"))
        return self._map_again(int(arguments["message_id"]), reason, actor, arguments.get("token"))

    def _map_again(self, message_id: int, reason: str, actor: str, token: str | None) -> Deferred[Any]:
        def write(connection: Connection) -> tuple[int, Arrival | None]:
            self._spend_token(connection, token)
            row = connection.execute(select(message).where(message.c.id == message_id)).one_or_none()
            if row is None:
                raise HubError("There is no message of that id.")
            raw = self._kept(connection, row.raw_id)
            plan = self._channel(row.channel).plan
            arrival = self._intake.store(
                connection,
                Received(
                    row.channel,
                    raw,
                    _described_again(plan, raw, row.kind),
                    f"replay by {actor}",
                    parent_id=row.id,
                    relation="replayed",
                ),
            )
            self._audit(connection, actor, "replay", "message", str(message_id), reason)
            self._close_holds(connection, row, actor)
            return (arrival.message_id if arrival is not None else 0), arrival

        def announce(result: tuple[int, Arrival | None]) -> dict[str, Any]:
            new_id, arrival = result
            if arrival is not None:
                self._arrived(arrival)
            return {"message_id": new_id}

        return self._journal.submit(write).addCallback(announce)

    def _close_holds(self, connection: Connection, row: Any, actor: str) -> None:
        """The replay takes the place of the message: what held it back is resolved, and it is done."""
        kinds = ("mapping hold", "unreadable")
        connection.execute(
            update(work_item)
            .where(work_item.c.message_id == row.id, work_item.c.kind.in_(kinds), work_item.c.state == "open")
            .values(state="resolved", resolution="replayed", assignee=actor, version=work_item.c.version + 1)
        )
        if row.steps_outcome in {"held", "errored"}:
            connection.execute(update(message).where(message.c.id == row.id).values(steps_outcome=DONE))
            settle(connection, [row.sequence])

    def _send_again(self, delivery_id: int, reason: str, actor: str, token: str | None) -> Deferred[Any]:
        def write(connection: Connection) -> tuple[NewDelivery, str]:
            self._spend_token(connection, token)
            row = self._delivery_row(connection, delivery_id)
            destination = self._channel(row.channel).plan.destinations.get(row.destination)
            if destination is None:
                raise HubError(
                    "The channel has this destination no more.", fix="Replay the message from its raw bytes."
                )
            if destination.shadow:
                raise HubError("This destination is in shadow: nothing is sent to it.")
            if row.state not in {"ambiguous", "refused", "delivered", "closed", "shadow"}:
                raise HubError("This delivery is still on its way.", fix="Wait until its attempt has ended.")
            self._kept(connection, row.body_id)
            connection.execute(
                update(delivery)
                .where(delivery.c.id == delivery_id)
                .values(state="queued", reason=f"Sent again by {actor}: {reason}", version=delivery.c.version + 1)
            )
            self._resolve_items(connection, delivery_id, "sent again", actor)
            self._audit(connection, actor, "replay", "delivery", str(delivery_id), reason)
            settle(connection, [row.message_sequence])
            return delivery_of(row), row.state

        def go(result: tuple[NewDelivery, str]) -> dict[str, Any]:
            new, state = result
            channel = self._channels[new.channel]
            if new.destination in channel.billing:
                channel.billing[new.destination].again(new)
            else:
                channel.deliveries[new.destination].again(new, lane_is_held=state == "ambiguous")
            return {"message_id": new.message_id}

        return self._journal.submit(write).addCallback(go)

    def _close_delivery(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        delivery_id, reason = int(arguments["delivery_id"]), str(arguments.get("reason", "")).strip()
        if not reason:
            raise HubError("Closing a delivery needs a reason.")

        def write(connection: Connection) -> tuple[NewDelivery, str]:
            row = self._delivery_row(connection, delivery_id)
            self._channel(row.channel)
            if row.state not in {"ambiguous", "refused"}:
                raise HubError("Only a delivery that waits for a decision can be closed.")
            connection.execute(
                update(delivery)
                .where(delivery.c.id == delivery_id)
                .values(
                    state="closed",
                    reason=f"Closed by {actor}: {reason}",
                    finished_at=real_ms(),
                    version=delivery.c.version + 1,
                )
            )
            self._resolve_items(connection, delivery_id, "closed without sending", actor)
            self._audit(connection, actor, "close delivery", "delivery", str(delivery_id), reason)
            settle(connection, [row.message_sequence])
            if self._channels[row.channel].plan.takes:
                connection.execute(
                    insert(due),
                    {
                        "id": self._around.ids.next(),
                        "due_key": f"delivered/{delivery_id}/closed/{self._around.ids.next()}",
                        "kind": "delivered",
                        "business_at": 0,
                        "subject_id": delivery_id,
                        "subject": "closed",
                    },
                )
            return delivery_of(row), row.state

        def go(result: tuple[NewDelivery, str]) -> dict[str, Any]:
            new, state = result
            deliveries = self._channels[new.channel].deliveries.get(new.destination)
            if state == "ambiguous" and deliveries is not None:
                deliveries.closed(new)
            return {}

        return self._journal.submit(write).addCallback(go)

    def _billing(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        header = {"work": "command", "name": arguments["name"], "args": arguments.get("args", {}), "actor": actor}

        def complete(connection: Connection, _changes: object, reply: Mapping[str, Any]) -> None:
            done = reply.get("answer", {}).get("ok", True)
            action = str(arguments["name"]) if done else f"refused {arguments['name']}"[:32]
            self._audit(connection, actor, action, *_subject_of(connection, header["args"]))
            self._settle_holds(connection)

        decided: Deferred[Any] = self._decisions.decide(header, (), complete)
        return decided.addCallback(lambda reply: {"answer": reply.get("answer", {})})

    def _settle_holds(self, connection: Connection) -> None:
        """Messages whose last mapping hold has just been resolved by a person are done."""
        still = select(work_item.c.message_id).where(
            work_item.c.kind == "mapping hold", work_item.c.state == "open", work_item.c.message_id.is_not(None)
        )
        rows = connection.execute(
            select(message.c.sequence)
            .where(message.c.onward == "held", message.c.steps_outcome == "held", message.c.id.not_in(still))
            .limit(100)
        ).all()
        for row in rows:
            connection.execute(update(message).where(message.c.sequence == row.sequence).values(steps_outcome=DONE))
            settle(connection, [row.sequence])

    def _write(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        try:
            write = self._writes[arguments["name"]]
        except KeyError:
            raise HubError("There is no such write.") from None
        values = {**arguments.get("args", {}), "actor": actor}
        return self._journal.submit(lambda connection: write(connection, values))

    # ------------------------------------------------------------ rows

    def _delivery_row(self, connection: Connection, delivery_id: int) -> Any:
        row = connection.execute(select(delivery).where(delivery.c.id == delivery_id)).one_or_none()
        if row is None:
            raise HubError("There is no delivery of that id.")
        return row

    def _kept(self, connection: Connection, content_id: int) -> bytes:
        try:
            return read_content(connection, self._around.vault, content_id)
        except KeyError:
            raise HubError("What this message said was pruned; it cannot go again.") from None

    def _resolve_items(self, connection: Connection, delivery_id: int, resolution: str, actor: str) -> None:
        connection.execute(
            update(work_item)
            .where(work_item.c.delivery_id == delivery_id, work_item.c.state == "open")
            .values(state="resolved", resolution=resolution, assignee=actor, version=work_item.c.version + 1)
        )

    def _spend_token(self, connection: Connection, token: str | None) -> None:
        """A token works once, so that a double press cannot send twice. Commands without a page need none."""
        if token is None:
            return
        name = f"token {token}"[:64]
        if connection.execute(select(setting.c.value).where(setting.c.name == name)).scalar() is not None:
            raise HubError("This was already done.", fix="Open the message again to see what came of it.")
        now = real_ms()
        old = str(now - TOKENS_KEPT_MS)  # as many digits as any other, so that it compares as a number does
        connection.execute(delete(setting).where(setting.c.name.startswith("token "), setting.c.value < old))
        connection.execute(insert(setting), {"name": name, "value": str(now)})

    def _audit(
        self,
        connection: Connection,
        actor: str,
        action: str,
        object_type: str,
        object_id: str,
        reason: str,
        patient_id: int | None = None,
    ) -> None:
        record = self._writes.get("audit")
        if record is not None:
            record(
                connection,
                {
                    "actor": actor,
                    "action": action,
                    "object_type": object_type,
                    "object_id": object_id,
                    "reason": reason,
                    "patient_id": patient_id,
                },
            )


def _described_again(plan: ChannelPlan, raw: bytes, kind: str) -> Description:
    """What *raw* is, on its way through the steps again; this repeat is meant."""
    description = plan.describe(raw)
    return description._replace(kind=description.kind or kind, duplicate_basis=None)


def _subject_of(connection: Connection, args: Mapping[str, Any]) -> tuple[str, str, str, int | None]:
    """What a command of billing with *args* is about, as the audit log names it: type, id, reason, and whose it is."""
    reason = str(args.get("reason", ""))
    for name, table in _SUBJECTS.items():
        subject_id = str(args.get(name))
        if subject_id.isdecimal():
            whose = select(table.c.patient_id).where(table.c.id == int(subject_id))
            return table.name.replace("_", " "), subject_id, reason, connection.execute(whose).scalar()
    remittance_id = args.get("remittance_id")
    return "remittance" if remittance_id else "billing", str(remittance_id or ""), reason, None


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
