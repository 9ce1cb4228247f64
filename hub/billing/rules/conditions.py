"""Whether a rule's conditions hold: for the claim, and for which of its lines."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from hub.billing.edits.facts import patient_facts, service_day, years
from hub.billing.rules.fields import field_of, read
from hub.billing.rules.model import When
from hub.formats.x12.claim import Claim, ClaimLine

OF_LINES = ("code", "other_code", "modifier", "modifier_missing", "units_over")

_FIELDS = {  # the field of a claim that a condition looks at, where it is not of the condition's own name
    "payer": "payer_id",
    "filing": "filing_indicator",
    "relationship": "member_id",
    "diagnosis": "diagnoses",
    "diagnosis_missing": "diagnoses",
    "rendering_npi": "rendering",
    "age_under": "birth_date",
    "age_over": "birth_date",
    "charge_over": "charge",
    "other_code": "code",
    "modifier": "modifiers",
    "modifier_missing": "modifiers",
    "units_over": "units",
}


def looked_at(when: When) -> str:
    """The field that the conditions look at, one of lines before one of the claim; empty when they look at none."""
    asked = [name for name in When.model_fields if name != "form" and getattr(when, name) not in (None, ())]
    for name in sorted(asked, key=lambda each: each not in OF_LINES):
        return str(getattr(when, name)[0]) if name in {"has", "lacks"} else _FIELDS.get(name, name)
    return ""


def unmet(when: When, claim: Claim) -> str:
    """The name of the first condition that does not hold for the claim or for any of its lines; empty when all do."""
    for name in When.model_fields:
        wanted = getattr(when, name)
        if wanted in (None, ()):
            continue
        if name in OF_LINES:
            if not any(_line_fits(name, wanted, line, claim) for line in claim.lines):
                return name
        elif not _claim_fits(name, wanted, claim):
            return name
    return "" if lines(when, claim) or not speaks_of_lines(when) else "one line with all of them"


def speaks_of_lines(when: When) -> bool:
    """Whether any condition is about lines."""
    return any(getattr(when, name) not in (None, ()) for name in OF_LINES)


def lines(when: When, claim: Claim) -> tuple[int, ...]:
    """The lines, from 1, for which every condition about lines holds."""
    asked = [(name, getattr(when, name)) for name in OF_LINES if getattr(when, name) not in (None, ())]
    return tuple(
        number
        for number, line in enumerate(claim.lines, 1)
        if all(_line_fits(name, wanted, line, claim) for name, wanted in asked)
    )


def _line_fits(name: str, wanted: object, line: ClaimLine, claim: Claim) -> bool:
    if name == "units_over":
        return line.units > wanted  # type: ignore[operator]
    assert isinstance(wanted, tuple)
    match name:
        case "code":
            return _any(wanted, [line.code])
        case "modifier":
            return _any(wanted, line.modifiers)
        case "modifier_missing":
            return not _any(wanted, line.modifiers)
        case _:
            others = [o.code for o in claim.lines if o is not line and o.service_date == line.service_date]
            return _any(wanted, others)


def _claim_fits(name: str, wanted: object, claim: Claim) -> bool:
    born, sex, _ = patient_facts(claim)
    age = years(born, service_day(claim)) if born else None
    match name, wanted:
        case "form", str():
            return bool(wanted == claim.form)
        case "relationship", str():
            return (claim.patient is None) == (wanted == "self")
        case "age_under", int():
            return age is not None and age < wanted
        case "age_over", int():
            return age is not None and age > wanted
        case "charge_over", _:
            return claim.charge > wanted  # type: ignore[operator]
    assert isinstance(wanted, tuple)
    match name:
        case "has":
            return all(_filled(claim, each) for each in wanted)
        case "lacks":
            return not any(_filled(claim, each) for each in wanted)
        case "diagnosis":
            return _any(wanted, claim.diagnoses)
        case "diagnosis_missing":
            return not _any(wanted, claim.diagnoses)
    rendering = claim.rendering
    value = {
        "payer": claim.payer.id,
        "filing": claim.payer.filing_indicator,
        "sequence": claim.subscriber.sequence,
        "frequency": claim.frequency,
        "place_of_service": claim.place_of_service,
        "rendering_npi": rendering.npi if rendering else "",
        "rendering_taxonomy": rendering.taxonomy if rendering else "",
        "sex": sex,
    }[name]
    return _any(wanted, [value])


def _filled(claim: Claim, name: str) -> bool:
    field = field_of(name)
    numbers = range(1, len(claim.lines) + 1) if field.line else (0,)
    return all(read(claim, field, number) for number in numbers)


def _any(patterns: tuple[str, ...], values: Iterable[str]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
