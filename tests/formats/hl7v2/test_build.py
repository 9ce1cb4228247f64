from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2 import NULL, Builder, Message
from hub.formats.hl7v2.build import BuildError

SENT = dt.datetime(2026, 11, 10, 17, 30, tzinfo=dt.timezone(dt.timedelta(hours=-6)))
texts = st.text(st.characters(codec="utf-8"), min_size=1)


def builder() -> Builder:
    return Builder(
        type="DFT^P03^DFT_P03",
        control_id="HUB000017",
        sent=SENT,
        sending=("CLAIMHUB", "HUB"),
        receiving=("ALDER_EHR", "ALDER"),
        processing_id="T",
    )


def test_a_message_is_written_as_the_standard_writes_it() -> None:
    raw = (
        builder()
        .add("PID", {"3.1": "A10417", "3.4": "ALDER", "3.5": "MR", "18.1": "ACC9001"})
        .add("FT1", {"4": SENT.date(), "6": "PY", "10": 1, "11.1": Decimal("-12.50"), "26": ["25", "59"]})
        .build()
    )
    assert raw == (
        b"MSH|^~\\&|CLAIMHUB|HUB|ALDER_EHR|ALDER|20261110173000-0600||DFT^P03^DFT_P03|HUB000017"
        b"|T|2.5.1||||||UNICODE UTF-8\r"
        b"PID|||A10417^^^ALDER^MR|||||||||||||||ACC9001\r"
        b"FT1||||20261110||PY||||1|-12.50|||||||||||||||25~59\r"
    )


@given(st.lists(texts, min_size=1, max_size=4), texts, texts)
def test_what_is_written_is_what_is_read(repetitions: list[str], whole: str, deep: str) -> None:
    raw = builder().add("ZZZ", {"2.3": repetitions, "4": whole, "5.2.3": deep}).build()
    message = Message(raw)
    assert message.all("ZZZ-2.3") == repetitions
    assert message["ZZZ-4"] == whole
    assert message["ZZZ-5.2.3"] == deep
    assert len(message.segments) == 2


def test_half_a_character_cannot_be_written() -> None:
    with pytest.raises(BuildError):
        builder().add("NTE", {"3": "\ud800"}).build()


def test_null_asks_to_delete_and_none_says_nothing() -> None:
    message = Message(builder().add("PID", {"5": NULL, "6": None, "7": '""', "8": "F"}).build())
    assert [message.value(f"PID-{n}").state for n in (5, 6, 7, 8)] == ["null", "empty", "present", "present"]
    assert message["PID-7"] == '""'


@pytest.mark.parametrize(
    ("segment", "values"),
    [
        ("PI", {"3": "x"}),
        ("PID", {"0": "x"}),
        ("PID", {"3[2]": "x"}),
        ("MSH", {"2": "x"}),
        ("PID", {"3": "x", "3.1": "y"}),
        ("PID", {"3.1": "x", "3.1.2": "y"}),
        ("PID", {"29": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001
        ("PID", {"30": True}),
        ("FT1", {"11": Decimal("NaN")}),
        ("FT1", {"11": 1.5}),
    ],
)
def test_what_cannot_be_written_is_refused(segment: str, values: dict[str, object]) -> None:
    with pytest.raises(BuildError):
        builder().add(segment, values)  # type: ignore[arg-type]
