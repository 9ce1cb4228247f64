"""Money: exact in, exact out, and no rounding of our own."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.money import MoneyError, from_cents, money, plain, shown, to_cents

CENTS = st.integers(min_value=-(10**14) + 1, max_value=10**14 - 1)


@given(CENTS)
def test_cents_survive_the_way_through_decimal_and_text(cents: int) -> None:
    amount = from_cents(cents)
    assert to_cents(amount) == cents
    assert money(plain(amount)) == amount
    assert money(f"{amount:f}") == amount


@given(CENTS, CENTS)
def test_adding_amounts_is_adding_cents(first: int, second: int) -> None:
    assert to_cents(from_cents(first) + from_cents(second)) == first + second


@given(CENTS)
def test_the_written_form_has_no_exponent_no_separator_and_no_trailing_zero(cents: int) -> None:
    text = plain(from_cents(cents))
    assert set(text) <= set("-.0123456789")
    assert "." not in text or not text.endswith("0")
    assert text != "-0"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("150", "150.00"),
        ("-0.5", "-0.50"),
        (".50", "0.50"),
        ("12.5000", "12.50"),
        ("+7.", "7.00"),
        ("  3 ", "3.00"),
        ("-0", "0.00"),
        ("-.00", "0.00"),
    ],
)
def test_plain_decimal_notation_is_understood(text: str, amount: str) -> None:
    found = money(text)
    assert str(found) == amount


@pytest.mark.parametrize(
    "text", ["", " ", "-", ".", "1,284.00", "1e3", "$5", "0.001", "12.505", "1_000", "NaN", "Infinity", "٣", "1 2"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        money(text)


@pytest.mark.parametrize("text", ["1000000000000", "9" * 40, "-1000000000000.00"])
def test_a_trillion_is_a_mistake_of_the_sender(text: str) -> None:
    with pytest.raises(MoneyError, match="too large"):
        money(text)


def test_the_error_shows_the_shape_of_what_was_found_but_not_the_value() -> None:
    with pytest.raises(MoneyError) as caught:
        money("JANE 12.34")
    assert "JANE" not in str(caught.value)
    assert "xxxx 99.99" in str(caught.value)


def test_fractions_of_a_cent_do_not_reach_the_store() -> None:
    with pytest.raises(MoneyError):
        to_cents(Decimal("0.005"))


@pytest.mark.parametrize(
    ("amount", "written", "read"),
    [
        ("150.00", "150", "150.00"),
        ("-3.07", "-3.07", "\N{MINUS SIGN}3.07"),
        ("0.00", "0", "0.00"),
        ("-0.00", "0", "0.00"),
        ("1284310.50", "1284310.5", "1,284,310.50"),
    ],
)
def test_partners_and_people_read_the_same_amount_differently(amount: str, written: str, read: str) -> None:
    assert plain(Decimal(amount)) == written
    assert shown(Decimal(amount)) == read
