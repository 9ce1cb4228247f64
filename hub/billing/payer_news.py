"""What a remittance says beside the money: the payer knows the person otherwise, another is first, or cover ended.

And what it should have said and did not: the correction after a reversal. Sources: 005010X221A1, NM1*74, NM1*PR and
DTM*036 of loop 2100, and section 1.10.2.8.
"""

from __future__ import annotations

from hub.billing.decision import Decision
from hub.billing.events import open_claim
from hub.billing.matching import BilledClaim, Remitted
from hub.formats.x12.claim import Organisation, Person
from hub.formats.x12.frequency import VOID
from hub.formats.x12.remittance import Participant
from hub.store.changes import Row


def report(decision: Decision, remitted: Remitted, ours: BilledClaim) -> None:
    """Open an item for each piece of news in *remitted* that is not known of the patient of *ours*."""
    said = remitted.claim
    if said.corrected is not None:
        _report_person(decision, remitted, ours, said.corrected)
    if said.corrected_payer is not None:
        _report_payer(decision, remitted, ours, said.corrected_payer)
    if said.coverage_expired is not None:
        _report_end(decision, remitted, ours, said.coverage_expired.isoformat())


def expect_correction(decision: Decision, ours: BilledClaim, remittance_claim_id: int) -> None:
    """A payment was taken back: have somebody told when no new decision follows in time."""
    decision.later(
        kind="correction",
        key=f"correction/{remittance_claim_id}",
        business_at=decision.now_ms + int(decision.config.policy.correction_wait * 1000),
        subject_id=ours.id,
    )


def correction_overdue(decision: Decision, due: Row) -> None:
    """A payment was taken back and, if the claim still stands without any, nothing followed."""
    claim = open_claim(decision, due["subject_id"])
    chain = decision.rows("claim", chain_id=claim.row["chain_id"])
    if claim.state != "reversed" or any(each["frequency"] == VOID for each in chain):  # a void asked for just that
        return
    days = int(decision.config.policy.correction_wait // 86_400)
    decision.open_item(
        queue="unmatched payments",
        key=f"{due['due_key']}/overdue",
        kind="correction overdue",
        sentence=(
            f"The payer took its payment of this claim back {days} days ago and has not decided it anew. "
            "Ask for the correction, or send a replacement."
        ),
        money_cents=claim.row["total_cents"],
        claim_id=claim.row["id"],
        patient_id=claim.row["patient_id"],
    )


def _report_person(decision: Decision, remitted: Remitted, ours: BilledClaim, corrected: Participant) -> None:
    known = {row["member_digest"] for row in decision.rows("coverage", patient_id=ours.patient_id, active=True)}
    number = corrected.id if corrected.id and decision.vault.digest("member", corrected.id) not in known else ""
    name = _name(corrected)
    if not number and not name:
        return
    what = " and ".join(each for each, said in (("member id", number), ("name", name)) if said)
    fact = decision.vault.digest("corrected", f"{number}|{name}").hex()
    decision.open_item(
        queue="charge review",
        key=f"corrected/{ours.patient_id}/{remitted.payer_id}/{fact}",
        kind="payer corrects the registration",
        sentence=(
            f"{remitted.payer_name or 'The payer'} knows this person under another {what}. "
            "Correct the registration in the EHR, so that the next claim says it."
        ),
        evidence={"member_id": number, "name": name, "trace": remitted.trace},
        claim_id=ours.id,
        patient_id=ours.patient_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )


def _report_payer(decision: Decision, remitted: Remitted, ours: BilledClaim, first: Participant) -> None:
    name = first.party.name if isinstance(first.party, Organisation) else first.party.last
    decision.open_item(
        queue="secondary",
        key=f"other first payer/{ours.patient_id}/{remitted.payer_id}/{first.id or name}",
        kind="another payer is first",
        sentence=(
            f"{remitted.payer_name or 'The payer'} says that {name or first.id or 'another payer'} must pay first. "
            "Correct the order of the insurances, and bill that payer."
        ),
        money_cents=ours.total_cents,
        evidence={"payer_id": first.id, "name": name},
        claim_id=ours.id,
        patient_id=ours.patient_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )


def _report_end(decision: Decision, remitted: Remitted, ours: BilledClaim, ended_on: str) -> None:
    covered = decision.rows("coverage", patient_id=ours.patient_id, payer_id=remitted.payer_id, active=True)
    if any(each["expires_on"] and each["expires_on"] <= ended_on for each in covered):
        return  # the registration says so, too
    decision.open_item(
        queue="charge review",
        key=f"coverage ended/{ours.patient_id}/{remitted.payer_id}/{ended_on}",
        kind="coverage ended",
        sentence=(
            f"{remitted.payer_name or 'The payer'} says that the coverage ended on {ended_on}. "
            "Ask for the new one, and correct the registration in the EHR."
        ),
        evidence={"trace": remitted.trace},
        claim_id=ours.id,
        patient_id=ours.patient_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )


def _name(corrected: Participant) -> str:
    """The parts of the name that the payer corrects; it leaves out what is right."""
    party = corrected.party
    parts = (party.last, party.first, party.middle) if isinstance(party, Person) else (party.name,)
    return " ".join(part for part in parts if part)
