"""Which charges go onto one claim.

Professional (005010X222A1): at most 50 lines and 12 diagnoses, one rendering provider and place here. Institutional
(005010X223A2): a visit's charges together, at most 999 lines and 25 diagnoses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_LINES = 50
MOST_DIAGNOSES = 12
MOST_POINTERS = 4
MOST_LINES_OF_STAY = 999
MOST_DIAGNOSES_OF_STAY = 25


@dataclass(frozen=True, slots=True)
class Billable:
    """A charge as far as grouping is concerned. Patient, day and payer are the same for all that are grouped."""

    charge_id: int
    rendering_npi: str
    place_of_service: str
    diagnoses: tuple[str, ...]
    facility: str = ""

    @property
    def pointed(self) -> tuple[str, ...]:
        """The diagnoses that its line points to: the first four."""
        return tuple(dict.fromkeys(self.diagnoses))[:MOST_POINTERS]


@dataclass(frozen=True, slots=True)
class Group:
    """The charges of one claim and its diagnoses, in pointer order."""

    members: tuple[Billable, ...]
    diagnoses: tuple[str, ...]


def group(charges: Iterable[Billable]) -> list[Group]:
    """Part *charges* into claims by rendering provider and place, each in the order given.

    A claim that is full (lines, or diagnoses that its lines point to) is followed by another. Diagnoses
    that no line points to are kept while there is room for them.
    """
    by_key: dict[tuple[str, str, str], list[list[Billable]]] = {}
    for charge in charges:
        key = (charge.rendering_npi, charge.place_of_service, charge.facility)
        claims = by_key.setdefault(key, [[]])
        if not _fits(claims[-1], charge):
            claims.append([])
        claims[-1].append(charge)
    return [Group(tuple(members), _diagnoses(members)) for claims in by_key.values() for members in claims]


def group_stay(charges: Iterable[Billable], diagnoses: tuple[str, ...]) -> list[Group]:
    """The charges of one stay or outpatient visit as one claim, or as many as its lines need.

    *diagnoses* are the hospital's own, principal first; without any they are those of the charges.
    """
    members = list(charges)
    said = diagnoses or tuple(dict.fromkeys(code for member in members for code in member.diagnoses))
    return [
        Group(tuple(members[start : start + MOST_LINES_OF_STAY]), said[:MOST_DIAGNOSES_OF_STAY])
        for start in range(0, len(members), MOST_LINES_OF_STAY)
    ]


def _fits(members: list[Billable], charge: Billable) -> bool:
    pointed = {code for member in (*members, charge) for code in member.pointed}
    return len(members) < MOST_LINES and len(pointed) <= MOST_DIAGNOSES


def _diagnoses(members: list[Billable]) -> tuple[str, ...]:
    pointed = dict.fromkeys(code for member in members for code in member.pointed)
    others = (code for member in members for code in member.diagnoses)
    return tuple(dict.fromkeys((*pointed, *others)))[:MOST_DIAGNOSES]
