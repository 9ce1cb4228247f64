"""The list of edits that the documentation shows is the table that the hub works by."""

from __future__ import annotations

from pathlib import Path

from hub.billing.edits.table import EDITS, Edit
from hub.formats.x12.place import Place

PAGE = (Path(__file__).parents[2] / "docs" / "edits.md").read_text(encoding="utf-8")
LETTERS = {"error": "E", "warning": "W", "info": "I", "repair": "R"}


def row(edit: Edit) -> str:
    """The edit's line of the page."""
    places = in_words(edit.places)
    if edit.form == "837" and edit.places_837i != edit.places:
        places += f"; 837I: {in_words(edit.places_837i)}"
    return f"| {edit.id} | {LETTERS[edit.severity]} | {edit.form} | {edit.snip} | {places} | {edit.sentence} |"


def in_words(places: tuple[Place, ...]) -> str:
    """``2310A, 2310B NM109; 2400 SV105``: the places of one element together."""
    loops: dict[tuple[str, str], list[str]] = {}
    for place in places:
        loops.setdefault((place.reference, place.qualifier), []).append(place.loop)
    return "; ".join(
        f"{', '.join(of)} {reference}{f' ({qualifier})' if qualifier else ''}"
        for (reference, qualifier), of in loops.items()
    )


def test_every_edit_stands_in_the_documentation_as_in_the_table() -> None:
    shown = [line for line in PAGE.splitlines() if line[:5] in {f"| {edit[:3]}" for edit in EDITS}]
    assert shown == [row(edit) for edit in EDITS.values()]
