"""How it goes with a payer: claims by state, money, denials by code, and what its rules found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, cast, func, select

from hub.store.tables import claim, claim_event, denial

_EVENTS = 2000


@dataclass(frozen=True, slots=True)
class PayerCount:
    """A payer's claims: how many, their charges, and how many of them are denied or rejected."""

    payer_id: str
    claims: int
    cents: int
    refused: int


@dataclass(frozen=True, slots=True)
class DenialGroup:
    """Denials of one code: how often, their money, whether the triage knows the code, what was won back."""

    code: str
    times: int
    cents: int
    covered: bool
    recovered_cents: int


def counts(connection: Connection) -> list[PayerCount]:
    """Every payer that has claims, by money."""
    found: dict[str, list[int]] = {}
    rows = connection.execute(
        select(claim.c.payer_id, claim.c.state, func.count(), func.sum(claim.c.total_cents)).group_by(
            claim.c.payer_id, claim.c.state
        )
    )
    for payer_id, state, number, cents in rows:
        sums = found.setdefault(payer_id, [0, 0, 0])
        sums[0] += number
        sums[1] += int(cents)
        sums[2] += number if state in {"denied", "rejected"} else 0
    made = [PayerCount(payer_id, *sums) for payer_id, sums in found.items()]
    return sorted(made, key=lambda each: -each.cents)


def states(connection: Connection, payer_id: str) -> list[tuple[str, int, int]]:
    """A payer's claims by state: state, how many, their charges."""
    rows = connection.execute(
        select(claim.c.state, func.count(), func.sum(claim.c.total_cents))
        .where(claim.c.payer_id == payer_id)
        .group_by(claim.c.state)
        .order_by(func.count().desc())
    )
    return [(state, number, int(cents)) for state, number, cents in rows]


def denials(connection: Connection, payer_id: str) -> list[DenialGroup]:
    """A payer's denials by code: first those that no row of the triage table covers, then by money."""
    rows = connection.execute(
        select(
            denial.c.group,
            denial.c.reason,
            func.count(),
            func.sum(denial.c.cents),
            func.min(cast(denial.c.covered, Integer)),
            func.sum(denial.c.recovered_cents),
        )
        .where(denial.c.payer_id == payer_id)
        .group_by(denial.c.group, denial.c.reason)
    )
    groups = [
        DenialGroup(f"{group}-{reason}", times, int(cents), bool(covered), int(recovered))
        for group, reason, times, cents, covered, recovered in rows
    ]
    return sorted(groups, key=lambda each: (each.covered, -each.cents))


def findings(connection: Connection, payer_id: str) -> Counter[str]:
    """How often each rule found something on the payer's claims, of the newest 2,000 examinations."""
    rows = connection.execute(
        select(claim_event.c.detail)
        .join(claim, claim.c.id == claim_event.c.claim_id)
        .where(claim.c.payer_id == payer_id, claim_event.c.kind == "edit_result")
        .order_by(claim_event.c.id.desc())
        .limit(_EVENTS)
    )
    found: Counter[str] = Counter()
    for (detail,) in rows:
        said = json.loads(detail)
        found.update(str(each["rule"]) for each in said.get("found", ()) if isinstance(each, dict) and "rule" in each)
        found.update(str(each["rule"]) for each in said.get("repairs", ()) if isinstance(each, dict) and "rule" in each)
    return found
