from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.formats.hl7v2.batch import answer_batch, read_batch, split_batch
from hub.formats.hl7v2.header import read_header

SAMPLES = Path(__file__).parent / "samples"
ONE = b"MSH|^~\\&|A\rPID|1\r"
TWO = b"MSH|^~\\&|B\rPID|2\r"


def test_an_enveloped_batch_gives_its_messages() -> None:
    messages = split_batch((SAMPLES / "batch.hl7").read_bytes())
    assert [read_header(raw).control_id for raw in messages] == ["ADT000201", "ADT000202"]
    assert all(b"BTS" not in raw and raw.endswith(b"\r") for raw in messages)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_messages_that_follow_each_other_are_split_whatever_the_line_ends(end: bytes) -> None:
    first, second = (raw.replace(b"\r", end) for raw in (ONE, TWO))
    split = split_batch(first + end + second)
    assert [raw.replace(end, b"\r") for raw in split] == [ONE, TWO]


def test_messages_that_kept_their_mllp_marks_are_split() -> None:
    assert split_batch(b"\x0b" + ONE + b"\x1c\r\x0b" + TWO + b"\x1c\r") == [ONE, TWO]


@pytest.mark.parametrize("raw", [ONE, b"\xef\xbb\xbf" + ONE, b"", b"nothing like it", b"\r\n" + ONE + b"\n"])
def test_what_is_no_batch_comes_back_as_it_is(raw: bytes) -> None:
    assert split_batch(raw) == [raw]


def test_an_empty_envelope_holds_no_message() -> None:
    assert split_batch(b"BHS|^~\\&|A\rBTS|0\r") == []


def test_a_line_that_only_speaks_of_msh_starts_no_message() -> None:
    raw = ONE + b"NTE|1||the MSH|^ was wrong\rMSHX|1\r"
    assert split_batch(raw) == [raw]


NOW = datetime(2026, 11, 23, tzinfo=UTC)
ACKS = [b"MSH|^~\\&|1\rMSA|AA|1\r", b"MSH|^~\\&|2\rMSA|AE|2\r"]


@pytest.mark.parametrize(
    ("envelope", "names"),
    [
        (b"FHS|^~\\&|A|B|C|D|1||||F1\rBHS|^~\\&|A|B|C|D|1||||B1\r", "FHS BHS MSH MSA MSH MSA BTS FTS"),
        (b"BHS|^~\\&|A|B|C|D|1||||B1\r", "BHS MSH MSA MSH MSA BTS"),
        (b"FHS|^~\\&|A|B|C|D|1||||B1\r", "FHS BHS MSH MSA MSH MSA BTS FTS"),
        (b"BHS\r", "MSH MSA MSH MSA"),
    ],
)
def test_a_batch_is_answered_in_its_own_envelope(envelope: bytes, names: str) -> None:
    batch = read_batch(envelope + ONE + TWO)
    answer = answer_batch(batch, ACKS, control_id="OURS", now=NOW)
    lines = answer.decode().split("\r")[:-1]
    assert " ".join(line[:3] for line in lines) == names
    assert split_batch(answer) == ACKS
    if "BHS" in names:
        (header,) = [line for line in lines if line.startswith("BHS")]
        assert header == "BHS|^~\\&|C|D|A|B|20261123000000+0000||||OURS|B1"
        assert "BTS|2" in lines


def test_messages_without_an_envelope_are_no_batch() -> None:
    assert not read_batch(ONE + TWO).is_enveloped
    assert not read_batch(ONE).is_enveloped


def test_a_batch_in_utf_16_gives_and_gets_the_same() -> None:
    batch = read_batch((b"BHS|^~\\&|A|B\r" + ONE + TWO).decode().encode("utf-16"))
    assert [raw.decode("utf-16-le").encode() for raw in batch.messages] == [ONE, TWO]
    answer = answer_batch(batch, ACKS, control_id="1", now=NOW)
    assert answer.decode("utf-16-le").startswith("BHS|^~\\&")
