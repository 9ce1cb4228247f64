"""The places of the guides, as pyx12's maps have them, and those of an 837 that was written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from io import StringIO
from typing import Any

import pyx12.x12n_document

from hub.formats.x12.claim import Claim, ClaimBatch, Receiver, Submitter
from hub.formats.x12.institutional import VERSION as VERSION_837I
from hub.formats.x12.institutional import write_837i
from hub.formats.x12.judge import guide_map
from hub.formats.x12.place import Place
from hub.formats.x12.professional import VERSION as VERSION_837P
from hub.formats.x12.professional import write_837p
from hub.formats.x12.writer import Envelope

_ENVELOPE = Envelope("A", "B", datetime(2026, 6, 20, tzinfo=UTC), 1, 1, "T")
_UNUSED = "N"


@cache
def of_the_guide(form: str) -> frozenset[Place]:
    """Every element that the guide of *form* uses, with each qualifier that its segment may have, and without."""
    version = VERSION_837I if form == "837I" else VERSION_837P
    return frozenset(place for loop, node in _segments(guide_map(version)) for place in _elements(loop, node))


def written(claim: Claim) -> set[Place]:
    """Every filled element of the claim's own 837, in the loops where pyx12 finds them."""
    write = write_837i if claim.institutional else write_837p
    data = write(_ENVELOPE, ClaimBatch(Submitter("S", "S"), Receiver("R", "R"), "B", (claim,)))
    found: set[Place] = set()

    def remember(segment: Any, _source: Any, node: Any, _valid: bool) -> None:
        if node and node.parent:
            found.update(_filled(node.parent.id, segment))

    pyx12.x12n_document.x12n_document(
        pyx12.params.ParamsBase(), StringIO(data.decode()), None, None, None, StringIO(), callback=remember
    )
    return found


def _segments(root: Any) -> Iterator[tuple[str, Any]]:
    for child in (each for children in root.pos_map.values() for each in children):
        if child.is_segment():
            yield root.id, child
        else:
            yield from _segments(child)


def _elements(loop: str, segment: Any) -> Iterator[Place]:
    first = segment.children[0]
    own = _codes(first.children[0] if first.is_composite() else first)
    for number, element in enumerate(segment.children, 1):
        if element.usage == _UNUSED:
            continue
        parts = element.children if element.is_composite() else ()
        codes = own | (_codes(parts[0]) if parts else frozenset())
        for qualifier in {"", *codes}:
            yield Place(loop, segment.id, "", qualifier)
            yield Place(loop, segment.id, f"{number:02d}", qualifier)
            used = (part for part, each in enumerate(parts, 1) if each.usage != _UNUSED)
            yield from (Place(loop, segment.id, f"{number:02d}-{part}", qualifier) for part in used)


def _codes(element: Any) -> frozenset[str]:
    return frozenset(element.valid_codes)


def _filled(loop: str, segment: Any) -> Iterator[Place]:
    name = segment.get_seg_id()
    own = segment.get_value(f"{name}01-1") if name == "HI" else segment.get_value(f"{name}01")
    yield from (Place(loop, name), Place(loop, name, "", own))
    for number in range(1, len(segment) + 1):
        parts = str(segment.get_value(f"{name}{number:02d}") or "").split(":")
        qualifiers = {"", own, parts[0]} if name == "HI" else {"", own}
        for qualifier in qualifiers:
            if any(parts):
                yield Place(loop, name, f"{number:02d}", qualifier)
            filled = (part for part, value in enumerate(parts, 1) if value)
            yield from (Place(loop, name, f"{number:02d}-{part}", qualifier) for part in filled)
