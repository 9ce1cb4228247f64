from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.glance import glance
from hub.formats.hl7v2.header import read_header
from hub.formats.hl7v2.message import Message

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.hl7"))
HEAD = b"MSH|^~\\&|ALDER_EHR|ALDER|||20261110||ADT^A08^ADT_A01|1|T|2.5.1||||||UNICODE UTF-8\r"
PATHS = ("PID-3.1", "PID-3", "PID-3[MR].4.1", "PID-3[MR].1", "PID-5.1", "PID-18.1", "PID-18.4.1", "PV1-19.1", "MRG-1.1")
PIECES = ("A1", '""', "MR", "^", "&", "~", "|", "\\F\\", "é", " ", "\r", "\n", "PID|", "pid|", "ADD|", "MRG|", "PV1")

texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def told_alike(raw: bytes) -> bool:
    """Whether *raw* is plain; if it is, a glance at it must tell what a view tells."""
    seen = glance(raw, read_header(raw))
    if seen is None:
        return False
    message = Message(raw)
    assert {path: seen[path] for path in PATHS} == {path: message[path] for path in PATHS}
    for field in ("PID-3", "MRG-1"):
        assert seen.identifier(field, type="MR") == message.identifier(field, type="MR")
    return True


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.stem))
def test_a_glance_at_a_sample_tells_what_a_view_tells(path: Path) -> None:
    for raw in split_batch(path.read_bytes()):
        told_alike(raw)


@given(pid=texts, behind=texts)
def test_a_glance_tells_what_a_view_tells_or_nothing(pid: str, behind: str) -> None:
    told_alike(HEAD + f"PID|1||{pid}||BRACKEN^WREN\r{behind}\r".encode())


def test_a_message_as_most_are_is_plain() -> None:
    assert told_alike(HEAD + "PID|1||7^^^NORTH^PI~A1^^^ALDER&1.2^MR||ÉBÈNE^WREN\rPV1|1|O\r".encode())


@pytest.mark.parametrize(
    "raw",
    [
        HEAD.replace(b"|^~\\&|", b"|*~\\&|"),
        HEAD.replace(b"UNICODE UTF-8", b"8859/1"),
        HEAD.replace(b"UNICODE UTF-8", b"") + b"PID|1||A1||\xc9B\xc8NE\r",
        HEAD + b"PID|1||A\\T\\1\r",
        HEAD + b"PID|1||A1\ra second line\r",
        HEAD + b"PID|1||A\rADD|1\r",
        HEAD + b"PID|1||A1\nPV1|1\r",
        HEAD + b"pid|1||A1\r",
    ],
)
def test_what_is_not_plain_is_left_to_a_view(raw: bytes) -> None:
    assert not told_alike(raw)
