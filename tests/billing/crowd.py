"""Very many claims and one very large remittance, made without the way that makes each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from hub.store import tables
from tests.billing.payer import Desk, Line, Paid, Remit, written

AT_ONCE = 1000
TABLES = (tables.charge, tables.claim, tables.claim_line, tables.ledger_entry, tables.ledger_posting)


def multiply(desk: Desk, claim: dict[str, Any], count: int) -> list[str]:
    """Put *count* claims like *claim* (of one line) into the store; their control numbers."""
    world = desk.world
    (line,) = desk.lines(claim)
    charge = world.one(tables.charge, id=line["charge_id"])
    entries = [
        (entry, world.rows(tables.ledger_posting, entry_id=entry["id"])) for entry in world.rows(tables.ledger_entry)
    ]
    numbers = [f"CROWD{n:06d}" for n in range(count)]
    for start in range(0, count, AT_ONCE):
        made: dict[Any, list[dict[str, Any]]] = {table: [] for table in TABLES}
        for number in numbers[start : start + AT_ONCE]:
            ids = {"charge_id": world.ids.next(), "claim_id": world.ids.next()}
            own = {**charge, "id": ids["charge_id"], "digest": number.encode(), "claim_id": ids["claim_id"]}
            made[tables.charge].append(own)
            own = {**claim, "id": ids["claim_id"], "chain_id": ids["claim_id"], "control_number": number}
            made[tables.claim].append(own)
            made[tables.claim_line].append({**line, **ids, "control_number": f"{number}L01"})
            for entry, postings in entries:
                entry_id = world.ids.next()
                own = {**entry, "id": entry_id, "entry_key": f"{entry['kind']}/{ids['charge_id']}"}
                made[tables.ledger_entry].append(own | {"claim_id": ids["claim_id"] if entry["claim_id"] else None})
                made[tables.ledger_posting] += [
                    {**each, "entry_id": entry_id, **{name: ids[name] for name in ids if each[name]}}
                    for each in postings
                ]
        with world.writing() as connection:
            for table, rows in made.items():
                connection.execute(insert(table), rows)
    return numbers


def payments(numbers: list[str]) -> Iterator[Paid]:
    """What the payer says of each: mostly paid, every seventh denied in part, every eleventh under a number cut short.

    The claims come from :func:`multiply` of a claim over 150.00.
    """
    for place, number in enumerate(numbers):
        rest = ("CO", "45", "50") if place % 7 else ("CO", "16", "50")
        line = Line("99213", "150", "80", (rest, ("PR", "3", "20")), control=f"{number}L01")
        said = Paid(number, "150", "80", (line,), icn=f"ICN{place}")
        yield said if place % 11 else replace(said, number=number[:-1])


def file_of(said: list[Paid], trace: str = "EFTCROWD") -> bytes:
    """The 835 with all of *said*."""
    return written(Remit(tuple(said), plb=(("L6:CROWD", "-1.50"),), trace=trace), control=77)
