"""The fields of a claim that rules speak of: a plain name, the place in the 837, and whether the field is form.

Only fields that are form may be set by a rule. Codes, modifiers, units, amounts, diagnoses, dates and identities are
facts: a rule can ask for them, or propose them to a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from hub.core.errors import HubError
from hub.formats.x12.claim import Claim, Person, Provider
from hub.formats.x12.place import Place, place


class UnknownFieldError(HubError):
    """A rule speaks of a field that claims do not have, or gives it a value that it cannot have."""

    code = "H522"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. *place* is loop and element of 005010X222A1; *path* leads from the claim, or from a line, to it.

    *kind* is ``text``, ``list``, ``amount``, ``date``, ``person`` (a provider, known by the NPI) or ``part``
    (something that can only be left out).
    """

    name: str
    place: str
    path: tuple[str, ...]
    kind: str = "text"
    form: bool = False
    line: bool = False


_FIELDS = (
    Field("taxonomy", "2000A.PRV03", ("billing_provider", "taxonomy")),
    Field("billing_npi", "2010AA.NM109", ("billing_provider", "npi")),
    Field("tax_id", "2010AA.REF02", ("billing_provider", "tax_id")),
    Field("pay_to", "2010AB.N301", ("billing_provider", "pay_to"), "part", form=True),
    Field("sequence", "2000B.SBR01", ("subscriber", "sequence")),
    Field("group_number", "2000B.SBR03", ("subscriber", "group_number"), form=True),
    Field("group_name", "2000B.SBR04", ("subscriber", "group_name"), form=True),
    Field("insurance_type", "2000B.SBR05", ("subscriber", "insurance_type")),
    Field("filing_indicator", "2000B.SBR09", ("payer", "filing_indicator"), form=True),
    Field("member_id", "2010BA.NM109", ("subscriber", "member_id")),
    Field("birth_date", "2010BA.DMG02", ("subscriber", "birth_date"), "date"),
    Field("sex", "2010BA.DMG03", ("subscriber", "sex")),
    Field("payer_name", "2010BB.NM103", ("payer", "name"), form=True),
    Field("payer_id", "2010BB.NM109", ("payer", "id")),
    Field("control_number", "2300.CLM01", ("control_number",)),
    Field("place_of_service", "2300.CLM05-1", ("place_of_service",)),
    Field("frequency", "2300.CLM05-3", ("frequency",)),
    Field("assignment", "2300.CLM07", ("assignment",)),
    Field("benefits_assignment", "2300.CLM08", ("benefits_assignment",)),
    Field("release", "2300.CLM09", ("release",)),
    Field("related_causes", "2300.CLM11", ("related_causes",), "list"),
    Field("accident_state", "2300.CLM11-4", ("accident_state",)),
    Field("delay_reason", "2300.CLM20", ("delay_reason",)),
    Field("onset_date", "2300.DTP431", ("onset_date",), "date"),
    Field("accident_date", "2300.DTP439", ("accident_date",), "date"),
    Field("admission_date", "2300.DTP435", ("admission_date",), "date"),
    Field("patient_paid", "2300.AMT-F5", ("patient_paid",), "amount"),
    Field("referral_number", "2300.REF-9F", ("referral_number",)),
    Field("prior_authorisation", "2300.REF-G1", ("prior_authorisation",)),
    Field("payer_claim_number", "2300.REF-F8", ("payer_claim_control_number",)),
    Field("clia", "2300.REF-X4", ("clia",)),
    Field("medical_record_number", "2300.REF-EA", ("medical_record_number",), form=True),
    Field("note", "2300.NTE02", ("note",), form=True),
    Field("diagnoses", "2300.HI", ("diagnoses",), "list"),
    Field("referring", "2310A.NM109", ("referring",), "person"),
    Field("rendering", "2310B.NM109", ("rendering",), "person"),
    Field("rendering_taxonomy", "2310B.PRV03", ("rendering", "taxonomy")),
    Field("facility", "2310C.NM103", ("facility",), "part", form=True),
    Field("supervising", "2310D.NM109", ("supervising",), "person"),
    Field("code", "2400.SV101-2", ("code",), line=True),
    Field("modifiers", "2400.SV101-3", ("modifiers",), "list", line=True),
    Field("description", "2400.SV101-7", ("description",), line=True),
    Field("charge", "2400.SV102", ("charge",), "amount", line=True),
    Field("unit_code", "2400.SV103", ("unit_code",), line=True),
    Field("units", "2400.SV104", ("units",), "amount", line=True),
    Field("line_place_of_service", "2400.SV105", ("place_of_service",), line=True),
    Field("service_date", "2400.DTP472", ("service_date",), "date", line=True),
    Field("line_note", "2400.NTE02", ("note",), form=True, line=True),
    Field("ndc", "2410.LIN03", ("drug", "ndc"), line=True),
)
# Where an 837I has a field elsewhere; what it has no place for is the claim's, or the line's, as a whole.
_ON_837I = {
    "place_of_service": "2300 CLM05-1",
    "insurance_type": "2300 HI (BE)",
    "referring": "2310F NM109",
    "rendering": "2310D NM109",
    "facility": "2310E NM103",
    "code": "2400 SV202-2",
    "modifiers": "2400 SV202-3",
    "description": "2400 SV202-7",
    "charge": "2400 SV203",
    "unit_code": "2400 SV204",
    "units": "2400 SV205",
}
_NOT_ON_837I = {
    *("related_causes", "accident_state", "onset_date", "accident_date", "patient_paid", "clia", "supervising"),
    *("rendering_taxonomy", "line_place_of_service", "line_note"),
}
WHOLE_CLAIM, WHOLE_LINE = "2300 CLM01", "2400 LX01"
FIELDS: dict[str, Field] = {field.name: field for field in _FIELDS}
_BY_PLACE = {field.place: field for field in _FIELDS}


