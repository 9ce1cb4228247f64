"""From open charges to claims, once their bill hold has passed: a day's services, or a stay, whole or in parts."""

from __future__ import annotations

from collections.abc import Sequence

from hub.billing import charges, claims, discharges, interim, late_charges, patients, replacements
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim
from hub.billing.grouping import Group, group, group_stay
from hub.billing.open_charge import STAY, OpenCharge, arm_bill, opened
from hub.billing.stay_parts import Part
from hub.billing.values import Visit
from hub.formats.x12.frequency import replaces_prior
from hub.store.changes import Row


def bill(decision: Decision, due: Row) -> None:
    """Make claims of what is billed with ``due["subject"]`` (a day, or the stay), or the patient's own debt.

    An inpatient's stay is billed when its end is known; the message that tells it arms the bill again. Where the
    payer's file says so it is billed in parts, each when it is over.
    """
    visit = decision.row("visit", id=due["subject_id"])
    assert visit is not None
    everything = (opened(decision, row) for row in _open_rows(decision, visit, due["subject"]))
    together = [charge for charge in everything if charge.billed_with == due["subject"]]
    if visit["state"] != "open":
        return
    if due["subject"] != STAY:
        if together:
            _bill(decision, visit, together)
        return
    if together:
        _bill_stay(decision, visit, [*late_charges.recall(decision, visit), *together])
    else:
        interim.miss_last_bill(decision, visit)
    discharges.restate(decision, visit)


def _bill_stay(decision: Decision, visit: Row, together: list[OpenCharge]) -> None:
    parts = interim.in_parts(decision, visit, together)
    if not parts and not is_going_on(_said(decision, visit)):
        _bill(decision, visit, together)
    for part, members in parts:
        if interim.is_under_way(decision, part):
            interim.arm(decision, visit, members)
        else:
            _bill(decision, visit, [*_recalled(decision, visit, part), *members], part)
            if not part.goes_on:
                decision.close_item(interim.last_bill_key(visit), "billed since")


def _recalled(decision: Decision, visit: Row, part: Part) -> list[OpenCharge]:
    """The charges of a bill of the same *part* that nobody was sent yet: one bill says all of them."""
    found: list[OpenCharge] = []
    for row, said in interim.stay_claims(decision, visit):
        is_first = row["previous_id"] is None and row["replaces_id"] is None and not replaces_prior(row["frequency"])
        if is_first and row["state"] in UNSENT and part.overlaps(said):
            found += claims.charges_of(decision, row["id"])
            claims.withdraw(decision, row["id"], "More was charged for its days before it was sent.")
    return [opened(decision, charge.row) for charge in found]


def _bill(decision: Decision, visit: Row, together: Sequence[OpenCharge], part: Part | None = None) -> None:
    patient = patients.surviving(decision, visit["patient_id"])
    day = min(str(charge.row["service_on"]) for charge in together)
    coverage = patients.primary(decision, patient, day)
    if coverage is None:
        for charge in together:
            charge.to_patient()
        return
    payer = decision.config.payers.get(coverage.payer_id)
    if payer is None:
        for charge in together:
            charges.hold(decision, charge, "payer")
        return
    said = _said(decision, visit)
    by_id = {charge.id: charge for charge in together}
    for grouped in _groups(said, together):
        members = [by_id[member.charge_id] for member in grouped.members]
        may_replace = not any(charge.body.get("alone") for charge in members)
        base = replacements.filed_claim(decision, members[0], part)
        late = late_charges.go_alone(decision, base, members, may_replace=may_replace) if base else None
        if base and may_replace and not late and _joins(decision, base, members):
            continue
        made = claims.create(
            decision,
            visit=visit,
            said=said,
            patient=said.patient,
            coverage=coverage,
            payer=payer,
            group=grouped,
            charges=members,
            part=late or part,
        )
        if base and late:
            late_charges.tell(decision, made, base)


def _joins(decision: Decision, base: OpenClaim, late: list[OpenCharge]) -> bool:
    """Whether the charges go onto a replacement of *base*, which was sent for their visit before they came."""
    if decision.config.policy.late_charges != "replacement" or not replacements.takes_replacements(decision, base.row):
        return False
    joins = replacements.join(decision, base, late)
    if joins:
        decision.close_item(discharges.cancelled_key(base.row["visit_id"]), "a replacement was drafted")
    return joins


def is_going_on(said: Visit) -> bool:
    """Whether the patient is still in hospital, as far as the source told."""
    return said.patient_class == interim.INPATIENT and (said.stay is None or said.stay.discharged is None)


def rearm_stay(decision: Decision, visit: Row) -> None:
    """Look at the stay's charges again, because what the source says of it has changed."""
    due = decision.row("due", due_key=f"bill/{visit['id']}/{STAY}")
    if due is not None and due["done"]:
        arm_bill(decision, visit["id"], STAY, decision.now_ms + int(decision.config.policy.bill_hold * 1000))


def _said(decision: Decision, visit: Row) -> Visit:
    patient = patients.surviving(decision, visit["patient_id"])
    return patients.visit_said(decision, visit, patients.person(decision, patient))


def _open_rows(decision: Decision, visit: Row, subject: str) -> list[Row]:
    if subject == STAY:
        return decision.rows("charge", visit_id=visit["id"], state="open", order_by="id")
    return decision.rows("charge", visit_id=visit["id"], service_on=subject, state="open", order_by="id")


def _groups(said: Visit, together: Sequence[OpenCharge]) -> list[Group]:
    billables = [charge.billable for charge in together]
    if together[0].billed_with == STAY:
        return group_stay(billables, said.stay.diagnoses if said.stay else ())
    return group(billables)
