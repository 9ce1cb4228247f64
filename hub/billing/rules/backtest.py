"""A working copy's rules over claims that were made before: what they would have caught, and held for nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, select

from hub.billing.claim_body import ClaimBody
from hub.billing.config import BillingConfig
from hub.billing.edits.context import Context
from hub.billing.rules.examine import examine
from hub.billing.rules.layers import rule_book
from hub.store.tables import claim, claim_event, ledger_posting

_SENT_BACK = ("rejected", "denied")


@dataclass(slots=True)
class RuleResult:
    """What one rule would have done.

    *hits* in all, *caught* claims that were denied or sent back, *new* ones that it would newly stop although they went
    through without it.
    """

    name: str
    hits: int = 0
    caught: int = 0
    new: int = 0
    claims: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Backtest:
    """What a back-test found. *denials* counts the codes of denied claims, *uncovered* those that no rule hits."""

    claims: int = 0
    known_denials: int = 0
    rules: dict[str, RuleResult] = field(default_factory=dict)
    uncovered: Counter[str] = field(default_factory=Counter)


def backtest(
    connection: Connection, config: BillingConfig, unseal: Callable[[bytes], Any], payer_id: str, today: date, days: int
) -> Backtest:
    """Run the rules of *config* over the payer's claims whose service is at most *days* old.

    Each claim begins as its charges said it; the state of the rules at that time plays no part. Nothing is written.
    """
    payer = config.payers[payer_id]
    book = rule_book(config, payer_id)
    result = Backtest(rules={each.name: RuleResult(each.name) for each in book.rules})
    denied = _denials(connection, payer_id)
    recorded = _recorded_hits(connection, payer_id)
    since = (today - timedelta(days=days)).isoformat()
    rows = connection.execute(
        select(claim.c.id, claim.c.control_number, claim.c.state, claim.c.body, claim.c.service_on)
        .where(claim.c.payer_id == payer_id, claim.c.service_on >= since, claim.c.state != "void")
        .order_by(claim.c.id)
    )
    for row in rows:
        result.claims += 1
        codes = denied.get(row.id, set())
        bad = bool(codes) or row.state in _SENT_BACK
        result.known_denials += bad
        said = ClaimBody.from_plain(unseal(row.body)).decided()
        examined = examine(said, Context(payer, today, config.practice), book)
        hits = [trace.name for trace in examined.traces if trace.hit]
        stopping = {finding.rule for finding in (*examined.stops, *examined.holds)}
        for name in hits:
            each = result.rules[name]
            each.hits += 1
            each.caught += bad
            each.new += name in stopping and not bad and name not in recorded.get(row.id, set())
            each.claims.append(row.control_number)
        if bad and not hits:
            result.uncovered.update(codes or {row.state})
    return result


def _denials(connection: Connection, payer_id: str) -> dict[int, set[str]]:
    """Claim ids with the adjustment codes that the ledger holds as denied."""
    found = connection.execute(
        select(ledger_posting.c.claim_id, ledger_posting.c.code)
        .distinct()
        .join(claim, claim.c.id == ledger_posting.c.claim_id)
        .where(claim.c.payer_id == payer_id, ledger_posting.c.account == "denied", ledger_posting.c.code != "")
    )
    codes: dict[int, set[str]] = {}
    for claim_id, code in found:
        codes.setdefault(int(claim_id), set()).add(str(code))
    return codes


def _recorded_hits(connection: Connection, payer_id: str) -> dict[int, set[str]]:
    found = connection.execute(
        select(claim_event.c.claim_id, claim_event.c.detail)
        .join(claim, claim.c.id == claim_event.c.claim_id)
        .where(claim.c.payer_id == payer_id, claim_event.c.kind == "edit_result")
    )
    names: dict[int, set[str]] = {}
    for claim_id, text in found:
        names.setdefault(int(claim_id), set()).update(_names(json.loads(text)))
    return names


def _names(detail: dict[str, Any]) -> Iterator[str]:
    yield from (each["rule"] for each in (*detail.get("found", ()), *detail.get("repairs", ())))
