"""Findings as they are kept with a claim: with their place, a digest of what stands there, and never the value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hub.billing.edits.scrub import Finding
from hub.billing.edits.table import EDITS
from hub.core.vault import Vault
from hub.formats.x12.claim import Claim
from hub.formats.x12.claim_values import ClaimValues
from hub.formats.x12.judge import Finding as Objection
from hub.formats.x12.place import Place

GUIDE = "guide"
_ANEW = "Correct the charges in the EHR and bill the claim anew."
_FIX = (
    "Correct it in the EHR or in the practice's files and bill the claim anew; "
    "`hub explain-claim {claim} --element {element}` says where it comes from."
)


def kept(vault: Vault, claim: Claim, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """*findings* of *claim* as JSON values, as many as there are.

    ``value_hash`` is a keyed digest of what stands at the place, so that equal faults can be told from others; it is
    empty where nothing does.
    """
    every = list(findings)
    values = ClaimValues(claim) if every else None
    return [_plain(vault, each, values.at(each.place, each.line) if values else "") for each in every]


def _plain(vault: Vault, finding: Finding, value: str) -> dict[str, Any]:
    place = finding.place
    return {
        "rule": finding.rule,
        "severity": "hold" if finding.hold else finding.severity,
        "line": finding.line,
        "snip": finding.snip,
        "loop": place.loop,
        "segment": place.segment,
        "element": place.element,
        "qualifier": place.qualifier,
        "value_hash": vault.digest(f"{place.loop}/{place.reference}", value).hex() if value else "",
        "sentence": finding.sentence,
        "fix": finding.fix,
        "stc": list(finding.stc),
    }


@dataclass(frozen=True, slots=True)
class Told:
    """A finding as people and programs are told of it. Those kept by an earlier version may lack all but the rule."""

    rule: str
    severity: str
    line: int
    snip: int
    where: Place
    sentence: str
    fix: str
    value_hash: str
    stc: tuple[str, ...]

    @property
    def place(self) -> str:
        """``2300 REF02 (G1)``; empty where none was kept."""
        return str(self.where) if self.where.segment else ""


def told(stored: dict[str, Any]) -> Told:
    """One finding of those that :func:`kept` made, or that were kept before there was a place.

    What an earlier version did not keep is taken from the edit's row of the table, as far as it does not depend on the
    claim: its level, its sentence and what to do.
    """
    rule = str(stored["rule"])
    edit = EDITS.get(rule)
    return Told(
        rule=rule,
        severity=_text(stored, "severity"),
        line=int(stored.get("line") or 0),
        snip=int(stored.get("snip") or (edit.snip if edit else 0)),
        where=Place(*(_text(stored, name) for name in ("loop", "segment", "element", "qualifier"))),
        sentence=_text(stored, "sentence") or (edit.sentence if edit else ""),
        fix=_text(stored, "fix") or (edit.fix if edit else ""),
        value_hash=_text(stored, "value_hash"),
        stc=tuple(str(code) for code in stored.get("stc") or ()),
    )


def latest(details: Iterable[dict[str, Any]]) -> list[Told]:
    """What the newest of the *details* of a claim's examinations, given oldest first, found."""
    newest: dict[str, Any] = next(reversed(list(details)), {})
    return [told(each) for each in newest.get("found", ()) if isinstance(each, dict) and "rule" in each]


def _text(stored: dict[str, Any], name: str) -> str:
    return str(stored.get(name) or "")


def of_the_guide(objection: Objection, control_number: str) -> Finding:
    """What the guide's own check objects to, as a finding of the claim of that number."""
    place = objection.place
    if not place.segment:  # it could not even be written
        return Finding(GUIDE, objection.message, snip=objection.snip, fix=_ANEW)
    said = f"The guide's check objects at {place.reference}: {objection.message}"
    element = f"{place.loop}/{place.reference}" if place.loop else place.reference
    fix = _FIX.format(claim=control_number, element=element)
    return Finding(GUIDE, said, snip=objection.snip, place=place, fix=fix)
