"""What a claim's own 837 says at a place."""

from __future__ import annotations

from hub.formats.x12.claim import Claim
from hub.formats.x12.element_sources import written_alone
from hub.formats.x12.errors import X12Error
from hub.formats.x12.outline import OutlineRow, outline_837
from hub.formats.x12.place import Place

_BETWEEN = "|"


class ClaimValues:
    """The values of *claim* as it is written; none of a claim that cannot be."""

    def __init__(self, claim: Claim) -> None:
        try:
            rows = outline_837(written_alone(claim))
        except X12Error:
            rows = []
        self._rows: list[tuple[int, OutlineRow]] = []
        line = 0
        for row in rows:
            line += row.opens and row.loop == "2400"
            self._rows.append((line, row))

    def at(self, place: Place, line: int = 0) -> str:
        """What stands at *place*, on *line* where that is not 0; what stands there several times, one after another."""
        return _BETWEEN.join(
            value
            for number, row in self._rows
            if row.loop == place.loop and (not line or number in {0, line})
            for value in _values(row, place)
        )


def _values(row: OutlineRow, place: Place) -> list[str]:
    said = {element.reference: element.value for element in row.elements}
    whole = [value for name, value in said.items() if name == place.reference or name.startswith(f"{place.reference}-")]
    if not place.element:
        whole = list(said.values()) if row.text.startswith(f"{place.segment}*") else []
    first = place.reference[:4] if place.segment == "HI" and place.element else f"{place.segment}01"
    qualifier = said.get(first) or said.get(f"{first}-1", "")
    return whole if place.qualifier in {"", qualifier} else []
