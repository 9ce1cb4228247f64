from __future__ import annotations

from decimal import Decimal
from typing import Any

from hub.billing import accounts
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit


def pay(desk: Desk, claim: dict[str, Any], trace: str = "EFT1") -> Paid:
    cas = (("CO", "45", "30"), ("PR", "3", "20"), ("CO", "50", "40"))
    paid = Paid(claim["control_number"], "150", "60", (Line("99213", "150", "60", cas),))
    desk.send(Remit((paid,), trace=trace))
    return paid


def totals(desk: Desk) -> accounts.Money:
    with reading(desk.world.store) as connection:
        return accounts.totals(connection)


def test_everything_charged_is_paid_adjusted_the_patients_or_open(desk: Desk) -> None:
    first = desk.claim("A1")
    desk.claim("A2", ("100.00", "65.00"), patient=desk.world.patient("M2"))
    pay(desk, first)
    found = totals(desk)
    assert found == accounts.Money(
        charged=Decimal("315.00"),
        contractual=Decimal("30.00"),
        paid=Decimal("60.00"),
        patient=Decimal("20.00"),
        written_off=Decimal("0.00"),
        other=Decimal("0.00"),
        open=Decimal("205.00"),
    )
    assert found.difference == 0


def test_what_a_payer_takes_back_is_open_again(desk: Desk) -> None:
    paid = pay(desk, desk.claim("A1"))
    desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-60"),)))
    found = totals(desk)
    assert (found.paid, found.open, found.difference) == (Decimal("0.00"), Decimal("150.00"), 0)
