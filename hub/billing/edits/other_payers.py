"""Edits about what other payers decided (coordination of benefits)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hub.billing.edits.context import Context, known
from hub.billing.edits.facts import service_day
from hub.billing.edits.registry import Found, edit
from hub.formats.x12.claim import Adjustment, Claim, ClaimLine, LineAdjudication, OtherPayer

_GROUPS = {"CO", "OA", "PI", "PR"}
_ORDER = "PSTABCDEFGH"


def _decisions(claim: Claim) -> Iterator[tuple[int, ClaimLine, LineAdjudication]]:
    for number, line in enumerate(claim.lines, 1):
        for decision in line.adjudications:
            yield number, line, decision


def _sum(adjustments: tuple[Adjustment, ...]) -> Decimal:
    return sum((each.amount for each in adjustments), Decimal(0))


@edit("CB-01")
def _lines_add_up(claim: Claim, _context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        for payer_id in {decision.payer_id for decision in line.adjudications}:
            parts = [decision for decision in line.adjudications if decision.payer_id == payer_id]
            if sum(part.paid + _sum(part.adjustments) for part in parts) != line.charge:
                yield Found(number)


@edit("CB-02")
def _claim_adds_up(claim: Claim, _context: Context) -> Iterator[Found]:
    for other in claim.other_payers:
        if other.paid is None:
            continue
        on_lines = sum((_sum(d.adjustments) for _, _, d in _decisions(claim) if _is_of(d, other)), Decimal(0))
        if other.paid + _sum(other.adjustments) + on_lines != claim.charge:
            yield Found()


def _is_of(decision: LineAdjudication, other: OtherPayer) -> bool:
    return decision.payer_id == other.payer.id


@edit("CB-03")
def _decided_on(claim: Claim, _context: Context) -> Iterator[Found]:
    for other in claim.other_payers:
        dated = other.decided is not None
        if other.paid is not None and dated == any(_is_of(decision, other) for _, _, decision in _decisions(claim)):
            yield Found()


@edit("CB-04")
def _named_payers(claim: Claim, _context: Context) -> Iterator[Found]:
    payers = {other.payer.id for other in claim.other_payers}
    yield from (Found(number) for number, _, decision in _decisions(claim) if decision.payer_id not in payers)


@edit("CB-05")
def _reasons(claim: Claim, context: Context) -> Iterator[Found]:
    for number, adjustment in _adjustments(claim):
        wrong = adjustment.group not in _GROUPS
        if wrong or context.reference.code("carc", adjustment.reason, service_day(claim)) is None:
            yield Found(number)


def _adjustments(claim: Claim) -> Iterator[tuple[int, Adjustment]]:
    for other in claim.other_payers:
        yield from ((0, adjustment) for adjustment in other.adjustments)
    for number, _, decision in _decisions(claim):
        yield from ((number, adjustment) for adjustment in decision.adjustments)


@edit("CB-06")
def _amounts(claim: Claim, _context: Context) -> Iterator[Found]:
    for other in claim.other_payers:
        decisions = [decision for _, _, decision in _decisions(claim) if _is_of(decision, other)]
        amounts = [other.paid, other.remaining, *(d.paid for d in decisions), *(d.remaining for d in decisions)]
        twice = other.remaining is not None and any(decision.remaining is not None for decision in decisions)
        if twice or any(amount is not None and amount < 0 for amount in amounts):
            yield Found()


@edit("CB-07")
def _no_gap(claim: Claim, _context: Context) -> Iterator[Found]:
    places = {claim.subscriber.sequence, *(other.subscriber.sequence for other in claim.other_payers)}
    if "P" in places and places != set(_ORDER[: len(places)]):
        yield Found()


@edit("CB-08")
def _crossed_over(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.other_payers:
        crossed = known(context.history, "history").crossed_over
        if any(other.payer.id in crossed for other in claim.other_payers):
            yield Found()


@edit("CB-09")
def _can_be_corrected(claim: Claim, context: Context) -> Iterator[Found]:
    for number, adjustment in _adjustments(claim):
        if context.reference.code("fixable", adjustment.reason, service_day(claim)) is not None:
            yield Found(number)
