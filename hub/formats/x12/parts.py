"""Taking runs of segments apart: the loops of every guide are runs that begin with a known segment."""

from __future__ import annotations

from collections.abc import Iterable

from hub.formats.x12.claim import Adjustment, Organisation, Party, Person
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import amount, quantity


def split(segments: Iterable[Segment], start: str) -> tuple[list[Segment], list[list[Segment]]]:
    """Part *segments* into those before the first *start* and the runs that each begin with one."""
    head: list[Segment] = []
    runs: list[list[Segment]] = []
    current = head
    for segment in segments:
        if segment.elements[0] == start:
            current = []
            runs.append(current)
        current.append(segment)
    return head, runs


def parties(segments: Iterable[Segment]) -> tuple[list[Segment], dict[str, list[Segment]]]:
    """Part *segments* into those before the first NM1 and, by role (NM101), the first party in each role."""
    head, runs = split(segments, "NM1")
    return head, {run[0][1]: run for run in reversed(runs)}


def first(segments: Iterable[Segment], identifier: str, qualifier: str = "") -> Segment | None:
    """The first segment with this id and, if one is given, this first element."""
    for segment in segments:
        if segment.elements[0] == identifier and (not qualifier or segment[1] == qualifier):
            return segment
    return None


def element(segments: Iterable[Segment], identifier: str, number: int, qualifier: str = "") -> str:
    """Element *number* of the segment that :func:`first` finds; empty when there is none."""
    segment = first(segments, identifier, qualifier)
    return segment[number] if segment else ""


def party(nm1: Segment | None) -> Party:
    """The name in an NM1; an organisation without a name when there is no segment."""
    if nm1 is None:
        return Organisation("")
    return Organisation(nm1[3]) if nm1[2] == "2" else Person(nm1[3], nm1[4], nm1[5], nm1[7])


def adjustments(segments: Iterable[Segment]) -> tuple[Adjustment, ...]:
    """Every reason and amount of the CAS among *segments*.

    Raises :class:`WrongValueError`.
    """
    return tuple(
        Adjustment(cas[1], cas[at], amount(cas, at + 1), quantity(cas, at + 2))
        for cas in segments
        if cas.elements[0] == "CAS"
        for at in range(2, len(cas) + 1, 3)
        if cas[at] or cas[at + 1]
    )
