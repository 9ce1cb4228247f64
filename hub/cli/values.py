"""What people type after an option, as values; argparse prints the sentence when it is none."""

from __future__ import annotations

import argparse
import re

from hub.core.units import seconds

_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)\Z", re.ASCII)
_PER_SECOND = {"s": 1.0, "min": 1 / 60, "h": 1 / 3600}


def duration(text: str) -> float:
    """The seconds of ``30s``, ``15m``, ``24h``; more than none."""
    try:
        found = seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found <= 0:
        raise argparse.ArgumentTypeError("longer than nothing")
    return found


def rate(text: str) -> float:
    """How many a second ``50/s``, ``600/min`` or ``1000/h`` are."""
    match = _RATE.match(text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError("a rate is written 50/s, 600/min or 1000/h")
    return float(match[1]) * _PER_SECOND[match[2]]


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on")
    return int(text)
