"""A remittance on paper, typed in: the same claims, lines and adjustments as in an 835, judged by the same rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.billing.config import BillingConfig
from hub.billing.remittance_sources import FAULTS_KEPT, Reading, claim_digest
from hub.billing.remittances import TYPED
from hub.billing.standing import PaymentError
from hub.formats.x12.balance import balance_claim, balance_transfer
from hub.formats.x12.claim import Adjustment, Organisation
from hub.formats.x12.remittance import (
    Amount,
    Participant,
    ProviderAdjustment,
    RemittanceClaim,
    RemittanceHeader,
    RemittanceLine,
)

MOST_CLAIMS = 200
_Cents = Annotated[Decimal, Field(decimal_places=2, max_digits=12)]
_Short = Annotated[str, Field(max_length=50)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Adjustment(_Said):
    group: Annotated[str, Field(pattern=r"^(CO|PR|OA|PI)$")]
    reason: Annotated[str, Field(pattern=r"^[0-9A-Z]{1,5}$")]
    amount: _Cents


class _Line(_Said):
    code: _Short
    charge: _Cents
    paid: _Cents
    modifiers: tuple[_Short, ...] = ()
    units: Decimal = Decimal(1)
    service_date: date | None = None
    control_number: _Short = ""
    original_code: _Short = ""
    allowed: _Cents | None = None
    adjustments: tuple[_Adjustment, ...] = ()
    remark_codes: tuple[_Short, ...] = ()


class _Claim(_Said):
    control_number: _Short
    charge: _Cents
    paid: _Cents
    status: Annotated[str, Field(pattern=r"^\d{1,2}$")] = "1"
    patient: _Cents | None = None
    payer_claim_number: _Short = ""
    member_id: _Short = ""
    adjustments: tuple[_Adjustment, ...] = ()
    remark_codes: tuple[_Short, ...] = ()
    lines: tuple[_Line, ...] = ()


class _ProviderAdjustment(_Said):
    reason: _Short
    amount: _Cents
    reference: _Short = ""


class _Payment(_Said):
    payer_id: Annotated[str, Field(min_length=1, max_length=80)]
    trace: Annotated[str, Field(min_length=1, max_length=50)]
    amount: _Cents
    paid_on: date
    method: Annotated[str, Field(pattern=r"^(CHK|ACH|BOP|FWT|NON)$")] = "CHK"
    claims: Annotated[tuple[_Claim, ...], Field(max_length=MOST_CLAIMS)] = ()
    provider_adjustments: tuple[_ProviderAdjustment, ...] = ()


def read(config: BillingConfig, said: dict[str, Any]) -> tuple[Reading, tuple[RemittanceClaim, ...], str]:
    """What *said* comes to, its claims, and the payer's id.

    Raises :class:`~hub.billing.standing.PaymentError` with the field at fault when it is not complete or not a payment.
    """
    try:
        payment = _Payment.model_validate(said)
    except ValidationError as error:
        raise _mistyped(error) from None
    claims = tuple(_claim(number, each) for number, each in enumerate(payment.claims, start=1))
    adjustments = tuple(
        ProviderAdjustment(
            config.practice.npi, None, each.reason, each.reference, each.amount, f"paper, adjustment {n}"
        )
        for n, each in enumerate(payment.provider_adjustments, start=1)
    )
    payer = config.payers.get(payment.payer_id)
    header = RemittanceHeader(
        control_number="",
        handling="I",
        amount=payment.amount,
        method=payment.method,
        paid_on=payment.paid_on,
        trace=payment.trace,
        originator="",
        produced=None,
        payer=Participant("PR", Organisation(payer.name if payer else ""), "XV", payment.payer_id),
        payee=Participant("PE", Organisation(config.practice.name), "XX", config.practice.npi),
        payee_npi=config.practice.npi,
        payee_tax_id=config.practice.tax_id,
    )
    paid = sum((each.paid for each in claims), Decimal(0))
    withheld = sum((each.amount for each in adjustments), Decimal(0))
    wrong = [fault for each in claims for fault in balance_claim(each)]
    wrong += balance_transfer(header, paid, withheld)
    reading = Reading(
        usage=TYPED,
        interchange="",
        transaction="",
        header=header,
        claims=len(claims),
        paid=paid,
        adjustments=adjustments,
        imbalances=tuple(wrong[:FAULTS_KEPT]),
        faults=len(wrong),
    )
    return replace(reading, digest=claim_digest(reading, claims)), claims, payment.payer_id


def restated(before: RemittanceClaim, said: dict[str, Any]) -> RemittanceClaim:
    """The claim of a remittance as a person types it anew, in the place of *before*.

    Raises :class:`~hub.billing.standing.PaymentError` with the field at fault.
    """
    try:
        typed = _Claim.model_validate({"control_number": before.control_number, "status": before.status, **said})
    except ValidationError as error:
        raise _mistyped(error) from None
    made = _claim(before.ordinal, typed)
    return replace(
        made,
        where=before.where,
        payer_claim_control_number=made.payer_claim_control_number or before.payer_claim_control_number,
        participants=made.participants or before.participants,
    )


def _mistyped(error: ValidationError) -> PaymentError:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return PaymentError("The payment is not typed as it must be.", where=where, expected=first["msg"])


def _claim(ordinal: int, said: _Claim) -> RemittanceClaim:
    where = f"paper, claim {ordinal}"
    member = (Participant("QC", Organisation(""), "MI", said.member_id),) if said.member_id else ()
    return RemittanceClaim(
        ordinal=ordinal,
        control_number=said.control_number,
        status=said.status,
        charge=said.charge,
        paid=said.paid,
        patient_responsibility=said.patient,
        filing_indicator="",
        payer_claim_control_number=said.payer_claim_number,
        place_of_service="",
        frequency="",
        drg="",
        adjustments=_adjustments(said.adjustments),
        participants=member,
        remark_codes=said.remark_codes,
        references=(),
        amounts=(),
        service_from=None,
        service_to=None,
        received=None,
        coverage_expired=None,
        lines=tuple(_line(f"{where}, line {number}", each) for number, each in enumerate(said.lines, start=1)),
        problems=(),
        where=where,
    )


def _line(where: str, said: _Line) -> RemittanceLine:
    return RemittanceLine(
        control_number=said.control_number,
        qualifier="HC",
        code=said.code,
        modifiers=said.modifiers,
        charge=said.charge,
        paid=said.paid,
        revenue_code="",
        units=said.units,
        original_code=said.original_code,
        original_modifiers=(),
        original_units=None,
        service_from=said.service_date,
        service_to=said.service_date,
        adjustments=_adjustments(said.adjustments),
        allowed=said.allowed,
        remark_codes=said.remark_codes,
        references=(),
        amounts=(Amount("B6", said.allowed),) if said.allowed is not None else (),
        where=where,
    )


def _adjustments(said: tuple[_Adjustment, ...]) -> tuple[Adjustment, ...]:
    return tuple(Adjustment(each.group, each.reason, each.amount, None) for each in said)
