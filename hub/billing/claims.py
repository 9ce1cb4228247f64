"""Claims: made from charges, checked, approved, and taken back as long as they were not sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hub.billing import canonical, findings, ledger, patient_paid
from hub.billing.claim_body import ClaimBody, Source, Sources
from hub.billing.claim_context import context_of
from hub.billing.config import Payer
from hub.billing.control_numbers import control_number
from hub.billing.decision import Decision
from hub.billing.edits.scrub import Finding
from hub.billing.edits.table import EDITS, INFO
from hub.billing.events import OpenClaim, open_claim
from hub.billing.grouping import Group
from hub.billing.ledger import PAYER, UNBILLED, Posting
from hub.billing.open_charge import OpenCharge, arm_bill, opened
from hub.billing.rules.examine import Examined, examine
from hub.billing.rules.layers import rule_book
from hub.billing.stay_parts import Part
from hub.billing.values import Coverage, Visit
from hub.billing.values import Patient as SaidPatient
from hub.core.codec import to_plain
from hub.core.errors import masked
from hub.core.money import shown
from hub.formats.x12.claim import Claim
from hub.formats.x12.frequency import LATE, OF_A_PART, WHOLE, replaces_prior
from hub.store.changes import Row


def create(
    decision: Decision,
    *,
    visit: Row,
    said: Visit,
    patient: SaidPatient,
    coverage: Coverage,
    payer: Payer,
    group: Group,
    charges: Sequence[OpenCharge],
    part: Part | None = None,
) -> OpenClaim:
    """Make the claim of *group* (whose charges are *charges*, in its order), check it, and put it where it belongs.

    *part* is the part of a long stay that it is for.

    The claim goes on by itself (``ready``), waits for a person's approval (``held``), or for a correction
    (``needs fix``).
    """
    claim_id = decision.ids.next()
    said = patient_paid.of_claim(decision, visit, said, sum(charge.row["amount_cents"] for charge in charges))
    content = canonical.build(
        decision.config,
        control_number=control_number(decision.vault, claim_id),
        payer=payer,
        visit=said,
        patient=patient,
        coverage=coverage,
        group=group,
        charges=[charge.said for charge in charges],
        form=charges[0].form,
        part=part,
    )
    rendering = group.members[0].rendering_npi or said.attending_npi[:10]
    row = _insert(decision, claim_id, content, visit, payer, charges, rendering)
    _insert_lines(decision, row, content, charges)
    ledger.post(
        decision,
        key=f"claim/{claim_id}",
        kind="claim",
        claim_id=claim_id,
        postings=[posting for charge in charges for posting in billed(row, charge)],
    )
    claim = OpenClaim(decision, row)
    claim.record("created", "created", lines=len(charges), total=shown(content.charge))
    made = ClaimBody.new(content, _sources(decision, visit, said, charges))
    check_again(decision, claim, made, payer, "edits")
    return claim


def _insert(
    decision: Decision,
    claim_id: int,
    content: Claim,
    visit: Row,
    payer: Payer,
    charges: Sequence[OpenCharge],
    rendering_npi: str,
) -> Row:
    """The row of a new claim that says *content*."""
    earlier = next((charge.body["chain"] for charge in charges if "chain" in charge.body), None)
    if earlier and content.frequency in OF_A_PART and _is_alive(decision, earlier):
        earlier = None  # of a stay that is billed in parts after all, each part is a debt of its own
    return decision.insert(
        "claim",
        id=claim_id,
        **decision.owner(),
        control_number=content.control_number,
        chain_id=earlier or claim_id,
        frequency=content.frequency,
        form=content.form,
        payer_id=payer.payer_id,
        partner=payer.partner,
        environment=decision.config.environment,
        patient_id=visit["patient_id"],
        visit_id=visit["id"],
        rendering_npi=rendering_npi,
        place_of_service=content.place_of_service,
        service_on=charges[0].row["service_on"],
        total_cents=sum(charge.row["amount_cents"] for charge in charges),
        state="draft",
        state_business_at=decision.now_ms,
        created_business_at=decision.now_ms,
        body=decision.seal("claim", content.to_dict()),
    )


def _is_alive(decision: Decision, chain_id: int) -> bool:
    return any(row["state"] != "void" for row in decision.rows("claim", chain_id=chain_id))


def _insert_lines(decision: Decision, row: Row, content: Claim, charges: Sequence[OpenCharge]) -> None:
    """The rows of the claim's lines; the charges are claimed by them."""
    for ordinal, (line, charge) in enumerate(zip(content.lines, charges, strict=True), start=1):
        decision.insert(
            "claim_line",
            claim_id=row["id"],
            ordinal=ordinal,
            control_number=line.control_number,
            charge_id=charge.id,
            code=line.billed_code[:16],
            modifiers=" ".join(line.modifiers),
            units_milli=charge.row["units_milli"],
            charge_cents=charge.row["amount_cents"],
            service_on=charge.row["service_on"],
        )
        charge.body["chain"] = row["chain_id"]
        charge.change(state="claimed", claim_id=row["id"])


