"""What comes outside of any block is kept, with a sentence that says what is wrong, and answered where that is safe."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from hub.connectors.mllp import outside
from hub.connectors.mllp.outside import LONGEST, MOST, PER_MINUTE, Sparing, read_stray
from hub.engine.contracts import Received
from hub.formats.hl7v2.mllp import frame
from tests.connectors.peers import Surroundings, within
from tests.connectors.test_mllp_source import adt, listening, pause, sender

HELLO = bytes.fromhex("16030100f8010000f40303") + bytes(range(64, 128))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "QUIET", 0.1)


async def kept(around: Surroundings, count: int = 1) -> list[Received]:
    await around.intake.arrived(count)
    return around.intake.received


@pytest.mark.parametrize(
    ("raw", "said", "kind"),
    [
        (adt("A1"), "HL7 came without a block around it (no MLLP framing).", "ADT^A04"),
        (adt("A1") + b"\x1c\r", "HL7 came without the 0x0B that begins a block", "ADT^A04"),
        (b"BHS|^~\\&|\r" + adt("A1"), "no MLLP framing", "unreadable"),
        (b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n", "An HTTP request came", "unreadable"),
        (HELLO, "A TLS handshake came where none is expected", "unreadable"),
        (b"\x00\x01hello", "7 bytes came outside of any block", "unreadable"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_it_is_kept_as_it_came_and_says_what_it_is(
    around: Surroundings, raw: bytes, said: str, kind: str
) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(raw[:9])
        await pause()
        peer.write(raw[9:])
        (received,) = await kept(around)
    assert received.raw == raw
    assert said in (received.refusal or "")
    assert (received.description.kind, received.refusal_code) == (kind, "unframed")
    assert received.description.duplicate_basis is None


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (adt("A1"), ["AR"]),
        (adt("A1", tail="2.5.1|||AL|NE"), ["CR"]),
        (adt("A1", tail="2.5.1|||NE|NE"), []),
        (adt(""), []),
        (adt("A1") + adt("A2"), []),
        (b"hello", []),
    ],
)
@pytest_twisted.ensureDeferred
async def test_it_is_refused_where_an_answer_can_name_it_and_what_follows_is_answered_after_it(
    around: Surroundings, raw: bytes, codes: list[str]
) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(raw)
        await kept(around)
        peer.write(frame(adt("B1")))
        acks = await peer.acks(len(codes) + 1)
    assert [ack.code for ack in acks] == [*codes, "AA"]
    assert [ack.control_id for ack in acks] == [*["A1"] * len(codes), "B1"]


@pytest_twisted.ensureDeferred
async def test_it_is_refused_only_once_it_is_stored(around: Surroundings) -> None:
    around.intake.held = True
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(adt("A1"))
        await kept(around)
        await pause()
        assert peer.answers == []
        around.intake.let_go()
        assert [ack.code for ack in await peer.acks(1)] == ["AR"]


@pytest.mark.parametrize("raw", [HELLO, b"POST /fhir HTTP/1.1\r\n\r\n"])
@pytest_twisted.ensureDeferred
async def test_who_speaks_another_protocol_is_hung_up_on(around: Surroundings, raw: bytes) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(raw)
        await within(peer.lost)
    assert len(around.intake.received) == 1


@pytest_twisted.ensureDeferred
async def test_what_a_connection_that_is_lost_brought_is_kept(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "QUIET", 60.0)
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(adt("A1"))
        await pause()
        transport: Any = peer.transport
        transport.abortConnection()
        (received,) = await kept(around)
    assert received.raw == adt("A1")


@pytest.mark.parametrize("between", [b"\r\n", b"\x00", b" \t\r", b"\x1c\r"])
@pytest_twisted.ensureDeferred
async def test_spaces_and_control_characters_between_blocks_are_nothing(around: Surroundings, between: bytes) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        for number in range(3):
            peer.write(frame(adt(f"A{number}")) + between)
        assert [ack.code for ack in await peer.acks(3)] == ["AA"] * 3
        await pause()
        await pause()
        await pause()
    assert len(around.intake.received) == 3


@pytest_twisted.ensureDeferred
async def test_the_same_between_all_blocks_is_kept_once(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        for number in range(5):
            peer.write(b"END OF MESSAGE" + frame(adt(f"A{number}")))
        assert [ack.code for ack in await peer.acks(5)] == ["AA"] * 5
    assert [received.raw for received in around.intake.received].count(b"END OF MESSAGE") == 1
    assert len(around.intake.received) == 6


@pytest_twisted.ensureDeferred
async def test_a_flood_is_kept_from_its_beginning_and_ends_the_connection(around: Surroundings) -> None:
    async with listening(around, max_message="200KB") as source:
        peer = await sender(source)
        for _ in range(30):
            peer.write(b"x" * 10_000)
        await within(peer.lost)
        (received,) = await kept(around)
    assert len(received.raw) == LONGEST
    assert f"The first {LONGEST:,} of " in (received.refusal or "")


@pytest_twisted.ensureDeferred
async def test_a_scanner_that_connects_again_and_again_does_not_fill_the_store(around: Surroundings) -> None:
    async with listening(around) as source:
        for number in range(3 * PER_MINUTE):
            peer = await sender(source)
            peer.write(f"GET /{number} HTTP/1.0\r\n\r\n".encode())
            await within(peer.lost)
        assert source.counts["noise"] == 3 * PER_MINUTE
    assert len(around.intake.received) == PER_MINUTE


@pytest_twisted.ensureDeferred
async def test_a_message_that_is_not_kept_any_more_is_refused_all_the_same(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        for number in range(PER_MINUTE + 3):
            peer.write(adt(f"A{number}"))
            await peer.blocks(number + 1)
        assert {ack.code for ack in await peer.acks(1)} == {"AR"}
    assert len(around.intake.received) == PER_MINUTE


def test_one_connection_has_its_own_limit_and_the_same_comes_again_after_a_day() -> None:
    now = 0.0
    sparing = Sparing(lambda: now)
    assert sparing.admit("10.0.0.1", b"a", 0)
    assert not sparing.admit("10.0.0.1", b"a", 1)
    assert sparing.admit("10.0.0.2", b"a", 0)
    assert not sparing.admit("10.0.0.1", b"b", MOST)
    now = 86_401.0
    assert sparing.admit("10.0.0.1", b"a", 0)


def test_a_sentence_tells_nothing_of_what_came() -> None:
    secret = b"SAMPLETON"
    for raw in (secret, b"MSH|" + secret, b"GET /" + secret + b" HTTP/1.1\r\n", b"MSH|^~\\&|" + secret + b"\x1c\r"):
        stray = read_stray(raw, len(raw))
        assert stray is not None
        assert "SAMPLETON" not in stray.sentence


@pytest_twisted.ensureDeferred
async def test_who_connects_and_says_nothing_leaves_nothing(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        transport: Any = peer.transport
        transport.loseConnection()
        await within(peer.lost)
    assert around.intake.received == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x0b" + adt("A1") + frame(adt("B1")), "A block began and did not end before the next 0x0B"),
        (b"\x0b" + adt("A1") + b"\x1c\n" + frame(adt("B1")), "A block ended with 0x1C and no 0x0D"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_block_without_an_end_is_kept_and_not_answered_because_it_may_come_again_whole(
    around: Surroundings, raw: bytes, said: str
) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(raw)
        assert [ack.control_id for ack in await peer.acks(1)] == ["B1"]
    unfinished, whole = around.intake.received
    assert said in (unfinished.refusal or "")
    assert (unfinished.description.control_id, whole.description.control_id) == ("A1", "B1")
    assert unfinished.raw == raw[1:].partition(b"\x0b")[0]
    assert unfinished.answer is None


@pytest_twisted.ensureDeferred
async def test_a_sender_that_waits_for_the_answer_to_a_block_without_0x0d_is_understood_when_it_leaves(
    around: Surroundings,
) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(b"\x0b" + adt("A1") + b"\x1c\n")
        await pause()
        assert around.intake.received == []
        peer.transport.loseConnection()
        (received,) = await kept(around)
    assert "no_final_cr" in (received.refusal or "")


@pytest_twisted.ensureDeferred
async def test_what_is_cut_off_in_the_middle_is_not_kept_because_it_comes_again(around: Surroundings) -> None:
    async with listening(around) as source:
        peer = await sender(source)
        peer.write(b"\x0b" + adt("A1")[:60])
        await pause()
        peer.transport.loseConnection()
        while source.counts["cut off"] == 0:
            await pause()
    assert around.intake.received == []


@pytest_twisted.ensureDeferred
async def test_a_message_behind_a_byte_order_mark_needs_no_start_block_where_that_is_allowed(
    around: Surroundings,
) -> None:
    async with listening(around, lenient=("no_start_block",)) as source:
        peer = await sender(source)
        for byte in b"\xef\xbb\xbf" + adt("A1") + b"\x1c\r":
            peer.write(bytes([byte]))
        assert [(ack.code, ack.control_id) for ack in await peer.acks(1)] == [("AA", "A1")]
