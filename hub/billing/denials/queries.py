"""What people ask about denials: which first, how each stands, which codes no rule covers, how rules do.

Priority is money x chance / days left. The chance is the practice's own history with that payer and code, begun with
the table's guess: ``(wins + 2 x guess) / (tries + 2)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, case, func, select

from hub.billing.denials.table import OWNERS
from hub.billing.edits.table import preventing
from hub.core.money import from_cents
from hub.store.tables import claim, denial, denial_action, denial_rule

NO_DEADLINE = 365
_DECIDED = ("won", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialRow:
    """One denial for a list. *chance* is of a hundred; *priority* is in cents a day, the larger the sooner."""

    id: int
    version: int
    item_id: int
    claim_id: int
    control_number: str
    payer_id: str
    codes: str
    remarks: str
    procedure: str
    amount: Decimal
    category: str
    owner: str
    action: str
    state: str
    denied_on: str
    deadline_on: str
    days_left: int
    chance: int
    priority: int
    recovered: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Denials of one payer for one reason: often one fix for all of them. *covered* is False when no rule knows it.

    *edits* are those of ``docs/edits.md`` that find the cause before a claim leaves; empty asks for a payer rule.
    """

    payer_id: str
    codes: str
    remarks: str
    category: str
    covered: bool
    count: int
    amount: Decimal
    won: int
    lost: int
    edits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What the automatic corrections of one row of the table came to."""

    rule: str
    state: str
    made: int
    won: int
    lost: int
    recovered: Decimal


def chances(connection: Connection) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Wins and tries so far, by payer, group and reason."""
    won = func.sum(case((denial.c.state == "won", 1), else_=0))
    rows = connection.execute(
        select(denial.c.payer_id, denial.c.group, denial.c.reason, won, func.count())
        .where(denial.c.state.in_(_DECIDED))
        .group_by(denial.c.payer_id, denial.c.group, denial.c.reason)
    )
    return {(payer, group, reason): (int(wins), int(tries)) for payer, group, reason, wins, tries in rows}


def denials(
    connection: Connection,
    today: date,
    *,
    states: Iterable[str] = ("open",),
    payer_id: str = "",
    owner: str = "",
    claim_id: int | None = None,
    limit: int = 200,
) -> list[DenialRow]:
    """The denials in *states*, what should be worked first at the top."""
    statement = (
        select(denial, claim.c.control_number)
        .join(claim, claim.c.id == denial.c.claim_id)
        .where(denial.c.state.in_(tuple(states)))
    )
    if payer_id:
        statement = statement.where(denial.c.payer_id == payer_id)
    if owner:
        statement = statement.where(denial.c.category.in_([each for each, desk in OWNERS.items() if desk == owner]))
    if claim_id is not None:
        statement = statement.where(denial.c.claim_id == claim_id)
    history = chances(connection)
    found = [_denial(row, today, history) for row in connection.execute(statement).mappings()]
    found.sort(key=lambda each: (-each.priority, each.deadline_on or "9999", each.id))
    return found[:limit]


def _denial(row: RowMapping, today: date, history: Mapping[tuple[str, str, str], tuple[int, int]]) -> DenialRow:
    """The denial of *row*. Its chance is the table's, which weighs as much as two tries, with those of *history*."""
    wins, tries = history.get((row["payer_id"], row["group"], row["reason"]), (0, 0))
    chance = round((wins * 100 + 2 * row["chance"]) / (tries + 2))
    left = (date.fromisoformat(row["deadline_on"]) - today).days if row["deadline_on"] else NO_DEADLINE
    return DenialRow(
        id=row["id"],
        version=row["version"],
        item_id=row["item_id"],
        claim_id=row["claim_id"],
        control_number=row["control_number"],
        payer_id=row["payer_id"],
        codes=row["codes"],
        remarks=row["remarks"],
        procedure=row["procedure"],
        amount=from_cents(row["cents"]),
        category=row["category"],
        owner=OWNERS[row["category"]],
        action=row["action"],
        state=row["state"],
        denied_on=row["denied_on"],
        deadline_on=row["deadline_on"],
        days_left=left,
        chance=chance,
        priority=row["cents"] * chance // 100 // max(1, left),
        recovered=from_cents(row["recovered_cents"]),
    )


def causes(connection: Connection, *, uncovered: bool = False) -> list[Cause]:
    """Denials by payer and code, the dearest first; only those that no rule covers, with *uncovered*."""
    won = func.sum(case((denial.c.state == "won", 1), else_=0))
    lost = func.sum(case((denial.c.state == "lost", 1), else_=0))
    keys = (denial.c.payer_id, denial.c.codes, denial.c.remarks, denial.c.category, denial.c.covered)
    statement = select(*keys, func.count(), func.sum(denial.c.cents), won, lost).where(denial.c.state != "withdrawn")
    if uncovered:
        statement = statement.where(denial.c.covered.is_(False))
    rows = connection.execute(statement.group_by(*keys).order_by(func.sum(denial.c.cents).desc()))
    return [
        Cause(
            payer_id=payer,
            codes=codes,
            remarks=remarks,
            category=category,
            covered=bool(covered),
            count=int(count),
            amount=from_cents(int(cents)),
            won=int(wins),
            lost=int(losses),
            edits=preventing(*codes.split()),
        )
        for payer, codes, remarks, category, covered, count, cents, wins, losses in rows
    ]


def rules(connection: Connection) -> list[RuleResult]:
    """What each row of the table that corrects by itself came to, and whether it is suspended."""
    states = dict(connection.execute(select(denial_rule.c.rule, denial_rule.c.state)).tuples().all())
    won = func.sum(case((denial_action.c.state == "won", 1), else_=0))
    lost = func.sum(case((denial_action.c.state == "lost", 1), else_=0))
    rows = connection.execute(
        select(denial_action.c.rule, func.count(), won, lost, func.sum(denial_action.c.recovered_cents))
        .where(denial_action.c.automatic)
        .group_by(denial_action.c.rule)
        .order_by(denial_action.c.rule)
    )
    return [
        RuleResult(
            rule=rule,
            state=states.get(rule, "active"),
            made=int(made),
            won=int(wins),
            lost=int(losses),
            recovered=from_cents(int(cents)),
        )
        for rule, made, wins, losses, cents in rows
    ]