def _sources(decision: Decision, visit: Row, said: Visit, charges: Sequence[OpenCharge]) -> Sources:
    """Where the visit and the charges stand now."""
    message_id = decision.unseal("visit", visit["body"]).get("message_id")
    return Sources(
        visit=Source(message_id, said.origins, said.stay.diagnoses if said.stay else ()),
        charges=tuple(Source(each.row["message_id"], each.said.origins, each.said.diagnoses) for each in charges),
    )


def content(decision: Decision, claim: OpenClaim) -> Claim:
    """What the claim says."""
    return body(decision, claim).claim


def body(decision: Decision, claim: OpenClaim) -> ClaimBody:
    """What the claim says, what it said before repairs, and what people decided about it."""
    return ClaimBody.from_plain(decision.unseal("claim", claim.row["body"]))


def examined(decision: Decision, claim: OpenClaim, kept: ClaimBody, payer: Payer) -> Examined:
    """What rules and edits say of the claim, begun with what its charges said and people accepted."""
    context = context_of(decision, claim.row, kept.said, payer)
    return examine(kept.decided(), context, rule_book(decision.config, payer.payer_id), kept.undone)


def check(decision: Decision, claim: OpenClaim, payer: Payer) -> None:
    """Run rules and edits over a new claim, and decide where it goes from here."""
    check_again(decision, claim, ClaimBody.new(content(decision, claim)), payer, "edits")


def check_again(decision: Decision, claim: OpenClaim, kept: ClaimBody, payer: Payer, key: str) -> None:
    """Run rules and edits over the claim, keep what they repaired, and decide where it goes from here.

    What they say is recorded under *key*, one event for each time that a claim is examined.
    """
    found = examined(decision, claim, kept, payer)
    _keep(decision, claim, replace(kept, claim=found.claim))
    stored = findings.kept(decision.vault, found.claim, found.findings)
    by_policy = _wants_approval(decision, claim, payer)
    claim.record(
        "edit_result",
        key,
        errors=len(found.stops),
        approval="person" if by_policy or found.holds else "automatic",
        rules=list(dict.fromkeys(finding.rule for finding in found.findings)),
        sentence=_sentences(found),
        bundle=decision.config.bundle,
        **_recorded(found, stored),
    )
    if found.stops:
        said = _said(found.stops)
        _open_item(decision, claim, "claim edits", "edits", "claim edit", evidence=_evidence(found, stored), **said)
    elif found.holds:
        said = _said(found.holds)
        _open_item(decision, claim, "approval", "rules", "held by a rule", evidence=_evidence(found, stored), **said)
    elif by_policy:
        is_late = claim.row["frequency"] == LATE
        which = "A corrected" if claim.row["replaces_id"] is not None else "A late-charge" if is_late else "A"
        sentence = f"{which} claim to {payer.name} waits for somebody to approve it."
        _open_item(decision, claim, "approval", "approval", "approval", sentence=sentence)


