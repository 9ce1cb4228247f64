"""The one base class of everything the hub says went wrong.

An error is part of the interface: it says what happened, where, what was expected and found, and what
to do. It carries a stable code that `hub explain` and tests rely on. It never carries patient data: what
was found is masked by whoever raises it (:func:`masked`).
"""

from __future__ import annotations


class HubError(Exception):
    """Something went wrong in a way a person can act on.

    *what* is a sentence. *where* is a place a person can open (``file:line``, ``PID-3.1``, ``2300/CLM02``),
    *expected* and *found* are short, *fix* says what to do next. *found* must already be masked.
    """

    code: str = "H000"

    def __init__(self, what: str, *, where: str = "", expected: str = "", found: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.fix = fix

    def __str__(self) -> str:
        known = {"at": self.where, "expected": self.expected, "found": self.found}
        details = "; ".join(f"{name} {value}" for name, value in known.items() if value)
        text = f"{self.what.removesuffix('.')} ({details})." if details else self.what
        return " ".join(part for part in (self.code, text, self.fix) if part)


def masked(value: str) -> str:
    """*value* with every letter and digit hidden but its shape kept: ``A-12`` becomes ``x-99``, at most 24 characters.

    What would break a line of a terminal or a log becomes a dot.

    The shape is what an engineer needs to see (a date written with dashes, a missing digit); the content
    is not ours to show.
    """
    shape = "".join("x" if c.isalpha() else "9" if c.isalnum() else c if c.isprintable() else "·" for c in value[:24])
    return f"{shape}…" if len(value) > 24 else shape
