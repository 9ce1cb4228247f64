"""All edits over one claim: repairs of form first, then everything that is found, and what could not be checked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from hub.billing.config import Payer
from hub.billing.edits import (  # noqa: F401  they register
    authorisations,
    coding,
    identity,
    institutional,
    lines,
    other_payers,
    over_time,
    repairs,
    whole_claim,
)
from hub.billing.edits.context import Context
from hub.billing.edits.registry import CHECKS, REPAIRS, Found, Proposal
from hub.billing.edits.table import EDITS, ERROR, REPAIR, WARNING, Edit
from hub.billing.refdata.lookup import NotLoadedError
from hub.formats.x12.claim import Claim
from hub.formats.x12.place import Place, place

_WHOLE_CLAIM = place("2300 CLM01")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one edit or rule found. *sentence* is for billers and names nobody; *line* is 0 for the whole claim.

    *hold* asks for a person's decision without calling the claim wrong. *snip* is the level of the WEDI SNIP types,
    *place* where in the 837 it is, or would be, *fix* what a biller does about it, *stc* the status codes of the 277CA
    that it saves the claim from.
    """

    rule: str
    sentence: str
    severity: str = ERROR
    line: int = 0
    proposal: Proposal | None = None
    hold: bool = False
    snip: int = 7
    place: Place = _WHOLE_CLAIM
    fix: str = ""
    stc: tuple[str, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether the claim must be corrected before it goes."""
        return self.severity == ERROR and not self.hold


@dataclass(frozen=True, slots=True)
class Repaired:
    """One repair of form that was made: *before* and *after* are patient data and are shown masked."""

    rule: str
    place: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Unchecked:
    """An edit that was not made, and what it lacked."""

    rule: str
    needs: str


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What came of the edits: the *claim* with its form repaired, and everything that is to be said about it."""

    claim: Claim
    findings: tuple[Finding, ...]
    repairs: tuple[Repaired, ...]
    unchecked: tuple[Unchecked, ...]


def scrub(claim: Claim, context: Context, undone: Collection[str] = (), skip: Collection[str] = ()) -> Scrubbed:
    """Run every edit. Repairs named in *undone* were taken back by a person; edits in *skip* are replaced by a rule."""
    made: list[Repaired] = []
    for name, repair in REPAIRS.items():
        if name not in undone and name not in skip and _is_of(name, claim):
            claim, changes = repair(claim, context)
            made += (Repaired(name, change.place, change.before, change.after) for change in changes)
    found: list[Finding] = []
    unchecked: list[Unchecked] = []
    for name, check in CHECKS.items():
        if name in skip or not _is_of(name, claim):
            continue
        try:
            for each in check(claim, context):  # one by one: what was found before data was missing counts
                finding = _finding(EDITS[name], each, claim.form)
                found.append(finding)
        except NotLoadedError as missing:
            unchecked.append(Unchecked(name, missing.expected))
    return Scrubbed(claim, tuple(found), tuple(made), tuple(unchecked))


def _finding(edit: Edit, found: Found, form: str) -> Finding:
    usual = WARNING if edit.severity == REPAIR else edit.severity
    return Finding(
        edit.id,
        found.sentence or edit.sentence,
        found.severity or usual,
        found.line,
        found.proposal,
        snip=edit.snip,
        place=place(found.at) if found.at else edit.places_of(form)[0],
        fix=edit.fix,
        stc=edit.stc,
    )


def findings(claim: Claim, payer: Payer, today: date) -> tuple[Finding, ...]:
    """Everything that stands against *claim* as far as the claim alone tells."""
    return scrub(claim, Context(payer, today)).findings


def _is_of(name: str, claim: Claim) -> bool:
    """Whether the edit is one of the claim's form."""
    return EDITS[name].form in {"837", claim.form}
