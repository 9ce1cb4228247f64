"""Element texts to amounts, quantities and dates, and back."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from hub.core.errors import masked
from hub.core.money import MoneyError, money
from hub.formats.x12.errors import WrongValueError
from hub.formats.x12.segments import Segment

ZERO = Decimal("0.00")
_NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{0,6})?|\.\d{1,6})\Z", re.ASCII)


def amount(segment: Segment, number: int) -> Decimal:
    """The amount in element *number*; an absent one is zero. Raises :class:`WrongValueError`."""
    text = segment[number]
    if not text:
        return ZERO
    try:
        return money(text)
    except MoneyError as error:
        raise WrongValueError(
            error.what, where=_place(segment, number), expected=error.expected, found=masked(text)
        ) from None


def optional_amount(segment: Segment, number: int) -> Decimal | None:
    """The amount in element *number*, None when it is absent. Raises :class:`WrongValueError`."""
    return amount(segment, number) if segment[number] else None


def quantity(segment: Segment, number: int) -> Decimal | None:
    """The quantity in element *number*, None when it is absent. Raises :class:`WrongValueError`."""
    text = segment[number]
    if not text:
        return None
    if not _NUMBER.match(text):
        raise WrongValueError(
            "This is not a quantity.",
            where=_place(segment, number),
            expected="digits with at most one point",
            found=masked(text),
        )
    return Decimal(text)


def lenient_amount(segment: Segment, number: int) -> Decimal | None:
    """The amount in element *number*, None when there is none: for figures that are never posted."""
    try:
        return optional_amount(segment, number)
    except WrongValueError:
        return None


def count(text: str) -> int:
    """The count that *text* states; zero when it states none."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 9 else 0


def day(text: str) -> date | None:
    """The date that *text* names as CCYYMMDD (a time after it is ignored), None when it names none.

    Senders write placeholders such as 00000000; a date that is not one is information missing, not a reason
    to stop.
    """
    if len(text) < 8 or not text[:8].isdecimal() or not text[:8].isascii():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def period(qualifier: str, text: str) -> tuple[date | None, date | None]:
    """The first and last day of a date element with format *qualifier* (``D8``, ``RD8``, ``DT``)."""
    first, _, last = text.partition("-")
    begin = day(first)
    return (begin, day(last)) if qualifier == "RD8" or last else (begin, begin)


def number(value: Decimal) -> str:
    """*value* as X12 writes a quantity: no exponent, no trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _place(segment: Segment, number: int) -> str:
    return f"{segment.place}{number:02d}"
