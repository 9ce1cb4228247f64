"""A hospital's claim to the next payer, from the 835 of the one before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.billing.cob import NextPayer, next_claim
from hub.billing.matching import BilledLine
from hub.core.money import to_cents
from hub.formats.x12.claim import Claim, Payer
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.institutional import read_837i, write_837i
from hub.formats.x12.judge import judge
from hub.formats.x12.remittance import RemittanceClaim, read_835
from tests.formats.x12.claim_shapes import ENVELOPE, batch, institutional_claims

HEAD = (
    "ISA*00*          *00*          *ZZ*CLEARWAY       *ZZ*ALDER          *261120*0900*^*00501*000000001*0*T*:~"
    "GS*HP*CLEARWAY*ALDER*20261120*0900*1*X*005010X221A1~ST*835*0001~"
    "BPR*I*0*C*NON************20261120~TRN*1*T1*1999999999~N1*PR*FIRST~N1*PE*CLINIC*XX*1999000015~LX*1~"
)
FIRST_ONLY = [
    replace(
        claim,
        other_payers=(),
        frequency="1",
        payer_claim_control_number="",
        subscriber=replace(claim.subscriber, sequence="P", insurance_type=""),
        lines=tuple(replace(line, adjudications=()) for line in claim.lines),
    )
    for claim in institutional_claims("before Medicare", 12)
]


def decided(claim: Claim) -> tuple[RemittanceClaim, Decimal]:
    """What the payer said: of each line a third is the contract's, and one cent the patient's; and what it paid."""
    texts, paid = [], Decimal(0)
    for line in claim.lines:
        contract = (line.charge / 3).quantize(Decimal("0.01"))
        own = min(Decimal("0.01"), line.charge - contract)
        pays = line.charge - contract - own
        paid += pays
        procedure = f"HC:{':'.join((line.code, *line.modifiers))}" if line.code else f"NU:{line.revenue_code}"
        texts.append(
            f"SVC*{procedure}*{line.charge}*{pays}*{line.revenue_code if line.code else ''}*{line.units}~"
            f"CAS*CO*45*{contract}~" + (f"CAS*PR*2*{own}~" if own else "") + f"REF*6R*{line.control_number}~"
        )
    whole = (
        f"CLP*{claim.control_number}*1*{claim.charge}*{paid}**MC*ICN1*13*1~"
        "MIA*0****MA01***************MA18*N89~" + "".join(texts)
    )
    raw = f"{HEAD}{whole}SE*9*0001~GE*1*1~IEA*1*000000001~".encode()
    (transaction,) = read_transactions(raw)
    (said,) = read_835(transaction).claims
    return said, paid


def billed(claim: Claim) -> list[BilledLine]:
    return [
        BilledLine(
            ordinal=number,
            control_number=line.control_number,
            charge_id=number,
            code=line.billed_code,
            modifiers=line.modifiers,
            charge_cents=to_cents(line.charge),
            service_on=line.service_date.isoformat(),
        )
        for number, line in enumerate(claim.lines, start=1)
    ]


@pytest.mark.parametrize("claim", FIRST_ONLY, ids=range(len(FIRST_ONLY)))
def test_a_hospitals_claim_to_medicare_says_what_the_payer_before_decided_and_why_it_came_first(claim: Claim) -> None:
    said, paid = decided(claim)
    medicare = NextPayer(
        payer=Payer(name="MEDICARE", id="00882", filing_indicator="MA"),
        subscriber=replace(claim.subscriber, insurance_type="12"),
        patient=claim.patient,
    )
    made = next_claim(
        claim,
        billed(claim),
        [said],
        decided=date(2026, 11, 20),
        control_number="HNEXT1",
        frequency=claim.frequency,
        to=medicare,
    )
    data = write_837i(ENVELOPE, batch(made))
    verdict = judge(data)
    assert verdict.ok, verdict.findings
    (back,) = read_837i(data)
    (other,) = back.other_payers
    assert back.institutional is not None
    assert (other.inpatient, other.remark_codes, other.paid) == (True, ("MA01", "MA18", "N89"), paid)
    assert [(each.code, each.amount) for each in back.institutional.values][-1] == ("12", paid)
    assert back.subscriber.insurance_type == ""
    for line in back.lines:
        (decision,) = line.adjudications
        assert decision.revenue_code == line.revenue_code
        assert decision.paid + sum(each.amount for each in decision.adjustments) == line.charge
