"""Deploying: the node goes over to another bundle, whole or not at all.

Workers of the new bundle are started and must load it before anything else happens. Then billing decisions and steps
come to rest, so that each message ends on the bundle that it began with; channels change what differs; and the rest
goes on with the new workers. Acknowledgements do not wait for it. Where something fails, the old plan is applied again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, inlineCallbacks
from twisted.internet.threads import deferToThread

from hub.core.errors import HubError
from hub.engine.intake import StoreIntake
from hub.engine.plan import SitePlan
from hub.engine.running import Inside, Pauses, RunningChannel
from hub.engine.transactions import Decisions
from hub.engine.workers import WorkerPool, WorkerPools
from hub.store.database import reading
from hub.store.tables import channel_state, delivery, due, message, setting

LOAD_SECONDS = 60.0
"""How long workers of a new bundle may take to load it."""
_OPEN = ("queued", "sending", "ambiguous", "refused")


class DeployError(HubError):
    """A bundle was not deployed; what ran before runs on."""

    code = "H270"


class MovedError(DeployError):
    """Another version runs than the one that the deploy was compared with."""

    code = "H271"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, as it is recorded: *kind* is ``start``, ``deploy`` or ``rollback``."""

    bundle: str
    previous: str
    kind: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A bundle ready to run: its plan, and pools of workers that have not been started."""

    plan: SitePlan
    pools: Mapping[str, WorkerPool]
    first_work: Sequence[dict[str, Any]]


Prepare = Callable[[str], Prepared]
"""Reads a bundle by its name, in a thread. Raises `HubError` when it cannot run here."""
Record = Callable[[Connection, Deployment], None]
"""Writes a deployment down, in the transaction that makes it effective."""


def no_bundles(_bundle: str) -> Prepared:
    """What a node without stored bundles is given."""
    raise DeployError("This node cannot load bundles.")


def unrecorded(_connection: Connection, _deployment: Deployment) -> None:
    """What a node without a history is given."""


class Swap:
    """Holds the plan that runs, and replaces it."""

    def __init__(
        self,
        plan: SitePlan,
        channels: dict[str, RunningChannel],
        inside: Inside,
        workers: WorkerPools,
        prepare: Prepare,
        record: Record,
    ) -> None:
        self.plan = plan
        self._channels = channels
        self._inside = inside
        self._intake: StoreIntake = inside.intake
        self._decisions: Decisions = inside.decisions
        self._workers = workers
        self._prepare = prepare
        self._record = record
        self._one_at_a_time = DeferredLock()

    def deploy(self, bundle: str, expected: str, reason: str, actor: str, kind: str) -> Deferred[dict[str, Any]]:
        """Go over to *bundle*, when *expected* still runs. Fails with :class:`DeployError`; a second one waits."""
        deployed: Deferred[dict[str, Any]] = self._one_at_a_time.run(
            self._deploy, Deployment(bundle, expected, kind, actor, reason)
        )
        return deployed

    @inlineCallbacks
    def _deploy(self, deployment: Deployment) -> Any:
        if deployment.previous != self.plan.bundle:
            raise MovedError(
                "Another version runs than the one that you compared with.",
                expected=deployment.previous,
                found=self.plan.bundle,
                fix="`hub history` says who deployed it and why, `hub diff` what differs; then deploy again.",
            )
        if deployment.bundle == self.plan.bundle:
            raise DeployError("This version runs already.", found=deployment.bundle)
        prepared: Prepared = yield deferToThread(self._prepare, deployment.bundle)
        yield deferToThread(self._require_nothing_open, prepared.plan)
        try:
            yield self._load(prepared)
        except DeployError:
            _kill(prepared.pools)
            raise
        yield self._rest()
        yield self._exchange(prepared, deployment)
        return {"bundle": deployment.bundle, "previous": deployment.previous}

    @inlineCallbacks
    def _exchange(self, prepared: Prepared, deployment: Deployment) -> Any:
        """Everything is at rest: change the channels, or change them back."""
        old = self.plan
        try:
            yield self._apply(prepared.plan)
            yield self._inside.around.journal.submit(lambda connection: self._write(connection, prepared, deployment))
        except Exception as error:
            _kill(prepared.pools)
            self._inside.around.log.failure("deploy.taken_back", error, bundle=deployment.bundle)
            yield self._take_back(old)
            self._go_on()
            raise _in_words(error) from error
        retired = self._workers.exchange(prepared.pools)
        self._go_on()
        for pool in retired.values():
            pool.stop()
        self._inside.around.log.info("deployed", bundle=deployment.bundle, previous=old.bundle, actor=deployment.actor)

    @inlineCallbacks
    def _take_back(self, old: SitePlan) -> Any:
        """Apply *old* again. What cannot be opened any more is in the log and on the status page; the rest runs."""
        try:
            yield self._apply(old)
        except Exception as error:
            self._inside.around.log.failure("deploy.not_taken_back", error, bundle=old.bundle)
            self.plan = old
            self._announce(old)

    @inlineCallbacks
    def _load(self, prepared: Prepared) -> Any:
        """Have workers of the new bundle load it, beside those that work."""
        loaded = [pool.begin() for pool in prepared.pools.values()]
        both: Deferred[Any] = DeferredList(loaded, fireOnOneErrback=True, consumeErrors=True)
        try:
            yield both.addTimeout(LOAD_SECONDS, self._inside.around.reactor)
        except Exception as error:
            raise DeployError(
                "Workers could not load this version; what ran before runs on.",
                fix="`hub check` and `hub test` show what a worker stumbles over; the engine's log has its words.",
            ) from error

    @inlineCallbacks
    def _rest(self) -> Any:
        """Let decisions and messages in hand end, which have time limits of their own; begin none meanwhile."""
        yield self._decisions.hold()
        yield DeferredList([channel.stop_steps() for channel in self._channels.values()])

    def _go_on(self) -> None:
        """Let steps and decisions go on, with the plan that runs."""
        self._decisions.release()
        for channel in self._channels.values():
            if channel.steps is not None and channel.steps.is_stopped:
                channel.resume_steps(self.plan.bundle)

    @inlineCallbacks
    def _apply(self, plan: SitePlan) -> Any:
        """Change what runs into *plan*, wherever it stands between two plans."""
        paused = yield self._inside.around.journal.submit(paused_by_channel)
        before = self.plan
        # Intake and decisions may meet channels of either plan while they change.
        self._announce(_both(before, plan))
        for name in [name for name in self._channels if name not in plan.channels]:
            yield self._channels.pop(name).end()
        for name, channel_plan in plan.channels.items():
            if name in self._channels:
                yield self._channels[name].become(channel_plan)
                continue
            channel = RunningChannel(channel_plan, self._inside)
            channel.build(paused.get(name, {}))
            yield channel.stop_steps()
            self._channels[name] = channel
            yield channel.start_destinations()
            yield channel.open()
        self.plan = plan
        self._announce(plan)

    def _announce(self, plan: SitePlan) -> None:
        self._intake.deploy(plan)
        self._decisions.deploy(plan)

    def _write(self, connection: Connection, prepared: Prepared, deployment: Deployment) -> None:
        note_start(connection, prepared.first_work, self._inside.around.ids.next, {"bundle": deployment.bundle})
        self._record(connection, deployment)

    def _require_nothing_open(self, plan: SitePlan) -> None:
        """Raise :class:`DeployError` where *plan* has no place for something that still waits."""
        gone = [
            (name, destination)
            for name, channel in self.plan.channels.items()
            for destination in channel.destinations
            if name not in plan.channels or destination not in plan.channels[name].destinations
        ]
        with reading(self._inside.around.store) as connection:
            for name, destination in gone:
                waiting = connection.execute(
                    select(func.count()).where(
                        delivery.c.channel == name, delivery.c.destination == destination, delivery.c.state.in_(_OPEN)
                    )
                ).scalar_one()
                if waiting:
                    raise _waits(f"{waiting} deliveries wait for {name}.{destination}, which this version removes.")
            for name in self.plan.channels.keys() - plan.channels.keys():
                mapped = connection.execute(
                    select(func.count()).where(
                        message.c.channel == name, message.c.onward == "in progress", message.c.mapped.is_(False)
                    )
                ).scalar_one()
                if mapped:
                    raise _waits(f"{mapped} messages of {name} wait for their steps, and this version removes it.")


def note_start(
    connection: Connection,
    first_work: Sequence[Mapping[str, Any]],
    next_id: Callable[[], int],
    settings: Mapping[str, str],
) -> None:
    """Write what a plan that begins to run needs: the work that always stands, and *settings* that say what runs."""
    for work in first_work:
        known = connection.execute(select(due.c.id).where(due.c.due_key == work["due_key"])).scalar()
        if known is None:
            connection.execute(insert(due), {"id": next_id(), **work})
    for name, value in settings.items():
        changed = connection.execute(update(setting).where(setting.c.name == name).values(value=value))
        if not changed.rowcount:
            connection.execute(insert(setting), {"name": name, "value": value})


def paused_by_channel(connection: Connection) -> Pauses:
    """What people have paused or drain."""
    paused: Pauses = {}
    for row in connection.execute(select(channel_state)):
        paused.setdefault(row.channel, {})[row.destination] = (row.paused, row.draining)
    return paused


def _both(before: SitePlan, after: SitePlan) -> SitePlan:
    """A plan that knows the channels of both."""
    return SitePlan(
        after.organisation, after.environment, after.zone, before.bundle, {**before.channels, **after.channels}
    )


def _kill(pools: Mapping[str, WorkerPool]) -> None:
    for pool in pools.values():
        pool.stop()
        pool.kill()


def _waits(sentence: str) -> DeployError:
    return DeployError(sentence, fix="Let them go out or close them first; `hub status` and the work queues show them.")


def _in_words(error: Exception) -> HubError:
    if isinstance(error, HubError):
        return DeployError(
            f"{error.what} The version that ran before runs on.",
            where=error.where,
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        )
    return DeployError("The deploy failed and was taken back; the engine's log says where.")
