"""Which field of a claim each element of its 837 says, found by asking the writer itself.

The claim is written once as it is, and again with each of its fields changed: the elements that change with a field
say it. So this can never disagree with what is written. Elements that no field changes are the guide's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hub.formats.x12.claim import Claim, ClaimBatch, Receiver, Submitter
from hub.formats.x12.errors import X12Error
from hub.formats.x12.institutional import write_837i
from hub.formats.x12.outline import outline_837
from hub.formats.x12.professional import write_837p
from hub.formats.x12.writer import Envelope

_ENVELOPE = Envelope("A", "B", datetime(2000, 1, 1, tzinfo=UTC), 1, 1, "T")
_OF_THE_BATCH = ("", "HEADER", "1000A", "1000B")


@dataclass(frozen=True, slots=True)
class ElementSource:
    """One filled element: ``2400`` and ``SV101-2``, its line (0: not of a line), its value, and the fields it says.

    *paths* lead from the claim (``lines[0].code``). They are empty for what the guide or the writer put there.
    """

    loop: str
    reference: str
    line: int
    value: str
    paths: tuple[str, ...]


def element_sources(claim: Claim) -> list[ElementSource]:
    """Every filled element of *claim* on its 837, in order, the envelope and the batch's own loops left out."""
    written = written_alone(claim)
    rows = outline_837(written)
    base = _split(written)
    paths: dict[tuple[int, str], dict[str, None]] = {}
    lines = _lines(base)
    for path, changed in _changes(claim):
        try:
            other = _split(written_alone(changed))
        except X12Error:
            continue
        for place in _differing(base, other):
            of = f"lines[{lines[place[0]] - 1}]" if lines[place[0]] else "lines"
            paths.setdefault(place, {})[path.replace("lines", of, 1) if path.startswith("lines") else path] = None
    return [
        ElementSource(
            row.loop, element.reference, lines[index], element.value, tuple(paths.get((index, element.reference), ()))
        )
        for index, row in enumerate(rows)
        if row.loop not in _OF_THE_BATCH
        for element in row.elements
    ]


def written_alone(claim: Claim) -> bytes:
    """The 837 of this claim only, in an envelope that says nothing. Raises as the writers do."""
    write = write_837i if claim.institutional else write_837p
    return write(_ENVELOPE, ClaimBatch(Submitter("S", "S"), Receiver("R", "R"), "B", (claim,)))


def _split(data: bytes) -> list[dict[str, str]]:
    """Each segment as its elements and components by reference."""
    found = []
    for text in data.decode("ascii").split("~")[:-1]:
        name, *elements = text.split("*")
        parts: dict[str, str] = {"": name}
        for number, element in enumerate(elements, 1):
            components = element.split(":") if name != "ISA" else [element]
            for place, component in enumerate(components, 1):
                parts[f"{name}{number:02d}{f'-{place}' if len(components) > 1 else ''}"] = component
        found.append(parts)
    return found


def _lines(segments: list[dict[str, str]]) -> list[int]:
    """The line that each segment belongs to; 0 before the first."""
    line, found = 0, []
    for segment in segments:
        line = 0 if segment[""] == "SE" else line + (segment[""] == "LX")
        found.append(line)
    return found


def _differing(base: list[dict[str, str]], other: list[dict[str, str]]) -> Iterator[tuple[int, str]]:
    """Index and reference of every element of *base* that is not the same in *other*."""
    if len(base) == len(other):
        for index, (before, after) in enumerate(zip(base, other, strict=True)):
            if before != after:
                yield from ((index, name) for name, value in before.items() if value != after.get(name))
    elif len(base) > len(other):  # the field makes a segment be there at all
        index = next(i for i, segment in enumerate(base) if i >= len(other) or segment != other[i])
        yield from ((index, name) for name in base[index])
    else:  # it parts a segment: its first element that differs is the field's own
        index, before = next((i, s) for i, s in enumerate(base) if s != other[i])
        yield index, next((name for name, value in before.items() if value != other[index].get(name)), "")


def _changes(claim: Claim) -> Iterator[tuple[str, Claim]]:
    """*claim* with one field changed, field by field; what is within lines is changed on all of them at once."""
    for path, changed in _variants(claim, ""):
        if not path.startswith("lines"):
            yield path, changed
    longest: dict[str, None] = {}
    for line in claim.lines:
        longest |= {path: None for path, _ in _variants(line, "")}
    for path in longest:
        on_all = [dict(_variants(line, "")).get(path, line) for line in claim.lines]
        yield f"lines.{path}", replace(claim, lines=tuple(on_all))


def _variants(owner: Any, path: str) -> Iterator[tuple[str, Any]]:
    """*owner* with each of its leaves changed in turn, and the path of that leaf."""
    if is_dataclass(owner) and not isinstance(owner, type):
        for field in fields(owner):
            name = f"{path}.{field.name}" if path else field.name
            if path == "" and field.name == "lines":
                continue
            for inner, changed in _variants(getattr(owner, field.name), name):
                yield inner, replace(owner, **{field.name: changed})
    elif isinstance(owner, tuple):
        for number, item in enumerate(owner):
            for inner, changed in _variants(item, f"{path}[{number}]"):
                yield inner, (*owner[:number], changed, *owner[number + 1 :])
    else:
        changed = _other(owner)
        if changed is not None:
            yield path, changed


def _other(leaf: Any) -> Any:
    """Another value of the same kind; None for one that says nothing."""
    match leaf:
        case bool():
            return not leaf
        case int():
            return leaf + 1
        case Decimal():
            return leaf + 1
        case date():
            return leaf - timedelta(days=3653)
        case str() if leaf:
            return "9" + leaf if re.fullmatch(r"[0-9]+", leaf) else "Q" + leaf
    return None
