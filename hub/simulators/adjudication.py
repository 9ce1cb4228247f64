"""What a payer decides about a claim: allowed amounts, patient shares, denials; always in balance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from hub.simulators.world import EVALUATION, FEES, NEEDS_25, Payer
from hub.simulators.x12 import Claim837, Line837

# Seeded denials: group, CARC, remark (or empty).
DENIALS = (
    ("CO", "16", "N290"),
    ("CO", "97", ""),
    ("CO", "50", ""),
    ("PR", "204", ""),
    ("CO", "197", ""),
    ("CO", "29", ""),
)
UNLISTED_PERCENT = 60


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One triplet of a CAS segment."""

    group: str
    reason: str
    amount: int


@dataclass(frozen=True, slots=True)
class PaidLine:
    """What became of one service line."""

    line: Line837
    charge: int
    paid: int
    adjustments: tuple[Adjustment, ...]
    allowed: int
    units_paid: str
    remark: str = ""

    @property
    def patient(self) -> int:
        """What the patient owes for the line, in cents."""
        return sum(each.amount for each in self.adjustments if each.group == "PR")

    def reversed(self) -> PaidLine:
        """The same with every amount's sign turned."""
        turned = tuple(replace(each, amount=-each.amount) for each in self.adjustments)
        return replace(self, charge=-self.charge, paid=-self.paid, adjustments=turned, allowed=-self.allowed)


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one claim: a CLP loop to be."""

    claim: Claim837
    icn: str
    status: str
    lines: tuple[PaidLine, ...]
    interest: int = 0
    sent_pcn: str = ""

    @property
    def charge(self) -> int:
        """CLP03 in cents."""
        return sum(line.charge for line in self.lines)

    @property
    def paid(self) -> int:
        """CLP04 in cents."""
        return sum(line.paid for line in self.lines)

    @property
    def patient(self) -> int:
        """CLP05 in cents."""
        return sum(line.patient for line in self.lines)

    def reversed(self) -> Decision:
        """The reversal: status 22, every amount with the other sign (005010X221A1, section 1.10.2.8)."""
        return replace(self, status="22", interest=0, lines=tuple(line.reversed() for line in self.lines))

    def entry(self) -> dict[str, Any]:
        """What the books say about it."""
        return {
            "pcn": self.claim.pcn,
            "sent_pcn": self.sent_pcn or self.claim.pcn,
            "status": self.status,
            "charge_cents": self.charge,
            "paid_cents": self.paid,
            "patient_cents": self.patient,
            "icn": self.icn,
            "interest_cents": self.interest,
            "lines": [
                {
                    "control": line.line.control,
                    "code": line.line.code,
                    "charge_cents": line.charge,
                    "paid_cents": line.paid,
                    "adjustments": [[each.group, each.reason, each.amount] for each in line.adjustments],
                }
                for line in self.lines
            ],
        }


def crossed_over(decision: Decision, payer_id: str) -> Claim837:
    """The claim as the next payer gets it: the same number, and what the first one paid and left to the patient."""
    lines = [replace(each.line, patient_before=each.patient) for each in decision.lines]
    return replace(decision.claim, sequence="S", payer_id=payer_id, lines=lines)


@dataclass(slots=True)
class Adjudicator:
    """One payer's judgement, with the deductibles it has already taken from each member."""

    payer: Payer
    seed: int
    denials: tuple[tuple[str, str, str], ...] = DENIALS
    denied_percent: int = 6
    deductible_met: dict[str, int] = field(default_factory=dict)

    def decide(self, claim: Claim837, icn: str) -> Decision:
        """Decide about a claim. The same seed and the same claim give the same denials."""
        rng = random.Random(f"{self.seed}|{claim.member_id}|{claim.service_date}|{claim.charge}|{claim.frequency}")
        if claim.sequence == "S":
            return Decision(claim, icn, "2", tuple(self._secondary(line) for line in claim.lines))
        lines = tuple(self._line(claim, line, rng) for line in claim.lines)
        return Decision(claim, icn, self._status(claim), lines)

    def better(self, decision: Decision) -> Decision:
        """Decide again, more kindly: denied lines are paid, paid lines lose a tenth to the contract."""
        lines = []
        for old in decision.lines:
            if old.paid == 0 and old.allowed == 0:
                lines.append(self._priced(old.line, member=decision.claim.member_id))
            else:
                cut = old.paid // 10
                kept = [each for each in old.adjustments if (each.group, each.reason) != ("CO", "45")]
                contract = sum(each.amount for each in old.adjustments) - sum(each.amount for each in kept) + cut
                first = (Adjustment("CO", "45", contract),) if contract else ()
                lines.append(replace(old, paid=old.paid - cut, allowed=old.allowed - cut, adjustments=(*first, *kept)))
        return replace(decision, status=self._status(decision.claim), lines=tuple(lines), interest=0)

    def _status(self, claim: Claim837) -> str:
        """2 for a claim that another payer decided before, 19 when this payer sends it on by itself, 1 otherwise."""
        if claim.sequence == "S":
            return "2"
        crosses = claim.member_id.startswith("MBS") and int(claim.member_id[-1]) % 2 == 0
        return "19" if self.payer.filing == "MB" and crosses else "1"

    def _line(self, claim: Claim837, line: Line837, rng: random.Random) -> PaidLine:
        chance, which = rng.random(), rng.randrange(len(self.denials))
        if self._lacks_25(claim, line):
            return self._denied(line, ("CO", "97", ""))
        if chance * 100 < self.denied_percent:
            group, reason, remark = self.denials[which]
            if self.payer.filing == "MC":
                group = "CO"  # Medicaid leaves nothing to the patient
            return self._denied(line, (group, reason, remark))
        return self._priced(line, member=claim.member_id)

    def _lacks_25(self, claim: Claim837, line: Line837) -> bool:
        """Say whether Medicaid misses modifier 25 on a visit beside a procedure."""
        beside = any(other.code in NEEDS_25 for other in claim.lines)
        return self.payer.filing == "MC" and line.code in EVALUATION and beside and "25" not in line.modifiers

    def _denied(self, line: Line837, why: tuple[str, str, str]) -> PaidLine:
        group, reason, remark = why
        return PaidLine(line, line.charge, 0, (Adjustment(group, reason, line.charge),), 0, line.units, remark)

    def _priced(self, line: Line837, *, member: str) -> PaidLine:
        units = int(line.units) if line.units.isdigit() else 1
        fee = FEES.get(line.code)
        allowed = fee * units * self.payer.allowed_percent // 100 if fee else line.charge * UNLISTED_PERCENT // 100
        units_paid = line.units
        adjustments = []
        cut = line.charge // units if units > 2 else 0  # more than two of anything is one too many
        if cut:
            units_paid = str(units - 1)
            allowed = min(allowed * (units - 1) // units, line.charge - cut)
            adjustments.append(Adjustment("CO", "151", cut))
            contract = line.charge - cut - allowed
        else:
            allowed = min(allowed, line.charge)
            contract = line.charge - allowed
        if contract:
            adjustments.insert(0, Adjustment("CO", "45", contract))
        share, patient = self._patient_share(line, allowed, member)
        return PaidLine(line, line.charge, allowed - share, (*adjustments, *patient), allowed, units_paid)

    def _patient_share(self, line: Line837, allowed: int, member: str) -> tuple[int, list[Adjustment]]:
        left = allowed
        adjustments = []
        # A third of the members have a deductible that is not yet met.
        has_deductible = sum(map(ord, member)) % 3 == 0
        open_deductible = self.payer.deductible - self.deductible_met.get(member, 0) if has_deductible else 0
        if open_deductible > 0:
            taken = min(left, open_deductible)
            self.deductible_met[member] = self.deductible_met.get(member, 0) + taken
            adjustments.append(Adjustment("PR", "1", taken))
            left -= taken
        if left and self.payer.copay and line.code in EVALUATION:
            taken = min(left, self.payer.copay)
            adjustments.append(Adjustment("PR", "3", taken))
            left -= taken
        elif left and self.payer.coinsurance_percent:
            taken = left * self.payer.coinsurance_percent // 100
            if taken:
                adjustments.append(Adjustment("PR", "2", taken))
            left -= taken
        return allowed - left, adjustments

    def _secondary(self, line: Line837) -> PaidLine:
        """Pay what the primary left to the patient; the rest is the primary's business (OA 23)."""
        paid = min(line.patient_before, line.charge)
        rest = line.charge - paid
        adjustments = (Adjustment("OA", "23", rest),) if rest else ()
        return PaidLine(line, line.charge, paid, adjustments, paid, line.units)
