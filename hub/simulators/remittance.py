"""The 835 (005010X221A1) as a payer writes it, from decisions that balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hub.simulators.adjudication import Adjustment, Decision, PaidLine
from hub.simulators.world import PAYERS, PRACTICE_NAME, PRACTICE_NPI, PRACTICE_TAX_ID, SUBMITTER, Payer
from hub.simulators.x12 import Segment, money, write_interchange

PAIRS_IN_PLB = 6
FILING = {"CI": "12", "MB": "MB", "MC": "MC"}


@dataclass(frozen=True, slots=True)
class ProviderAdjustment:
    """One pair of a PLB segment: a positive amount takes money away."""

    reason: str
    reference: str
    amount: int


@dataclass(frozen=True, slots=True)
class Remittance:
    """One 835: BPR02 is what the claims sum up to, less the provider adjustments."""

    payer: Payer
    trace: str
    decisions: tuple[Decision, ...]
    provider_adjustments: tuple[ProviderAdjustment, ...] = ()

    @property
    def amount(self) -> int:
        """BPR02 in cents."""
        paid = sum(decision.paid for decision in self.decisions)
        return paid - sum(each.amount for each in self.provider_adjustments)


def write_835(remittance: Remittance, sender: str, control: int, when: datetime, skew: int = 0) -> str:
    """Write the file. ``skew`` spoils the balance: it is added to the first claim's CLP04 only."""
    payer, amount = remittance.payer, remittance.amount
    day = f"{when:%Y%m%d}"
    paid = [
        "ACH",
        "CCP",
        "01",
        "011000015",
        "DA",
        "123456",
        f"{payer.tax_id}",
        "",
        "01",
        "071000013",
        "DA",
        "987654",
    ]
    bpr = ["BPR", "I", money(amount), "C", *paid] if amount else ["BPR", "H", "0", "C", "NON", *[""] * 11]
    body: list[Segment] = [
        [*bpr, day],
        ["TRN", "1", remittance.trace, payer.tax_id],
        ["REF", "EV", SUBMITTER],
        ["DTM", "405", day],
        ["N1", "PR", payer.name, "XV", payer.payer_id],
        ["N3", "1 PAYER PLAZA"],
        ["N4", "HARTFORD", "CT", "06101"],
        ["PER", "BL", "EDI SUPPORT", "TE", "8005550199"],
        ["N1", "PE", PRACTICE_NAME, "XX", PRACTICE_NPI],
        ["REF", "TJ", PRACTICE_TAX_ID],
        ["LX", "1"],
    ]
    for decision in remittance.decisions:
        body += _claim(decision, payer, day, skew)
        skew = 0
    pairs = remittance.provider_adjustments
    for start in range(0, len(pairs), PAIRS_IN_PLB):
        plb = ["PLB", PRACTICE_NPI, f"{when:%Y}1231"]
        for each in pairs[start : start + PAIRS_IN_PLB]:
            plb += [f"{each.reason}:{each.reference}" if each.reference else each.reason, money(each.amount)]
        body.append(plb)
    return write_interchange(
        body,
        sender=sender,
        receiver=SUBMITTER,
        control=control,
        when=when,
        functional_id="HP",
        version="005010X221A1",
        kind="835",
    )


def _claim(decision: Decision, payer: Payer, day: str, skew: int) -> Iterable[Segment]:
    claim, reversal = decision.claim, decision.status == "22"
    patient = money(decision.patient) if decision.patient and not reversal else "" if reversal else "0"
    yield [
        "CLP",
        decision.sent_pcn or claim.pcn,
        decision.status,
        money(decision.charge),
        money(decision.paid + skew),
        patient,
        FILING[payer.filing],
        decision.icn,
        claim.place,
        claim.frequency,
    ]
    yield ["NM1", "QC", "1", *claim.patient, "", "", "MI", claim.member_id]
    if decision.status == "19":
        supplement = PAYERS["90003"]
        yield ["NM1", "TT", "2", supplement.name, "", "", "", "", "PI", supplement.payer_id]
    yield ["DTM", "050", day]
    if decision.interest:
        yield ["AMT", "I", money(decision.interest)]
    for line in decision.lines:
        yield from _line(line, reversal)


def _line(line: PaidLine, reversal: bool) -> Iterable[Segment]:
    sign = "-" if reversal else ""
    service = ["SVC", line.line.procedure, money(line.charge), money(line.paid), "", sign + line.units_paid]
    if line.units_paid != line.line.units:
        service += ["", sign + line.line.units]
    yield service
    yield ["DTM", "472", line.line.date]
    for group in dict.fromkeys(each.group for each in line.adjustments):
        members: list[Adjustment] = [each for each in line.adjustments if each.group == group]
        triplets: Segment = []
        for each in members:
            triplets += [each.reason, money(each.amount), ""]
        yield ["CAS", group, *triplets]
    yield ["REF", "6R", line.line.control]
    if line.allowed > 0:
        yield ["AMT", "B6", money(line.allowed)]
    if line.remark and not reversal:
        yield ["LQ", "HE", line.remark]
