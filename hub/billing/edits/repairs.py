"""Repairs of form. They never touch a code, modifier, amount, unit, date or identity, only how one is written."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from hub.billing.control_numbers import line_control_number
from hub.billing.edits.context import Context
from hub.billing.edits.registry import Change, repair
from hub.formats.x12.claim import Address, Claim, Facility, Organisation, Payer, Person
from hub.formats.x12.writer import clean

T = TypeVar("T")
_NO_GROUP = {"NONE", "N/A", "NA", "UNKNOWN"}
_TEXTS = {"note", "description", "group_name"}
_OF_TEXT = (Address, Person, Organisation)
_NAMED = (Payer, Facility)
_PLAIN = {"str", "bool", "date", "date | None", "Decimal", "Decimal | None", "int"}


@repair("CL-21")
def _basic_characters(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    changes: list[Change] = []
    return _cleaned(claim, "", changes), tuple(changes)


def _cleaned(value: T, place: str, changes: list[Change]) -> T:
    """*value*, a dataclass, with the texts of its names, addresses and notes in the basic character set."""
    changed: dict[str, Any] = {}
    kind: Any = type(value)
    texts, others = _fields(kind)
    for name in texts:
        said = getattr(value, name)
        text = clean(said)
        if text != said:
            changes.append(Change(f"{place}{name}", said, text))
            changed[name] = text
    for name in others:
        item = getattr(value, name)
        if isinstance(item, tuple) and item and is_dataclass(item[0]):
            each_at = ((f"{place}{name}[{number}].", each) for number, each in enumerate(item, 1))
            made = tuple(_cleaned(each, at, changes) for at, each in each_at)
            if made != item:
                changed[name] = made
        elif is_dataclass(item) and not isinstance(item, type):
            part = _cleaned(item, f"{place}{name}.", changes)
            if part is not item:
                changed[name] = part
    return replace(value, **changed) if changed else value  # type: ignore[type-var]


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the fields with free texts, and of those that may hold further values."""
    texts = [field.name for field in fields(kind) if field.type in ("str", str) and _is_text(kind, field.name)]
    return tuple(texts), tuple(field.name for field in fields(kind) if field.type not in _PLAIN)


def _is_text(kind: type[Any], field: str) -> bool:
    return field in _TEXTS or issubclass(kind, _OF_TEXT) or (issubclass(kind, _NAMED) and field == "name")


@repair("ID-07")
def _long_zip(claim: Claim, context: Context) -> tuple[Claim, tuple[Change, ...]]:
    if context.practice is None:
        return claim, ()
    own = context.practice.address
    provider = claim.billing_provider
    code = provider.address.postal_code
    if len(code) == 5 and len(own.postal_code) == 9 and own.postal_code.startswith(code):
        address = replace(provider.address, postal_code=own.postal_code)
        changed = replace(claim, billing_provider=replace(provider, address=address))
        return changed, (Change("billing_provider.address.postal_code", code, own.postal_code),)
    return claim, ()


@repair("ID-10")
def _no_second_place(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    facility, provider = claim.facility, claim.billing_provider
    if facility is None:
        return claim, ()
    same_npi = bool(facility.npi) and facility.npi == provider.npi
    if same_npi or _street(facility.address) == _street(provider.address):
        return replace(claim, facility=None), (Change("facility", facility.name, ""),)
    return claim, ()


def _street(address: Address) -> tuple[str, str]:
    return " ".join(address.line1.upper().split()), address.postal_code[:5]


@repair("ID-16")
def _bare_member_id(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    said = claim.subscriber.member_id
    bare = re.sub(r"[^A-Z0-9]", "", said.upper())
    if bare == said:
        return claim, ()
    return replace(claim, subscriber=replace(claim.subscriber, member_id=bare)), (
        Change("subscriber.member_id", said, bare),
    )


@repair("ID-27")
def _no_group(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    said = claim.subscriber.group_number
    if said.upper() not in _NO_GROUP:
        return claim, ()
    return replace(claim, subscriber=replace(claim.subscriber, group_number="")), (
        Change("subscriber.group_number", said, ""),
    )


@repair("DX-05")
def _bare_diagnoses(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    bare = tuple(code.strip().replace(".", "").upper() for code in claim.diagnoses)
    if bare == claim.diagnoses:
        return claim, ()
    changes = tuple(
        Change(f"diagnoses[{number}]", said, code)
        for number, (said, code) in enumerate(zip(claim.diagnoses, bare, strict=True), 1)
        if said != code
    )
    return replace(claim, diagnoses=bare), changes


@repair("LN-21")
def _line_numbers(claim: Claim, _context: Context) -> tuple[Claim, tuple[Change, ...]]:
    said = [line.control_number for line in claim.lines]
    if len(set(said)) == len(said) and all(1 <= len(number) <= 30 for number in said):
        return claim, ()
    wanted = [line_control_number(claim.control_number, number) for number in range(1, len(said) + 1)]
    lines = tuple(replace(line, control_number=number) for line, number in zip(claim.lines, wanted, strict=True))
    changes = tuple(
        Change(f"lines[{number}].control_number", old, new)
        for number, (old, new) in enumerate(zip(said, wanted, strict=True), 1)
        if old != new
    )
    return replace(claim, lines=lines), changes
