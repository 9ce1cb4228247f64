"""Dataclasses to plain JSON values and back, exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.codec import from_plain, to_plain


class Tone(StrEnum):
    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    tone: Tone = Tone.HIGH


@dataclass(frozen=True, slots=True)
class Sheet:
    amount: Decimal
    on: date
    notes: tuple[Note, ...] = ()
    pair: tuple[str, int] | None = None
    read_at: datetime | None = None
    first: Note | None = None
    counts: dict[str, int] | None = None
    done: bool = False


NOTES = st.builds(Note, text=st.text(), tone=st.sampled_from(Tone))
SHEETS = st.builds(
    Sheet,
    amount=st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**10), max_value=10**10),
    on=st.dates(),
    notes=st.lists(NOTES, max_size=3).map(tuple),
    pair=st.none() | st.tuples(st.text(), st.integers()),
    read_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    first=st.none() | NOTES,
    counts=st.none() | st.dictionaries(st.text(), st.integers(), max_size=3),
    done=st.booleans(),
)


@given(SHEETS)
def test_a_value_survives_the_way_through_json(sheet: Sheet) -> None:
    back = from_plain(Sheet, json.loads(json.dumps(to_plain(sheet))))
    assert back == sheet
    assert str(back.amount) == str(sheet.amount)


def test_what_has_its_default_value_is_not_written() -> None:
    assert to_plain(Sheet(Decimal("1.50"), date(2026, 11, 9))) == {"amount": "1.50", "on": "2026-11-09"}


def test_an_amount_is_text_and_never_a_float() -> None:
    assert to_plain({"amounts": [Decimal("1E+3"), Decimal("0.10")]}) == {"amounts": ["1000", "0.10"]}


def test_a_value_without_a_required_field_is_refused() -> None:
    with pytest.raises(TypeError):
        from_plain(Sheet, {"amount": "1.00"})


def test_a_field_that_the_dataclass_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError):
        from_plain(Note, {"text": "a", "colour": "red"})
