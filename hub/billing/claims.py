"""Claims: made from charges, checked, approved, and taken back as long as they were not sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from hub.billing import canonical, edits, ledger
from hub.billing.config import Payer
from hub.billing.control_numbers import control_number
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim, open_claim
from hub.billing.grouping import Group
from hub.billing.ledger import PAYER, UNBILLED, Posting
from hub.billing.open_charge import OpenCharge, arm_bill, opened
from hub.billing.values import Coverage
from hub.billing.values import Patient as SaidPatient
from hub.core.money import shown
from hub.formats.x12.claim import Claim
from hub.store.changes import Row


def create(
    decision: Decision,
    *,
    visit: Row,
    patient: SaidPatient,
    coverage: Coverage,
    payer: Payer,
    group: Group,
    charges: Sequence[OpenCharge],
) -> OpenClaim:
    """Make the claim of *group* (whose charges are *charges*, in its order), check it, and put it where it belongs.

    The claim goes on by itself (``ready``), waits for a person's approval (``held``), or for a correction
    (``needs fix``).
    """
    claim_id = decision.ids.next()
    number = control_number(decision.vault, claim_id)
    said = canonical.build(
        decision.config,
        control_number=number,
        payer=payer,
        patient=patient,
        coverage=coverage,
        group=group,
        charges=[charge.said for charge in charges],
    )
    total = sum(charge.row["amount_cents"] for charge in charges)
    earlier = next((charge.body["chain"] for charge in charges if "chain" in charge.body), None)
    row = decision.insert(
        "claim",
        id=claim_id,
        **decision.owner(),
        control_number=number,
        chain_id=earlier or claim_id,
        frequency="1",
        form="837P",
        payer_id=payer.payer_id,
        partner=payer.partner,
        environment=decision.config.environment,
        patient_id=visit["patient_id"],
        visit_id=visit["id"],
        rendering_npi=group.members[0].rendering_npi,
        place_of_service=group.members[0].place_of_service,
        service_on=charges[0].row["service_on"],
        total_cents=total,
        state="draft",
        state_business_at=decision.now_ms,
        created_business_at=decision.now_ms,
        body=decision.seal("claim", said.to_dict()),
    )
    for ordinal, (line, charge) in enumerate(zip(said.lines, charges, strict=True), start=1):
        decision.insert(
            "claim_line",
            claim_id=claim_id,
            ordinal=ordinal,
            control_number=line.control_number,
            charge_id=charge.id,
            code=line.code,
            modifiers=" ".join(line.modifiers),
            units_milli=charge.row["units_milli"],
            charge_cents=charge.row["amount_cents"],
            service_on=charge.row["service_on"],
        )
        charge.body["chain"] = row["chain_id"]
        charge.change(state="claimed", claim_id=claim_id)
    ledger.post(
        decision,
        key=f"claim/{claim_id}",
        kind="claim",
        claim_id=claim_id,
        postings=[posting for charge in charges for posting in _billed(row, charge)],
    )
    claim = OpenClaim(decision, row)
    claim.record("created", "created", lines=len(charges), total=shown(said.charge))
    check(decision, claim, said, payer)
    return claim


def content(decision: Decision, claim: OpenClaim) -> Claim:
    """What the claim says."""
    return Claim.from_dict(decision.unseal("claim", claim.row["body"]))


def check(decision: Decision, claim: OpenClaim, said: Claim, payer: Payer) -> None:
    """Run the edits and decide where the claim goes from here."""
    found = edits.findings(said, payer, date.fromisoformat(decision.today))
    policy = decision.config.policy
    by_person = policy.approval == "person" or payer.payer_id in policy.approval_payers
    claim.record(
        "edit_result",
        "edits",
        errors=len(found),
        approval="person" if by_person else "automatic",
        rules=[finding.rule for finding in found],
        sentence=" ".join(finding.sentence for finding in found),
    )
    row = claim.row
    if found:
        decision.open_item(
            queue="claim edits",
            key=f"claim/{row['id']}/edits",
            kind="claim edit",
            sentence=" ".join(finding.sentence for finding in found),
            rule=found[0].rule,
            money_cents=row["total_cents"],
            claim_id=row["id"],
            patient_id=row["patient_id"],
        )
    elif by_person:
        decision.open_item(
            queue="approval",
            key=f"claim/{row['id']}/approval",
            kind="approval",
            sentence=f"A claim to {payer.name} waits for somebody to approve it.",
            money_cents=row["total_cents"],
            claim_id=row["id"],
            patient_id=row["patient_id"],
        )


def withdraw(decision: Decision, claim_id: int, reason: str) -> None:
    """Take back a claim that no payer has on file, and have its charges billed anew with what is known now."""
    claim = open_claim(decision, claim_id)
    charges = charges_of(decision, claim_id)
    ledger.post(
        decision,
        key=f"claim/{claim_id}/withdrawn",
        kind="claim",
        claim_id=claim_id,
        postings=ledger.mirrored([posting for charge in charges for posting in _billed(claim.row, charge)]),
        memo=reason,
    )
    claim.record("void_request", "withdrawn", reason=reason)
    decision.close_items("billed anew", claim_id=claim_id, queue=("claim edits", "approval", "rejections"))
    for charge in charges:
        charge.change(state="open", claim_id=None)
        arm_bill(decision, charge.row["visit_id"], charge.row["service_on"], decision.now_ms)


def charges_of(decision: Decision, claim_id: int) -> list[OpenCharge]:
    """The charges that are on the claim, in line order."""
    rows = decision.rows("charge", claim_id=claim_id, order_by="id")
    return [opened(decision, row) for row in rows]


def _billed(claim: Row, charge: OpenCharge) -> tuple[Posting, Posting]:
    amount = charge.row["amount_cents"]
    about = {"patient_id": charge.row["patient_id"], "charge_id": charge.id, "claim_id": claim["id"]}
    return (
        Posting(account=PAYER, amount_cents=amount, payer_id=claim["payer_id"], **about),
        Posting(account=UNBILLED, amount_cents=-amount, payer_id=claim["payer_id"], **about),
    )
