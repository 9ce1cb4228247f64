"""From a registration and a charge to a batch that the guide's own check accepts."""

from __future__ import annotations

from decimal import Decimal

from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p
from hub.store import tables


def test_a_visit_and_its_charge_become_one_claim_in_a_batch_that_pyx12_accepts(world):
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2", code="83036", amount=Decimal("65.00"))])
    world.check_ledger()
    (batch,) = world.bill_and_batch()
    assert judge(batch.body).ok
    (claim,) = read_837p(batch.body)
    row = world.one(tables.claim)
    assert (claim.control_number, claim.charge * 100) == (row["control_number"], 21500)
    assert row["state"] == "sent"
    world.check_ledger()
    assert world.balances() == {"receivable payer": 21500, "revenue": -21500}
