"""Money is `Decimal` with two places in code and integer cents in tables; never float."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from hub.core.errors import HubError, masked

CENT = Decimal("0.01")
MINUS = "\N{MINUS SIGN}"
_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)\Z", re.ASCII)


class MoneyError(HubError):
    """A text that should be an amount of money is not one."""

    code = "H110"


def money(text: str) -> Decimal:
    """The amount that *text* names, with exactly two places.

    Accepts plain decimal notation (``150``, ``-0.5``, ``.50``, ``12.5000``). Raises :class:`MoneyError` for anything
    else, fractions of a cent and amounts of a trillion or more included: both are mistakes of the sender, never
    roundings of ours.
    """
    stripped = text.strip()
    if not _PLAIN.match(stripped):
        raise MoneyError(
            "This is not an amount of money.", expected="digits with at most one point", found=masked(text)
        )
    try:
        amount = Decimal(stripped).quantize(CENT)
    except InvalidOperation:
        raise MoneyError("This amount is too large.", expected="less than a trillion", found=masked(text)) from None
    if amount != Decimal(stripped):
        raise MoneyError("This amount has fractions of a cent.", expected="two places", found=masked(text))
    if abs(amount) >= Decimal(10) ** 12:
        raise MoneyError("This amount is too large.", expected="less than a trillion", found=masked(text))
    return amount + 0  # turns -0.00 into 0.00


def to_cents(amount: Decimal) -> int:
    """*amount* in integer cents. Raises :class:`MoneyError` when it has fractions of a cent."""
    cents = amount.scaleb(2)
    if cents != cents.to_integral_value():
        raise MoneyError("This amount has fractions of a cent.", expected="two places")
    return int(cents)


def from_cents(cents: int) -> Decimal:
    """The amount of *cents*, with two places."""
    return Decimal(cents).scaleb(-2).quantize(CENT)


def plain(amount: Decimal) -> str:
    """*amount* as X12 and HL7 write it: no separators, no trailing zeros, no exponent (``150``, ``-3.07``)."""
    text = f"{amount.quantize(CENT):f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def shown(amount: Decimal) -> str:
    """*amount* as people read it: ``1,284,310.00``, with U+2212 as the minus sign."""
    return f"{amount.quantize(CENT) + 0:,.2f}".replace("-", MINUS)  # no minus before zero
