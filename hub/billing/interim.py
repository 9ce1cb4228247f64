"""Interim bills: stays, and recurring visits, that a payer's file has billed in parts while they go on (``interim``).

Each part becomes a claim of its own once it is over. What is charged later for its days replaces that claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hub.billing import patients
from hub.billing.claim_body import ClaimBody
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.open_charge import STAY, OpenCharge
from hub.billing.stay_parts import Part, Period, parts
from hub.billing.values import Stay
from hub.formats.x12.claim import Institutional
from hub.formats.x12.frequency import replaces_prior
from hub.store.changes import Row

INPATIENT, RECURRING = "I", "R"  # PV1-2, HL7 table 0004


def in_parts(decision: Decision, visit: Row, charges: Sequence[OpenCharge]) -> list[tuple[Part, list[OpenCharge]]]:
    """The parts of the stay that *charges* are of, each with those of its days; nothing where it is billed as a whole.

    A day before the admission counts for the first part, one after the end for the last.
    """
    patient = patients.surviving(decision, visit["patient_id"])
    coverage = patients.primary(decision, patient, min(str(charge.row["service_on"]) for charge in charges))
    payer = decision.config.payers.get(coverage.payer_id) if coverage else None
    said = patients.visit_said(decision, visit, patients.person(decision, patient))
    billed = billed_periods(decision, visit) if said.patient_class in {INPATIENT, RECURRING} else set()
    if said.patient_class not in {INPATIENT, RECURRING} or not (billed or (payer and payer.interim)):
        return []
    stay = said.stay or Stay()
    days = {charge.id: date.fromisoformat(charge.row["service_on"]) for charge in charges}
    begin = stay.admitted or said.visit_date or min(days.values())
    found = parts(
        begin,
        stay.discharged or max(begin, *days.values()),
        payer.interim if payer else None,
        billed,
        is_over=stay.discharged is not None,
        nights=said.patient_class == INPATIENT,
    )
    if len(found) == 1 and not found[0].goes_on:
        return []
    members: dict[Part, list[OpenCharge]] = {}
    for charge in charges:
        part = next((part for part in found if days[charge.id] <= part.until), found[-1])
        members.setdefault(part, []).append(charge)
    return [(part, members[part]) for part in found if part in members]


def billed_periods(decision: Decision, visit: Row) -> set[Period]:
    """The days of the visit's bills on which the patient is still there; what only waits for a person is none yet."""
    stays = [
        said
        for row, said in stay_claims(decision, visit)
        if row["replaces_id"] is not None or not replaces_prior(row["frequency"]) or row["state"] not in UNSENT
    ]
    return {(said.statement_from, said.statement_to) for said in stays if said.still_a_patient}


def stay_claims(decision: Decision, visit: Row) -> list[tuple[Row, Institutional]]:
    """The hospital's claims for the visit that were not taken back, with what they say of the stay."""
    rows = decision.rows("claim", visit_id=visit["id"], form="837I", order_by="id")
    kept = [
        (row, ClaimBody.from_plain(decision.unseal("claim", row["body"])).claim.institutional)
        for row in rows
        if row["state"] != "void"
    ]
    return [(row, said) for row, said in kept if said is not None]


def arm(decision: Decision, visit: Row, charges: Sequence[OpenCharge]) -> None:
    """Have the parts that *charges* are of billed when they and the bill hold are over, whatever else is charged."""
    for part, _ in in_parts(decision, visit, charges):
        over = decision.clock.midnight_ms(part.until + timedelta(days=1))
        decision.rearm(
            kind="bill",
            key=f"bill/{visit['id']}/{STAY}/{part.until}",
            business_at=max(over, decision.now_ms) + int(decision.config.policy.bill_hold * 1000),
            subject_id=visit["id"],
            subject=STAY,
        )


def is_under_way(decision: Decision, part: Part) -> bool:
    """Whether days of a part that goes on are still to come."""
    return part.goes_on and part.until.isoformat() >= decision.today


def last_bill_key(visit: Row) -> str:
    """The key of the work item that says that the last bill of the visit's stay is missing."""
    return f"visit/{visit['id']}/last bill"


def miss_last_bill(decision: Decision, visit: Row) -> None:
    """Tell a person of a stay that has ended, whose last bill says that it goes on and that has no charge left."""
    claims = [(row, said) for row, said in stay_claims(decision, visit) if row["previous_id"] is None]
    patient = patients.surviving(decision, visit["patient_id"])
    stay = patients.visit_said(decision, visit, patients.person(decision, patient)).stay
    waits = decision.rows("charge", visit_id=visit["id"], state=("open", "held"))
    if waits or not claims or not all(said.still_a_patient for _, said in claims) or not (stay and stay.discharged):
        return
    decision.open_item(
        queue="charge review",
        key=last_bill_key(visit),
        kind="no last bill",
        sentence="The stay has ended after its last interim bill and nothing was charged since, so that no bill tells "
        "the payer of the end. Replace the last one, or charge what is missing.",
        claim_id=claims[-1][0]["id"],
        patient_id=patient["id"],
    )
