from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hub.billing import accounts
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit


@pytest.fixture
def desk(world: Any) -> Desk:
    return Desk(world)


def pay(desk: Desk, claim: dict[str, Any], trace: str = "EFT1") -> Paid:
    cas = (("CO", "45", "30"), ("PR", "3", "20"), ("CO", "50", "40"))
    paid = Paid(claim["control_number"], "150", "60", (Line("99213", "150", "60", cas),))
    desk.send(Remit((paid,), trace=trace))
    return paid


def test_a_patients_account_holds_every_visit_charge_and_entry(desk: Desk) -> None:
    first = desk.claim("A1")
    second = desk.claim("A2", ("100.00", "65.00"))
    pay(desk, first)
    patient_id = desk.world.one(tables.patient)["id"]
    with reading(desk.world.store) as connection:
        account = accounts.patient_account(connection, patient_id)
    assert account.money == accounts.Money(
        charged=Decimal("315.00"),
        contractual=Decimal("30.00"),
        paid=Decimal("60.00"),
        patient=Decimal("20.00"),
        written_off=Decimal("0.00"),
        other=Decimal("0.00"),
        open=Decimal("205.00"),
    )
    assert account.money.difference == 0
    assert [visit.visit_id for visit in account.visits] == [second["visit_id"], first["visit_id"]]
    assert [len(visit.charges) for visit in account.visits] == [2, 1]
    assert [entry.kind for entry in account.entries] == [
        "charge",
        "claim",
        "charge",
        "charge",
        "claim",
        "payment",
    ]
    assert account.entries[-1].trace == "EFT1"
    assert sum(side.amount for side in account.entries[-1].sides) == 0


def test_a_claims_money_says_what_was_paid_and_what_is_open_and_how_it_came_to_be(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = pay(desk, claim)
    with reading(desk.world.store) as connection:
        found = accounts.claim_money(connection, claim["id"])
        listed = accounts.claims_money(connection, [claim["id"], 12345])
    money = found.money
    assert (money.charged, money.paid, money.contractual, money.patient, money.open) == tuple(
        map(Decimal, ("150.00", "60.00", "30.00", "20.00", "40.00"))
    )
    assert listed[claim["id"]] == money
    assert listed[12345].charged == 0
    desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-60"),)))
    with reading(desk.world.store) as connection:
        found = accounts.claim_money(connection, claim["id"])
    assert (found.money.paid, found.money.open) == (Decimal("0.00"), Decimal("150.00"))
    assert [entry.kind for entry in found.entries] == ["claim", "payment", "reversal"]
    assert found.entries[2].reverses_id == found.entries[1].entry_id


def test_the_totals_are_those_of_all_patients_together(desk: Desk) -> None:
    pay(desk, desk.claim("A1"))
    desk.claim("A2", patient=desk.world.patient("M2"))
    with reading(desk.world.store) as connection:
        found = accounts.totals(connection)
    assert (found.charged, found.paid, found.open) == tuple(map(Decimal, ("300.00", "60.00", "190.00")))
    assert found.difference == 0


def test_a_patient_without_charges_has_an_empty_account(desk: Desk) -> None:
    with reading(desk.world.store) as connection:
        account = accounts.patient_account(connection, 1)
    assert (account.visits, account.entries, account.money.charged) == ((), (), Decimal(0))
