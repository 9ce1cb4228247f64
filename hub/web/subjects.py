"""Whom a stored content is about, so that a look at it can be recorded with its patients.

The numbers in the content are looked up by the same blind indexes that billing keeps: an account names a visit, a
record number a patient, a claim's control number a claim. What billing does not know names nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, select

from hub.core.errors import HubError
from hub.core.vault import Vault
from hub.formats.hl7v2.message import Message
from hub.formats.x12.segments import read_segments
from hub.store.tables import claim, patient_alias, visit
from hub.web.queries.accounts import survivors

_CONTROL_NUMBERS = {"CLM": 1, "CLP": 1, "TRN": 2}
_AT_ONCE = 500
_MOST = 5000


def patients_in(connection: Connection, vault: Vault, body: bytes) -> tuple[int, ...]:
    """The patients that *body* names, as they are today: a merged one counts as its survivor."""
    accounts, records, claims = _numbers(body)
    digests = [vault.digest("account", text) for text in accounts]
    aliases = [vault.digest("mrn", text) for text in records]
    found = {
        *_column(connection, visit.c.patient_id, visit.c.account_digest, digests),
        *_column(connection, patient_alias.c.patient_id, patient_alias.c.digest, aliases),
        *_column(connection, claim.c.patient_id, claim.c.control_number, claims),
    }
    return tuple(sorted(set(survivors(connection, found).values())))


def _numbers(body: bytes) -> tuple[set[str], set[str], set[str]]:
    """Account numbers, record numbers with their authority, and control numbers of claims."""
    head = body.lstrip(b"\xef\xbb\xbf \r\n\t")[:4]
    try:
        if head[:3] == b"MSH":
            return _of_hl7(Message(body))
        if head[:3] == b"ISA":
            return set(), set(), set(_of_x12(body))
        if head[:1] in {b"{", b"["}:
            return _of_json(json.loads(body))
    except (HubError, ValueError, RecursionError):
        pass  # what cannot be read names nobody that could be recorded
    return set(), set(), set()


def _of_hl7(message: Message) -> tuple[set[str], set[str], set[str]]:
    records = {
        f"{parts[3].split('&')[0] if len(parts) > 3 else ''}|{parts[0]}"
        for name, field in (("PID", 3), ("MRG", 1))
        for segment in message.each(name)
        for repetition in segment.repetitions(field)
        if (parts := repetition.split(message.delimiters.component))[0]
    }
    return {text for segment in message.each("PID") if (text := segment["PID-18.1"])}, records, set()


def _of_x12(body: bytes) -> Iterator[str]:
    for segment in read_segments(body):
        if segment.id in _CONTROL_NUMBERS and segment[_CONTROL_NUMBERS[segment.id]]:
            yield segment[_CONTROL_NUMBERS[segment.id]]


def _of_json(document: Any) -> tuple[set[str], set[str], set[str]]:
    accounts: set[str] = set()
    records: set[str] = set()
    claims: set[str] = set()
    for entry in _objects(document):
        if isinstance(entry.get("account"), str):
            accounts.add(entry["account"])
        if isinstance(entry.get("mrn"), str):
            records.add(f"{entry.get('authority') or ''}|{entry['mrn']}")
        if isinstance(entry.get("control_number"), str):
            claims.add(entry["control_number"])
        if isinstance(entry.get("value"), str):  # a FHIR identifier; whether it is an account shows in the index
            accounts.add(entry["value"])
    return accounts, records, claims


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _column(connection: Connection, wanted: Any, key: Any, values: Iterable[Any]) -> Iterator[int]:
    every = sorted(values)[:_MOST]
    for at in range(0, len(every), _AT_ONCE):
        yield from connection.execute(select(wanted).where(key.in_(every[at : at + _AT_ONCE]))).scalars()
