from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2 import convert
from hub.formats.hl7v2.convert import ConversionError, parse_datetime

CHICAGO = ZoneInfo("America/Chicago")


@given(st.dates(), st.sampled_from(["", "09", "0915", "091500", "091500.25", "091500-0600"]))
def test_a_date_is_the_day_that_was_written(day: dt.date, time: str) -> None:
    assert convert.date(f"{day.year:04}{day:%m%d}{time}") == day


@pytest.mark.parametrize(
    "text",
    ["00000000", "20260230", "2026", "202611", "2026-11-10", "11/10/2026", "", "20261110X", "202611101"],
)
def test_what_is_no_day_is_refused_and_masked(text: str) -> None:
    with pytest.raises(ConversionError) as raised:
        convert.date(text)
    assert not any(digit in raised.value.found for digit in "012345678")


@pytest.mark.parametrize(
    ("text", "moment"),
    {
        "20261110": "2026-11-10T00:00:00-06:00",
        "202607041305": "2026-07-04T13:05:00-05:00",
        "20261110173000": "2026-11-10T17:30:00-06:00",
        "20261110173000.1234567": "2026-11-10T17:30:00.123456-06:00",
        "20261110173000+0530": "2026-11-10T17:30:00+05:30",
        "2026111017-0800": "2026-11-10T17:00:00-08:00",
    }.items(),
)
def test_a_time_takes_its_own_offset_or_the_zone_of_its_source(text: str, moment: str) -> None:
    assert parse_datetime(text, CHICAGO).isoformat() == moment


@pytest.mark.parametrize("text", ["2026111024", "20261110176000", "20261110+9900", "202611101730001", "now"])
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConversionError):
        parse_datetime(text, CHICAGO)


@pytest.mark.parametrize("npi", ["1234567893", "1999000114", " 1999000015 "])
def test_an_npi_with_the_right_check_digit_is_accepted(npi: str) -> None:
    assert convert.npi(npi) == npi.strip()


@pytest.mark.parametrize(
    "npi",
    [
        "1234567890",
        "123456789",
        "12345678933",
        "123456789X",
        "\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff13",
    ],
)
def test_an_npi_with_a_wrong_digit_or_length_is_refused(npi: str) -> None:
    with pytest.raises(ConversionError):
        convert.npi(npi)


@given(st.from_regex(r"[0-9]{9}", fullmatch=True))
def test_exactly_one_last_digit_makes_an_npi(start: str) -> None:
    def valid(text: str) -> bool:
        try:
            return bool(convert.npi(text))
        except ConversionError:
            return False

    assert sum(valid(f"{start}{digit}") for digit in range(10)) == 1


def test_texts_are_tidied_and_codes_are_put_in_form() -> None:
    assert convert.name(" VAN\u00a0DER   BERG ") == "VAN DER BERG"
    assert convert.icd(" e11.9 ") == "E119"
    assert convert.upper(" qw ") == "QW"


def test_numbers_and_money_are_decimals_or_refused() -> None:
    assert convert.number("-2.50") == Decimal("-2.50")
    assert convert.money("150") == Decimal("150.00")
    for text in ("1,000", "1e3", "NaN", "$5"):
        with pytest.raises(ConversionError):
            convert.number(text)
        with pytest.raises(ConversionError):
            convert.money(text)
