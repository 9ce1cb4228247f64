"""What a payer refuses becomes denials: sorted by the triage table, with a deadline, an owner and the next action.

One denial is one line of one payment (or the claim, where the payer speaks of it as a whole); the code that the table
knows best decides. A payment that is taken back takes its denials with it, and a new decision about the same charges
settles what corrections and appeals came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from hub.billing.config import BillingConfig
from hub.billing.decision import Decision
from hub.billing.denials import appeals, automatic, outcomes, tell
from hub.billing.denials.table import Verdict
from hub.billing.edits.table import preventing
from hub.billing.matching import BilledClaim, Remitted
from hub.billing.shares import Refusal
from hub.billing.standing import NOT_OURS
from hub.core.money import from_cents, shown
from hub.formats.x12.remittance import RemittanceClaim
from hub.formats.x12.vocabulary import adjustment_reason
from hub.store.changes import Row

QUEUE = "denials"
_STANDING = ("open", "waiting", "accepted", "patient", "lost")


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A refusal, the code of it that decides, and what the table says of that."""

    refusal: Refusal
    remarks: tuple[str, ...]
    code: str
    verdict: Verdict


def triage(
    decision: Decision, remitted: Remitted, ours: BilledClaim, refused: Sequence[Refusal], *, spared: bool
) -> None:
    """Make denials of what *remitted*, which is being posted to *ours*, refuses; settle what was tried before.

    *spared*: nothing may be asked of the patient.
    """
    outcomes.settle(decision, remitted, ours, refused)
    for refusal in refused:
        each = _with_facts(decision, remitted, ours, _sorted(decision.config, remitted, ours, refusal))
        row = _deny(decision, remitted, ours, each, spared=spared)
        automatic.act(decision, row, each.verdict)


def withdraw(decision: Decision, claim_id: int, remittance_claim_id: int) -> None:
    """The payment *remittance_claim_id* is taken back, and with it what it refused. Its items close by themselves.

    That goes for what was accepted, or became the patient's, too: the money is open again. What was corrected or
    appealed stays, because the payer's next decision settles it; what that has settled, the EHR was told of.
    """
    for row in decision.rows("denial", claim_id=claim_id, remittance_claim_id=remittance_claim_id, state=_STANDING):
        if row["state"] == "lost" and outcomes.was_decided_anew(decision, row):
            continue
        decision.update("denial", row, state="withdrawn")
        tell.withdrawn(decision, row)


def follow_up(decision: Decision, due: Row) -> None:
    """A denial that waited for its payer has waited long enough."""
    row = decision.row("denial", id=due["subject_id"])
    if row is None or row["state"] != "waiting":
        return
    decision.update("denial", row, state="open")
    item = decision.row("work_item", id=row["item_id"])
    if item is not None and item["state"] == "resolved":
        decision.update("work_item", item, state="open", resolution="")
        decision.note_item(item["id"], "reopened", {"comment": "The payer has not decided in the time given to it."})


def deadline(decision: Decision, payer_id: str, verdict_action: str, denied_on: str, level: int = 1) -> str:
    """By when the payer takes what *verdict_action* does (ISO text); empty where nothing goes to it.

    *level* is that of the appeal.
    """
    policy, payer = decision.config.policy.denials, decision.config.payers.get(payer_id)
    match verdict_action:
        case "appeal":
            days = appeals.days(decision, payer_id, level)
        case "records":
            days = (payer.records_days if payer else None) or policy.records_days
        case "correct" | "review":
            days = (payer.corrected_days if payer else None) or policy.corrected_days
        case _:
            return ""
    return (date.fromisoformat(denied_on) + timedelta(days=days)).isoformat()


def _sorted(config: BillingConfig, remitted: Remitted, ours: BilledClaim, refusal: Refusal) -> _Sorted:
    """The refusal with its verdict: of several codes, the first that the table knows decides."""
    remarks = tuple(_remarks(remitted.claim, refusal.ordinal))
    procedure = _procedure(ours, refusal)
    found = []
    for code in refusal.codes:
        group, _, reason = code.partition("-")
        verdict = config.denials.look_up(remitted.payer_id, group, reason, remarks, procedure)
        found.append(_Sorted(refusal, remarks, code, verdict))
    return next((each for each in found if each.verdict.covered), found[0])


