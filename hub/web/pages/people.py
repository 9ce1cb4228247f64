"""What the store's sealed bodies say of a person, as pieces that a page masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub.web.call import Call
from hub.web.masking import Piece
from hub.web.queries.accounts import AccountRow


@dataclass(frozen=True, slots=True)
class Person:
    """A patient's name, birth date and record number, each as pieces to be masked; empty where it is not known."""

    name: tuple[Piece, ...]
    born: tuple[Piece, ...]
    mrn: tuple[Piece, ...]
    sex: str


def person(call: Call, row: AccountRow | None) -> Person:
    """The person of a patient row; all empty when there is none."""
    body = call.unseal("patient", row.sealed) if row else {}
    plain = body.get("patient", body)
    plain = plain if isinstance(plain, dict) else {}
    return Person(
        name=call.shown(_name(plain.get("name")), "patient name"),
        born=call.shown(str(plain.get("birth_date") or ""), "birth date"),
        mrn=call.shown(str(plain.get("mrn") or ""), "medical record number"),
        sex=str(plain.get("sex") or ""),
    )


def account_number(call: Call, sealed: bytes | None) -> tuple[Piece, ...]:
    """The source's account number from a visit's sealed body."""
    body = call.unseal("visit", sealed)
    plain = body.get("visit", body)
    return call.shown(str(plain.get("account") or ""), "account") if isinstance(plain, dict) else ()


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    given = " ".join(str(value[part]) for part in ("given", "middle") if value.get(part))
    return ", ".join(part for part in (str(value.get("family") or ""), given) if part)
