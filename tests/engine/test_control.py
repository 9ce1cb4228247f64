"""What people ask of the engine, over its socket and by command."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, insert, select
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.threads import deferToThread

from hub.core.errors import HubError
from hub.engine.contracts import Failure, Outcome
from hub.engine.control import ControlFactory, EngineAwayError, EngineRefusedError, ask_engine
from hub.engine.plan import ChannelPlan
from hub.store.tables import channel_state, message, work_item
from tests.engine.node import MakeNode, Node, decided, describe, destination, in_turn, raw

LOST = Outcome(Failure.AMBIGUOUS, "The connection was lost after the message.")


class NotNowError(HubError):
    code = "H977"


def refuse(_arguments: dict[str, Any], _actor: str) -> None:
    raise NotNowError("Not now.", where="here", fix="Come back later.")


def burst(_arguments: dict[str, Any], _actor: str) -> None:
    raise ValueError("MRN 4711")


@pytest_twisted.inlineCallbacks
def _served(path: Path, node: Node, more: dict[str, Any]) -> Any:
    factory = ControlFactory({**node.engine.commands(), **more}, node.engine._log)
    port = reactor.listenUNIX(str(path), factory, mode=0o600)  # type: ignore[attr-defined]
    yield node.start()
    return port


@pytest_twisted.inlineCallbacks
def test_commands_go_over_the_socket_and_errors_come_back_in_their_own_words(
    make_node: MakeNode, store: Engine, tmp_path: Path
) -> Any:
    path = tmp_path / "control.sock"
    node = make_node(store, destinations=[destination()])
    port = yield _served(path, node, {"refuse": refuse, "burst": burst, "unfit": lambda *_: {"bytes": b"no JSON"}})
    try:
        assert path.stat().st_mode & 0o077 == 0
        status = yield deferToThread(ask_engine, path, "status", {}, actor="nora")
        assert status["ok"]
        assert status["bundle"] == "b1"
        assert status["channels"]["visits"]["paused"] is False
        with pytest.raises(EngineRefusedError, match="Not now") as refused:
            yield deferToThread(ask_engine, path, "refuse", {}, actor="nora")
        assert (refused.value.code, refused.value.where, refused.value.fix) == (
            "H977",
            "here",
            "Come back later.",
        )
        with pytest.raises(HubError, match="could not do this"):
            yield deferToThread(ask_engine, path, "burst", {}, actor="nora")
        with pytest.raises(HubError, match="could not do this"):
            yield deferToThread(ask_engine, path, "unfit", {}, actor="nora")
        with pytest.raises(HubError, match="no such command"):
            yield deferToThread(ask_engine, path, "dance", {}, actor="nora")
        assert "4711" not in node.lines.getvalue()
    finally:
        yield port.stopListening()


@pytest.mark.parametrize(
    "line", [b"", b"no JSON", b"[]", b"7", b'{"args": {}}', b"\xff\xfe", b'{"command": ["status"]}']
)
@pytest_twisted.inlineCallbacks
def test_a_line_that_is_no_request_is_answered_with_an_error(
    make_node: MakeNode, store: Engine, tmp_path: Path, line: bytes
) -> Any:
    path = tmp_path / "control.sock"
    node = make_node(store)
    port = yield _served(path, node, {})

    def exchange() -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(line + b"\n" + b'{"command": "status"}\n')
            with connection.makefile("rb") as answers:
                return [json.loads(answers.readline()) for _ in range(2)]

    try:
        bad, good = yield deferToThread(exchange)
        assert bad["ok"] is False
        assert bad["error"]["what"]
        assert good["ok"] is True
    finally:
        yield port.stopListening()


def test_an_engine_that_is_not_there_is_said_to_be_away(tmp_path: Path) -> None:
    with pytest.raises(EngineAwayError):
        ask_engine(tmp_path / "nothing.sock", "status", {}, actor="nora")


# ---------------------------------------------------------------- pause


@pytest_twisted.inlineCallbacks
def test_a_pause_survives_a_restart(make_node: MakeNode, both_stores: Engine) -> Any:
    first = make_node(both_stores, destinations=[destination(), destination("other")])
    yield first.start()
    yield first.ask("pause", channel="visits", destination="peer", reason="they move")
    yield first.stop()

    node = make_node(both_stores, destinations=[destination(), destination("other")])
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: sorted(node.states()) == ["delivered", "queued"])
    assert node.peer.parcels == []
    yield node.ask("resume", channel="visits", destination="peer")
    yield node.settled()
    assert node.peer.ids == ["m1"]


@pytest_twisted.inlineCallbacks
def test_a_destination_that_was_paused_by_itself_stays_so_when_its_channel_goes_on(
    make_node: MakeNode, store: Engine
) -> Any:
    node = make_node(store, destinations=[destination(), destination("other")])
    yield node.start()
    yield node.ask("pause", channel="visits", destination="peer", reason="they move")
    yield node.ask("pause", channel="visits", reason="we move")
    yield node.ask("resume", channel="visits")
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: "delivered" in node.states())

    assert node.peer.parcels == []
    assert {(row.destination, row.paused) for row in node.rows(select(channel_state))} == {("", False), ("peer", True)}


class Tap:
    """A source that notes whether it takes anything in."""

    def __init__(self, _context: Any) -> None:
        self.open = False

    def start(self) -> None:
        self.open = True

    def pause(self) -> None:
        self.open = False

    def resume(self) -> None:
        self.open = True

    def stop(self) -> None:
        self.open = False

    def health(self) -> list[Any]:
        return []


@pytest_twisted.inlineCallbacks
def test_a_drained_channel_takes_nothing_in_and_works_off_what_is_there_also_after_a_restart(
    make_node: MakeNode, store: Engine
) -> Any:
    taps: list[Tap] = []

    def tap(context: Any) -> Any:
        taps.append(Tap(context))
        return taps[-1]

    door = ChannelPlan("door", "Door", describe, (tap,), {})
    first = make_node(store, destinations=[destination()], channels=[door])
    yield first.start()
    assert taps[-1].open
    yield first.ask("drain", channel="door", reason="the partner moves house")
    yield first.settled()
    status = yield first.ask("status")
    assert (taps[-1].open, status["channels"]["door"]["draining"], status["channels"]["door"]["idle"]) == (
        False, True, True
    )  # fmt: skip
    with pytest.raises(HubError, match="billing feeds it"):
        yield first.ask("drain", channel="visits", reason="nothing to close here")
    yield first.stop()
    node = make_node(store, destinations=[destination()], channels=[door])
    yield node.start()
    assert not taps[-1].open
    yield node.ask("resume", channel="door")
    assert taps[-1].open


@pytest_twisted.inlineCallbacks
def test_a_pause_without_a_reason_or_of_what_there_is_not_is_refused(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    for arguments in (
        {"channel": "visits", "reason": " "},
        {"channel": "no such channel", "reason": "x"},
        {"channel": "visits", "destination": "no such destination", "reason": "x"},
    ):
        with pytest.raises(HubError):
            yield node.ask("pause", **arguments)
    assert node.rows(select(channel_state)) == []


@pytest_twisted.inlineCallbacks
def test_who_did_what_and_why_is_recorded_with_it(make_node: MakeNode, store: Engine) -> Any:
    recorded: list[dict[str, Any]] = []
    node = make_node(
        store, destinations=[destination()], writes={"audit": lambda _connection, values: recorded.append(values) or {}}
    )
    yield node.start()
    stored = yield node.receive(raw("m1"))
    yield node.settled()
    yield node.ask("pause", channel="visits", reason="they move")
    yield node.ask("replay", message_id=stored.message_id, reason="to see")

    assert [(one["actor"], one["action"], one["reason"]) for one in recorded] == [
        ("nora", "pause", "they move"),
        ("nora", "replay", "to see"),
    ]


@pytest_twisted.inlineCallbacks
def test_a_command_of_billing_is_recorded_with_what_it_is_about(make_node: MakeNode, store: Engine) -> Any:
    recorded: list[dict[str, Any]] = []
    node = make_node(store, billing=True, writes={"audit": lambda _connection, values: recorded.append(values) or {}})
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        owner = {"organisation": "alder", "partition": 0, "fence": 0}
        item = {
            "id": 77,
            "item_key": "d",
            "state": "open",
            "sentence": "",
            "queue": "denials",
            "kind": "denial",
            "patient_id": 4,
            "opened_business_at": 0,
            "body": b"",
        }
        connection.execute(insert(work_item).values(**owner, **item))
    yield node.start()
    yield node.ask("billing", name="resolve_item", args={"item_id": 77, "version": 0, "reason": "paid by phone"})
    yield node.ask("billing", name="release_remittance", args={"remittance_id": 9, "reason": "vouched for"})
    yield node.ask("billing", name="close_month", args={"month": "2026-11"})

    names = ("action", "object_type", "object_id", "patient_id", "reason")
    assert [tuple(one[name] for name in names) for one in recorded] == [
        ("resolve_item", "work item", "77", 4, "paid by phone"),
        ("release_remittance", "remittance", "9", None, "vouched for"),
        ("close_month", "billing", "", None, ""),
    ]


@pytest_twisted.inlineCallbacks
def test_a_command_that_billing_refuses_is_recorded_as_refused(make_node: MakeNode, store: Engine) -> Any:
    recorded: list[dict[str, Any]] = []
    node = make_node(store, billing=True, writes={"audit": lambda _connection, values: recorded.append(values) or {}})
    node.workers.decide = lambda _header, _parts: decided(answer={"ok": False, "error": {"what": "It was paid."}})
    yield node.start()
    yield node.ask("billing", name="write_off", args={"reason": "too small"})
    node.workers.decide = lambda _header, _parts: decided(answer={"ok": True})
    yield node.ask("billing", name="write_off", args={"reason": "too small"})

    assert [(one["action"], one["reason"]) for one in recorded] == [
        ("refused write_off", "too small"),
        ("write_off", "too small"),
    ]


# ---------------------------------------------------------------- replay


@pytest_twisted.inlineCallbacks
def test_a_replay_is_a_new_message_linked_to_the_first(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    yield node.start()
    first = yield node.receive(raw("m1", "a"))
    yield node.settled()
    answer = yield node.ask("replay", message_id=first.message_id, reason="the script was mended")
    yield node.settled()

    rows = node.rows(select(message).order_by(message.c.sequence))
    assert [(row.id, row.parent_id, row.relation, row.flags) for row in rows] == [
        (first.message_id, None, None, ""),
        (answer["message_id"], first.message_id, "replayed", ""),
    ]
    assert node.peer.bodies == [raw("m1", "a")] * 2
    assert node.counts() == {"received": 2, "done": 2}


@pytest_twisted.inlineCallbacks
def test_the_replay_of_what_could_not_be_read_closes_its_item(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    refused = yield node.receive(raw("m1", "a"), refusal="This cannot be read.", unheard=True)
    assert [item.kind for item in node.items()] == ["unreadable"]

    yield node.ask("replay", message_id=refused.message_id, reason="the format reads it now")
    yield node.settled()
    assert node.items() == []
    assert [item.resolution for item in node.items("resolved")] == ["replayed"]


@pytest_twisted.inlineCallbacks
def test_the_replay_of_a_held_message_takes_its_place(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    hand_on = node.workers.mapping
    node.workers.mapping = lambda _one, _body: {"held": [{"queue": "messages", "reason": "No table.", "path": ""}]}
    yield node.start()
    first = yield node.receive(raw("m1", "a"))
    yield node.settled()
    assert node.outcomes() == {"m1": "held"}

    node.workers.mapping = hand_on
    yield node.ask("replay", message_id=first.message_id, reason="the table is there")
    yield node.settled()
    assert [row.onward for row in node.rows(select(message))] == ["done", "done"]
    assert node.items() == []
    assert [item.resolution for item in node.items("resolved")] == ["replayed"]


@pytest_twisted.inlineCallbacks
def test_a_token_is_spent_once(make_node: MakeNode, both_stores: Engine) -> Any:
    node = make_node(both_stores, destinations=[destination()])
    yield node.start()
    first = yield node.receive(raw("m1", "a"))
    yield node.settled()
    arguments = {"message_id": first.message_id, "reason": "again", "token": "t1"}
    results = yield DeferredList([node.ask("replay", **arguments) for _ in range(3)], consumeErrors=True)
    yield node.settled()

    assert [good for good, _ in results] == [True, False, False]
    assert len(node.peer.parcels) == 2


@pytest_twisted.inlineCallbacks
def test_a_replay_that_cannot_be_spends_no_token(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    with pytest.raises(HubError, match="no message"):
        yield node.ask("replay", message_id=7, reason="again", token="t1")
    first = yield node.receive(raw("m1", "a"))
    yield node.settled()
    with pytest.raises(HubError, match="reason"):
        yield node.ask("replay", message_id=first.message_id, reason="", token="t1")
    yield node.ask("replay", message_id=first.message_id, reason="again", token="t1")


@pytest_twisted.inlineCallbacks
def test_a_delivery_on_its_way_is_neither_sent_again_nor_closed(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    yield node.start()
    yield node.ask("pause", channel="visits", reason="to keep it")
    yield node.receive(raw("m1", "a"))
    yield node.until(lambda: node.states() == ["queued"])
    (row,) = node.deliveries()
    with pytest.raises(HubError, match="on its way"):
        yield node.ask("replay", **{"from": "delivery", "delivery_id": row.id, "reason": "again"})
    with pytest.raises(HubError, match="waits for a decision"):
        yield node.ask("close_delivery", delivery_id=row.id, reason="enough")


@pytest_twisted.inlineCallbacks
def test_a_refused_delivery_that_is_closed_is_done(make_node: MakeNode, store: Engine) -> Any:
    node = make_node(store, destinations=[destination()])
    node.peer.answer = in_turn(Outcome(Failure.PERMANENT, "No."))
    yield node.start()
    yield node.receive(raw("m1", "a"))
    yield node.settled()
    (row,) = node.deliveries()
    yield node.ask("close_delivery", delivery_id=row.id, reason="told by telephone")

    assert node.states() == ["closed"]
    assert node.outcomes() == {"m1": "done"}
    assert [item.resolution for item in node.items("resolved")] == ["closed without sending"]
    with pytest.raises(HubError):
        yield node.ask("close_delivery", delivery_id=row.id, reason="twice")
