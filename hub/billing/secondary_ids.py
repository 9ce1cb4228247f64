"""The numbers that providers and places have besides their NPI, as far as a payer wants them (REF 0B, 1G, G2, LU).

The state's licence and the UPIN stand in the practice's file, and a payer's file says whether it wants them; the
numbers that a payer itself gave stand in its file. Which of them a loop may carry is the guides' (005010X222A1 and
005010X223A2, loops 2010AA, 2010BB, 2310 and 2420).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hub.billing.config import BillingConfig, Facility, Payer, Practice, Provider
from hub.formats.x12.claim import Claim, ClaimLine, SecondaryId
from hub.formats.x12.claim import Facility as Place
from hub.formats.x12.claim import Payer as NamedPayer
from hub.formats.x12.claim import Provider as Person
from hub.formats.x12.writer import clean

_REFERRING = frozenset({"0B", "1G", "G2"})  # who refers or orders
_WITH_LOCATION = _REFERRING | {"LU"}
_PLACE = frozenset({"0B", "G2", "LU"})
_PLACE_OF_LINE = frozenset({"G2", "LU"})
_ROLES = {
    "rendering": _WITH_LOCATION,
    "supervising": _WITH_LOCATION,
    "attending": _WITH_LOCATION,
    "operating": _WITH_LOCATION,
    "other_operating": _WITH_LOCATION,
    "referring": _REFERRING,
    "primary_care": _REFERRING,
    "ordering": _REFERRING,
}
_OF_A_STAY = ("attending", "operating", "other_operating")
_MOST_OF_OTHER_PAYER = 2  # loop 2330B


def payer_ids(payer: Payer) -> tuple[SecondaryId, ...]:
    """The payer's own further ids (2010BB)."""
    said = (("2U", payer.secondary_id), ("EI", payer.tax_id), ("FY", payer.claim_office), ("NF", payer.naic))
    return tuple(SecondaryId(kind, clean(text)) for kind, text in said if text)


def practice_ids(payer: Payer, form: str) -> tuple[SecondaryId, ...]:
    """The numbers that the payer gave the practice (2010BB): on an 837I one of them only."""
    said = (("G2", payer.provider_id), ("LU", payer.location_id))
    found = tuple(SecondaryId(kind, clean(text)) for kind, text in said if text)
    return found if form == "837P" else found[:1]


def of_other_payer(payer: NamedPayer) -> tuple[SecondaryId, ...]:
    """What of the payer's ids loop 2330B has room for."""
    return payer.secondary_ids[:_MOST_OF_OTHER_PAYER]


def identified(claim: Claim, config: BillingConfig, payer: Payer) -> Claim:
    """*claim* with the numbers that *payer* wants of everybody on it, and with none that another payer gave."""
    known = _Known(config.practice, payer)
    stay = claim.institutional
    own = _licences(payer, config.practice) if claim.form == "837P" else ()
    return replace(
        claim,
        billing_provider=replace(claim.billing_provider, secondary_ids=own),
        facility=known.place(claim.facility, _PLACE),
        lines=tuple(_line(line, known) for line in claim.lines),
        institutional=replace(stay, **known.people(stay, *_OF_A_STAY)) if stay else None,
        **known.people(claim, "rendering", "supervising", "referring", "primary_care"),
    )


def _line(line: ClaimLine, known: _Known) -> ClaimLine:
    people = known.people(line, *(role for role in _ROLES if hasattr(line, role)))
    return replace(line, facility=known.place(line.facility, _PLACE_OF_LINE), **people)


def _licences(payer: Payer, of: Practice | Provider | Facility) -> tuple[SecondaryId, ...]:
    upin = "" if isinstance(of, Facility) else of.upin
    said = (("0B", of.license if payer.wants_license else ""), ("1G", upin if payer.wants_upin else ""))
    return tuple(SecondaryId(kind, clean(text)) for kind, text in said if text)


class _Known:
    """What one payer wants of the people and places of a practice."""

    def __init__(self, practice: Practice, payer: Payer) -> None:
        self._payer = payer
        self._people = {each.npi: each for each in (*practice.outside_providers, *practice.providers)}
        self._places = {(clean(each.name), each.npi): each for each in practice.facilities}

    def people(self, owner: object, *roles: str) -> dict[str, Any]:
        """Those of *owner* in *roles*, with their numbers."""
        return {role: self._person(getattr(owner, role), _ROLES[role]) for role in roles}

    def place(self, place: Place | None, allowed: frozenset[str]) -> Place | None:
        if place is None:
            return None
        record = self._places.get((place.name, place.npi))
        return replace(place, secondary_ids=self._ids(record, record.code if record else "", allowed))

    def _person(self, person: Person | None, allowed: frozenset[str]) -> Person | None:
        if person is None:
            return None
        return replace(person, secondary_ids=self._ids(self._people.get(person.npi), person.npi, allowed))

    def _ids(self, record: Provider | Facility | None, key: str, allowed: frozenset[str]) -> tuple[SecondaryId, ...]:
        """The numbers of whoever is known to the payer's file by *key*: an NPI, or a facility's code."""
        payer = self._payer
        found = _licences(payer, record) if record else ()
        found += tuple(
            SecondaryId(kind, clean(numbers[key]))
            for kind, numbers in (("G2", payer.provider_numbers), ("LU", payer.location_numbers))
            if key in numbers
        )
        return tuple(each for each in found if each.kind in allowed)
