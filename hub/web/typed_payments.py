"""A payment as somebody types it: the fields of a form, and the words in which billing takes it.

Everything is kept as text, as it was typed, so that a form can be shown again as it was. What cannot be read has an
objection at its field; whether the amounts add up is for billing to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hub.core.money import from_cents
from hub.formats.x12.claim import Adjustment
from hub.formats.x12.remittance import RemittanceClaim
from hub.web.queries.payments import ClaimLine

MOST_CLAIMS = 20
MOST_LINES = 50
METHODS = (("CHK", "a check"), ("ACH", "an electronic transfer"), ("NON", "no money, for information"))
STATUSES = (
    ("1", "processed as primary"), ("2", "processed as secondary"), ("3", "processed as tertiary"),
    ("4", "denied"), ("22", "reversal of an earlier payment"),
)  # fmt: skip
_AMOUNT = re.compile(r"-?\d{1,9}(\.\d{1,2})?\Z")
_ADJUSTMENT = re.compile(r"(CO|PR|OA|PI)[-\s]?([0-9A-Z]{1,5})\s+(-?\d{1,9}(?:\.\d{1,2})?)\Z")
_PROVIDER = re.compile(r"([0-9A-Z]{2})\s+(-?\d{1,9}(?:\.\d{1,2})?)(?:\s+(\S{1,50}))?\Z")
_REMARK = re.compile(r"[A-Z]{1,2}\d{1,4}\Z")


@dataclass(slots=True)
class TypedLine:
    """One line of a claim."""

    control_number: str = ""
    code: str = ""
    modifiers: str = ""
    day: str = ""
    charge: str = ""
    paid: str = ""
    adjustments: str = ""
    remarks: str = ""


@dataclass(slots=True)
class TypedClaim:
    """One claim."""

    number: str = ""
    status: str = "1"
    payer_number: str = ""
    charge: str = ""
    paid: str = ""
    adjustments: str = ""
    remarks: str = ""
    lines: list[TypedLine] = field(default_factory=list)


@dataclass(slots=True)
class Typed:
    """What was read, in billing's words, with the objections by field."""

    plain: dict[str, Any]
    errors: dict[str, str]


_OF_CLAIM = ("number", "status", "payer_number", "charge", "paid", "adjustments", "remarks")
_OF_LINE = ("control_number", "code", "modifiers", "day", "charge", "paid", "adjustments", "remarks")


def claims_in(form: Mapping[str, Any]) -> list[TypedClaim]:
    """The claims that a form holds: fields ``c0-number``, ``c0-l2-paid``."""
    found = []
    for c in range(MOST_CLAIMS):
        if f"c{c}-number" not in form:
            break
        claim = TypedClaim()
        for name in _OF_CLAIM:
            setattr(claim, name, _text(form, f"c{c}-{name}"))
        for n in range(MOST_LINES):
            if f"c{c}-l{n}-code" not in form:
                break
            claim.lines.append(TypedLine(**{name: _text(form, f"c{c}-l{n}-{name}") for name in _OF_LINE}))
        found.append(claim)
    return found


def of_our_claim(number: str, lines: Sequence[ClaimLine]) -> TypedClaim:
    """What is known of a claim before the paper is typed: its lines and charges."""
    typed = [
        TypedLine(
            control_number=each.control_number,
            code=each.code,
            modifiers=each.modifiers,
            day=each.service_on,
            charge=f"{from_cents(each.charge_cents):f}",
        )
        for each in lines
    ]
    whole = f"{from_cents(sum(each.charge_cents for each in lines)):f}"
    return TypedClaim(number=number, charge=whole if lines else "", lines=typed)


def of_payment(said: RemittanceClaim) -> TypedClaim:
    """What the payer said, to be mended."""
    return TypedClaim(
        number=said.control_number,
        status=said.status,
        payer_number=said.payer_claim_control_number,
        charge=f"{said.charge:f}",
        paid=f"{said.paid:f}",
        adjustments=_written(said.adjustments),
        remarks=" ".join(said.remark_codes),
        lines=[
            TypedLine(
                control_number=each.control_number,
                code=each.code,
                modifiers=" ".join(each.modifiers),
                day=each.service_from.isoformat() if each.service_from else "",
                charge=f"{each.charge:f}",
                paid=f"{each.paid:f}",
                adjustments=_written(each.adjustments),
                remarks=" ".join(each.remark_codes),
            )
            for each in said.lines[:MOST_LINES]
        ],
    )


def read_claims(claims: Sequence[TypedClaim]) -> Typed:
    """*claims* as the command ``enter_payment`` takes them under ``claims``."""
    plain: list[dict[str, Any]] = []
    errors: dict[str, str] = {}
    for c, claim in enumerate(claims):
        one = read_claim(claim, f"c{c}")
        plain.append(one.plain)
        errors |= one.errors
    return Typed({"claims": plain}, errors)


