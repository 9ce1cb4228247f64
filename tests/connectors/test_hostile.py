"""Bytes that nobody meant: generated ones, and good ones changed by a seeded hand. Nothing may fall over."""

from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher

from hub.connectors.mllp import CONNECTOR, MllpSourceSettings
from hub.connectors.mllp.judge import Judge
from hub.core.errors import HubError
from hub.formats.fhir.notification import summary
from hub.formats.hl7v2.ack import read_ack
from hub.formats.hl7v2.batch import answer_batch, read_batch
from hub.formats.hl7v2.continuation import join_parts
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.mllp import Frame, FrameReader, Oversize, frame
from hub.site.describe import describer
from tests.connectors.peers import Surroundings, describe_fhir, within
from tests.connectors.test_fhir_source import ENCOUNTER, TOKEN, notification
from tests.connectors.test_fhir_source import listening as fhir_listening
from tests.connectors.test_hook import Client
from tests.connectors.test_hook import connected as web_client
from tests.connectors.test_mllp_source import FILE, PARTS, adt, listening, sender

SEED = 20261123
ROUNDS = 1500
GOOD_HL7 = [
    adt("A1"),
    adt("A1", tail="2.5.1|||AL|AL||UNICODE UTF-8"),
    adt("A1").decode().encode("utf-16"),
    FILE + adt("A1") + adt("A2") + b"BTS|2\rFTS|1\r",
    *PARTS,
]
GOOD_FHIR = [notification("event-notification", resources=(ENCOUNTER,)), json.dumps(ENCOUNTER).encode()]
NASTY = [b"\x0b", b"\x1c", b"\x1c\r", b"\r", b"\n", b"|", b"^", b"~", b"\\", b"&", b"\0", b"\xff", b"\xfe\xff"]
NASTY += [b"MSH", b"MSH|^~\\&|", b"BHS|", b"DSC|X|F\r", b"ADD|", b"\xed\xa0\x80"]
NASTY += [b"[" * 500, b'{"a":', b"null", b"1e999", b"\\u0000"]


def mutated(good: list[bytes], number: int) -> bytes:
    """One of *good* after a few changes; the same one for the same *number*."""
    hand = random.Random(SEED + number)
    raw = bytearray(hand.choice(good))
    for _ in range(hand.randint(1, 6)):
        at = hand.randrange(len(raw) + 1)
        match hand.randrange(5):
            case 0:
                raw[at:at] = hand.choice(NASTY)
            case 1:
                del raw[at : at + hand.randint(1, 20)]
            case 2:
                raw[at:at] = raw[at : at + hand.randint(1, 40)] * hand.randint(1, 5)
            case 3:
                raw[at:at] = hand.randbytes(hand.randint(1, 8))
            case 4:
                del raw[at:]
    return bytes(raw)


def judge(around: Surroundings, **options: Any) -> Judge:
    model = MllpSourceSettings.model_validate({"listen": "tcp:127.0.0.1:0", **options})
    context = around.source(CONNECTOR, describe=describer("hl7v2", "patient"))
    return Judge(model, context, lambda: 0.0, lambda: None)


def test_whatever_a_block_holds_it_is_judged_and_its_answer_can_be_read(around: Surroundings) -> None:
    judging = judge(around)
    for number in range(ROUNDS):
        for raw in read_batch(mutated(GOOD_HL7, number)).messages:
            received = judging.received(raw, "127.0.0.1")
            if received.answer is not None:
                frame(received.answer)
                assert read_ack(received.answer).code in {"AA", "AE", "AR", "CA", "CE", "CR"}


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"MSH|^~\\&|" + tail))
@settings(max_examples=150, deadline=None)
def test_any_bytes_can_be_taken_for_a_batch_an_answer_or_parts(raw: bytes) -> None:
    from datetime import UTC, datetime

    batch = read_batch(raw)
    answer = answer_batch(batch, [b"MSH|^~\\&\rMSA|AA|1\r"], control_id="1", now=datetime.now(UTC))
    assert b"MSA" in answer or batch.wide
    for read in (read_ack, lambda part: join_parts([part, part]), lambda part: Message(part).segments):
        attempt: Callable[[bytes], object] = read
        with contextlib.suppress(HubError):
            attempt(raw)


