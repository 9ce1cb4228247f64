from __future__ import annotations

import pytest

from hub.formats.hl7v2 import Message
from hub.formats.hl7v2.continuation import continued_by, join_parts
from hub.formats.hl7v2.header import read_header

MSH = b"MSH|^~\\&|LAB|ALDER|HUB|HUB|1||ORU^R01|M1|T|2.5.1\r"


@pytest.mark.parametrize(
    ("tail", "pointer"),
    [
        (b"DSC|X1|F\r", "X1"),
        (b"DSC|X1\r", "X1"),
        (b"DSC|X1|I\r", ""),
        (b"DSC||F\r", ""),
        (b"NTE|1||see DSC|X1\r", ""),
        (b"", ""),
    ],
)
def test_a_message_says_whether_it_goes_on(tail: bytes, pointer: str) -> None:
    raw = MSH + b"PID|1\r" + tail
    assert continued_by(raw, read_header(raw)) == pointer
    wide = raw.decode().encode("utf-16")
    assert continued_by(wide, read_header(wide)) == pointer


def test_parts_are_joined_by_leaving_out_what_held_them_together() -> None:
    later = MSH.replace(b"M1", b"M2") + b"SFT|x\rOBX|2\r"
    assert join_parts([MSH + b"SFT|x\rOBX|1\rDSC|X1|F\r", later]) == MSH + b"SFT|x\rOBX|1\rOBX|2\r"


def test_a_segment_that_is_cut_goes_on_in_the_next_part_without_a_break() -> None:
    message = Message(join_parts([MSH + b"OBX|1|TX|a||be\rADD|\rDSC|X1|F\r", MSH + b"ADD|gin|N\rOBX|2|TX|b||x\r"]))
    assert (message["OBX[1]-5"], message["OBX[1]-6"], message["OBX[2]-5"]) == ("begin", "N", "x")
    assert [segment.name for segment in message.segments] == ["MSH", "OBX", "OBX"]


def test_a_segment_that_only_looks_like_an_addition_stays_one() -> None:
    assert [segment.name for segment in Message(MSH + b"ADX|1\r").segments] == ["MSH", "ADX"]
