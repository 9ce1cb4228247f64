from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from hub.connectors.mllp import CONNECTOR, MllpSource, MllpSourceSettings
from hub.core.errors import HubError
from hub.engine.contracts import EndpointState, Processed
from hub.formats.hl7v2.ack import Ack, read_ack
from hub.formats.hl7v2.batch import read_batch
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from tests.connectors.peers import WAIT, FakeIntake, Surroundings, within


def adt(control_id: str, *, processing: str = "T", kind: str = "ADT^A04", tail: str = "||2.5.1") -> bytes:
    tail = tail.removeprefix("||")
    return (
        f"MSH|^~\\&|ALDER_EHR|ALDER|CLAIMHUB|HUB|20261123120000||{kind}|{control_id}|{processing}|{tail}\r"
        "PID|1||100001^^^ALDER^MR||SAMPLETON^ALVA\r"
    ).encode()


class Sender(Protocol):
    """A peer that writes what it is told and collects answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.lost: Deferred[None] = Deferred()
        self._reader = FrameReader()
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.answers += [event.raw for event in self._reader.feed(data) if isinstance(event, Frame)]
        for count, done in list(self._waiting):
            if len(self.answers) >= count:
                self._waiting.remove((count, done))
                done.callback(None)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
        self.lost.callback(None)

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    async def blocks(self, count: int) -> list[bytes]:
        done: Deferred[None] = Deferred()
        if len(self.answers) < count:
            self._waiting.append((count, done))
            await within(done)
        return self.answers

    async def acks(self, count: int) -> list[Ack]:
        await self.blocks(count)
        return [read_ack(raw) for raw in self.answers]


@asynccontextmanager
async def listening(around: Surroundings, **options: Any) -> AsyncIterator[MllpSource]:
    context = {name: options.pop(name) for name in ("accepts", "environment", "ack") if name in options}
    settings = MllpSourceSettings.model_validate({"listen": "tcp:127.0.0.1:0", **options})
    source = MllpSource(settings, around.source(CONNECTOR, **context))
    await within(source.start())
    try:
        yield source
    finally:
        await within(source.stop())


async def sender(source: MllpSource) -> Sender:
    port = int(source.health()[0].address.rpartition(":")[2])
    endpoint = HostnameEndpoint(reactor, b"127.0.0.1", port)
    made = await within(endpoint.connect(Factory.forProtocol(Sender)))
    assert isinstance(made, Sender)
    return made


def pause() -> Deferred[None]:
    """One turn of the reactor's wheel that lets bytes cross the loopback."""
    done: Deferred[None] = Deferred()
    reactor.callLater(0.05, done.callback, None)  # type: ignore[attr-defined]
    return done


@pytest_twisted.ensureDeferred
async def test_a_message_is_answered_after_it_is_stored_and_not_before(around: Surroundings) -> None:
    around.intake.held = True
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        await around.intake.arrived(1)
        assert peer.answers == []
        around.intake.let_go()
        (ack,) = await peer.acks(1)
    assert (ack.code, ack.control_id) == ("AA", "A1")
    assert around.intake.received[0].answer == peer.answers[0]
    assert around.intake.received[0].source == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_a_message_split_into_single_bytes_is_one_message(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        for byte in frame(adt("A1")):
            peer.write(bytes([byte]))
            await pause_briefly()
        (ack,) = await peer.acks(1)
    assert ack.control_id == "A1"
    assert [item.raw for item in around.intake.received] == [adt("A1")]


def pause_briefly() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)  # type: ignore[attr-defined]
    return done


@pytest_twisted.ensureDeferred
async def test_several_messages_in_one_write_are_answered_in_order_however_they_settle(
    around: Surroundings,
) -> None:
    around.intake.held = True
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(b"noise" + b"".join(frame(adt(f"A{n}")) for n in range(5)))
        await around.intake.arrived(6)
        around.intake.let_go(5, 3, 0, 1, 2, 4)
        acks = await peer.acks(5)
        assert source.counts["noise"] == 1
    assert [ack.control_id for ack in acks] == ["A0", "A1", "A2", "A3", "A4"]