@given(st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"M", b"S", b"H", b"MSH|", b"x" * 7])), st.booleans())
@settings(max_examples=200, deadline=None)
def test_how_a_stream_is_cut_changes_nothing(pieces: list[bytes], lenient: bool) -> None:
    def read(chunks: list[bytes]) -> list[bytes]:
        reader = FrameReader(64, no_start_block=lenient, no_final_cr=lenient)
        return [event.raw for chunk in chunks for event in reader.feed(chunk) if isinstance(event, Frame)]

    whole = b"".join(pieces)
    if not lenient:  # what stands outside blocks is looked at piece by piece where a mark may be missing
        assert read([whole]) == read([bytes([byte]) for byte in whole])
    assert all(len(raw) <= 64 for raw in read(pieces))


def test_a_stream_without_an_end_takes_no_more_memory_than_one_message() -> None:
    reader = FrameReader(1 << 20)
    tracemalloc.start()
    try:
        kinds = {type(event) for _ in range(400) for event in reader.feed(b"\x0b" + b"x" * 65_536)}
        kinds |= {type(event) for _ in range(400) for event in reader.feed(b"x" * 65_536)}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert Oversize in kinds
    assert peak < 4 << 20


def test_whatever_a_notification_holds_it_is_understood_or_refused() -> None:
    for number in range(ROUNDS):
        raw = mutated(GOOD_FHIR, number)
        with contextlib.suppress(HubError):
            assert summary(raw).kind


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["resourceType", "id", "entry", "resource", "type", "parameter", "name", "part", "valueReference", "reference",
         "subject", "identifier", "value", "valueString", "fullUrl", "request", "patient", "encounter", "meta"]
    ), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@given(json_values, st.sampled_from(["Bundle", "Encounter", "Parameters", "Patient", "ChargeItem"]))
@settings(max_examples=200, deadline=None)
def test_any_resource_is_understood_or_refused(value: Any, kind: str) -> None:
    resource = {**value, "resourceType": kind} if isinstance(value, dict) else value
    wrapped = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": resource}]}
    for raw in (json.dumps(resource).encode(), json.dumps(wrapped).encode()):
        with contextlib.suppress(HubError):
            described = describe_fhir(raw)
            assert isinstance(described.lane, str)
            assert all(isinstance(text, str) for _, text in described.identifiers)


@pytest.fixture
def unforeseen() -> Iterator[list[LogEvent]]:
    """What the reactor caught because nobody else did."""
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def turn() -> Deferred[None]:
    from twisted.internet import reactor

    return deferLater(reactor, 0.005, lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("lenient", [(), ("no_start_block", "no_final_cr")])
@pytest_twisted.ensureDeferred
async def test_a_listener_survives_hostile_streams_and_its_neighbour_is_answered(
    around: Surroundings, unforeseen: list[LogEvent], lenient: tuple[str, ...]
) -> None:
    async with listening(around, lenient=lenient, max_message="4KB", max_connections=1000) as source:
        neighbour = await sender(source)
        for number in range(60):
            hostile = await sender(source)
            hand = random.Random(SEED + number)
            stream = b"".join(frame_of(mutated(GOOD_HL7, number * 10 + one), hand) for one in range(5))
            hostile.write(stream)
            await turn()
            if hand.random() < 0.7 and not hostile.lost.called:
                transport: Any = hostile.transport
                transport.abortConnection()
            if number % 10 == 0:
                neighbour.write(frame(adt(f"N{number}")))
        acks = await neighbour.acks(6)
        assert [ack.control_id for ack in acks] == [f"N{number}" for number in range(0, 60, 10)]
    assert [event["log_failure"].getTraceback() for event in unforeseen] == []


def frame_of(raw: bytes, hand: random.Random) -> bytes:
    return b"".join((hand.choice([b"\x0b", b"", b"\x0b\x0b"]), raw, hand.choice([b"\x1c\r", b"\x1c", b"\r", b""])))


@pytest_twisted.ensureDeferred
async def test_a_hook_survives_hostile_requests_and_a_good_one_is_stored(
    around: Surroundings, unforeseen: list[LogEvent]
) -> None:
    body = GOOD_FHIR[0]
    good = (
        f"POST /fhir/ehr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    odd = [b"GET / HTTP/1.1\r\n\r\n", b"POST /fhir/ehr HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]
    async with fhir_listening(around, tls=False, max_message="4KB", max_connections=1000) as source:
        for number in range(80):
            hostile: Client = await web_client(source)
            transport: Any = hostile.transport
            transport.write(mutated([good, *odd], number))
            await turn()
            if not hostile.lost.called:
                transport.abortConnection()
        stored = len(around.intake.received)
        neighbour = await web_client(source)
        connection: Any = neighbour.transport
        connection.write(good.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
        await within(neighbour.lost)
    assert neighbour.seen.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200"))
    assert len(around.intake.received) == stored + 1
    assert [event["log_failure"].getTraceback() for event in unforeseen] == []
