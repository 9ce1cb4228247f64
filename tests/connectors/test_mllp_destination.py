from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_twisted

from hub.connectors.mllp import CONNECTOR, MllpDestination, MllpDestinationSettings
from hub.engine.contracts import EndpointState, Failure, Outcome
from hub.formats.hl7v2.ack import acknowledge, read_ack
from hub.formats.hl7v2.header import read_header
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from tests.connectors.behaviour import Behaviour, Peer, delivered, free_port, serving
from tests.connectors.peers import Surroundings, failure_of, parcel, within


def message(control_id: str) -> bytes:
    return f"MSH|^~\\&|CLAIMHUB|HUB|ALDER_EHR|ALDER|20261123||DFT^P03|{control_id}|T|2.5.1\rEVN|P03\r".encode()


def answer(raw: bytes, code: Any = "AA", control_id: str | None = None) -> bytes:
    if control_id is not None:
        raw = message(control_id)
    return frame(acknowledge(read_header(raw), code, control_id="X1", now=datetime.now(UTC)))


def answering(reply: Any) -> Behaviour:
    """A peer that calls *reply* with itself and each whole message."""
    readers: dict[Peer, FrameReader] = {}

    def behave(peer: Peer, data: bytes) -> None:
        for event in readers.setdefault(peer, FrameReader()).feed(data):
            assert isinstance(event, Frame)
            reply(peer, event.raw)

    return behave


def destination(around: Surroundings, port: int, **options: Any) -> MllpDestination:
    settings = MllpDestinationSettings.model_validate(
        {"endpoint": f"tcp:127.0.0.1:{port}", "answer_within": "5s", "connect_within": "5s", **options}
    )
    return MllpDestination(settings, around.destination(CONNECTOR))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda peer, raw: peer.say(answer(raw)), "delivered"),
        (lambda peer, raw: peer.say(answer(raw, "CA")), "delivered"),
        (lambda peer, raw: peer.say(answer(raw, "AE")), "permanent"),
        (lambda peer, raw: peer.say(answer(raw, "CE")), "permanent"),
        (lambda peer, raw: peer.say(answer(raw, "AR")), "transient"),
        (lambda peer, raw: peer.say(answer(raw, "CR")), "transient"),
        (lambda peer, raw: peer.drop(), "ambiguous"),
        (lambda peer, raw: peer.bye(), "ambiguous"),
        (lambda peer, raw: (peer.say(answer(raw)[:20]), peer.bye()), "ambiguous"),
        (lambda peer, raw: (peer.say(b"noise"), peer.say(answer(raw))), "delivered"),
        (lambda peer, raw: (peer.say(answer(raw, control_id="OLD")), peer.say(answer(raw))), "delivered"),
        (lambda peer, raw: (peer.say(frame(b"nothing")), peer.say(answer(raw))), "delivered"),
        (lambda peer, raw: (peer.say(answer(raw)), peer.say(answer(raw))), "delivered"),
        (lambda peer, raw: peer.say(answer(raw)[:-1]), "delivered"),
        (lambda peer, raw: peer.say(b"\x0b" + b"x" * (2 << 20)), "ambiguous"),
    ],
    ids=[
        "accepted", "committed", "error", "commit error", "rejected", "commit rejected", "dropped", "closed",
        "half an answer", "noise first", "another's answer first", "rubbish first", "answered twice",
        "no last byte", "endless answer",
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_the_receiver_does_decides_what_is_known(around: Surroundings, reply: Any, expected: str) -> None:
    async with serving(answering(reply)) as server:
        (outcome,) = await delivered(destination(around, server.port), parcel(message("M1")))
    assert failure_of(outcome) == expected
    if expected == "delivered":
        assert read_ack(outcome.answer or b"").control_id == "M1"


@pytest.mark.parametrize(
    "reply",
    [lambda peer, raw: None, lambda peer, raw: peer.say(answer(raw, control_id="OTHER"))],
    ids=["silence", "only another's answer"],
)
@pytest_twisted.ensureDeferred
async def test_silence_is_ambiguous_and_ends_the_connection(around: Surroundings, reply: Any) -> None:
    async with serving(answering(reply)) as server:
        sender = destination(around, server.port, answer_within="100ms")
        (outcome,) = await delivered(sender, parcel(message("M1")))
        assert sender.health()[0].peers == 0
    assert outcome.failure == Failure.AMBIGUOUS


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_transient_and_said(around: Surroundings) -> None:
    sender = destination(around, await free_port())
    outcome = await within(sender.deliver(parcel(message("M1"))))
    assert outcome == Outcome(Failure.TRANSIENT, "The receiver refused the connection.")
    assert sender.health()[0].state == EndpointState.REFUSED


@pytest_twisted.ensureDeferred
async def test_a_late_answer_is_never_taken_for_the_next_message(around: Surroundings) -> None:
    late: list[bytes] = []

    def reply(peer: Peer, raw: bytes) -> None:
        if not late:
            late.append(raw)
        else:
            peer.say(answer(late[0], "AE"))
            peer.say(answer(raw))

    async with serving(answering(reply)) as server:
        sender = destination(around, server.port, answer_within="500ms")
        first, second = await delivered(sender, parcel(message("M1")), parcel(message("M2")))
        assert sender.counts["late answer"] == 1
    assert (failure_of(first), failure_of(second)) == ("ambiguous", "delivered")


@pytest_twisted.ensureDeferred
async def test_one_connection_carries_one_message_at_a_time(around: Surroundings) -> None:
    under_way = 0
    most = 0

    def reply(peer: Peer, raw: bytes) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)

        def done() -> None:
            nonlocal under_way
            under_way -= 1
            peer.say(answer(raw))

        from twisted.internet import reactor

        reactor.callLater(0.01, done)  # type: ignore[attr-defined]

    async with serving(answering(reply)) as server:
        outcomes = await delivered(destination(around, server.port), *(parcel(message(f"M{n}")) for n in range(10)))
        assert len(server.peers) == 1
    assert [failure_of(outcome) for outcome in outcomes] == ["delivered"] * 10
    assert most == 1


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_the_answer_in_hand(around: Surroundings) -> None:
    async with serving(answering(lambda peer, raw: peer.say(answer(raw)))) as server:
        sender = destination(around, server.port)
        sender.start()
        under_way = sender.deliver(parcel(message("M1")))
        await within(sender.stop())
        assert failure_of(await within(under_way)) == "delivered"
    assert sender.health()[0].state == EndpointState.STOPPED


@pytest.mark.parametrize("body", [b"", b"nothing", b"MSH|^~\\&|||||||DFT^P03||T|2.5.1\r", message("M1") + b"\x1c"])
@pytest_twisted.ensureDeferred
async def test_what_could_not_be_answered_is_not_sent(around: Surroundings, body: bytes) -> None:
    sender = destination(around, await free_port())
    outcome = await within(sender.deliver(parcel(body)))
    assert outcome.failure == Failure.PERMANENT
