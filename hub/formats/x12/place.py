"""A place in a transaction as the implementation guides name it: loop, segment, element, and which of several segments.

``2010AA NM109`` is the ninth element of the billing provider's NM1, ``2400 SV101-2`` the second component of the line's
first, ``2300 REF02 (G1)`` the number in the REF whose qualifier is G1. In an HI the qualifier is that of the composite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_FORM = re.compile(
    r"(?P<loop>\w+) (?P<segment>[A-Z][A-Z0-9]{1,2})(?P<element>[0-9]{2}(-[0-9]{1,2})?)?( \((?P<qualifier>\w+)\))?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """*element* is ``09`` or ``01-2``, empty for the whole segment; *qualifier* is empty where no segment needs one."""

    loop: str
    segment: str
    element: str = ""
    qualifier: str = ""

    def __str__(self) -> str:
        """As :func:`place` reads it."""
        which = f" ({self.qualifier})" if self.qualifier else ""
        return f"{self.loop} {self.reference}{which}".strip()

    @property
    def reference(self) -> str:
        """``SV101-2``."""
        return f"{self.segment}{self.element}"

    def covers(self, other: Place) -> bool:
        """Whether *other* is this place or lies in it."""
        return (
            (self.loop, self.segment) == (other.loop, other.segment)
            and self.qualifier in {"", other.qualifier}
            and (not self.element or other.element == self.element or other.element.startswith(f"{self.element}-"))
        )


@cache
def place(text: str) -> Place:
    """The place that *text* names. Raises `ValueError`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"no place: {text}")
    return Place(match["loop"], match["segment"], match["element"] or "", match["qualifier"] or "")
