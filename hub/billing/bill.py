"""From open charges to claims, once their bill hold has passed: a day's services, or a hospital stay as a whole."""

from __future__ import annotations

from hub.billing import charges, claims, patients, replacements
from hub.billing.decision import Decision
from hub.billing.grouping import Group, group, group_stay
from hub.billing.open_charge import STAY, OpenCharge, arm_bill, opened
from hub.billing.values import Visit
from hub.store.changes import Row

_INPATIENT = "I"


def bill(decision: Decision, due: Row) -> None:
    """Make claims of what is billed with ``due["subject"]`` (a day, or the stay), or the patient's own debt.

    An inpatient's stay is billed when its end is known; the message that tells it arms the bill again.
    """
    visit = decision.row("visit", id=due["subject_id"])
    assert visit is not None
    everything = (opened(decision, row) for row in _open_rows(decision, visit, due["subject"]))
    open_charges = {charge.id: charge for charge in everything if charge.billed_with == due["subject"]}
    if visit["state"] != "open" or not open_charges:
        return
    patient = patients.surviving(decision, visit["patient_id"])
    person = patients.person(decision, patient)
    said = patients.visit_said(decision, visit, person)
    if due["subject"] == STAY and is_going_on(said):
        return
    day = min(str(charge.row["service_on"]) for charge in open_charges.values())
    coverage = patients.primary(decision, patient, day)
    if coverage is None:
        for charge in open_charges.values():
            charge.to_patient()
        return
    payer = decision.config.payers.get(coverage.payer_id)
    if payer is None:
        for charge in open_charges.values():
            charges.hold(decision, charge, "payer")
        return
    for together in _groups(due["subject"], said, list(open_charges.values())):
        members = [open_charges[member.charge_id] for member in together.members]
        if _joins_a_filed_claim(decision, members):
            continue
        claims.create(
            decision,
            visit=visit,
            said=said,
            patient=person,
            coverage=coverage,
            payer=payer,
            group=together,
            charges=members,
        )


def _joins_a_filed_claim(decision: Decision, late: list[OpenCharge]) -> bool:
    """Whether the charges go onto a replacement of the claim that was sent for their visit before they came."""
    if decision.config.policy.late_charges != "replacement" or any(charge.body.get("alone") for charge in late):
        return False
    base = replacements.filed_claim(decision, late[0])
    return base is not None and replacements.join(decision, base, late)


def is_going_on(said: Visit) -> bool:
    """Whether the patient is still in hospital, as far as the source told."""
    return said.patient_class == _INPATIENT and (said.stay is None or said.stay.discharged is None)


def rearm_stay(decision: Decision, visit: Row) -> None:
    """Look at the stay's charges again, because what the source says of it has changed."""
    due = decision.row("due", due_key=f"bill/{visit['id']}/{STAY}")
    if due is not None and due["done"]:
        arm_bill(decision, visit["id"], STAY, decision.now_ms + int(decision.config.policy.bill_hold * 1000))


def _open_rows(decision: Decision, visit: Row, subject: str) -> list[Row]:
    if subject == STAY:
        return decision.rows("charge", visit_id=visit["id"], state="open", order_by="id")
    return decision.rows("charge", visit_id=visit["id"], service_on=subject, state="open", order_by="id")


def _groups(subject: str, said: Visit, open_charges: list[OpenCharge]) -> list[Group]:
    billables = [charge.billable for charge in open_charges]
    if subject == STAY:
        return group_stay(billables, said.stay.diagnoses if said.stay else ())
    return group(billables)
