"""What a mapping read, and where it stood: so that a value that it made can be followed back to its field.

While :func:`recording` is in force, views and tables note each value that they hand out with its place. What a mapping
makes holds those very objects, or equal ones, and :meth:`Reads.origins` finds them again. Outside of it nothing is
noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

_current: Reads | None = None


class Reads:
    """The values that were read, in order, each with its place."""

    def __init__(self) -> None:
        self._equal: dict[object, str] = {}
        self._same: dict[int, tuple[object, str]] = {}
        self._letters: dict[str, dict[str, None]] = {}

    def note(self, value: object, place: str) -> None:
        """*value* was read at *place*. Of one object the last place counts, of equal values the first.

        Equal texts of one letter are one object to Python, so that all their places count.
        """
        if isinstance(value, str) and len(value) <= 1:
            self._letters.setdefault(value, {})[place] = None
            return
        self._same[id(value)] = (value, place)
        self._equal.setdefault((type(value), value), place)

    def origins(self, made: object) -> tuple[tuple[str, str], ...]:
        """Each field of the dataclass *made* that holds a value that was read, as path and place (or places)."""
        return tuple(self._found(made, ""))

    def _found(self, made: object, path: str) -> Iterator[tuple[str, str]]:
        if is_dataclass(made):
            for field in fields(made):
                value = getattr(made, field.name)
                if value != field.default:
                    yield from self._found(value, f"{path}.{field.name}" if path else field.name)
        elif isinstance(made, list | tuple):
            for number, item in enumerate(made):
                yield from self._found(item, f"{path}[{number}]")
        elif made is not None and made != "" and (place := self._place(made)):
            yield path, place

    def _place(self, made: object) -> str:
        if isinstance(made, str) and len(made) == 1:
            return " or ".join(self._letters.get(made, ()))
        known = self._same.get(id(made))
        return known[1] if known else self._equal.get((type(made), made), "")


@contextmanager
def recording() -> Iterator[Reads]:
    """Have everything that is read noted, until the block ends."""
    global _current  # noqa: PLW0603  (a worker runs one mapping at a time)
    before, _current = _current, Reads()
    try:
        yield _current
    finally:
        _current = before


def noted(value: object, place: str) -> None:
    """Note that *value* was read at *place*, if somebody records."""
    if _current is not None:
        _current.note(value, place)


def is_recording() -> bool:
    """Whether what is read is noted: asked first where making the place's name costs."""
    return _current is not None
