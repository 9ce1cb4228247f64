from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from hub.billing import early_reversals, paying, standing
from hub.billing.shares import allocate
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit, check

pytestmark = pytest.mark.both_stores


def one_line(claim: dict[str, Any], paid: str, *cas: tuple[str, str, str], **fields: Any) -> Paid:
    given: dict[str, Any] = {
        "number": claim["control_number"],
        "charge": "150",
        "paid": paid,
        "lines": (Line("99213", "150", paid, cas),),
    }
    return Paid(**{**given, **fields})


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_shares_add_up_to_the_cent_and_never_leave_the_amount(cents: int, weights: list[int]) -> None:
    shares = allocate(cents, weights)
    assert sum(shares) == cents
    assert len(shares) == len(weights)
    assert all(share * cents >= 0 for share in shares)
    assert allocate(-cents, weights) == [-share for share in shares]


def test_a_third_that_cannot_be_divided_goes_to_the_last_line() -> None:
    assert allocate(100, [1, 1, 1]) == [33, 33, 34]
    assert allocate(5, [0, 0]) == [5, 0]


def test_patient_shares_that_the_policy_lists_become_the_patients(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((one_line(claim, "80", ("CO", "45", "45"), ("PR", "3", "25")),)))
    assert desk.world.balances(claim_id=claim["id"]) | {"unbilled": 0, "clearing": 0} == {
        "receivable patient": 2500,
        "contractual": 4500,
        "unbilled": 0,
        "clearing": 0,
    }
    assert desk.state(claim) == "paid"
    check(desk)


@pytest.mark.parametrize(
    ("paid", "cas", "balances"),
    [
        ("0", [("CO", "24", "150")], {"contractual": 15000}),  # capitation: nothing is owed, and nobody need look
        ("155", [("CO", "144", "-5")], {"other adjustment": -500}),  # an incentive on top
        ("120", [("CO", "45", "30"), ("PR", "1", "40"), ("OA", "187", "-40")], {"contractual": 3000}),  # health account
        ("0", [("CO", "45", "30"), ("PR", "66", "120")], {"contractual": 3000, "receivable patient": 12000}),
    ],
)
def test_what_needs_nobodys_look_is_posted_and_leaves_no_item(
    desk: Desk, paid: str, cas: list[tuple[str, str, str]], balances: dict[str, int]
) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((one_line(claim, paid, *cas),)))
    found = desk.world.balances(claim_id=claim["id"])
    assert {name: cents for name, cents in found.items() if cents and name not in {"unbilled", "clearing"}} == balances
    assert not desk.world.items()
    assert desk.state(claim) == "paid"
    check(desk)


@pytest.mark.parametrize("code", [("CO", "50"), ("PI", "16"), ("OA", "18"), ("PR", "204"), ("CO", "151")])
def test_an_adjustment_that_is_not_listed_stays_open_and_goes_to_denials(desk: Desk, code: tuple[str, str]) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((one_line(claim, "90", (*code, "60")),)))
    assert desk.world.balances()["receivable payer"] == 6000
    assert desk.state(claim) == "partly paid"
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"], item["money_cents"]) == ("denials", "denied line", 6000)
    assert "-".join(code) in item["sentence"]
    assert item["sentence"].startswith("Cedar Mutual does not pay 60.00 of line 1")  # not as the payer prints it
    check(desk)


def test_a_claim_of_which_nothing_is_paid_is_denied(desk: Desk) -> None:
    claim = desk.claim("A1", ("150.00", "65.00"))
    denied = Paid(
        claim["control_number"],
        "215",
        "0",
        lines=(
            Line("99213", "150", "0", (("CO", "50", "150"),)),
            Line("83036", "65", "0", (("CO", "50", "65"),)),
        ),
    )
    desk.send(Remit((denied,), method="NON", handling="H"))
    assert desk.state(claim) == "denied"
    assert [item["money_cents"] for item in desk.world.items("denials")] == [15000, 6500]
    assert len({item["charge_id"] for item in desk.world.items("denials")}) == 2
    check(desk)


def test_a_remittance_without_lines_is_shared_out_over_the_charges(desk: Desk) -> None:
    claim = desk.claim("A1", ("100.00", "50.00", "0.01"))
    paid = Paid(claim["control_number"], "150.01", "100", cas=(("CO", "45", "30"), ("PR", "1", "20.01")), icn="X")
    desk.send(Remit((paid,)))
    lines = desk.lines(claim)
    found = [desk.world.balances(charge_id=line["charge_id"]) for line in lines]
    assert sum(each["clearing"] for each in found) == 10000
    assert sum(each["contractual"] for each in found) == 3000
    assert sum(each["receivable patient"] for each in found) == 2001
    assert desk.world.balances().get("receivable payer", 0) == 0
    assert desk.state(claim) == "paid"
    check(desk)


