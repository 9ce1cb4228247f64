"""Edits about what other payers decided (coordination of benefits)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from hub.billing.edits.context import Context, known
from hub.billing.edits.facts import service_day
from hub.billing.edits.registry import Found, edit
from hub.formats.x12.claim import Adjustment, Claim, ClaimLine, LineAdjudication, OtherPayer
from hub.formats.x12.claim_writer import TRIPLETS_PER_CAS

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
        by_line = any(_is_of(decision, other) for _, _, decision in _decisions(claim))
        if other.paid is not None and dated == by_line:
            yield Found(at="2430 DTP03 (573)" if by_line else "2330B DTP03 (573)")


@edit("CB-04")
def _named_payers(claim: Claim, _context: Context) -> Iterator[Found]:
    payers = {other.payer.id for other in claim.other_payers}
    yield from (Found(number) for number, _, decision in _decisions(claim) if decision.payer_id not in payers)


@edit("CB-05")
def _reasons(claim: Claim, context: Context) -> Iterator[Found]:
    for number, at, adjustment in _adjustments(claim):
        if adjustment.group not in _GROUPS:
            yield Found(number, at="2430 CAS01" if number else "2320 CAS01")
        elif context.reference.code("carc", adjustment.reason, service_day(claim)) is None:
            yield Found(number, at=at)


def _adjustments(claim: Claim) -> Iterator[tuple[int, str, Adjustment]]:
    """Every adjustment with its line (0: the claim's) and the place of its reason."""
    for other in claim.other_payers:
        yield from ((0, at, adjustment) for at, adjustment in _placed("2320", other.adjustments))
    for number, _, decision in _decisions(claim):
        yield from ((number, at, adjustment) for at, adjustment in _placed("2430", decision.adjustments))


def _placed(loop: str, adjustments: tuple[Adjustment, ...]) -> Iterator[tuple[str, Adjustment]]:
    """Each adjustment with the place of its reason: a CAS has six triplets of one group."""
    seen: Counter[str] = Counter()
    for adjustment in adjustments:
        element = 2 + 3 * (seen[adjustment.group] % TRIPLETS_PER_CAS)
        seen[adjustment.group] += 1
        which = f" ({adjustment.group})" if adjustment.group in _GROUPS else ""
        yield f"{loop} CAS{element:02d}{which}", adjustment


@edit("CB-06")
def _amounts(claim: Claim, _context: Context) -> Iterator[Found]:
    for other in claim.other_payers:
        decisions = [decision for _, _, decision in _decisions(claim) if _is_of(decision, other)]
        amounts = [("2320 AMT02 (D)", other.paid), ("2320 AMT02 (EAF)", other.remaining)]
        amounts += [("2430 SVD02", decision.paid) for decision in decisions]
        amounts += [("2430 AMT02 (EAF)", decision.remaining) for decision in decisions]
        negative = next((at for at, amount in amounts if amount is not None and amount < 0), "")
        twice = other.remaining is not None and any(decision.remaining is not None for decision in decisions)
        if twice or negative:
            yield Found(at=negative or "2320 AMT02 (EAF)")


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
    for number, at, adjustment in _adjustments(claim):
        if context.reference.code("fixable", adjustment.reason, service_day(claim)) is not None:
            yield Found(number, at=at)
