from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2.mllp import Event, Frame, FrameError, FrameReader, Noise, Oversize, Restart, frame

messages = st.lists(st.binary().filter(lambda raw: b"\x0b" not in raw and b"\x1c" not in raw), max_size=6)
noise = st.binary(max_size=6).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b""))


def read(*chunks: bytes, limit: int = 1000) -> list[Event]:
    reader = FrameReader(limit)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(messages, st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_cut_anywhere_come_out_whole(sent: list[bytes], places: list[int]) -> None:
    stream = b"".join(map(frame, sent))
    assert read(*cut(stream, places), limit=10_000) == [Frame(raw) for raw in sent]


@given(messages, noise, st.lists(st.integers(0, 10_000), max_size=12))
def test_noise_between_frames_is_counted_and_harms_nothing(
    sent: list[bytes], between: bytes, places: list[int]
) -> None:
    stream = between + between.join(map(frame, sent))
    events = read(*cut(stream, places), limit=10_000)
    assert [event for event in events if isinstance(event, Frame)] == [Frame(raw) for raw in sent]
    counted = sum(event.count for event in events if isinstance(event, Noise))
    repeated = 1 + max(len(sent) - 1, 0)
    kept = len(between.replace(b"\r", b"").replace(b"\n", b"")) * repeated
    assert kept <= counted <= len(between) * repeated


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8), st.integers(0, 40))
def test_the_cuts_never_change_the_outcome_and_memory_is_bounded(stream: bytes, places: list[int], limit: int) -> None:
    reader = FrameReader(limit)
    whole = read(stream, limit=limit)
    pieces = []
    for chunk in cut(stream, places):
        pieces += reader.feed(chunk)
        assert len(reader._block) <= limit + 1

    def without_noise(events: list[Event]) -> list[Event]:
        return [event for event in events if not isinstance(event, Noise)]

    assert without_noise(pieces) == without_noise(whole)


def test_line_ends_between_frames_are_not_noise() -> None:
    assert read(b"\r\n" + frame(b"MSH") + b"\n" + frame(b"MSA")) == [Frame(b"MSH"), Frame(b"MSA")]


def test_bytes_before_a_frame_are_noise() -> None:
    assert read(b"hello" + frame(b"MSH")) == [Noise(b"hello"), Frame(b"MSH")]


def test_a_start_inside_a_frame_drops_the_unfinished_one() -> None:
    assert read(b"\x0bMSH|half", frame(b"MSH|whole")) == [Restart(b"MSH|half"), Frame(b"MSH|whole")]


def test_a_missing_final_cr_is_accepted_when_the_next_frame_begins() -> None:
    assert read(b"\x0bone\x1c", b"\x0btwo\x1c\r") == [Frame(b"one", clean=False), Frame(b"two")]


def test_a_missing_final_cr_is_accepted_after_silence() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0bone\x1c") == []
    assert reader.awaits_cr
    assert reader.pending
    assert reader.flush() == [Frame(b"one", clean=False)]
    assert reader.flush() == []
    assert not reader.pending
    assert reader.feed(b"\r" + frame(b"two")) == [Frame(b"two")]


def test_an_end_byte_inside_the_message_stays_in_it() -> None:
    assert read(b"\x0ba\x1cb\x1c\x1c\r") == [Frame(b"a\x1cb\x1c")]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_frame_over_the_limit_is_reported_and_the_next_one_read(size: int) -> None:
    stream = frame(b"x" * 11) + frame(b"y" * 10)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    events = [event for event in read(*chunks, limit=10) if not isinstance(event, Noise)]
    assert events == [Oversize(10), Frame(b"y" * 10)]


@pytest.mark.parametrize("raw", [b"a\x0bb", b"a\x1cb"])
def test_a_message_that_holds_the_marks_cannot_be_framed(raw: bytes) -> None:
    with pytest.raises(FrameError):
        frame(raw)


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_a_block_may_begin_without_its_mark_where_that_is_allowed(chunk: int) -> None:
    stream = b"\r\nMSH|1\x1c\r\x0bMSH|2\x1c\rMSH|3\x1c\rBHS|4\x1c\r"
    reader = FrameReader(no_start_block=True)
    events = [e for at in range(0, len(stream), chunk) for e in reader.feed(stream[at : at + chunk])]
    assert events == [Frame(b"MSH|1"), Frame(b"MSH|2"), Frame(b"MSH|3"), Frame(b"BHS|4")]


def test_what_only_begins_like_a_message_is_noise_all_the_same() -> None:
    reader = FrameReader(no_start_block=True)
    assert reader.feed(b"MSX\x0bMSH|1\x1c\r") == [Noise(b"MS"), Noise(b"X"), Frame(b"MSH|1")]


def test_an_end_mark_alone_ends_a_block_where_that_is_allowed() -> None:
    reader = FrameReader(no_final_cr=True)
    assert reader.feed(b"\x0bMSH|1\x1c\n\x0bMSH|2\x1c\r\x0bMSH|3\x1c") == [
        Frame(b"MSH|1"), Frame(b"MSH|2"), Frame(b"MSH|3"),
    ]  # fmt: skip
    assert not reader.awaits_cr
