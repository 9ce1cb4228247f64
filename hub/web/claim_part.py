"""The part of an 837 that is about one claim: what a page about that claim may show of its batch."""

from __future__ import annotations

from collections.abc import Sequence

from hub.formats.x12.outline import OutlineRow
from hub.formats.x12.segments import Segment

_LEVELS = ("2000A", "2000B", "2000C")


def rows_of_claim(segments: Sequence[Segment], rows: Sequence[OutlineRow], control_number: str) -> frozenset[int]:
    """The indexes of the claim *control_number*: its envelope, its provider, subscriber and patient, and itself.

    Every other person of the batch stays out: one claim's page is recorded as a look at one patient. *rows* is the
    outline of *segments*, one for one. Empty when the claim is not there.
    """
    envelope: list[int] = []
    levels: dict[str, list[int]] = {}
    level = ""
    found: list[int] = []
    ends: set[str] = set()
    for number, (segment, row) in enumerate(zip(segments, rows, strict=True)):
        if segment.id in {"ISA", "ST"}:
            envelope = [i for i in envelope if segment.id == "ST" and rows[i].loop == ""]
            levels, level = {}, ""
        elif segment.id == "HL":
            level = row.loop
            levels = {name: kept for name, kept in levels.items() if name < level} | {level: []}
        if row.claim:
            if row.claim == control_number:
                found = found or [*envelope, *(i for name in _LEVELS for i in levels.get(name, ()))]
                found.append(number)
        elif segment.id in {"SE", "GE", "IEA"}:
            level = ""
            if found and segment.id not in ends:
                found.append(number)
                ends.add(segment.id)
        elif level:
            levels[level].append(number)
        else:
            envelope.append(number)
    return frozenset(found)