@pytest_twisted.ensureDeferred
async def test_a_peer_that_floods_is_not_read_further_than_the_limit(around: Surroundings) -> None:
    around.intake.held = True
    async with listening(around, unanswered=4) as source:
        peer = await sender(source)
        peer.write(b"".join(frame(adt(f"A{n}")) for n in range(50)))
        await around.intake.arrived(4)
        await pause()
        assert len(around.intake.received) == 4
        around.intake.held = False
        around.intake.let_go()
        acks = await peer.acks(50)
    assert [ack.control_id for ack in acks] == [f"A{n}" for n in range(50)]


@pytest_twisted.ensureDeferred
async def test_a_repeated_message_gets_the_answer_of_the_first_time(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        await peer.acks(1)
        peer.write(frame(adt("A1")))
        await peer.acks(2)
    assert peer.answers[0] == peer.answers[1]


@pytest_twisted.ensureDeferred
async def test_a_message_that_cannot_be_stored_is_not_answered_and_the_connection_closes(
    around: Surroundings,
) -> None:
    around.intake.failing = OSError("disk full")
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")) + frame(adt("A2")))
        await within(peer.lost)
    assert peer.answers == []


@pytest.mark.parametrize("raw", [b"", b"GET / HTTP/1.1", b"MSH", b"MSH|^~\\&|A", b"PID|1\rMSH|^~", b"\xff\xfe\x00"])
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_read_is_kept_and_answered_with_the_place(around: Surroundings, raw: bytes) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(raw))
        (ack,) = await peer.acks(1)
    assert ack.code == "AE"
    assert ack.error_condition in {"100", "101"}
    assert around.intake.received[0].raw == raw
    assert around.intake.received[0].refusal


