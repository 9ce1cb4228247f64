"""From one payer to the next: what the first leaves to the patient is billed to the patient's other insurance.

When a payment leaves something to the patient and another coverage is in force on the day of service, the claim to that
payer is made from the payment (:mod:`hub.billing.cob`), in a decision of its own, and the money moves to it. A payer
that passes the claim on itself (crossover) makes it wait for that payer's answer instead: two claims for one service
would be refused as duplicates. Sources: 005010X222A1 section 1.4.4, 005010X221A1 CLP02, NM1*TT and MOA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from hub.billing import canonical, claims, ledger, patients
from hub.billing.claim_body import ClaimBody
from hub.billing.cob import CobError, NextPayer, next_claim
from hub.billing.config import Payer
from hub.billing.control_numbers import control_number
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim, open_claim
from hub.billing.matching import BilledClaim, billed_claim
from hub.billing.secondary_ids import identified
from hub.billing.shares import is_spared, line_shares
from hub.billing.standing import FORWARDED, said, standing
from hub.billing.values import Coverage
from hub.core.codec import from_plain
from hub.core.money import from_cents, shown
from hub.formats.x12.claim import Claim
from hub.formats.x12.remittance import RemittanceClaim
from hub.store.changes import Row
from hub.store.tables import ledger_posting

QUEUE = "secondary"
Balances = dict[tuple[str, int], int]  # ledger account and charge to cents


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What a payer left of one charge, in cents, and the account in which it stands."""

    charge_id: int
    account: str
    cents: int


def coverage_after(decision: Decision, ours: BilledClaim, paid_by: str) -> Coverage | None:
    """The patient's next insurance on the day of service; None when no other payer is left to ask."""
    patient = patients.surviving(decision, ours.patient_id)
    in_force = patients.in_force(decision, patient, ours.service_on)
    order = next((row["priority"] for row in in_force if row["payer_id"] == ours.payer_id), 0)
    later = [row for row in in_force if row["priority"] > order and row["payer_id"] not in {ours.payer_id, paid_by}]
    asked = {row["payer_id"] for row in _chain(decision, ours.chain_id)} if later else set()
    for row in later:
        payer = decision.config.payers.get(row["payer_id"])
        if row["payer_id"] not in asked and (payer is None or payer.pays_after_others):
            return from_plain(Coverage, decision.unseal("coverage", row["body"]))
    return None


def is_left_to(decision: Decision, ours: BilledClaim, paid_by: str) -> bool:
    """Whether another payer was asked for what this one leaves, or can be."""
    return bool(_after(decision, ours)) or coverage_after(decision, ours, paid_by) is not None


def plan(decision: Decision, ours: BilledClaim, cause: str) -> None:
    """Have the claim to the next payer made, in a decision of its own, because of *cause*."""
    decision.later(kind="next payer", key=f"next payer/{cause}", business_at=decision.now_ms, subject_id=ours.id)


def claim_for(decision: Decision, payer_id: str, ours: BilledClaim) -> BilledClaim:
    """The claim to *payer_id* in the chain of *ours*: what was passed on is answered under the first claim's number."""
    if payer_id == ours.payer_id:
        return ours
    rows = [row for row in _chain(decision, ours.chain_id) if row["payer_id"] == payer_id]
    return billed_claim(decision, rows[-1]["id"]) if rows else ours


def make(decision: Decision, due: Row) -> None:
    """A payment left something to the patient: bill it to the next payer, or wait for that one's own answer."""
    ours = billed_claim(decision, due["subject_id"])
    bill_next(decision, ours)


