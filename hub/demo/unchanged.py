"""That no machine changed what it may not: each claim, as the partner read it, says what the EHR said of its charges.

The hub's store only tells which charge a line was made of; what both ends wrote down decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from hub.core.vault import Vault
from hub.formats.x12.frequency import replaces_prior
from hub.store.tables import charge, claim, claim_line

Entry = dict[str, Any]
_LINE = ("code", "revenue", "modifiers", "units")


def changed_facts(made_of: Mapping[str, str], ehr: list[Entry], partners: list[Entry]) -> tuple[int, list[str]]:
    """How many lines of first claims partners read, and each that says something else than the EHR did, and where.

    *made_of* says of which transaction of the EHR's a line was made, by its control number.
    Codes, modifiers, units, amounts, dates, diagnoses, performer, patient and the insured's number are compared.
    """
    charges = _charges(ehr)
    people = _people(ehr)
    count, differences = 0, []
    for entry in partners:
        if entry["kind"] != "claim" or replaces_prior(entry["frequency"]):
            continue
        transactions = [made_of.get(line["control"], "") for line in entry["lines"]]
        said = [charges.get(transaction, []) for transaction in transactions]
        count += len(said)
        differences += [f"claim {entry['pcn']}: {what}" for what in _differences(entry, said, people)]
    return count, differences


def _charges(ehr: list[Entry]) -> dict[str, list[Entry]]:
    """Every version of each charge that the EHR sent, by its transaction."""
    found: dict[str, list[Entry]] = {}
    for entry in ehr:
        if entry["kind"] == "charge":
            found.setdefault(entry["transaction"], []).append(entry)
    return found


def _people(ehr: list[Entry]) -> dict[str, list[Entry]]:
    """Everything that the EHR said of a person and their cards."""
    found: dict[str, list[Entry]] = {}
    for entry in ehr:
        if entry["kind"] in {"charge", "registration"}:
            found.setdefault(entry["person"], []).append(entry)
    return found


def transactions_of_lines(connection: Connection, vault: Vault) -> dict[str, str]:
    """Of which of the EHR's transactions each line of a claim was made, by the line's control number."""
    rows = connection.execute(
        select(claim_line.c.control_number, charge.c.body)
        .join(claim, claim.c.id == claim_line.c.claim_id)
        .join(charge, charge.c.id == claim_line.c.charge_id)
    )
    return {row.control_number: vault.open_json(row.body, "charge.body")["charge"]["transaction"] for row in rows}


def _differences(entry: Entry, said: list[list[Entry]], people: dict[str, list[Entry]]) -> Iterator[str]:
    for line, versions in zip(entry["lines"], said, strict=True):
        if not any(_line_of(line) == _line_of(_as_line(version)) for version in versions):
            yield f"line {line['control']} is none of the EHR's"
    known = [version for versions in said for version in versions]
    if not known:
        return
    diagnoses = {code for version in known for code in version["diagnoses"]}
    if set(entry["diagnoses"]) - diagnoses:
        yield "a diagnosis is none of the EHR's"
    if entry["rendering"] and entry["rendering"] not in {version["performer"] for version in known}:
        yield "another performer"
    told = [each for version in known for each in people[version["person"]]]
    if entry["patient"] not in [each["patient"] for each in told]:
        yield "another patient"
    if entry["member"] not in {_bare(number) for each in told for number in each["members"]}:
        yield "another member id"


def _bare(number: str) -> str:
    """A member id without what edit ID-16 may take out."""
    return re.sub(r"[^A-Z0-9]", "", number.upper())


def _as_line(charged: Entry) -> Entry:
    return {**charged, "units": str(charged["units"]), "charge_cents": charged["amount_cents"]} | {
        "date": charged["service_date"]
    }


def _line_of(line: Entry) -> tuple[Any, ...]:
    return (*(line[name] for name in _LINE), line["date"], line["charge_cents"])