def test_an_adjustment_of_the_whole_claim_lowers_what_its_lines_were_paid(desk: Desk) -> None:
    claim = desk.claim("A1", ("100.00", "50.00"))
    paid = Paid(
        claim["control_number"],
        "150",
        "110",
        lines=(Line("99213", "100", "80", (("CO", "45", "20"),)), Line("83036", "50", "50")),
        cas=(("PR", "1", "20"),),
    )
    (row,) = desk.send(Remit((paid,)))
    assert row["state"] == "posted"
    balances = desk.world.balances()
    assert balances == {"cash": 11000, "contractual": 2000, "receivable patient": 2000, "revenue": -15000}
    check(desk)


def test_lines_are_told_apart_by_our_own_number_whatever_the_payer_did_to_the_code(desk: Desk) -> None:
    claim = desk.claim("A1", ("100.00", "100.00"))
    first, second = desk.lines(claim)
    paid = Paid(
        claim["control_number"],
        "200",
        "70",
        lines=(
            Line("99999", "100", "0", (("CO", "50", "100"),), control=second["control_number"]),
            Line("99999", "100", "70", (("CO", "45", "30"),), control=first["control_number"]),
        ),
    )
    desk.send(Remit((paid,)))
    assert desk.world.balances(charge_id=first["charge_id"])["clearing"] == 7000
    assert desk.world.balances(charge_id=second["charge_id"])["receivable payer"] == 10000
    check(desk)


def test_a_line_that_the_payer_split_adds_up_on_ours(desk: Desk) -> None:
    claim = desk.claim("A1")
    (line,) = desk.lines(claim)
    parts = tuple(
        Line("99213", charge, paid, (("CO", "45", rest),), control=line["control_number"])
        for charge, paid, rest in (("100", "60", "40"), ("50", "30", "20"))
    )
    desk.send(Remit((Paid(claim["control_number"], "150", "90", lines=parts),)))
    assert desk.world.balances(charge_id=line["charge_id"])["clearing"] == 9000
    assert desk.state(claim) == "paid"
    check(desk)


def test_a_reversal_brings_every_account_back_and_closes_the_denials(desk: Desk) -> None:
    claim = desk.claim("A1")
    before = desk.world.balances()
    paid = one_line(claim, "60", ("CO", "45", "30"), ("PR", "3", "20"), ("CO", "50", "40"))
    desk.send(Remit((paid,)))
    assert len(desk.world.items("denials")) == 1
    (row,) = desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-60"),)))
    assert (row["state"], row["claims_posted"]) == ("posted", 1)
    after = desk.world.balances()
    assert after == before | {"cash": 6000, "provider level": -6000}
    assert desk.world.items() == []
    assert desk.state(claim) == "reversed"
    mirrored = desk.world.rows(tables.ledger_entry, kind="reversal")
    assert [entry["reverses_id"] for entry in mirrored] == [
        entry["id"] for entry in desk.world.rows(tables.ledger_entry, kind="payment")
    ]
    check(desk)


@pytest.mark.parametrize("in_one_file", [True, False])
def test_a_correction_after_a_reversal_posts_as_new(desk: Desk, in_one_file: bool) -> None:
    claim = desk.claim("A1")
    wrong = one_line(claim, "60", ("CO", "45", "90"))
    right = one_line(claim, "100", ("CO", "45", "50"), icn="ICN2")
    desk.send(Remit((wrong,)))
    if in_one_file:
        desk.send(Remit((wrong.reversed(), right), trace="EFT2"))
    else:
        desk.send(Remit((wrong.reversed(),), trace="EFT2", plb=(("FB", "-60"),)))
        desk.send(Remit((right,), trace="EFT3", plb=(("FB", "60"),)))
    assert desk.world.balances() == {"cash": 10000, "contractual": 5000, "revenue": -15000}
    assert desk.state(claim) == "paid"
    assert desk.world.items() == []
    check(desk)


