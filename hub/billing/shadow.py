"""Our claims beside those that another system sent for the same services: what a site in shadow is judged by.

A destination in shadow builds and keeps its files and sends none. The 837 that the old system sent meanwhile is held
against our claims of the same member, day and charge; what the two say differently is told field by field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from hub.billing.claim_body import ClaimBody
from hub.billing.edits.facts import first_day
from hub.billing.rules.fields import FIELDS, places, read
from hub.formats.x12.claim import Claim
from hub.store.tables import claim

_OWN = frozenset({"control_number", "medical_record_number"})  # each system has its own
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of line *line* (0: of the claim) that we say otherwise; both texts may be patient data."""

    field: str
    line: int
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim of theirs, by its number, with ours, and in what they differ; no number of ours: we have none."""

    theirs: str
    ours: str
    differences: tuple[Difference, ...] = ()


def compare(connection: Connection, unseal: Callable[[bytes], Any], sent: Iterable[Claim]) -> list[Pair]:
    """Hold each claim that another system *sent* against ours; the first that fits and is not taken yet counts."""
    theirs = list(sent)
    days = {day.isoformat() for each in theirs if (day := first_day(each)) is not None}
    ours: dict[Key, list[Claim]] = defaultdict(list)
    rows = connection.execute(
        select(claim.c.body).where(claim.c.service_on.in_(days), claim.c.state != "void").order_by(claim.c.id)
    )
    for row in rows:
        own = ClaimBody.from_plain(unseal(row.body)).claim
        ours[_key(own)].append(own)
    pairs = []
    for each in theirs:
        fitting = ours[_key(each)]
        best = min(fitting, key=lambda own: len(differences(own, each)), default=None)
        if best is None:
            pairs.append(Pair(each.control_number, ""))
            continue
        fitting.remove(best)
        pairs.append(Pair(each.control_number, best.control_number, differences(best, each)))
    return pairs


def differences(ours: Claim, theirs: Claim) -> tuple[Difference, ...]:
    """What two claims say differently, of the fields that payer rules know."""
    found = []
    for field in FIELDS.values():
        if field.name in _OWN:
            continue
        shorter = min((ours, theirs), key=lambda each: len(each.lines))
        for line in places(field, shorter, ()):
            mine, other = read(ours, field, line), read(theirs, field, line)
            if mine != other:
                found.append(Difference(field.name, line, mine, other))
    if len(ours.lines) != len(theirs.lines):
        found.append(Difference("lines", 0, str(len(ours.lines)), str(len(theirs.lines))))
    return tuple(found)


def _key(said: Claim) -> Key:
    day = first_day(said)
    return said.subscriber.member_id, day.isoformat() if day else ""