def _keep(decision: Decision, claim: OpenClaim, kept: ClaimBody) -> None:
    """Have the rows of the claim say what *kept* says."""
    place = kept.claim.place_of_service[:2]
    decision.update("claim", claim.row, body=decision.seal("claim", kept.plain()), place_of_service=place)
    _keep_lines(decision, claim, kept.claim)


def _wants_approval(decision: Decision, claim: OpenClaim, payer: Payer) -> bool:
    """Whether the site wants a person to approve the claim, whatever rules and edits say of it."""
    from hub.billing import replacements

    row, policy = claim.row, decision.config.policy
    return (
        policy.approval == "person"
        or payer.payer_id in policy.approval_payers
        or row["rendering_npi"] in policy.approval_providers
        or (policy.next_payer == "person" and row["sequence"] != "P")
        or row["frequency"] == LATE
        or replacements.is_draft(decision, claim)
        or (row["replaces_id"] is not None and (decision.actor != "hub" or policy.denials.corrections == "person"))
    )


def _open_item(decision: Decision, claim: OpenClaim, queue: str, cause: str, kind: str, **said: Any) -> None:
    row = claim.row
    decision.open_item(
        queue=queue,
        key=f"claim/{row['id']}/{cause}",
        kind=kind,
        money_cents=row["total_cents"],
        claim_id=row["id"],
        patient_id=row["patient_id"],
        again=True,
        **said,
    )


def _said(stopped_by: Sequence[Finding]) -> dict[str, str]:
    """What stopped a claim, in words, and the rule that came first."""
    return {
        "sentence": " ".join(dict.fromkeys(finding.sentence for finding in stopped_by)),
        "rule": stopped_by[0].rule,
    }


def _sentences(found: Examined) -> str:
    said = [finding.sentence for finding in found.findings if finding.severity != INFO]
    said += [EDITS[repair.rule].sentence for repair in found.repairs if repair.rule in EDITS]
    return " ".join(dict.fromkeys(said))


def _recorded(found: Examined, stored: list[dict[str, Any]]) -> dict[str, Any]:
    """What every rule and edit did, without patient data: values of repairs by their shape only."""
    facts: dict[str, Any] = {
        "found": stored,
        "repairs": [
            {
                "rule": repair.rule,
                "place": repair.place,
                "before": masked(repair.before),
                "after": masked(repair.after),
            }
            for repair in found.repairs
        ],
        "unchecked": len(found.unchecked),
        "no_data": sorted({missing.needs for missing in found.unchecked}),
    }
    return {name: value for name, value in facts.items() if value}


def _evidence(found: Examined, stored: list[dict[str, Any]]) -> dict[str, Any]:
    """What a person who decides about the claim sees (sealed): every finding, with its proposal."""
    return {
        "findings": [
            {**plain, **({"proposal": to_plain(finding.proposal)} if finding.proposal else {})}
            for finding, plain in zip(found.findings, stored, strict=True)
        ]
    }


def _keep_lines(decision: Decision, claim: OpenClaim, said: Claim) -> None:
    """Have the rows of the claim's lines say what the claim says."""
    rows = decision.rows("claim_line", claim_id=claim.row["id"], order_by="ordinal")
    for row, line in zip(rows, said.lines, strict=True):
        wanted = {
            "control_number": line.control_number,
            "code": line.billed_code[:16],
            "modifiers": " ".join(line.modifiers),
            "units_milli": int(line.units * 1000),
            "service_on": line.service_date.isoformat(),
        }
        if any(row[name] != value for name, value in wanted.items()):
            decision.update("claim_line", row, **wanted)