def test_a_reversal_of_something_never_paid_waits_for_a_person_and_its_money_too(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = one_line(claim, "100", ("CO", "45", "50"))
    (row,) = desk.send(Remit((paid.reversed(),), plb=(("FB", "-100"),)))
    assert (row["state"], row["claims_held"]) == ("posted", 1)
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"]) == ("unmatched payments", "reversal without payment")
    assert check(desk).unapplied == Decimal("-100.00")


def test_a_payment_is_taken_back_only_once(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = one_line(claim, "100", ("CO", "45", "50"))
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-100"),)))
    desk.send(Remit((paid.reversed(),), trace="EFT3", plb=(("FB", "-100"),)))
    assert [item["kind"] for item in desk.world.items()] == ["reversal without payment"]
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 15000
    check(desk)


def test_paying_twice_is_booked_and_told(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = one_line(claim, "100", ("CO", "45", "50"))
    desk.send(Remit((paid,)))
    desk.send(Remit((paid,), trace="EFT2"))
    (item,) = desk.world.items()
    assert (item["queue"], item["kind"], item["money_cents"]) == ("credits", "overpaid claim", 15000)
    assert desk.world.balances()["receivable payer"] == -15000
    check(desk)


def test_a_claim_repeated_inside_one_remittance_is_posted_once_and_its_money_kept_apart(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = one_line(claim, "100", ("CO", "45", "50"))
    (row,) = desk.send(Remit((paid, paid)))
    assert (row["claims_posted"], row["claims_held"]) == (1, 1)
    assert check(desk).unapplied == Decimal("100.00")
    assert [item["kind"] for item in desk.world.items()] == ["payment posted before"]


def test_an_unmatched_payment_keeps_its_money_until_a_person_names_the_claim(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = one_line(claim, "100", ("CO", "45", "50"), number="UNKNOWN1", icn="X9", member="W999999999")
    paid = replace(paid, lines=(replace(paid.lines[0], day="20260101"),))
    desk.send(Remit((paid,)))
    assert check(desk).unapplied == Decimal("100.00")
    (row,) = desk.world.rows(tables.remittance_claim)
    assert row["state"] == "unmatched"
    stranger = desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=12345)
    assert not stranger["ok"]
    answer = desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=claim["id"])
    assert answer["ok"]
    posted = desk.world.one(tables.remittance_claim)
    assert (posted["state"], posted["matched_by"]) == ("posted", "by hand: biller")
    assert desk.world.one(tables.remittance)["claims_held"] == 0
    assert not desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=claim["id"])["ok"]
    assert desk.state(claim) == "paid"
    assert desk.world.items() == []
    assert check(desk).unapplied == 0


def test_an_estimate_posts_nothing(desk: Desk) -> None:
    claim = desk.claim("A1")
    estimate = one_line(claim, "0", ("CO", "45", "150"), status="25")
    desk.send(Remit((estimate,), method="NON", handling="H"))
    assert desk.state(claim) == "sent"
    assert desk.world.one(tables.remittance_claim)["state"] == "closed"
    check(desk)


def test_a_second_payer_pays_off_what_the_first_left_to_the_patient(desk: Desk) -> None:
    coverages = (desk.world.coverage(), desk.world.coverage("90003", "X1", priority=2))
    claim = desk.claim("A1", coverages=coverages)
    desk.send(Remit((one_line(claim, "100", ("CO", "45", "20"), ("PR", "2", "30"), status="19"),)))
    second = one_line(claim, "30", ("OA", "23", "120"), status="2", icn="N1", member="X1")
    desk.send(Remit((second,), payer="90003", name="NORTHWIND", trace="N-1"))
    assert desk.world.balances() == {"cash": 13000, "contractual": 2000, "revenue": -15000}
    assert desk.state(claim) == "paid"
    assert desk.world.items() == []
    check(desk)


def test_the_payers_claim_number_is_kept_on_the_claim(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((one_line(claim, "100", ("CO", "45", "50"), icn="ICN77"),)))
    assert desk.world.one(tables.claim, id=claim["id"])["payer_claim_number"] == "ICN77"
    assert date.fromisoformat(claim["service_on"]) == date(2026, 11, 10)


def test_a_reversal_that_comes_before_its_payment_takes_effect_when_the_payment_comes(desk: Desk) -> None:
    claim = desk.claim("A1")
    first = one_line(claim, "80", ("CO", "45", "70"))
    better = one_line(claim, "120", ("CO", "45", "30"), icn="ICN2")
    desk.send(Remit((first.reversed(), better), trace="EFT2"))
    (item,) = desk.world.items("unmatched payments")
    assert item["kind"] == "reversal without payment"
    desk.send(Remit((first,), trace="EFT1"))
    desk.world.run_due("early reversal")
    assert not desk.world.items("unmatched payments")
    assert desk.world.balances()["contractual"] == 3000
    assert desk.state(claim) == "paid"
    assert not desk.world.items("credits")
    assert desk.world.balances().get("receivable payer", 0) == 0
    check(desk)


@pytest.mark.sqlite
def test_what_a_posting_asks_of_the_store_rests_on_its_claim_however_much_is_posted(desk: Desk) -> None:
    statements = {
        "standing": standing._PAYMENTS,
        "reversals that wait": early_reversals._OF_CHAIN,
        "receivable": paying._RECEIVABLE,
    }
    with reading(desk.world.store) as connection:
        for name, statement in statements.items():
            text = str(statement.compile(dialect=sqlite.dialect()))
            values = tuple(1 for _ in range(text.count("?")))
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            assert not [step for step in plan if "SCAN" in step or "_state_" in step], (name, plan)
