from __future__ import annotations

from dataclasses import replace

import pytest

from hub.billing import tracing
from hub.billing.provider_adjustments import forwarded_balances
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Remit, check, in_full


def test_interest_is_income_and_needs_nobody(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = replace(in_full(claim), interest="1.25")  # AMT*I explains PLB L6 and moves nothing by itself
    desk.send(Remit((paid,), plb=(("L6:ICN1", "-1.25"),)))
    assert desk.world.balances()["interest"] == -125
    assert "clearing" not in desk.world.balances()
    assert desk.world.items() == []
    assert check(desk).cash == check(desk).charges.paid + check(desk).interest


def test_a_balance_carried_forward_and_taken_later_meets_at_zero(desk: Desk) -> None:
    claim, other = desk.claim("A1"), desk.claim("A2")
    paid = in_full(claim)
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), plb=(("FB", "-100"),), trace="EFT2"))
    with reading(desk.world.store) as connection:
        (open_one,) = forwarded_balances(connection)
        assert (open_one.payer_id, open_one.provider, open_one.cents) == ("90001", "1999000015", -10000)
    desk.send(Remit((in_full(other),), plb=(("FB", "100"),), trace="EFT3"))
    with reading(desk.world.store) as connection:
        assert forwarded_balances(connection) == []
    assert desk.world.items() == []
    check(desk)


def test_a_take_back_of_a_payment_that_was_reversed_explains_itself_and_names_the_claim(desk: Desk) -> None:
    claim, other = desk.claim("A1"), desk.claim("A2")
    paid = in_full(claim)
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), plb=(("WO:ICN1", "-100"),), trace="EFT2"))
    desk.send(Remit((in_full(other),), plb=(("WO:ICN1", "100"),), trace="EFT3"))
    entries = desk.world.rows(tables.ledger_entry, kind="provider adjustment")
    assert [entry["claim_id"] for entry in entries] == [claim["id"]] * 2
    assert "provider level" not in desk.world.balances()
    assert "provider level" not in desk.world.balances(claim_id=claim["id"])
    assert desk.world.items() == []
    check(desk)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("WO:NOBODYS", "take-back of a payment that we do not know"), ("CS:L1", "belongs to no claim"), ("72", "72")],
)  # fmt: skip
def test_what_the_payer_does_not_explain_is_booked_and_goes_to_a_person(desk: Desk, reason: str, words: str) -> None:
    claim = desk.claim("A1")
    (row,) = desk.send(Remit((in_full(claim),), plb=((reason, "40"),)))
    assert (row["state"], row["provider_cents"]) == ("posted", 4000)
    assert desk.world.balances()["provider level"] == 4000
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"], item["money_cents"]) == (
        "unmatched payments",
        "provider adjustment",
        -4000,
    )
    assert words in item["sentence"]
    check(desk)


def test_interest_that_the_claims_name_and_the_payment_does_not_bring_is_told(desk: Desk) -> None:
    claim, other = desk.claim("A1"), desk.claim("A2")
    several = (replace(in_full(claim), interest="1.25"), replace(in_full(other), interest="2"))
    desk.send(Remit(several, plb=(("L6:ICN1", "-1.25"),)))
    (item,) = desk.world.items()
    assert (item["kind"], item["money_cents"]) == ("interest differs", 200)
    assert "3.25 of interest, and 1.25 came" in item["sentence"]
    check(desk)


def test_a_refund_that_the_payer_confirms_with_its_take_back_needs_nobody_and_other_reasons_as_the_site_says(
    desk: Desk,
) -> None:
    world = desk.world
    policy = world.config.policy.model_copy(update={"provider_adjustments": ("CT",)})
    world.config = replace(world.config, policy=policy)
    claim = desk.claim("A1")
    settled = (("72:REF1", "-40"), ("WO:REF1", "40"), ("CT:PANEL", "-25"), ("CS:NOTHING", "0"))
    desk.send(Remit((in_full(claim),), plb=settled))
    assert world.items() == []
    assert world.balances()["provider level"] == -2500
    desk.send(Remit((), plb=(("72:REF2", "-40"), ("WO:REF2", "30")), trace="EFT2"))
    assert [item["money_cents"] for item in world.items()] == [4000, -3000]
    check(desk)
    with reading(world.store) as connection:
        booked = tracing.traced(connection, account="provider level", trace="EFT2").postings
        segments = [tracing.segments_of(connection, world.vault, [each]) for each in booked]
    assert [[said.id for said in each.values()] for each in segments] == [["PLB"], ["PLB"]]


def test_a_remittance_of_nothing_but_provider_adjustments_is_posted(desk: Desk) -> None:
    (row,) = desk.send(Remit(plb=(("L6", "-3"), ("CS", "-2"))))
    assert (row["state"], row["amount_cents"], row["claims"]) == ("posted", 500, 0)
    assert desk.world.balances() == {"cash": 500, "interest": -300, "provider level": -200}
    check(desk)