def overdue(decision: Decision, due: Row) -> None:
    """The next payer had time enough to answer a claim that was passed on to it: a person decides about sending it."""
    claim = open_claim(decision, due["subject_id"])
    if claim.state != "forwarded":
        return
    payer = decision.config.payers.get(claim.row["payer_id"])
    days = int(decision.config.policy.crossover_wait // 86_400)
    decision.open_item(
        queue=QUEUE,
        key=f"claim/{claim.row['id']}/crossover",
        kind="crossover overdue",
        sentence=(
            f"The payer before passed this claim on to {payer.name if payer else claim.row['payer_id']}, "
            f"which has not answered in {days} days. Ask it, or send the claim."
        ),
        money_cents=_owed(decision, claim.row["id"]),
        claim_id=claim.row["id"],
        patient_id=claim.row["patient_id"],
    )


def bill_next(decision: Decision, ours: BilledClaim) -> OpenClaim | None:
    """Make the claim to the payer after that of *ours* and move to it what is left; None when there is nothing to do.

    Where the first payer decides anew, a claim that was not sent is made anew; to one that was sent the money moves,
    and a person is told.
    """
    payments = [row for row in standing(decision, ours.id) if _is_of(decision, row, ours)]
    heard = [said(decision, row.id) for row in payments]
    left = _left(decision, ours, heard)
    if not payments or not left:
        return None
    for before in _after(decision, ours):
        if before["state"] in UNSENT:
            claims.withdraw(decision, before["id"], "The payer before has decided anew.")
            return None
        _move(decision, ours, before, payments[0], left)
        if before["state"] != "forwarded":
            _report_change(decision, before, "The payer before has decided anew after this claim was sent.")
        return None
    coverage = coverage_after(decision, ours, payments[0].payer_id)
    if coverage is None:
        return None
    payer = decision.config.payers.get(coverage.payer_id)
    if payer is None:
        _report(decision, ours, coverage, left, "Its payer is not set up here.")
        return None
    if _has_paid_enough(decision, ours, heard, payer) and all(each.account == ledger.PATIENT for each in left):
        sentence = f"{payer.name} pays no more than it allows, and so much is paid: it is not billed."
        open_claim(decision, ours.id).record("note", f"not billed/{payments[0].id}", sentence=sentence)
        return None
    try:
        made = _made(decision, ours, heard, payments[0], coverage, payer)
    except CobError as error:
        _report(decision, ours, coverage, left, str(error))
        return None
    _move(decision, ours, made.row, payments[0], left)
    decision.close_items("billed to the next payer", claim_id=ours.id, queue=QUEUE)
    if _is_passed_on(decision, heard):
        _wait(decision, made)
    else:
        claims.check(decision, made, payer)
    return made


def _has_paid_enough(decision: Decision, ours: BilledClaim, heard: Sequence[RemittanceClaim], payer: Payer) -> bool:
    """Whether the payers before paid what *payer*, which then pays nothing, allows by its contract of every line."""
    if payer.pays_up_to != "what it allows":
        return False
    content = claims.content(decision, open_claim(decision, ours.id))
    rates = [decision.config.contracts.get((payer.payer_id, line.code)) for line in content.lines]
    if None in rates:
        return False  # what it allows is not known: it is asked
    allowed = sum((rate * line.units for rate, line in zip(rates, content.lines, strict=True) if rate), Decimal(0))
    earlier = sum((other.paid or Decimal(0) for other in content.other_payers), Decimal(0))
    return earlier + sum((each.paid for each in heard), Decimal(0)) >= allowed


def send_on(decision: Decision, claim: OpenClaim) -> None:
    """A person says that the payer before did not pass the claim on after all: check it and send it."""
    payer = decision.config.payers[claim.row["payer_id"]]
    decision.update("claim", claim.row, hold_until_business_at=decision.now_ms)
    claim.record("not forwarded", f"not forwarded/{claim.row['version']}")
    decision.close_item(f"claim/{claim.row['id']}/crossover", "sent")
    claims.check(decision, claim, payer)


def first_payer_took_back(decision: Decision, ours: BilledClaim, cause: str) -> None:
    """The payment that a claim to the next payer reports was taken back: that claim is void, or somebody must know.

    *cause* is the key of what took it back.
    """
    for row in _after(decision, ours):
        claim = OpenClaim(decision, row)
        if claim.state in {*UNSENT, "forwarded"}:
            claim.record(
                "void_request", f"taken back/{row['version']}", reason="The payer before took its payment back."
            )
            decision.close_items("the payer before took its payment back", claim_id=row["id"])
        else:
            _report_change(decision, row, "The payer before took its payment back after this claim was sent.")
    plan(decision, ours, f"taken back/{cause}")  # its correction may be posted already


def _made(
    decision: Decision,
    ours: BilledClaim,
    heard: Sequence[RemittanceClaim],
    payment: Any,
    coverage: Coverage,
    payer: Payer,
) -> OpenClaim:
    """The claim row of the next payer, with its lines. Raises :class:`CobError`."""
    first = open_claim(decision, ours.id)
    claim_id = decision.ids.next()
    number = control_number(decision.vault, claim_id)
    content = next_claim(
        claims.content(decision, first),
        ours.lines,
        heard,
        decided=date.fromisoformat(min(payment.paid_on or decision.today, decision.today)),
        control_number=number,
        frequency=claims.first_frequency(decision, first.row),
        to=_next_payer(decision, ours, coverage, payer, first.row["form"]),
    )
    content = identified(content, decision.config, payer)
    row = decision.insert(
        "claim",
        id=claim_id,
        **decision.owner(),
        control_number=number,
        chain_id=ours.chain_id,
        frequency=content.frequency,
        sequence=content.subscriber.sequence,
        previous_id=ours.id,
        form=first.row["form"],
        payer_id=payer.payer_id,
        partner=payer.partner,
        environment=decision.config.environment,
        patient_id=first.row["patient_id"],
        visit_id=first.row["visit_id"],
        rendering_npi=first.row["rendering_npi"],
        place_of_service=first.row["place_of_service"],
        service_on=ours.service_on,
        total_cents=ours.total_cents,
        state="draft",
        state_business_at=decision.now_ms,
        created_business_at=decision.now_ms,
        body=decision.seal("claim", ClaimBody.new(content).plain()),
    )
    _add_lines(decision, ours, claim_id, content)
    claim = OpenClaim(decision, row)
    claim.record("created", "created", lines=len(content.lines), total=shown(content.charge), sequence=row["sequence"])
    return claim


def _next_payer(decision: Decision, ours: BilledClaim, coverage: Coverage, payer: Payer, form: str) -> NextPayer:
    patient = patients.person(decision, patients.surviving(decision, ours.patient_id))
    subscriber, dependent = canonical.insured(patient, coverage)
    return NextPayer(
        payer=canonical.payer_of(payer, form),
        subscriber=replace(subscriber, insurance_type=coverage.insurance_type),
        patient=dependent,
    )


def _add_lines(decision: Decision, ours: BilledClaim, claim_id: int, content: Claim) -> None:
    for before, line in zip(ours.lines, content.lines, strict=True):
        decision.insert(
            "claim_line",
            claim_id=claim_id,
            ordinal=before.ordinal,
            control_number=line.control_number,
            charge_id=before.charge_id,
            code=line.billed_code[:16],
            modifiers=" ".join(line.modifiers),
            units_milli=int(line.units * 1000),
            charge_cents=before.charge_cents,
            service_on=before.service_on,
        )


def _wait(decision: Decision, claim: OpenClaim) -> None:
    """Keep the claim until the payer answers that the one before passed it on to."""
    until = decision.now_ms + int(decision.config.policy.crossover_wait * 1000)
    decision.update("claim", claim.row, hold_until_business_at=until)
    claim.record("forwarded", "forwarded", sentence="The payer before passed this claim on.")
    decision.later(kind="crossover", key=f"crossover/{claim.row['id']}", business_at=until, subject_id=claim.row["id"])


def _is_passed_on(decision: Decision, heard: Sequence[RemittanceClaim]) -> bool:
    """Whether the payer says that it passed the claim on: by CLP02, by NM1*TT, or by a remark code."""
    signs = set(decision.config.policy.crossover_remarks)
    return any(
        each.status in FORWARDED or each.crossover is not None or signs.intersection(each.remark_codes)
        for each in heard
    )


def _is_of(decision: Decision, payment: Any, ours: BilledClaim) -> bool:
    return payment.payer_id == ours.payer_id or payment.payer_id not in decision.config.payers


def _chain(decision: Decision, chain_id: int) -> list[Row]:
    """The claims of a chain that were not voided, in the order in which they were made."""
    rows = decision.rows("claim", chain_id=chain_id, order_by="id")
    return [row for row in rows if row["state"] != "void"]


def _after(decision: Decision, ours: BilledClaim) -> list[Row]:
    """The claims to the next payer that report what was decided about *ours*, or about a claim that *ours* replaced."""
    rows = decision.rows("claim", chain_id=ours.chain_id, order_by="id")
    same_payer = {row["id"] for row in rows if row["sequence"] == ours.sequence}
    return [row for row in rows if row["previous_id"] in same_payer and row["state"] != "void"]


# ---------------------------------------------------------------- money


def balances(decision: Decision, claim_id: int) -> Balances:
    """What each charge owes on the claim, by account, in cents."""
    rows = decision.connection.execute(
        select(ledger_posting.c.account, ledger_posting.c.charge_id, func.sum(ledger_posting.c.amount_cents))
        .where(
            ledger_posting.c.claim_id == claim_id,
            ledger_posting.c.account.in_((ledger.PAYER, ledger.PATIENT)),
            ledger_posting.c.charge_id.is_not(None),
        )
        .group_by(ledger_posting.c.account, ledger_posting.c.charge_id)
    )
    return {(account, int(charge_id)): int(cents) for account, charge_id, cents in rows}


def _owed(decision: Decision, claim_id: int) -> int:
    return sum(balances(decision, claim_id).values())


def _left(decision: Decision, ours: BilledClaim, heard: Sequence[RemittanceClaim]) -> list[_Left]:
    """What the payer left to the patient: it stands with the patient or, where nobody may ask them, with the payer."""
    policy = decision.config.policy
    payer = decision.config.payers.get(ours.payer_id)
    known = balances(decision, ours.id)
    shares = {
        share.line.charge_id: sum(cents for code, cents in share.adjustments if code in policy.patient)
        for each in heard
        if is_spared(each, policy, payer)
        for share in line_shares(each, ours.lines)
    }
    found = []
    for line in ours.lines:
        patients_part = known.get((ledger.PATIENT, line.charge_id), 0)
        payers_part = min(shares.get(line.charge_id, 0), known.get((ledger.PAYER, line.charge_id), 0))
        for account, cents in ((ledger.PATIENT, patients_part), (ledger.PAYER, payers_part)):
            if cents > 0:
                found.append(_Left(charge_id=line.charge_id, account=account, cents=cents))
    return found


def _move(decision: Decision, ours: BilledClaim, to: Row, payment: Any, left: Sequence[_Left]) -> None:
    """Move what is left to the claim of the next payer.

    The entry belongs to the *payment* that left it, so that it goes when the payment is taken back.
    """
    decision.update("claim", open_claim(decision, ours.id).row)  # its version guards the balances that were read
    postings = []
    for each in left:
        about: dict[str, Any] = {"patient_id": ours.patient_id, "charge_id": each.charge_id}
        postings += [
            ledger.Posting(
                account=ledger.PAYER, amount_cents=each.cents, claim_id=to["id"], payer_id=to["payer_id"], **about
            ),
            ledger.Posting(
                account=each.account, amount_cents=-each.cents, claim_id=ours.id, payer_id=ours.payer_id, **about
            ),
        ]
    ledger.post(
        decision,
        key=f"next payer/{to['id']}/{payment.id}",
        kind="transfer",
        postings=postings,
        claim_id=ours.id,
        remittance_id=payment.remittance_id,
        remittance_claim_id=payment.id,
        rule="next payer",
    )


# ---------------------------------------------------------------- telling people


def _report(decision: Decision, ours: BilledClaim, coverage: Coverage, left: Sequence[_Left], why: str) -> None:
    """Open an item for what another insurance may owe and no claim could be made of."""
    cents = sum(each.cents for each in left)
    payer = decision.config.payers.get(coverage.payer_id)
    decision.open_item(
        queue=QUEUE,
        key=f"secondary:{ours.id}",
        kind="secondary balance",
        sentence=(
            f"{shown(from_cents(cents))} was left to the patient, who has another insurance, "
            f"{payer.name if payer else coverage.payer_id}, and no claim to it could be made. {why}"
        ),
        money_cents=cents,
        evidence={"payer_id": coverage.payer_id},
        again=True,
        claim_id=ours.id,
        patient_id=ours.patient_id,
    )


def _report_change(decision: Decision, row: Row, sentence: str) -> None:
    decision.open_item(
        queue=QUEUE,
        key=f"claim/{row['id']}/first payer/{decision.message_id}",
        kind="first payer changed its decision",
        sentence=f"{sentence} Its payer may have to be told: replace the claim, or wait for the correction.",
        money_cents=row["total_cents"],
        claim_id=row["id"],
        patient_id=row["patient_id"],
    )
