"""The end of a stay as its last bill tells it, held against what the source says of it by now.

A discharge is cancelled (ADT^A13), or told anew with another day or disposition.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.billing import claims, interim, patients
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.billing.stay_parts import Part
from hub.billing.values import Stay, Visit
from hub.formats.x12.claim import STILL_A_PATIENT, Claim
from hub.formats.x12.frequency import LAST, LATE, WHOLE
from hub.store.changes import Row


@dataclass(frozen=True, slots=True)
class End:
    """The last day of a statement (ISO text), the patient's status then, empty where nobody told, and the *part*."""

    until: str
    status: str
    part: Part | None

    def is_told_by(self, claim: Claim) -> bool:
        """Whether the hospital's *claim* tells the same end."""
        said = claim.institutional
        return said is not None and (
            said.statement_to.isoformat() == self.until and self.status in {"", said.patient_status}
        )


def visit_said(decision: Decision, visit: Row) -> Visit:
    """What the source says of the *visit* by now."""
    patient = patients.surviving(decision, visit["patient_id"])
    return patients.visit_said(decision, visit, patients.person(decision, patient))


def last_bills(decision: Decision, visit: Row, said: Visit) -> list[OpenClaim]:
    """The claims that tell the visit's first payer of its end, and drafts of such."""
    return [
        OpenClaim(decision, row)
        for row, told in interim.stay_claims(decision, visit)
        if row["previous_id"] is None and not told.still_a_patient and _tells_the_end(decision, row, said)
    ]


def _tells_the_end(decision: Decision, row: Row, said: Visit) -> bool:
    """Whether the bill *row* waited for the end of the visit. A recurring one does only where it is billed in parts.

    Late charges are billed for the days of another bill, which tells it.
    """
    first = claims.first_frequency(decision, row)
    if first == LATE:
        return False
    if said.patient_class != interim.RECURRING:
        return said.patient_class == interim.INPATIENT
    payer = decision.config.payers.get(row["payer_id"])
    return first == LAST or bool(first == WHOLE and payer and payer.interim)


def is_open(said: Visit) -> bool:
    """Whether no end is known, or not any more."""
    return (said.stay or Stay()).discharged is None


def changed(decision: Decision, base: OpenClaim) -> End | None:
    """The end of the stay as its last bill *base* would tell it if it were made today, where *base* tells another one.

    None for every other claim, and while the stay goes on, unless it is in parts and that of the bill is over.
    """
    visit = decision.row("visit", id=base.row["visit_id"])
    body = claims.body(decision, base)
    told = body.said.institutional
    charges = claims.charges_of(decision, base.row["id"])
    if visit is None or told is None or told.still_a_patient or not charges:
        return None
    said = visit_said(decision, visit)
    if not _tells_the_end(decision, base.row, said):
        return None
    parts = [part for part, _ in interim.in_parts(decision, visit, charges)]
    part = next((part for part in parts if part.since <= told.statement_from <= part.until), None)
    if part is not None and part.goes_on:
        end = None if interim.is_under_way(decision, part) else End(part.until.isoformat(), STILL_A_PATIENT, part)
    elif said.stay is None or said.stay.discharged is None:
        end = None
    else:
        last = max(charge.said.service_to or charge.said.service_date for charge in charges)
        status = "" if _is_corrected(decision, base) else said.stay.patient_status
        end = End(max(said.stay.discharged, last).isoformat(), status, part)
    return end if end and not end.is_told_by(body.said) else None


def _is_corrected(decision: Decision, base: OpenClaim) -> bool:
    """Whether it corrects a denied claim: what a person said of the patient's status there stands."""
    from hub.billing import replacements

    return base.row["replaces_id"] is not None and not replacements.was_released(decision, base)
