"""Two contents of a message side by side: any two stages, outputs, answers, or attempts.

Contents of one form are compared place by place. Of two forms, each value of the second is looked for in the first:
that says where it came from, and what is new.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hub.core.errors import HubError
from hub.formats.x12.segments import read_segments
from hub.web.content import form_of, parsed_view
from hub.web.masking import Piece, X12Masks, is_personal

_MOST = 500
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One place: what stood there, and what stands there. A side without text has nothing there."""

    place: str
    name: str
    was: tuple[Piece, ...]
    now: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, how many places are the same, and how it was compared."""

    changes: tuple[Change, ...]
    same: int
    by_place: bool
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Value:
    place: str
    name: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def difference(first: bytes, second: bytes) -> Difference:
    """How *second* differs from *first*."""
    old, new = list(_values(first)), list(_values(second))
    if form_of(first) == form_of(second):
        return _by_place(old, new)
    known: dict[str, str] = {}
    for value in old:
        known.setdefault(value.text.strip(), value.place)
    changes, same = [], 0
    for value in new:
        source = known.get(value.text.strip()) if len(value.text.strip()) >= _SHORTEST else None
        if source is None:
            changes.append(Change(value.place, value.name, (), value.pieces))
        else:
            same += 1
    return Difference(tuple(changes[:_MOST]), same, by_place=False, cut=len(changes) > _MOST)


def _by_place(old: list[_Value], new: list[_Value]) -> Difference:
    before, after = ({value.place: value for value in values} for values in (old, new))
    changes, same = [], 0
    for place in [*before, *(each for each in after if each not in before)]:
        was, now = before.get(place), after.get(place)
        if was is not None and now is not None and was.text == now.text:
            same += 1
            continue
        name = (now or was).name if (now or was) is not None else ""  # type: ignore[union-attr]
        changes.append(Change(place, name, was.pieces if was else (), now.pieces if now else ()))
    return Difference(tuple(changes[:_MOST]), same, by_place=True, cut=len(changes) > _MOST)


def _values(body: bytes) -> Iterator[_Value]:
    """Every value of a content with the place where it stands; places that repeat are numbered."""
    seen: Counter[str] = Counter()

    def numbered(place: str) -> str:
        seen[place] += 1
        return place if seen[place] == 1 else f"{place} ({seen[place]})"

    match form_of(body):
        case "HL7":
            view = parsed_view(body)
            for row in view.rows:
                if row.value:
                    yield _Value(numbered(row.path), row.name, row.value)
        case "X12":
            yield from _x12_values(body)
        case "JSON":
            try:
                yield from _json_values(json.loads(body), "", hidden=False)
            except ValueError:
                return
        case _:
            for number, line in enumerate(body.decode("utf-8", "replace").splitlines(), 1):
                yield _Value(f"line {number}", "", (Piece(line, "line"),))


def _x12_values(body: bytes) -> Iterator[_Value]:
    masks, seen = X12Masks(), Counter[str]()
    try:
        for segment in read_segments(body):
            seen[segment.id] += 1
            place = f"{segment.id} {seen[segment.id]}" if segment.id not in {"ISA", "GS", "GE", "IEA"} else segment.id
            yield _Value(place, "", tuple(masks.pieces(segment)))
    except HubError:
        return


def _json_values(value: object, place: str, *, hidden: bool) -> Iterator[_Value]:
    if isinstance(value, dict):
        for key, item in value.items():
            words = str(key).replace("_", " ")
            here = f"{place}, {words}" if place else words
            yield from _json_values(item, here, hidden=hidden or is_personal(str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from _json_values(item, f"{place} {number}".strip(), hidden=hidden)
    elif value is not None and value != "":
        what = place.rpartition(", ")[2] if hidden else ""
        yield _Value(place, "", (Piece(str(value), what),))
