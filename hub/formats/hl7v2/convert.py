"""From HL7 text to values: the short list of converters that field tables may name (``"FT1-4.1 | date"``)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from hub.core import money as core_money
from hub.core.errors import HubError, masked

_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d+))?)?)?)?([+-]\d{4})?", re.ASCII)
_UTC = ZoneInfo("UTC")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)


class ConversionError(HubError):
    """A value is there, but it is not what the mapping says it is. *where* is the canonical path."""

    code = "H223"


@dataclass(frozen=True, slots=True)
class Converter:
    """A named conversion.

    *blank* is what stands for an absent value: ``""`` for texts, ``None`` for the rest.
    """

    convert: Callable[[str, ZoneInfo | None], object]
    blank: str | None


def text(value: str) -> str:
    """*value* without spaces around it."""
    return value.strip()


def upper(value: str) -> str:
    """*value* in capitals, without spaces around it."""
    return value.strip().upper()


def name(value: str) -> str:
    """A part of a name: non-breaking and repeated spaces become one space."""
    return " ".join(value.split())


def icd(value: str) -> str:
    """An ICD code as X12 carries it: capitals, no dot (``e11.9`` is ``E119``)."""
    return value.strip().upper().replace(".", "")


def number(value: str) -> Decimal:
    """A plain decimal number.

    Raises :class:`ConversionError` for anything else, thousands separators included.
    """
    stripped = value.strip()
    if not _NUMBER.fullmatch(stripped):
        raise _refused("This is not a number.", "digits with at most one point", value)
    return Decimal(stripped)


def money(value: str) -> Decimal:
    """An amount with two places, as :func:`hub.core.money.money` reads it.

    Raises :class:`ConversionError`.
    """
    try:
        return core_money.money(value)
    except core_money.MoneyError as error:
        raise _refused(error.what, error.expected, value) from None


def npi(value: str) -> str:
    """A National Provider Identifier.

    That is ten digits whose check digit is right (Luhn over ``80840`` and the number).

    Raises :class:`ConversionError`.
    """
    stripped = value.strip()
    if not (len(stripped) == 10 and stripped.isascii() and stripped.isdigit()):
        raise _refused("This is not an NPI.", "ten digits", value)
    total = 24  # what the prefix 80840 adds
    for place, digit in enumerate(reversed(stripped)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    if total % 10:
        raise _refused("This is not an NPI: its check digit is wrong.", "a valid check digit", value)
    return stripped


def date(value: str) -> dt.date:
    """The calendar day of an HL7 DT, DTM or TS, as it was written.

    A service date is never moved to another zone.

    Raises :class:`ConversionError` for less than a day (``202611``) and for impossible days (``00000000``).
    """
    year, month, day, *_ = _time_parts(value)
    return _calendar(value, int(year), int(month), int(day)).date()


def parse_datetime(value: str, zone: ZoneInfo) -> dt.datetime:
    """The moment of an HL7 DTM or TS (``YYYYMMDD[HH[MM[SS[.S+]]]][+-ZZZZ]``), aware.

    *zone* is used where no offset is written.

    A day without a time is its midnight. Raises :class:`ConversionError` for less than a day and for
    impossible values.
    """
    year, month, day, hour, minute, second, fraction, offset = _time_parts(value)
    moment = _calendar(
        value,
        *(int(part or 0) for part in (year, month, day, hour, minute, second)),
        int((fraction or "0")[:6].ljust(6, "0")),
    )
    if not offset:
        return moment.replace(tzinfo=zone)
    away = dt.timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    if away >= dt.timedelta(hours=24):
        raise _refused("This is not a time.", "an offset of less than a day", value)
    return moment.replace(tzinfo=dt.timezone(-away if offset[0] == "-" else away))


def _datetime(value: str, zone: ZoneInfo | None) -> dt.datetime:
    if zone is None and not _time_parts(value)[-1]:
        raise _refused("This time has no offset and its source no time zone.", "an offset such as -0600", value)
    return parse_datetime(value, zone or _UTC)


def _time_parts(value: str) -> tuple[str, ...]:
    found = _TIME.fullmatch(value.strip())
    if not found:
        raise _refused("This is not a date.", "YYYYMMDD, perhaps with a time and an offset", value)
    return found.groups("")


def _calendar(value: str, *parts: int) -> dt.datetime:
    try:
        return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        raise _refused("This day or time does not exist.", "a real day and time", value) from None


def _refused(what: str, expected: str, value: str) -> ConversionError:
    return ConversionError(what, expected=expected, found=masked(value))


def _plain(convert: Callable[[str], object]) -> Callable[[str, ZoneInfo | None], object]:
    return lambda value, _zone: convert(value)


CONVERTERS: dict[str, Converter] = {
    "text": Converter(_plain(text), ""),
    "upper": Converter(_plain(upper), ""),
    "name": Converter(_plain(name), ""),
    "code": Converter(_plain(upper), ""),
    "icd": Converter(_plain(icd), ""),
    "npi": Converter(_plain(npi), ""),
    "number": Converter(_plain(number), None),
    "money": Converter(_plain(money), None),
    "date": Converter(_plain(date), None),
    "datetime": Converter(_datetime, None),
}
"""The names that may stand after a pipe in a field table."""
