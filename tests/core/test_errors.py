"""Errors: a code, what, where, expected, found, and what to do; what was found keeps its shape alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import HubError, masked


def test_an_error_reads_as_one_line_with_everything_a_person_needs() -> None:
    error = HubError("A date is wrong.", where="PID-7.1", expected="YYYYMMDD", found="99/99", fix="Ask the sender.")
    assert str(error) == "H000 A date is wrong (at PID-7.1; expected YYYYMMDD; found 99/99). Ask the sender."


def test_an_error_says_nothing_of_what_it_does_not_know() -> None:
    assert str(HubError("It failed.")) == "H000 It failed."


def test_the_shape_of_a_value_stays_visible() -> None:
    assert masked("A-12") == "x-99"
    assert masked("QUIGLEY^NORA") == "xxxxxxx^xxxx"
    assert masked("A-12\nB\x0b") == "x-99·x·"


@given(st.text())
def test_no_letter_or_digit_of_a_value_survives_masking(value: str) -> None:
    shape = masked(value)
    assert {c for c in shape if c.isalnum()} <= {"x", "9"}
    assert len(shape) <= 25
