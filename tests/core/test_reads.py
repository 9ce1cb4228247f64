from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hub.core.reads import is_recording, noted, recording


@dataclass(frozen=True)
class Inner:
    code: str = ""


@dataclass(frozen=True)
class Outer:
    name: str
    amount: Decimal = Decimal(0)
    codes: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_a_value_is_found_by_the_object_that_was_read() -> None:
    first, second = "62 702".replace(" ", ""), "62 702".replace(" ", "")
    with recording() as reads:
        noted(first, "PID-11.5")
        noted(second, "IN1-19.5")
        assert reads.origins(Outer(second)) == (("name", "IN1-19.5"),)
        assert reads.origins(Outer(first)) == (("name", "PID-11.5"),)


def test_an_equal_value_that_was_made_anew_is_found_too() -> None:
    with recording() as reads:
        noted("627-02", "PID-11.5")
        noted("62702", "PV1-3")
        assert reads.origins(Outer("627-02".replace("-", ""))) == (("name", "PV1-3"),)


def test_lists_and_inner_values_have_paths() -> None:
    amount = Decimal("1.50")
    with recording() as reads:
        for value, place in ((amount, "FT1-11"), ("E119", "FT1-19[1]"), ("I10", "FT1-19[2]"), ("99213", "FT1-25")):
            noted(value, place)
        found = dict(reads.origins(Outer("", amount, ("I10", "E119"), Inner("99213"))))
    assert found == {
        "amount": "FT1-11",
        "codes[0]": "FT1-19[2]",
        "codes[1]": "FT1-19[1]",
        "inner.code": "FT1-25",
    }


def test_a_single_letter_names_every_place_that_has_it() -> None:
    with recording() as reads:
        noted("F", "PID-8")
        noted("F", "IN1-43")
        assert reads.origins(Outer("F")) == (("name", "PID-8 or IN1-43"),)


def test_nothing_is_noted_outside_of_a_recording() -> None:
    with recording() as reads:
        assert is_recording()
    noted("LATE", "PID-5")
    assert not is_recording()
    assert reads.origins(Outer("LATE")) == ()
