"""What a remittance says of each line of a claim: who pays what of it, and what of it a person must judge.

Nothing here reads or writes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hub.billing import ledger
from hub.billing.config import BillingPolicy, Payer
from hub.billing.matching import BilledLine, match_line
from hub.core.money import to_cents
from hub.formats.x12.claim import Adjustment
from hub.formats.x12.remittance import RemittanceClaim, RemittanceLine


@dataclass(slots=True)
class LineShare:
    """What a remittance says of one line of ours, in cents; adjustments are pairs of code (``CO-45``) and amount.

    *where* is the segment that says it: the first SVC for the line, or the CLP.
    """

    line: BilledLine
    where: str = ""
    paid_cents: int = 0
    adjustments: list[tuple[str, int]] = field(default_factory=list)
    remark_codes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Money that the payer does not pay for a reason that a person must judge.

    *where* says of what: ``line 2``, ``the claim``.
    """

    where: str
    ordinal: int
    codes: tuple[str, ...]
    cents: int
    charge_id: int | None = None
    kind: str = "denied line"


def allocate(cents: int, weights: Sequence[int]) -> list[int]:
    """*cents* in proportion to *weights*, exact to the cent.

    Each running total is rounded down, so the last share takes the rest.

    Weights are charges and not negative. When all are zero, the first share takes everything.
    """
    total = sum(weights)
    if not total:
        return [cents, *[0] * (len(weights) - 1)] if weights else []
    sign = -1 if cents < 0 else 1
    shares, running, given = [], 0, 0
    for weight in weights:
        running += weight
        upto = abs(cents) * running // total
        shares.append(sign * (upto - given))
        given = upto
    return shares


def line_shares(said: RemittanceClaim, lines: Sequence[BilledLine]) -> list[LineShare]:
    """What *said* means for each of *lines*; the payments sum to CLP04 and the adjustments to all of CAS.

    Whatever is said of the claim and not of a line (adjustments of loop 2100; everything, where there are
    no SVC loops; a line that is none of ours) is shared out in proportion to the charges, see
    :func:`allocate`.
    """
    shares = {line.ordinal: LineShare(line) for line in lines}
    used: set[int] = set()
    for service in said.lines:
        line = match_line(service, lines, used)
        if line is None:
            _share_out(shares.values(), to_cents(service.paid), service.adjustments)
            continue
        used.add(line.ordinal)
        share = shares[line.ordinal]
        share.where = share.where or service.where
        share.paid_cents += to_cents(service.paid)
        share.adjustments += [(_code(each), to_cents(each.amount)) for each in service.adjustments]
        share.remark_codes += [each for each in service.remark_codes if each not in share.remark_codes]
    whole = 0 if said.lines else to_cents(said.paid)
    _share_out(shares.values(), whole, said.adjustments)
    if said.lines:  # claim-level adjustments lower what the lines say was paid
        lowered = sum(to_cents(each.amount) for each in said.adjustments)
        _share_out(shares.values(), -lowered, ())
    for share in shares.values():
        share.where = share.where or said.where
    return list(shares.values())


def _share_out(shares: Iterable[LineShare], paid_cents: int, adjustments: Iterable[Adjustment]) -> None:
    takers = list(shares)
    weights = [max(each.line.charge_cents, 0) for each in takers]
    for share, cents in zip(takers, allocate(paid_cents, weights), strict=True):
        share.paid_cents += cents
    for adjustment in adjustments:
        parts = allocate(to_cents(adjustment.amount), weights)
        for share, cents in zip(takers, parts, strict=True):
            if cents:
                share.adjustments.append((_code(adjustment), cents))


def refusals(
    said: RemittanceClaim, lines: Sequence[BilledLine], policy: BillingPolicy, *, spared: bool = False
) -> list[Refusal]:
    """The adjustments of *said* that stay open with the payer, by line.

    Those of the claim itself come first, as ordinal 0. *spared*: nothing may be asked of the patient.
    """
    found = []
    used: set[int] = set()
    groups: list[tuple[str, int, tuple[Adjustment, ...], int | None]] = [("the claim", 0, said.adjustments, None)]
    for number, service in enumerate(said.lines, start=1):
        line = match_line(service, lines, used)
        if line is not None:
            used.add(line.ordinal)
        charge_id = line.charge_id if line else None
        groups.append((f"line {line.ordinal if line else number}", number, service.adjustments, charge_id))
    for where, ordinal, adjustments, charge_id in groups:
        left = [each for each in adjustments if account_of(_code(each), policy, spared=spared) is None]
        cents = sum(to_cents(each.amount) for each in left)
        if cents > 0:
            codes = tuple(dict.fromkeys(_code(each) for each in left))
            bundled = ordinal > 0 and bundling_line(said, said.lines[ordinal - 1]) is not None
            kind = "denied claim" if ordinal == 0 else "bundled line" if bundled else "denied line"
            found.append(
                Refusal(where=where, ordinal=ordinal, codes=codes, cents=cents, charge_id=charge_id, kind=kind)
            )
    return found


def bundling_line(said: RemittanceClaim, line: RemittanceLine) -> RemittanceLine | None:
    """The line of *said* that *line* is paid with: CARC 97, and a paid line of the same decided code, if there is one.

    Source: X221A1, 1.10.2.6.
    """
    if not any(each.reason == "97" for each in line.adjustments):
        return None
    return next((each for each in said.lines if each is not line and each.code == line.code and each.paid > 0), None)


def is_spared(said: RemittanceClaim, policy: BillingPolicy, payer: Payer | None) -> bool:
    """Whether nothing may be asked of the patient: the payer's contract forbids it, or a code says so (QMB)."""
    if payer is not None and payer.patient_share == "never":
        return True
    lines = [each for line in said.lines for each in line.adjustments]
    codes = {each.reason for each in (*said.adjustments, *lines)}
    codes.update(said.remark_codes, *(line.remark_codes for line in said.lines))
    return not codes.isdisjoint(policy.patient_stops)


def account_of(code: str, policy: BillingPolicy, *, spared: bool = False) -> str | None:
    """The ledger account that takes an adjustment of *code* by itself; None when a person must judge it."""
    if code in policy.contractual:
        return ledger.CONTRACTUAL
    if code in policy.other_adjustments:
        return ledger.OTHER
    if code in policy.patient and not code.startswith("CO-") and not spared:
        return ledger.PATIENT
    return None


def _code(adjustment: Adjustment) -> str:
    return f"{adjustment.group}-{adjustment.reason}"
