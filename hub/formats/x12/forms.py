"""What of an element's value the guide's check can see: its form, taken from the maps that pyx12 itself checks with.

pyx12 looks at whether an element is there, at its length, characters, type and code list. Where the map has no list
for a place, it cannot tell two values apart that both fit the type and the length; such values have the same form
here. Any other value is its own form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from hub.formats.x12.judge import guide_map

if TYPE_CHECKING:
    from pyx12.map_if import element_if, loop_if, segment_if

COMPONENT = ":"
_FIRST_YEAR = 1800  # of pyx12's calendar
_DATE_TIME_PERIOD = "1251"  # the data element whose type another element names
_TEXT = re.compile(r"""[A-Z0-9!"&'()+,\-./;?= ]*[A-Z0-9!"&'()+,\-./;?=]""", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3])[0-5][0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Place:
    """An element's place in a segment, as far as every segment of that id agrees on it."""

    form: Callable[[str], str]  # of a value that fits, or empty
    is_number: bool
    least: int
    most: int

    def of(self, value: str) -> str:
        """The form of *value*, which is the value itself where it does not fit."""
        length = len(value) - value.count("-") - value.count(".") if self.is_number else len(value)
        return (self.form(value) if self.least <= length <= self.most else "") or value


_Places = dict[tuple[int, int], _Place]


class Forms:
    """The forms of the elements of one guide. Raises as :func:`guide_map` does.

    A segment's first element mostly says which of several segments it is (``REF*G1``); only those that it can be count.
    """

    def __init__(self, version: str) -> None:
        self._places: dict[tuple[str, str], _Places] = {}
        for name, nodes in _segments(guide_map(version)).items():
            lists = [_qualifiers(node) for node in nodes]
            for qualifier in {code for known in lists for code in known} or {""}:
                fitting = [node for node, known in zip(nodes, lists, strict=True) if not known or qualifier in known]
                self._places[name, qualifier] = _places(fitting)
            if any(lists) and not all(lists):
                self._places[name, ""] = {}

    def of(self, elements: list[str]) -> str:
        """The form of a segment, whose *elements* begin with its id."""
        name = elements[0]
        qualifier = elements[1].partition(COMPONENT)[0] if len(elements) > 1 else ""
        places = self._places.get((name, qualifier))
        if places is None:
            places = self._places.get((name, ""), {})
        said = [name]
        for number, value in enumerate(elements[1:], start=1):
            if not value:
                said.append("")
            elif COMPONENT in value or (number, 1) in places:
                parts = enumerate(value.split(COMPONENT), start=1)
                said.append(COMPONENT.join(_form(places.get((number, part)), each) for part, each in parts))
            else:
                said.append(_form(places.get((number, 0)), value))
        return "*".join(said)


def _form(place: _Place | None, value: str) -> str:
    return place.of(value) if place and value else value


@cache
def forms_of(version: str) -> Forms:
    """The forms of the guide *version*, made once for this process."""
    return Forms(version)


def _segments(root: loop_if) -> dict[str, list[segment_if]]:
    """Every segment of the map, by its id."""
    found: dict[str, list[segment_if]] = {}
    loops = [root]
    while loops:
        loop = loops.pop()
        for child in (each for children in loop.pos_map.values() for each in children):
            if child.is_segment():
                found.setdefault(child.id, []).append(child)
            else:
                loops.append(child)
    return found


def _qualifiers(segment: segment_if) -> frozenset[str]:
    """The codes that the first element of *segment* may have; none where it has no list."""
    first = segment.children[0]
    return frozenset((first.children[0] if first.is_composite() else first).valid_codes)


def _places(segments: list[segment_if]) -> _Places:
    """What *segments* agree on, by element and component (0: it has none)."""
    found: dict[tuple[int, int], list[element_if]] = {}
    for segment in segments:
        for number, element in enumerate(segment.children, start=1):
            parts = enumerate(element.children, start=1) if element.is_composite() else ((0, element),)
            for part, node in parts:
                found.setdefault((number, part), []).append(node)
    simple = {number for number, part in found if not part}
    agreed = {where: nodes for where, nodes in found.items() if not where[1] or where[0] not in simple}
    return {where: place for where, nodes in agreed.items() if (place := _place(nodes))}


def _place(nodes: list[element_if]) -> _Place | None:
    """What all *nodes* agree on; nothing where one of them has a list of codes or a pattern of its own."""
    if any(node.valid_codes or node.external_codes or node.rec for node in nodes):
        return None
    types = {"date" if node.data_ele == _DATE_TIME_PERIOD else str(node.get_data_type()) for node in nodes}
    kind = types.pop()
    if types - {kind}:
        return None
    form = _FORMS.get("N" if kind.startswith("N") else kind)
    if form is None:
        return None
    lengths = [node._resolve_data_ele() for node in nodes]
    least, most = max(each["min_len"] for each in lengths), min(each["max_len"] for each in lengths)
    return _Place(form, kind == "R" or kind.startswith("N"), least, most)


def _text(value: str) -> str:
    return "a" if _TEXT.fullmatch(value) else ""


def _number(value: str) -> str:
    return "n" if _WHOLE.fullmatch(value) else ""


def _decimal(value: str) -> str:
    return "r" if _DECIMAL.fullmatch(value) else ""


@lru_cache(maxsize=4096)
def _date(value: str) -> str:
    """A day of the calendar, of eight digits or six."""
    whole = {8: value, 6: ("20" if value[:2] < "50" else "19") + value}.get(len(value), "")
    return f"d{len(value)}" if whole.isascii() and whole.isdigit() and _is_day(whole) else ""


def _is_day(value: str) -> bool:
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:8])).year >= _FIRST_YEAR
    except ValueError:
        return False


def _time(value: str) -> str:
    return "t" if _CLOCK.fullmatch(value) else ""


def _period(value: str) -> str:
    """A day, two of them, a time of day, or a day with its time; the qualifier beside it stays as it is."""
    begin, dash, end = value.partition("-")
    if dash:
        return "d-d" if _date(begin) == _date(end) == "d8" else ""
    if len(value) == 12:
        return "dt" if _date(value[:8]) and _time(value[8:]) else ""
    return _time(value) if len(value) == 4 else _date(value)


_FORMS: dict[str, Callable[[str], str]] = {
    "AN": _text,
    "ID": _text,
    "N": _number,
    "R": _decimal,
    "DT": _date,
    "TM": _time,
    "date": _period,
}
