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
from hub.engine.contracts import EndpointState
from hub.formats.hl7v2.ack import Ack, read_ack
from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from tests.connectors.peers import WAIT, Surroundings, within


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

    async def acks(self, count: int) -> list[Ack]:
        done: Deferred[None] = Deferred()
        if len(self.answers) < count:
            self._waiting.append((count, done))
            await within(done)
        return [read_ack(raw) for raw in self.answers]


@asynccontextmanager
async def listening(around: Surroundings, **options: Any) -> AsyncIterator[MllpSource]:
    context = {name: options.pop(name) for name in ("accepts", "environment") if name in options}
    settings = MllpSourceSettings.model_validate({"listen": "tcp:127.0.0.1:0", **options})
    source = MllpSource(settings, around.source(CONNECTOR, **context))
    source.start()
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
        await around.intake.arrived(5)
        around.intake.let_go(4, 2, 0, 1, 3)
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
        ("AL|AL", "ADT^A04", "CA"),
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
async def test_a_batch_in_one_block_is_answered_message_by_message(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(frame(b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + adt("A1") + adt("A2") + b"BTS|2\rFTS|1\r"))
        acks = await peer.acks(2)
    assert [ack.control_id for ack in acks] == ["A1", "A2"]


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
    messages = sum(len(split_batch(raw) or [raw]) for raw in sent)
    assert messages >= len(sent) > 0
    async with listening(around, environment="production") as source:
        peer = await sender(source)
        for raw in sent:
            peer.write(frame(raw))
        await around.intake.arrived(messages)
        wanted = [received for received in around.intake.received if received.answer is not None]
        acks = await peer.acks(len(wanted))
    assert [ack.control_id for ack in acks] == [read_ack(item.answer or b"").control_id for item in wanted]
    # Who says NE in MSH-15 and MSH-16 wants no answer; everybody else has one.
    assert all(b"NE|NE" in item.raw for item in around.intake.received if item.answer is None)