def _with_facts(decision: Decision, remitted: Remitted, ours: BilledClaim, each: _Sorted) -> _Sorted:
    """The verdict as the claim itself has it: the payer was not its own and passed it on, or proof of filing lacks."""
    verdict = each.verdict
    if remitted.claim.status == NOT_OURS:
        days = int(decision.config.policy.crossover_wait // 86_400)
        note = f"{verdict.note} The payer passed the claim on to the one that is responsible."
        verdict = replace(verdict, action="wait", auto="yes", resubmit="", wait=days, note=note)
    elif (verdict.action, verdict.appeal) == ("appeal", "proof") and not _is_proven(decision, ours):
        verdict = replace(verdict, action="accept", note=f"{verdict.note} No acknowledgement here proves that.")
    return replace(each, verdict=verdict)


def _is_proven(decision: Decision, ours: BilledClaim) -> bool:
    return appeals.was_in_time(decision, ours.chain_id, ours.service_on, ours.payer_id)


def _deny(decision: Decision, remitted: Remitted, ours: BilledClaim, each: _Sorted, *, spared: bool) -> Row:
    refusal, verdict = each.refusal, each.verdict
    group, _, reason = each.code.partition("-")
    denied_on = _decided_on(decision, remitted)
    level = appeals.level_of(decision, ours.id, refusal.charge_id, remitted.payer_id)
    action = "appeal" if verdict.appeal == "proof" else verdict.action  # proof may still be found
    due_on = deadline(decision, remitted.payer_id, action, denied_on, level)
    denial_id = decision.ids.next()
    item_id = decision.open_item(
        queue=QUEUE,
        key=f"denial:{remitted.key}:{refusal.ordinal}",
        kind=refusal.kind,
        sentence=_sentence(remitted, each, spared=spared),
        money_cents=refusal.cents,
        due_on=due_on,
        rule=refusal.codes[0],
        evidence=_evidence(remitted, each, denial_id),
        claim_id=ours.id,
        charge_id=refusal.charge_id,
        patient_id=ours.patient_id,
        remittance_id=remitted.remittance_id,
        remittance_claim_id=remitted.id,
    )
    row = decision.insert(
        "denial",
        id=denial_id,
        **decision.owner(),
        item_id=item_id,
        claim_id=ours.id,
        chain_id=ours.chain_id,
        charge_id=refusal.charge_id,
        patient_id=ours.patient_id,
        remittance_claim_id=remitted.id,
        payer_id=remitted.payer_id,
        group=group,
        reason=reason,
        codes=" ".join(refusal.codes)[:80],
        remarks=" ".join(each.remarks)[:80],
        procedure=_procedure(ours, refusal),
        cents=refusal.cents,
        rule=verdict.rule[:64],
        covered=verdict.covered,
        category=verdict.category,
        action=verdict.action,
        resubmit=verdict.resubmit,
        fix=verdict.fix,
        appeal=verdict.appeal,
        may_bill_patient="no" if spared else verdict.patient,
        chance=verdict.chance,
        denied_on=denied_on,
        deadline_on=due_on,
        state="open",
    )
    tell.denied(decision, row)
    return row


def _procedure(ours: BilledClaim, refusal: Refusal) -> str:
    """The code that was billed for what is refused; empty where the whole claim is."""
    return next((line.code for line in ours.lines if line.charge_id == refusal.charge_id), "")


def _decided_on(decision: Decision, remitted: Remitted) -> str:
    """The day of the payer's decision, from which its deadlines run: that of the payment, however late it was read."""
    whole = decision.row("remittance", id=remitted.remittance_id)
    said = whole["paid_on"] if whole is not None else ""
    return min(said or decision.today, decision.today)


def _sentence(remitted: Remitted, each: _Sorted, *, spared: bool) -> str:
    refusal = each.refusal
    why = " ".join(f"{adjustment_reason(code.partition('-')[2]).rstrip('.')} ({code})." for code in refusal.codes)
    who = remitted.payer_name or "The payer"
    if spared and any(code.startswith("PR-") for code in refusal.codes):
        why += " The patient may not be asked for it."
    if refusal.kind == "bundled line":
        why += " It is paid with another line of the claim."
    return f"{who} does not pay {shown(from_cents(refusal.cents))} of {refusal.where}: {why}"


def _evidence(remitted: Remitted, each: _Sorted, denial_id: int) -> dict[str, Any]:
    verdict = each.verdict
    return {
        "denial": str(denial_id),
        "codes": list(each.refusal.codes),
        "remark_codes": list(each.remarks),
        "trace": remitted.trace,
        "payer_claim_number": remitted.claim.payer_claim_control_number,
        "category": verdict.category,
        "for": verdict.owner,
        "next": verdict.action,
        "note": verdict.note,
        "rule": verdict.rule,
        "appeal": verdict.appeal,
        "patient": verdict.patient,
        "edits": list(preventing(each.code)),
    }


def _remarks(said: RemittanceClaim, ordinal: int) -> list[str]:
    """The remark codes of the claim, and of the line where there is one: MA130 says it of the whole claim."""
    of_line = said.lines[ordinal - 1].remark_codes if ordinal else ()
    return list(dict.fromkeys((*of_line, *said.remark_codes)))
