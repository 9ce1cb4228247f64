"""What people ask of a running engine: to pause and resume, to send again, to close a delivery, to decide on billing.

What changes is written with its line in the audit log; what runs learns of it once that is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update
from twisted.internet.defer import Deferred

from hub.core.clock import DAY_MS, real_ms
from hub.core.errors import HubError
from hub.core.vault import Vault
from hub.engine.contracts import Description, Received
from hub.engine.control import Command
from hub.engine.intake import Arrival, StoreIntake
from hub.engine.outcomes import DONE, settle
from hub.engine.plan import ChannelPlan
from hub.engine.running import RunningChannel
from hub.engine.steps import NewDelivery, Surroundings, delivery_of
from hub.engine.transactions import Decisions
from hub.store.contents import read_content
from hub.store.tables import channel_state, charge, claim, delivery, denial, due, message, setting, work_item

TOKENS_KEPT_MS = 30 * DAY_MS
_SUBJECTS: dict[str, Table] = {"claim_id": claim, "charge_id": charge, "denial_id": denial, "item_id": work_item}
Write = Callable[[Connection, dict[str, Any]], dict[str, Any]]


class Asked:
    """Does what people ask of *channels*. *writes* are the small writes that pages may ask for by name.

    *arrived* is told of messages that are to be mapped again.
    """

    def __init__(
        self,
        around: Surroundings,
        channels: Mapping[str, RunningChannel],
        intake: StoreIntake,
        decisions: Decisions,
        arrived: Callable[[Arrival], None],
        writes: Mapping[str, Write],
    ) -> None:
        self._around = around
        self._channels = channels
        self._intake = intake
        self._decisions = decisions
        self._arrived = arrived
        self._writes = writes

    def commands(self) -> dict[str, Command]:
        """The commands by name."""
        return {
            "pause": self._pause,
            "drain": self._drain,
            "resume": self._resume,
            "replay": self._replay,
            "close_delivery": self._close_delivery,
            "billing": self._billing,
            "write": self._write,
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

        return self._around.journal.submit(write).addCallback(take_effect)

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
            _spend_token(connection, token)
            row = connection.execute(select(message).where(message.c.id == message_id)).one_or_none()
            if row is None:
                raise HubError("There is no message of that id.")
            raw = _kept(connection, self._around.vault, row.raw_id)
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
            _close_holds(connection, row, actor)
            return (arrival.message_id if arrival is not None else 0), arrival

        def announce(result: tuple[int, Arrival | None]) -> dict[str, Any]:
            new_id, arrival = result
            if arrival is not None:
                self._arrived(arrival)
            return {"message_id": new_id}

        return self._around.journal.submit(write).addCallback(announce)

    def _send_again(self, delivery_id: int, reason: str, actor: str, token: str | None) -> Deferred[Any]:
        def write(connection: Connection) -> tuple[NewDelivery, str]:
            _spend_token(connection, token)
            row = _delivery_row(connection, delivery_id)
            destination = self._channel(row.channel).plan.destinations.get(row.destination)
            if destination is None:
                raise HubError(
                    "The channel has this destination no more.", fix="Replay the message from its raw bytes."
                )
            if destination.shadow:
                raise HubError("This destination is in shadow: nothing is sent to it.")
            if row.state not in {"ambiguous", "refused", "delivered", "closed", "shadow"}:
                raise HubError("This delivery is still on its way.", fix="Wait until its attempt has ended.")
            _kept(connection, self._around.vault, row.body_id)
            connection.execute(
                update(delivery)
                .where(delivery.c.id == delivery_id)
                .values(state="queued", reason=f"Sent again by {actor}: {reason}", version=delivery.c.version + 1)
            )
            _resolve_items(connection, delivery_id, "sent again", actor)
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

        return self._around.journal.submit(write).addCallback(go)

    def _close_delivery(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        delivery_id, reason = int(arguments["delivery_id"]), str(arguments.get("reason", "")).strip()
        if not reason:
            raise HubError("Closing a delivery needs a reason.")

        def write(connection: Connection) -> tuple[NewDelivery, str]:
            row = _delivery_row(connection, delivery_id)
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
            _resolve_items(connection, delivery_id, "closed without sending", actor)
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

        return self._around.journal.submit(write).addCallback(go)

    def _billing(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        header = {"work": "command", "name": arguments["name"], "args": arguments.get("args", {}), "actor": actor}

        def complete(connection: Connection, _changes: object, reply: Mapping[str, Any]) -> None:
            done = reply.get("answer", {}).get("ok", True)
            action = str(arguments["name"]) if done else f"refused {arguments['name']}"[:32]
            self._audit(connection, actor, action, *_subject_of(connection, header["args"]))
            _settle_holds(connection)

        decided: Deferred[Any] = self._decisions.decide(header, (), complete)
        return decided.addCallback(lambda reply: {"answer": reply.get("answer", {})})

    def _write(self, arguments: dict[str, Any], actor: str) -> Deferred[Any]:
        try:
            write = self._writes[arguments["name"]]
        except KeyError:
            raise HubError("There is no such write.") from None
        values = {**arguments.get("args", {}), "actor": actor}
        return self._around.journal.submit(lambda connection: write(connection, values))

    def _channel(self, name: str) -> RunningChannel:
        try:
            return self._channels[name]
        except KeyError:
            raise HubError(f'There is no channel "{name}".', fix=f"One of: {', '.join(self._channels)}.") from None

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


def _close_holds(connection: Connection, row: Any, actor: str) -> None:
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


def _settle_holds(connection: Connection) -> None:
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


def _delivery_row(connection: Connection, delivery_id: int) -> Any:
    row = connection.execute(select(delivery).where(delivery.c.id == delivery_id)).one_or_none()
    if row is None:
        raise HubError("There is no delivery of that id.")
    return row


def _kept(connection: Connection, vault: Vault, content_id: int) -> bytes:
    try:
        return read_content(connection, vault, content_id)
    except KeyError:
        raise HubError("What this message said was pruned; it cannot go again.") from None


def _resolve_items(connection: Connection, delivery_id: int, resolution: str, actor: str) -> None:
    connection.execute(
        update(work_item)
        .where(work_item.c.delivery_id == delivery_id, work_item.c.state == "open")
        .values(state="resolved", resolution=resolution, assignee=actor, version=work_item.c.version + 1)
    )


def _spend_token(connection: Connection, token: str | None) -> None:
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