@pytest.mark.parametrize(
    ("environment", "processing", "code"),
    [
        ("test", "T", "AA"),
        ("test", "D", "AA"),
        ("test", "P", "AR"),
        ("production", "P", "AA"),
        ("production", "T", "AR"),
        ("production", "D", "AR"),
        ("production", "", "AA"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_test_and_production_never_mix(
    around: Surroundings, environment: str, processing: str, code: str
) -> None:
    async with listening(around, environment=environment) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", processing=processing)))
        (ack,) = await peer.acks(1)
    assert ack.code == code
    assert ack.error_condition == ("202" if code == "AR" else "")
    assert bool(around.intake.received[0].refusal) == (code == "AR")


@pytest.mark.parametrize(
    ("unlisted", "kind", "code", "condition"),
    [
        ("filter", "ADT^A60", "AA", ""),
        ("refuse", "ADT^A60", "AR", "201"),
        ("refuse", "ORU^R01", "AR", "200"),
        ("refuse", "ADT^A04", "AA", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_type_that_the_channel_does_not_take_is_filtered_or_refused(
    around: Surroundings, unlisted: str, kind: str, code: str, condition: str
) -> None:
    async with listening(around, unlisted=unlisted, accepts=frozenset({"ADT^A04"})) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", kind=kind)))
        (ack,) = await peer.acks(1)
    (received,) = around.intake.received
    assert (ack.code, ack.error_condition) == (code, condition)
    assert bool(received.filtered) == (unlisted == "filter")
    assert bool(received.refusal) == (code == "AR")


@pytest.mark.parametrize(
    ("conditions", "kind", "code"),
    [
        ("AL|NE", "ADT^A04", "CA"),
        ("NE|AL", "ADT^A04", "AA"),
        ("|AL", "ADT^A04", "AA"),
        ("ER|NE", "ADT^A04", None),
        ("ER|NE", "ORU^R01", "CR"),
        ("NE|NE", "ADT^A04", None),
        ("SU|NE", "ADT^A04", "CA"),
        ("20261123|NONE", "ADT^A04", "AA"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_enhanced_mode_answers_as_the_sender_asked(
    around: Surroundings, conditions: str, kind: str, code: str | None
) -> None:
    async with listening(around, unlisted="refuse", accepts=frozenset({"ADT^A04"})) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", kind=kind, tail=f"2.5.1|||{conditions}")) + frame(adt("A2")))
        await around.intake.arrived(2)
        acks = await peer.acks(2 if code else 1)
    assert [(ack.code, ack.control_id) for ack in acks] == ([(code, "A1")] if code else []) + [("AA", "A2")]


@pytest_twisted.ensureDeferred
async def test_messages_in_one_block_without_an_envelope_are_answered_one_by_one(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1") + adt("A2")))
        acks = await peer.acks(2)
    assert [ack.control_id for ack in acks] == ["A1", "A2"]


FILE = b"FHS|^~\\&|A|B|HUB|H|1||||F7\rBHS|^~\\&|A|B|HUB|H|1||||B7\r"


@pytest_twisted.ensureDeferred
async def test_a_batch_is_answered_by_a_batch_when_all_of_it_is_stored(around: Surroundings) -> None:
    around.intake.held = True
    async with listening(around, unanswered=2) as source:
        peer = await sender(source)
        many = [adt(f"A{n}") for n in range(4)]
        peer.write(frame(FILE + b"".join(many) + b"BTS|4\rFTS|1\r") + frame(adt("LAST")))
        await around.intake.arrived(2)
        around.intake.let_go(1, 0)
        assert peer.answers == []
        around.intake.held = False
        await around.intake.arrived(4)
        around.intake.let_go()
        await peer.blocks(2)
    lines = peer.answers[0].split(b"\r")
    assert [line[:3] for line in lines[:2]] == [b"FHS", b"BHS"]
    assert [line for line in lines if line[:3] in {b"BTS", b"FTS", b""}] == [b"BTS|4", b"FTS|1", b""]
    assert lines[1].split(b"|")[2:6] == [b"HUB", b"H", b"A", b"B"]
    assert lines[1].split(b"|")[11] == b"B7"
    assert [line for line in lines if line.startswith(b"MSA")] == [f"MSA|AA|A{n}".encode() for n in range(4)]
    assert read_ack(peer.answers[1]).control_id == "LAST"


@pytest.mark.parametrize("trailer", [b"BTS|0\rFTS|1\r", b"BTS\rFTS\r"])
@pytest_twisted.ensureDeferred
async def test_a_batch_without_a_message_is_kept_and_answered_by_another(around: Surroundings, trailer: bytes) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(FILE + trailer))
        (answer,) = await peer.blocks(1)
    lines = answer.split(b"\r")
    assert [line[:3] for line in lines] == [b"FHS", b"BHS", b"BTS", b"FTS", b""]
    assert (lines[1].split(b"|")[11], lines[2]) == (b"B7", b"BTS|0")
    (kept,) = around.intake.received
    assert (kept.raw, kept.refusal, kept.filtered) == (FILE + trailer, None, "A batch without a message.")


@pytest.mark.parametrize("batch", [FILE + b"BTS|3\rFTS|1\r", FILE, FILE + b"PID|1\rBTS|0\rFTS|1\r"])
@pytest_twisted.ensureDeferred
async def test_a_batch_that_lacks_what_it_speaks_of_is_refused(around: Surroundings, batch: bytes) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(batch))
        assert [ack.code for ack in await peer.acks(1)] == ["AE"]


@pytest_twisted.ensureDeferred
async def test_a_batch_says_which_of_its_messages_was_refused(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(FILE + adt("A1") + adt("A2", processing="P") + b"BTS|2\rFTS|1\r"))
        await peer.blocks(1)
    assert b"MSA|AA|A1\r" in peer.answers[0]
    assert b"MSA|AR|A2\r" in peer.answers[0]


@pytest_twisted.ensureDeferred
async def test_a_batch_that_cannot_be_stored_whole_is_not_answered(around: Surroundings) -> None:
    around.intake.failing = OSError("disk full")
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(FILE + adt("A1") + adt("A2") + b"BTS|2\rFTS|1\r"))
        await within(peer.lost)
    assert peer.answers == []


# ---------------------------------------------------------------- what senders get wrong, and parts


def part(control_id: str, body: str, *, after: str = "", goes_on: str = "") -> bytes:
    end = f"DSC|{goes_on}|F\r" if goes_on else ""
    return f"MSH|^~\\&|ALDER|ALDER|HUB|HUB|1||ORU^R01|{control_id}|T|2.5.1||{after}\r{body}{end}".encode()


PARTS = [
    part("P1", "PID|1||100001\rOBX|1|TX|a||first, ", goes_on="X1"),
    part("P2", "ADD|second, \rADD|\r", after="X1", goes_on="X2"),
    part("P3", "ADD|third\rOBX|2|TX|b||more\r", after="X2"),
]
PARTS[0] = PARTS[0].replace(b"first, DSC", b"first, \rADD|\rDSC")


@pytest_twisted.ensureDeferred
async def test_a_message_in_parts_is_answered_part_by_part_and_stored_whole(around: Surroundings) -> None:
    async with listening(around) as source:
        first, second = await sender(source), await sender(source)
        first.write(frame(PARTS[0]))
        await first.acks(1)
        second.write(frame(PARTS[1]))
        await second.acks(1)
        first.write(frame(PARTS[2]))
        acks = await first.acks(2)
    *parts, whole = around.intake.received
    assert [(ack.code, ack.control_id) for ack in acks] == [("AA", "P1"), ("AA", "P3")]
    assert [(item.raw, bool(item.filtered)) for item in parts] == [(PARTS[0], True), (PARTS[1], True)]
    assert whole.filtered is None
    message = Message(whole.raw)
    assert message["OBX[1]-5"] == "first, second, third"
    assert (message["OBX[2]-5"], message.control_id, message.each("DSC")) == ("more", "P1", [])


@pytest_twisted.ensureDeferred
async def test_a_part_that_is_sent_again_is_no_second_part(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        for count, number in enumerate((0, 1, 1, 2, 2), 1):
            peer.write(frame(PARTS[number]))
            acks = await peer.acks(count)
    assert [ack.code for ack in acks] == ["AA"] * 5
    assert peer.answers[3] == peer.answers[4]
    assert around.intake.received[3].raw == around.intake.received[4].raw


@pytest_twisted.ensureDeferred
async def test_a_part_whose_beginning_is_not_here_is_refused(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(PARTS[2]))
        (ack,) = await peer.acks(1)
    assert (ack.code, ack.error_condition, ack.error_location) == ("AE", "204", "MSH[1]-14[1]")
    assert around.intake.received[0].refusal


@pytest_twisted.ensureDeferred
async def test_parts_that_are_too_long_together_are_refused(around: Surroundings) -> None:
    async with listening(around, max_message="1KB") as source:
        peer = await sender(source)
        for number in range(3):
            after, goes_on = f"X{number}" if number else "", f"X{number + 1}"
            peer.write(frame(part(f"P{number}", "NTE|" + "x" * 400 + "\r", after=after, goes_on=goes_on)))
        acks = await peer.acks(3)
    assert [ack.code for ack in acks] == ["AA", "AA", "AE"]


@pytest_twisted.ensureDeferred
async def test_parts_that_wait_too_long_are_forgotten_and_counted(around: Surroundings) -> None:
    async with listening(around, idle="50ms") as source:
        peer = await sender(source)
        peer.write(frame(PARTS[0]))
        await within(peer.lost)
        peer = await sender(source)
        peer.write(frame(PARTS[1]))
        (ack,) = await peer.acks(1)
        assert source.counts["parts without an end"] == 1
    assert ack.code == "AE"


@pytest_twisted.ensureDeferred
async def test_where_parts_are_not_joined_each_is_a_message(around: Surroundings) -> None:
    async with listening(around, join=False) as source:
        peer = await sender(source)
        peer.write(frame(PARTS[0]) + frame(PARTS[2]))
        acks = await peer.acks(2)
    assert [ack.code for ack in acks] == ["AA", "AA"]
    assert [item.filtered for item in around.intake.received] == [None, None]


@pytest.mark.parametrize(
    ("leniency", "data", "strict", "lenient"),
    [
        ("no_start_block", adt("A1") + b"\x1c\r", ["AR"], ["AA"]),
        ("no_final_cr", frame(adt("A1"))[:-1] + b"\n", [], ["AA"]),
        ("original_mode", frame(adt("A1", tail="2.5.1|||AL|NE")), ["CA"], ["AA"]),
        ("original_mode", frame(adt("A1", tail="2.5.1|||NE|NE")), [], ["AA"]),
        ("any_processing_id", frame(adt("A1", processing="P")), ["AR"], ["AA"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_leniency_is_off_until_it_is_named(
    around: Surroundings, leniency: str, data: bytes, strict: list[str], lenient: list[str]
) -> None:
    told = []
    for names in ((), (leniency,)):
        around.intake = FakeIntake()
        async with listening(around, lenient=names) as source:
            peer = await sender(source)
            peer.write(data)
            if not names:
                peer.write(frame(adt("LAST")))  # answered when what came before it has been
            acks = await peer.acks(len(lenient) if names else len(strict) + 1)
        told.append([ack.code for ack in acks if ack.control_id == "A1"])
    assert told == [strict, lenient]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest_twisted.ensureDeferred
async def test_a_message_in_utf_16_is_read_and_answered_in_the_same(around: Surroundings, codec: str) -> None:
    text = adt("A1", tail="2.5.1||||||UNICODE UTF-16").decode().replace("ALVA", "ÁLVA").replace("ADT^A04", "ADT^A04")
    raw = text.encode(codec)
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(raw))
        (ack,) = await peer.acks(1)
    (received,) = around.intake.received
    assert (ack.code, ack.control_id) == ("AA", "A1")
    assert "MSA|AA|A1" in peer.answers[0].decode(codec)
    assert (received.raw, received.description.lane) == (raw, "100001")
    assert Message(received.raw)["PID-5"] == "SAMPLETON^ÁLVA"


# ---------------------------------------------------------------- who may connect


@pytest.mark.parametrize(
    ("tail", "lenient", "code"),
    [("2.5.1", (), "AE"), ("2.5.1|||AL|NE", (), "CE"), ("2.3", (), "AE"), ("2.5.1", ("no_control_id",), "AA")],
)
@pytest_twisted.ensureDeferred
async def test_a_message_that_no_answer_could_name_is_refused_and_kept(
    around: Surroundings, tail: str, lenient: tuple[str, ...], code: str
) -> None:
    async with listening(around, lenient=lenient) as source:
        peer = await sender(source)
        peer.write(frame(adt("", tail=tail)))
        (ack,) = await peer.acks(1)
    (received,) = around.intake.received
    assert (ack.code, ack.control_id) == (code, "")
    assert received.description.kind == "ADT^A04"
    if code != "AA":
        assert (ack.error_condition, ack.error_location.partition("-")[2][:2]) == ("101", "10")
        assert (received.refusal or "").startswith("This message has no control id")


@pytest_twisted.ensureDeferred
async def test_only_listed_addresses_may_connect(around: Surroundings) -> None:
    async with listening(around, peers=["10.0.0.0/8"]) as source:
        stranger = await sender(source)
        await within(stranger.lost)
        assert source.counts["address of a stranger"] == 1
    async with listening(around, peers=["10.0.0.0/8", "127.0.0.0/8"]) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        assert len(await peer.acks(1)) == 1


@pytest_twisted.ensureDeferred
async def test_a_peer_that_does_not_read_its_answers_is_not_kept_for_ever(around: Surroundings) -> None:
    async with listening(around, idle="200ms") as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        await peer.blocks(1)
        (connection,) = source._peers
        connection.pauseProducing()  # what the transport says when its buffer is full
        await within(peer.lost)
        assert source.counts["answers unread"] == 1


@pytest_twisted.ensureDeferred
async def test_a_block_without_its_last_byte_counts_after_a_silence(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1"))[:-1])
        (ack,) = await peer.acks(1)
        assert source.counts["unclean"] == 1
    assert ack.code == "AA"


@pytest_twisted.ensureDeferred
async def test_a_message_over_the_limit_closes_the_connection(around: Surroundings) -> None:
    async with listening(around, max_message="1KB") as source:
        peer = await sender(source)
        peer.write(b"\x0b" + b"x" * 5000)
        await within(peer.lost)
        assert source.counts["oversize"] == 1
    assert around.intake.received == []


@pytest_twisted.ensureDeferred
async def test_a_silent_connection_is_closed(around: Surroundings) -> None:
    async with listening(around, idle="50ms") as source:
        peer = await sender(source)
        peer.write(b"\x0bMSH|")
        await within(peer.lost)
        assert source.counts["idle"] == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_beyond_the_limit_is_closed_and_the_others_go_on(around: Surroundings) -> None:
    async with listening(around, max_connections=1) as source:
        first = await sender(source)
        first.write(frame(adt("A1")))
        await first.acks(1)
        second = await sender(source)
        await within(second.lost)
        first.write(frame(adt("A2")))
        assert len(await first.acks(2)) == 2
        assert source.health()[0].peers == 1


@pytest_twisted.ensureDeferred
async def test_a_paused_listener_reads_nothing_and_resumes_on_the_same_port(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        await peer.acks(1)
        address = source.health()[0].address
        source.pause()
        assert source.health()[0].state == EndpointState.STOPPED
        peer.write(frame(adt("A2")))
        await pause()
        assert len(around.intake.received) == 1
        with pytest.raises(Exception, match="refused"):
            await sender(source)
        source.resume()
        assert len(await peer.acks(2)) == 2
        newcomer = await sender(source)
        newcomer.write(frame(adt("A3")))
        await newcomer.acks(1)
        assert source.health()[0].address == address
        assert source.health()[0].state == EndpointState.LISTENING


@pytest_twisted.ensureDeferred
async def test_stopping_gives_the_answers_that_are_owed(around: Surroundings) -> None:
    around.intake.held = True
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")))
        await around.intake.arrived(1)
        stopped = source.stop()
        around.intake.let_go()
        await within(peer.lost)
        await within(stopped)
    assert [read_ack(raw).code for raw in peer.answers] == ["AA"]


@pytest_twisted.ensureDeferred
async def test_a_stranger_s_client_is_answered(around: Surroundings, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("mllp_send")
    if not program.exists():
        pytest.fail("mllp_send of the package hl7 is not installed")
    file = tmp_path / "messages.hl7"
    file.write_bytes(adt("A1") + adt("A2"))

    def run() -> subprocess.CompletedProcess[bytes]:
        port = address.rpartition(":")[2]
        return subprocess.run(
            [program, "--loose", "--file", file, "--port", port, "127.0.0.1"],
            capture_output=True,
            timeout=WAIT,
            check=True,
        )

    async with listening(around) as source:
        address = source.health()[0].address
        finished = await within(deferToThread(run))
    assert finished.stdout.count(b"MSA|AA|A") == 2


@pytest.mark.corpus
@pytest_twisted.ensureDeferred
async def test_every_sample_message_is_kept_and_answered(around: Surroundings) -> None:
    default = Path(__file__).parents[2] / "../shared/samples"
    folder = Path(os.environ.get("HUB_CORPUS", default)) / "hl7"
    if not folder.is_dir():
        pytest.skip("The corpus of sample messages is absent; set HUB_CORPUS to its folder.")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    sent = [raw for file in files if b"\x0b" not in (raw := file.read_bytes()) and b"\x1c" not in raw]
    batches = [read_batch(raw) for raw in sent]
    messages = sum(len(batch.messages) or 1 for batch in batches)
    assert messages >= len(sent) > 0
    async with listening(around, environment="production") as source:
        peer = await sender(source)
        for raw in sent:
            peer.write(frame(raw))
        await around.intake.arrived(messages)
        answered = [received for received in around.intake.received if received.answer is not None]
        for _ in range(400):
            if b"".join(peer.answers).count(b"\rMSA") == len(answered):
                break
            await pause()
    said = b"".join(peer.answers)
    assert said.count(b"\rMSA") == len(answered)
    # Who says NE in MSH-15 and MSH-16 wants no answer; everybody else has one.
    assert all(b"NE|NE" in item.raw for item in around.intake.received if item.answer is None)


# ---------------------------------------------------------------- what becomes of a message, told to its sender


@pytest.mark.parametrize(
    ("conditions", "failed", "codes"),
    [
        ("AL|AL", False, ["CA", "AA"]),
        ("AL|AL", True, ["CA", "AE"]),
        ("AL|ER", False, ["CA"]),
        ("AL|ER", True, ["CA", "AE"]),
        ("NE|AL", True, ["AE"]),
        ("NE|ER", True, ["AE"]),
        ("NE|ER", False, []),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_sender_that_asks_for_it_hears_what_became_of_its_message(
    around: Surroundings, conditions: str, failed: bool, codes: list[str]
) -> None:
    around.intake.outcome = None
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", tail=f"2.5.1|||{conditions}")))
        await around.intake.arrived(1)
        await pause()
        assert [read_ack(raw).code for raw in peer.answers] == codes[:-1] or codes == ["CA"]
        error = HubError("The table has no such department.") if failed else None
        around.intake.awaited.ended(1, Processed(error))
        acks = await peer.acks(len(codes))
        await pause()
    assert [(ack.code, ack.control_id) for ack in acks] == [(code, "A1") for code in codes]
    assert [ack.error_text for ack in acks if ack.code == "AE"] == ["The table has no such department."] * failed
    said = codes not in (["CA"], [])
    assert around.intake.answers == [(1, said)]


@pytest_twisted.ensureDeferred
async def test_where_the_channel_says_so_an_answer_waits_for_the_steps_but_not_for_ever(around: Surroundings) -> None:
    around.intake.outcome = None
    async with listening(around, ack="processed", processed_within="300ms") as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")) + frame(adt("A2")))
        await around.intake.arrived(2)
        around.intake.awaited.ended(2, Processed())
        await pause()
        assert not peer.answers, "answers go in the order of receipt"
        around.intake.awaited.ended(1, Processed(HubError("It has no patient.")))
        acks = await peer.acks(2)
        assert [(ack.code, ack.control_id) for ack in acks] == [("AE", "A1"), ("AA", "A2")]
        peer.write(frame(adt("A3")))
        acks = await peer.acks(3)
    assert (acks[2].code, acks[2].control_id) == ("AA", "A3"), "stored, at least"


@pytest.mark.parametrize(
    ("tail", "first", "again"), [("2.5.1", ["AE"], ["AA"]), ("2.5.1|||AL|AL", ["CA", "AE"], ["CA", "AA"])]
)
@pytest_twisted.ensureDeferred
async def test_who_repeats_a_message_hears_what_has_become_of_it_by_now(
    around: Surroundings, tail: str, first: list[str], again: list[str]
) -> None:
    around.intake.outcome = Processed(HubError("The table has no such department."))
    async with listening(around, ack="processed") as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", tail=tail)))
        await peer.acks(len(first))
        around.intake.ended[1] = Processed()  # somebody saw to it
        peer.write(frame(adt("A1", tail=tail)))
        acks = await peer.acks(len(first) + len(again))
    assert [ack.code for ack in acks] == first + again
    assert {ack.control_id for ack in acks} == {"A1"}


@pytest_twisted.ensureDeferred
async def test_who_repeats_a_message_that_is_still_being_mapped_waits_for_its_end(around: Surroundings) -> None:
    around.intake.outcome = None
    async with listening(around, ack="processed") as source:
        peer = await sender(source)
        peer.write(frame(adt("A1")) + frame(adt("A1")))
        await around.intake.arrived(2)
        await pause()
        assert not peer.answers
        around.intake.awaited.ended(1, Processed(HubError("It has no patient.")))
        acks = await peer.acks(2)
    assert [ack.code for ack in acks] == ["AE", "AE"]


@pytest_twisted.ensureDeferred
async def test_a_sender_that_has_left_is_told_nothing(around: Surroundings) -> None:
    around.intake.outcome = None
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", tail="2.5.1|||AL|AL")))
        await peer.acks(1)
        peer.transport.abortConnection()
        await pause()
        await pause()
    assert around.intake.answers == []