def withdraw(decision: Decision, claim_id: int, reason: str) -> None:
    """Take back a claim that no payer has on file, and have its charges billed anew with what is known now."""
    from hub.billing import replacements

    claim = open_claim(decision, claim_id)
    if replacements.was_released(decision, claim):
        if replacements.takes_replacements(decision, claim.row):
            replacements.take_release_back(decision, claim, reason)
            return
    elif claim.row["replaces_id"] is not None:
        from hub.billing.denials import corrections

        corrections.withdraw(decision, claim, reason)
        return
    if claim.row["previous_id"] is not None:
        _withdraw_next(decision, claim, reason)
        return
    if replacements.is_draft(decision, claim):
        return  # it says what the sent claim and the changed charges say, and goes or is discarded by a person
    replacements.dissolve(decision, claim.row)
    charges = charges_of(decision, claim_id)
    ledger.post(
        decision,
        key=f"claim/{claim_id}/withdrawn",
        kind="claim",
        claim_id=claim_id,
        postings=ledger.mirrored([posting for charge in charges for posting in billed(claim.row, charge)]),
        memo=reason,
    )
    claim.record("void_request", "withdrawn", reason=reason)
    decision.close_items("billed anew", claim_id=claim_id, queue=("claim edits", "approval", "rejections"))
    for charge in charges:
        charge.change(state="open", claim_id=None)
        replacements.apply_pending(charge)
        arm_bill(decision, charge.row["visit_id"], charge.billed_with, decision.now_ms)


def _withdraw_next(decision: Decision, claim: OpenClaim, reason: str) -> None:
    """Take back a claim to a second or further payer: what was left goes back, and is billed on with what is known."""
    row = claim.row
    for entry in decision.rows("ledger_entry", claim_id=row["previous_id"], kind="transfer"):
        moved = ledger.postings_of(decision.connection, entry["id"])
        undone = decision.row("ledger_entry", entry_key=f"reversal:{entry['id']}") is not None
        if undone or not any(posting.claim_id == row["id"] for posting in moved):
            continue
        ledger.post(
            decision,
            key=f"reversal:{entry['id']}",
            kind="reversal",
            postings=ledger.mirrored(moved),
            claim_id=row["previous_id"],
            remittance_id=entry["remittance_id"],
            remittance_claim_id=entry["remittance_claim_id"],
            reverses_id=entry["id"],
            memo=reason,
        )
    claim.record("void_request", "withdrawn", reason=reason)
    decision.close_items("billed anew", claim_id=row["id"])
    decision.later(
        kind="next payer",
        key=f"next payer/again/{row['id']}",
        business_at=decision.now_ms,
        subject_id=row["previous_id"],
    )


def first_frequency(decision: Decision, row: Row) -> str:
    """The frequency of the claim *row* or, where that replaces one, of the claim that its chain began with."""
    if not replaces_prior(row["frequency"]):
        return str(row["frequency"])
    chain = decision.rows("claim", chain_id=row["chain_id"], order_by="id")
    own = [each["frequency"] for each in chain if each["id"] < row["id"] and not replaces_prior(each["frequency"])]
    return own[-1] if own else WHOLE


def charges_of(decision: Decision, claim_id: int) -> list[OpenCharge]:
    """The charges that are on the claim, in line order."""
    rows = decision.rows("charge", claim_id=claim_id, order_by="id")
    return [opened(decision, row) for row in rows]


def billed(claim: Row, charge: OpenCharge) -> tuple[Posting, Posting]:
    """The postings by which a payer owes a charge that nobody was asked for before."""
    amount = charge.row["amount_cents"]
    about = {"patient_id": charge.row["patient_id"], "charge_id": charge.id, "claim_id": claim["id"]}
    return (
        Posting(account=PAYER, amount_cents=amount, payer_id=claim["payer_id"], **about),
        Posting(account=UNBILLED, amount_cents=-amount, payer_id=claim["payer_id"], **about),
    )
