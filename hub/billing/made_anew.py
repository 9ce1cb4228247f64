"""A claim as it would be made today, to compare with what was sent: nothing is written."""

from __future__ import annotations

from hub.billing import canonical, claims, patient_paid, patients
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.billing.grouping import group, group_stay
from hub.billing.stay_parts import part_of
from hub.formats.x12.claim import Claim
from hub.store.changes import Row


def as_of_today(decision: Decision, row: Row) -> Claim | None:
    """The claim *row* as the registration, charges and records of today would make it, lines in their order.

    None when they cannot: nobody whom the site knows insures the patient on its day, or it would be several claims.
    """
    patient = patients.surviving(decision, row["patient_id"])
    coverage = patients.primary(decision, patient, row["service_on"])
    payer = decision.config.payers.get(coverage.payer_id) if coverage else None
    charges = claims.charges_of(decision, row["id"])
    visit = decision.row("visit", id=row["visit_id"])
    if coverage is None or payer is None or visit is None or not charges:
        return None
    ordered = {line["charge_id"]: line["ordinal"] for line in decision.rows("claim_line", claim_id=row["id"])}
    charges.sort(key=lambda charge: ordered.get(charge.id, 0))
    person = patients.person(decision, patient)
    said = patients.visit_said(decision, visit, person)
    billables = [charge.billable for charge in charges]
    diagnoses = said.stay.diagnoses if said.stay else ()
    groups = group_stay(billables, diagnoses) if row["form"] == "837I" else group(billables)
    if len(groups) != 1:
        return None
    cents = sum(charge.row["amount_cents"] for charge in charges)
    said = patient_paid.of_claim(decision, visit, said, cents, row["chain_id"])
    return canonical.build(
        decision.config,
        control_number=row["control_number"],
        payer=payer,
        visit=said,
        patient=person,
        coverage=coverage,
        group=groups[0],
        charges=[charge.said for charge in charges],
        form=row["form"],
        part=part_of(claims.content(decision, OpenClaim(decision, row)), claims.first_frequency(decision, row)),
    )