def read_claim(claim: TypedClaim, place: str) -> Typed:
    """*claim* as the command ``restate_payment`` takes it; its fields are called *place* and more."""
    errors: dict[str, str] = {}
    lines = []
    for n, line in enumerate(claim.lines):
        at = f"{place}-l{n}"
        if not line.paid and not line.adjustments:
            continue  # the paper does not speak of it
        one: dict[str, Any] = {
            "code": line.code.upper(),
            "charge": _amount(line.charge, f"{at}-charge", "Charge", errors),
            "paid": _amount(line.paid or "0", f"{at}-paid", "Paid", errors),
            "modifiers": line.modifiers.upper().split(),
            "control_number": line.control_number,
            "adjustments": _adjustments(line.adjustments, f"{at}-adjustments", errors),
            "remark_codes": _remarks(line.remarks, f"{at}-remarks", errors),
        }
        if not line.code:
            errors[f"{at}-code"] = "Code: this is needed."
        if line.day:
            one["service_date"] = line.day
        lines.append(one)
    adjustments = _adjustments(claim.adjustments, f"{place}-adjustments", errors)
    every = [*adjustments, *(each for line in lines for each in line["adjustments"])]
    shares = [Decimal(each["amount"]) for each in every if each["group"] == "PR"]
    plain: dict[str, Any] = {
        "control_number": claim.number.upper(),
        "status": claim.status,
        "charge": _amount(claim.charge, f"{place}-charge", "Charge", errors),
        "paid": _amount(claim.paid, f"{place}-paid", "Paid", errors),
        "patient": f"{sum(shares, Decimal(0)):f}",
        "payer_claim_number": claim.payer_number,
        "adjustments": adjustments,
        "remark_codes": _remarks(claim.remarks, f"{place}-remarks", errors),
        "lines": lines,
    }
    if not claim.number:
        errors[f"{place}-number"] = "Claim: its number is needed."
    if claim.status not in {word for word, _ in STATUSES}:
        errors[f"{place}-status"] = "Status: choose one."
    return Typed(plain, errors)


def read_head(typed: Mapping[str, str]) -> Typed:
    """The payment itself: payer, number, amount, day, how, and what the payer took or gave beside the claims."""
    errors: dict[str, str] = {}
    for name, label in (("payer_id", "Payer"), ("trace", "Number"), ("paid_on", "Day")):
        if not typed.get(name):
            errors[name] = f"{label}: this is needed."
    beside = []
    for piece in _pieces(typed.get("beside", "")):
        match = _PROVIDER.match(piece)
        if match is None:
            errors["beside"] = "Beside the claims: code, amount and, where there is one, reference: WO 25.00 OLD1."
            continue
        beside.append({"reason": match[1], "amount": match[2], "reference": match[3] or ""})
    plain = {
        "payer_id": typed.get("payer_id", ""),
        "trace": typed.get("trace", ""),
        "amount": _amount(typed.get("amount", ""), "amount", "Amount", errors),
        "paid_on": typed.get("paid_on", ""),
        "method": typed.get("method", ""),
        "provider_adjustments": beside,
    }
    if plain["method"] not in {word for word, _ in METHODS}:
        errors["method"] = "Paid by: choose one."
    return Typed(plain, errors)


def _text(form: Mapping[str, Any], name: str) -> str:
    return str(form.get(name, "")).strip()[:400]


def _amount(text: str, name: str, label: str, errors: dict[str, str]) -> str:
    if not _AMOUNT.match(text):
        errors[name] = f"{label}: an amount like 125.00."
        return "0"
    return text


def _pieces(text: str) -> list[str]:
    return [piece for each in re.split(r"[,;\n]", text) if (piece := " ".join(each.upper().split()))]


def _adjustments(text: str, name: str, errors: dict[str, str]) -> list[dict[str, str]]:
    found = []
    for piece in _pieces(text):
        match = _ADJUSTMENT.match(piece)
        if match is None:
            errors[name] = "Adjustments: group, reason and amount, commas between them: CO-45 40.00, PR-3 25."
            continue
        found.append({"group": match[1], "reason": match[2], "amount": match[3]})
    return found


def _remarks(text: str, name: str, errors: dict[str, str]) -> list[str]:
    found = text.upper().replace(",", " ").split()
    if not all(_REMARK.match(each) for each in found):
        errors[name] = "Remarks: codes like N30 or MA130, blanks between them."
        return []
    return found


def _written(adjustments: Sequence[Adjustment]) -> str:
    return ", ".join(f"{each.group}-{each.reason} {each.amount:f}" for each in adjustments)
