"""A hospital's claim: what a stay or outpatient visit, its charges and its department say, in the UB-04's terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from hub.billing.config import BillingConfig, Department
from hub.billing.control_numbers import line_control_number
from hub.billing.ndc import eleven_digits
from hub.billing.people import People
from hub.billing.stay_parts import Part, narrowed
from hub.billing.values import Charge, Stay, Visit
from hub.formats.x12.claim import (
    Claim,
    ClaimLine,
    Diagnosis,
    Drug,
    Institutional,
    Occurrence,
    Procedure,
    ValueCode,
)
from hub.formats.x12.frequency import WHOLE
from hub.formats.x12.writer import clean


def stay_claim(
    common: Claim, config: BillingConfig, visit: Visit, charges: Sequence[Charge], people: People, part: Part | None
) -> Claim:
    """*common* as an institutional claim with the lines of *charges*: for the whole stay, or that *part* of it.

    What neither the source nor the department says stays empty, and the edits say so.
    """
    stay = visit.stay or Stay()
    said = _institutional(stay, visit, charges, config.department(charges[0].department), people)
    if part is not None:
        said = narrowed(said, part, stay.admitted)
    performers = {charge.performing_npi for charge in charges} - {"", visit.attending_npi}
    return replace(
        common,
        frequency=part.frequency if part else WHOLE,
        lines=tuple(_line(common.control_number, ordinal, charge) for ordinal, charge in enumerate(charges, start=1)),
        admission_date=stay.admitted if said.is_inpatient else None,
        condition_codes=stay.conditions,
        rendering=people.named(performers.pop()) if len(performers) == 1 else None,
        institutional=said,
    )


def _institutional(
    stay: Stay, visit: Visit, charges: Sequence[Charge], department: Department | None, people: People
) -> Institutional:
    begin, end = _statement(stay, charges)
    usual = department.type_of_bill if department else ""
    said = Institutional(
        facility_type=stay.type_of_bill.lstrip("0")[:2] or usual,
        statement_from=begin,
        statement_to=end,
        patient_status=stay.patient_status or (department.patient_status if department else ""),
        admission_type=stay.admission_type or (department.admission_type if department else ""),
        admission_source=stay.admission_source or (department.admission_source if department else ""),
        external_causes=tuple(Diagnosis(code) for code in stay.external_causes),
        drg=stay.drg,
        procedures=tuple(Procedure(each.code, each.on) for each in stay.procedures),
        occurrences=_occurrences(stay),
        values=tuple(ValueCode(each.code, each.amount) for each in stay.values),
        attending=people.named(visit.attending_npi),
        operating=people.named(stay.operating_npi),
        other_operating=people.named(stay.other_operating_npi),
    )
    if not said.is_inpatient:
        return replace(said, visit_reasons=stay.visit_reasons)
    return replace(
        said,
        admission_time=stay.admission_time,
        discharge_time="" if said.still_a_patient else stay.discharge_time,
        present=stay.present,
        admitting_diagnosis=stay.admitting_diagnosis,
    )


def _statement(stay: Stay, charges: Sequence[Charge]) -> tuple[date, date]:
    """The first and the last day that the bill is for."""
    days = [charge.service_date for charge in charges]
    days += [charge.service_to for charge in charges if charge.service_to]
    return min([*days, *([stay.admitted] if stay.admitted else [])]), max(
        [*days, *([stay.discharged] if stay.discharged else [])]
    )


def _occurrences(stay: Stay) -> tuple[Occurrence, ...]:
    """Spans first, as the guide has them."""
    said = [Occurrence(each.code, each.on, each.until) for each in stay.occurrences]
    return tuple(sorted(said, key=lambda each: each.until is None))


def _line(control_number: str, ordinal: int, charge: Charge) -> ClaimLine:
    drug = charge.drug
    return ClaimLine(
        control_number=line_control_number(control_number, ordinal),
        revenue_code=charge.revenue_code.zfill(4) if charge.revenue_code else "",
        code=clean(charge.code),
        charge=charge.amount,
        units=charge.units,
        service_date=charge.service_date,
        service_to=charge.service_to if charge.service_to != charge.service_date else None,
        pointers=(),
        modifiers=tuple(clean(modifier) for modifier in charge.modifiers),
        description=clean(charge.description),
        drug=Drug(eleven_digits(drug.ndc), drug.quantity, drug.unit) if drug else None,
    )
