from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.errors import UnwritableError
from hub.formats.x12.segments import Delimiters
from hub.formats.x12.writer import Envelope, InterchangeWriter, clean

ENVELOPE = Envelope(
    "ALDERST01", "CLEARWAY01", datetime(2026, 11, 23, 8, 15, tzinfo=ZoneInfo("America/Chicago")), 101, 7, "T"
)


@given(st.text())
def test_cleaned_text_is_of_the_basic_set_holds_no_delimiter_and_stays_clean(text: str) -> None:
    cleaned = clean(text)
    assert not set(cleaned) & set(Delimiters())
    assert cleaned.isascii()
    assert cleaned == cleaned.upper() == clean(cleaned)
    assert "  " not in cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Łukasz Übel-Straße", "LUKASZ UBEL-STRASSE"),
        ("O\N{RIGHT SINGLE QUOTATION MARK}Neill", "O'NEILL"),
        ("a*b:c^d~e", "A B C D E"),
        (" two\t\n lines ", "TWO LINES"),
        ("desk@alder.example", "DESK ALDER.EXAMPLE"),
        ("山", ""),
    ],
)
def test_text_is_spelled_out_in_the_basic_set(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_an_email_address_may_keep_its_at_sign() -> None:
    assert clean("desk@alder.example", also="@") == "DESK@ALDER.EXAMPLE"


@given(st.lists(st.integers(0, 5), max_size=4), st.sampled_from([Delimiters(), Delimiters("|", ">", "\n", "!")]))
def test_counts_and_control_numbers_are_right_by_construction(sizes: list[int], delimiters: Delimiters) -> None:
    out = InterchangeWriter(replace(ENVELOPE, delimiters=delimiters), "HP", "005010X221A1")
    for size in sizes:
        out.begin("835")
        for number in range(size):
            out.add("ZZZ", str(number), "", ("A", "", "C", ""), "", "")
        out.end()
    data = out.finish()
    (interchange,) = read_interchanges(data)
    assert interchange.problems == ()
    assert len(interchange.transactions) == len(sizes)
    assert [len(t.segments) - 2 for t in interchange.transactions] == sizes
    assert data[:106][105:106].decode() == delimiters.segment


def test_the_isa_is_106_bytes_long() -> None:
    assert InterchangeWriter(ENVELOPE, "HC", "005010X222A1").finish().index(b"~") == 105


@pytest.mark.parametrize("bad", ["A*B", "A:B", "A~B", "A^B", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_value_with_a_delimiter_in_it_is_refused_without_being_quoted(bad: str) -> None:
    out = InterchangeWriter(ENVELOPE, "HC", "005010X222A1")
    out.begin("837")
    with pytest.raises(UnwritableError) as caught:
        out.add("REF", "EA", bad)
    assert caught.value.where == "REF02"
    assert bad not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"usage": "X"},
        {"sender": ""},
        {"sender": "A" * 16},
        {"receiver": "A*B"},
        {"sender_qualifier": "Z"},
        {"interchange_control": 0},
        {"interchange_control": 10**9},
        {"group_control": 0},
        {"delimiters": Delimiters("*", "*", "~", "^")},
        {"delimiters": Delimiters("A", ":", "~", "^")},
        {"delimiters": Delimiters("*", ":", "~", "")},
    ],
)
def test_an_envelope_that_cannot_be_written_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnwritableError):
        InterchangeWriter(replace(ENVELOPE, **change), "HC", "005010X222A1")