def field_of(name: str) -> Field:
    """The field of that name or place. Raises :class:`UnknownFieldError`."""
    found = FIELDS.get(name) or _BY_PLACE.get(name)
    if found is None:
        raise UnknownFieldError(
            "Claims have no such field.", found=name, expected="a name or place of docs/payer-rules.md"
        )
    return found


def place_of(field: Field, form: str) -> Place:
    """Where the field stands, or would stand, on an 837 of *form*."""
    if form == "837I" and field.name in _ON_837I:
        return place(_ON_837I[field.name])
    if form == "837I" and field.name in _NOT_ON_837I:
        return place(WHOLE_LINE if field.line else WHOLE_CLAIM)
    loop, _, element = field.place.partition(".")
    coded = re.fullmatch(r"(REF|AMT|DTP)-?([0-9A-Z]{2,3})", element)
    if coded and coded[2] not in {"02", "03"}:
        element = f"{coded[1]}{'03' if coded[1] == 'DTP' else '02'} ({coded[2]})"
    return place(f"{loop} {'HI01-2 (ABK)' if element == 'HI' else element}")


def read(claim: Claim, field: Field, line: int = 0) -> str:
    """The field's value as text, lists with blanks between; empty when it is not there."""
    value: Any = claim.lines[line - 1] if field.line else claim
    for name in field.path:
        value = getattr(value, name, None)
        if value is None:
            return ""
    match value:
        case tuple():
            return " ".join(str(item) for item in value)
        case Decimal():
            return f"{value.normalize():f}"
        case Provider():
            return value.npi
        case str():
            return value
        case date():
            return value.isoformat()
    return "given"


def write(claim: Claim, field: Field, text: str, line: int = 0) -> Claim:
    """*claim* with the field's value *text*. Raises :class:`UnknownFieldError` for a value that it cannot have."""
    if not field.line:
        made: Claim = _with(claim, field.path, field, text)
        return made
    lines = list(claim.lines)
    lines[line - 1] = _with(lines[line - 1], field.path, field, text)
    return replace(claim, lines=tuple(lines))


def write_all(claim: Claim, values: dict[str, str]) -> Claim:
    """*claim* with several fields written, those of lines on its first line."""
    for name, text in values.items():
        claim = write(claim, field_of(name), text, 1)
    return claim


def places(field: Field, claim: Claim, lines: tuple[int, ...]) -> Iterator[int]:
    """Where to look for the field: on each of *lines* (all, when there are none), or once on the claim (0)."""
    if field.line:
        yield from lines or range(1, len(claim.lines) + 1)
    else:
        yield 0


def _with(owner: Any, path: tuple[str, ...], field: Field, text: str) -> Any:
    name, *rest = path
    inner = getattr(owner, name)
    if rest:
        if inner is None:
            if not text:
                return owner
            raise _unfit(field)
        return replace(owner, **{name: _with(inner, tuple(rest), field, text)})
    return replace(owner, **{name: _value(field, inner, text)})


def _value(field: Field, before: Any, text: str) -> Any:
    try:
        match field.kind:
            case "list":
                return tuple(text.split())
            case "amount":
                return Decimal(text) if text else None
            case "date":
                return date.fromisoformat(text) if text else None
            case "person":
                known = before or Provider(Person("EXAMPLAR", "RIN"))
                return replace(known, npi=text) if text else None
            case "part":
                if text:
                    raise _unfit(field)
                return None
    except (InvalidOperation, ValueError):
        raise _unfit(field) from None
    return text


def _unfit(field: Field) -> UnknownFieldError:
    return UnknownFieldError("The field cannot have that value.", where=field.name, expected=field.kind)
