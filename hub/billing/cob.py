"""The claim to the next payer, made from what the payer before it decided (coordination of benefits).

Everything that earlier payers said stands on the claim as they said it, balanced to the cent for each line and for the
whole claim; nothing is rounded or filled in. Sources: 005010X222A1 and 005010X223A2, loops 2320, 2330 and 2430, and
section 1.4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from hub.billing.control_numbers import line_control_number
from hub.billing.matching import BilledLine, match_line
from hub.billing.secondary_ids import of_other_payer
from hub.billing.shares import bundling_line
from hub.core.errors import HubError
from hub.core.money import shown
from hub.formats.x12.claim import (
    SELF,
    Adjustment,
    Claim,
    ClaimLine,
    LineAdjudication,
    OtherPayer,
    Patient,
    Payer,
    Subscriber,
)
from hub.formats.x12.remittance import RemittanceClaim, RemittanceLine

SEQUENCES = "PSTABCDEFGH"  # SBR01 by place
REVENUE_CODE = "NU"  # SVC01-1 of a line that has no procedure
_MOST_REMARKS = 5


class CobError(HubError):
    """What a payer decided cannot be reported to the next one as it stands."""

    code = "H622"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPayer:
    """Whom the claim goes to now: the payer, whose policy it is, and the patient where that is somebody else."""

    payer: Payer
    subscriber: Subscriber
    patient: Patient | None


def next_claim(
    claim: Claim,
    lines: Sequence[BilledLine],
    said: Sequence[RemittanceClaim],
    *,
    decided: date,
    control_number: str,
    frequency: str,
    to: NextPayer,
) -> Claim:
    """The claim to the payer *to*, from *claim* (whose lines are *lines*) and what its payer *said* on *decided*.

    *frequency* is that of the claim as it was first billed. *said* is more than one where the payer split the claim.
    Raises :class:`CobError` when the payer's figures do not account for every cent of the claim, or are of a kind that
    cannot be reported.
    """
    if len(claim.other_payers) + 1 >= len(SEQUENCES):
        raise CobError("A claim can name no more payers.", found=str(len(claim.other_payers) + 1))
    decisions = _line_decisions(claim, lines, said, decided)
    other = _other_payer(claim, said, None if decisions else decided)
    _check_whole(claim, other, decisions)
    return replace(
        claim,
        control_number=control_number,
        payer=to.payer,
        subscriber=replace(to.subscriber, sequence=SEQUENCES[len(claim.other_payers) + 1]),
        patient=to.patient,
        frequency=frequency,
        payer_claim_control_number="",
        prior_authorisation="",  # the numbers that the payer before gave stand beside its decision (2330B)
        referral_number="",
        other_payers=(*claim.other_payers, other),
        lines=tuple(
            replace(
                line,
                control_number=line_control_number(control_number, ordinal),
                prior_authorisation="",
                referral_number="",
                adjudications=(*line.adjudications, *decisions.get(ordinal, ())),
            )
            for ordinal, line in enumerate(claim.lines, start=1)
        ),
    )


def _line_decisions(
    claim: Claim, lines: Sequence[BilledLine], said: Sequence[RemittanceClaim], decided: date
) -> dict[int, list[LineAdjudication]]:
    """What was decided of each line (by its number, from 1); nothing when the payer speaks of the claim only.

    A line that the payer split has several decisions.
    """
    found: dict[int, list[LineAdjudication]] = {}
    used: set[int] = set()
    places: dict[str, int] = {}
    services = [(each, service) for each in said for service in each.lines]
    for _, service in services:
        line = match_line(service, lines, used)
        if line is None:
            raise CobError("The payer decided about a line that is not on the claim.", where=service.where)
        used.add(line.ordinal)
        places[service.where] = line.ordinal
    for whole, service in services:
        ordinal = places[service.where]
        by = bundling_line(whole, service)
        bundled = places[by.where] if by is not None else 0
        own = claim.lines[ordinal - 1]
        made = _decision(claim.payer.id, own, service, decided, 0 if bundled == ordinal else bundled)
        found.setdefault(ordinal, []).append(made)
    for ordinal, own in enumerate(claim.lines, start=1) if found else ():
        parts = found.get(ordinal, [])
        told = sum((part.paid + _sum(part.adjustments) for part in parts), Decimal(0))
        if told != own.charge:
            raise CobError(
                "What the payer decided about a line does not come to its charge.",
                where=f"line {ordinal}",
                expected=shown(own.charge),
                found=shown(told),
            )
    return found


def _decision(
    payer_id: str, own: ClaimLine, service: RemittanceLine, decided: date, bundled_into: int
) -> LineAdjudication:
    """What was decided of *own*. A hospital's line has its revenue code too (SVD04), which is all that some have."""
    if service.paid < 0:
        raise CobError("A payer that takes money back for a line cannot be reported.", where=service.where)
    by_revenue = service.qualifier == REVENUE_CODE
    decided_code = service.code if by_revenue else service.revenue_code
    return LineAdjudication(
        payer_id=payer_id,
        paid=service.paid,
        code="" if by_revenue else service.code,
        revenue_code=(decided_code or own.revenue_code) if own.revenue_code else "",
        units=service.units,
        decided=decided,
        modifiers=service.modifiers,
        adjustments=service.adjustments,
        remaining=_patients(service.adjustments),
        bundled_into=bundled_into,
    )


def _other_payer(claim: Claim, said: Sequence[RemittanceClaim], decided: date | None) -> OtherPayer:
    adjustments = tuple(adjustment for each in said for adjustment in each.adjustments)
    remarks = dict.fromkeys(code for each in said for code in each.remark_codes)
    # What 2330A does not carry is left out; the payer has it from us.
    insured = replace(claim.subscriber, birth_date=None, sex="")
    return OtherPayer(
        payer=replace(claim.payer, secondary_ids=(), provider_ids=()),
        subscriber=insured,
        relationship=claim.patient.relationship if claim.patient else SELF,
        paid=sum((each.paid for each in said), Decimal(0)),
        remaining=_patients(adjustments) if decided else None,
        adjustments=adjustments,
        claim_control_number=said[0].payer_claim_control_number,
        benefits_assignment=claim.benefits_assignment,
        release=claim.release,
        prior_authorisation=claim.prior_authorisation,
        referral_number=claim.referral_number,
        decided=decided,
        inpatient=claim.institutional is not None and any(each.inpatient for each in said),
        remark_codes=tuple(remarks)[:_MOST_REMARKS],
        secondary_ids=of_other_payer(claim.payer),
    )


def _check_whole(claim: Claim, other: OtherPayer, decisions: dict[int, list[LineAdjudication]]) -> None:
    on_lines = [each for parts in decisions.values() for each in parts]
    paid = other.paid or Decimal(0)
    told = paid + _sum(other.adjustments) + sum((_sum(each.adjustments) for each in on_lines), Decimal(0))
    if told != claim.charge:
        raise CobError(
            "What the payer decided does not come to what the claim charges.",
            expected=shown(claim.charge),
            found=shown(told),
        )
    if paid < 0:
        raise CobError("A payer that takes money back for a claim cannot be reported.", found=shown(paid))


def _sum(adjustments: Sequence[Adjustment]) -> Decimal:
    return sum((each.amount for each in adjustments), Decimal(0))


def _patients(adjustments: Sequence[Adjustment]) -> Decimal:
    return _sum([each for each in adjustments if each.group == "PR"])
