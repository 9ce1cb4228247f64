from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hub.billing import reconcile
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit, check, in_full


def only(desk: Desk, table: Any, **equals: Any) -> dict[str, Any]:
    return dict(desk.world.one(table, **equals))


# ---------------------------------------------------------------- matches


def test_a_match_that_a_person_undoes_leaves_the_claim_as_it_was_and_tells_the_ehr(desk: Desk) -> None:
    claim = desk.claim("A1")
    before = desk.world.balances(claim_id=claim["id"])
    desk.send(Remit((in_full(claim),)))
    row = only(desk, tables.remittance_claim)
    desk.emitted.clear()
    answer = desk.world.command(
        "unmatch_payment", remittance_claim_id=row["id"], version=row["version"], reason="another patient's"
    )
    assert answer["ok"], answer
    assert desk.world.balances(claim_id=claim["id"]) == before
    assert only(desk, tables.remittance_claim)["state"] == "unmatched"
    assert desk.state(claim) == "reversed"
    assert check(desk).unapplied == Decimal("100.00")
    (item,) = desk.world.items("unmatched payments")
    assert item["remittance_claim_id"] == row["id"]
    told = [emit for emit in desk.world.emitted if emit.kind == "payment"]
    assert b'"reversal":true' in told[-1].body
    assert b'"paid":"-100.00"' in told[-1].body


def test_a_payment_whose_match_was_undone_can_be_matched_to_the_right_claim(desk: Desk) -> None:
    wrong, right = desk.claim("A1"), desk.claim("A2")
    desk.send(Remit((in_full(wrong, member=""),)))
    for target in (right, wrong, right):
        row = only(desk, tables.remittance_claim)
        undone = desk.world.command(
            "unmatch_payment", remittance_claim_id=row["id"], version=row["version"], reason="not theirs"
        )
        matched = desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=target["id"])
        assert undone["ok"], undone
        assert matched["ok"], matched
        assert desk.world.items("unmatched payments") == []
        check(desk)
    assert desk.state(right) == "paid"
    assert desk.world.balances(claim_id=wrong["id"]).get("clearing", 0) == 0
    names = [emit.name for emit in desk.world.emitted if emit.kind == "payment"]
    assert len(names) == len(set(names)) == 6


def test_a_match_seen_in_an_older_version_or_taken_back_by_the_payer_is_not_undone(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = in_full(claim)
    desk.send(Remit((paid,)))
    row = only(desk, tables.remittance_claim)
    asked = {"remittance_claim_id": row["id"], "reason": "x"}
    assert not desk.world.command("unmatch_payment", **asked, version=row["version"] - 1)["ok"]
    desk.send(Remit((paid.reversed(),), trace="BACK"))
    assert not desk.world.command("unmatch_payment", **asked, version=row["version"])["ok"]
    assert check(desk).charges.paid == 0


@pytest.mark.parametrize(("spoilt", "place"), [("NPI77-{}", "prefix"), ("{}XYZ", "suffix")])
def test_what_a_payer_does_to_our_numbers_is_used_once_a_person_has_released_it(
    desk: Desk, spoilt: str, place: str
) -> None:
    first, second, third = (desk.claim(f"A{n}") for n in range(3))

    def arrives(claim: dict[str, Any], trace: str) -> None:
        """A payment that names the claim by nothing but the number that the payer has spoilt."""
        line = Line("99213", "150", "100", (("CO", "45", "50"),), day=claim["service_on"].replace("-", ""))
        number = spoilt.format(claim["control_number"])
        paid = in_full(claim, number=number, member="", icn=f"ICN{trace}", lines=(line,))
        desk.send(Remit((paid,), trace=trace))

    arrives(first, "E1")
    row = only(desk, tables.remittance_claim)
    assert row["state"] == "unmatched"
    assert desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=first["id"])["ok"]
    rule = only(desk, tables.number_rule)
    assert (rule["state"], rule["place"], rule["payer_id"]) == ("proposed", place, "90001")

    arrives(second, "E2")
    assert desk.state(second) != "paid"  # a rule that is only proposed changes nothing
    assert desk.world.command("release_normalisation", number_rule_id=rule["id"], version=rule["version"])["ok"]
    arrives(third, "E3")
    assert desk.state(third) == "paid"
    matched = [each["matched_by"] for each in desk.world.rows(tables.remittance_claim, claim_id=third["id"])]
    assert matched == ["control number, as the payer writes it"]
    check(desk)


# ---------------------------------------------------------------- held remittances


def test_parts_of_one_payment_in_one_file_are_posted_as_one_deposit(desk: Desk) -> None:
    claims = [desk.claim(f"A{n}") for n in range(3)]
    rows = desk.send(*(Remit((in_full(each),)) for each in claims))
    assert [row["state"] for row in rows] == ["posted"] * 3
    assert desk.world.balances()["cash"] == 30000
    again = desk.send(*(Remit((in_full(each),)) for each in claims))
    assert [row["state"] for row in again] == ["duplicate"] * 3
    check(desk)


def test_a_held_remittance_that_a_person_vouches_for_is_posted(desk: Desk) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    desk.send(Remit((in_full(first),)))
    (held,) = desk.send(Remit((in_full(second),)))
    assert held["state"] == "held"
    asked = {"remittance_id": held["id"], "version": held["version"]}
    assert not desk.world.command("release_remittance", **asked, reason="")["ok"]
    assert desk.world.command("release_remittance", **asked, reason="two parts of one payment")["ok"]
    desk.world.run_due("remittance")
    assert only(desk, tables.remittance, id=held["id"])["state"] == "posted"
    assert desk.state(second) == "paid"
    assert desk.world.items() == []
    check(desk)


def test_what_does_not_add_up_is_released_by_nobody(desk: Desk) -> None:
    claim = desk.claim("A1")
    (held,) = desk.send(Remit((in_full(claim),), amount="101"))
    answer = desk.world.command(
        "release_remittance", remittance_id=held["id"], version=held["version"], reason="please"
    )
    assert answer["error"]["code"] == "H620"
    assert only(desk, tables.remittance)["state"] == "held"
    check(desk)


# ---------------------------------------------------------------- paper


def typed(claim: dict[str, Any], **fields: Any) -> dict[str, Any]:
    line = {
        "code": "99213",
        "charge": "150.00",
        "paid": "100.00",
        "service_date": "2026-11-10",
        "adjustments": [{"group": "CO", "reason": "45", "amount": "50.00"}],
    }
    said = {"control_number": claim["control_number"], "charge": "150.00", "paid": "100.00", "lines": [line]}
    given = {"payer_id": "90001", "trace": "CHECK 7", "amount": "100.00", "paid_on": "2026-11-12", "claims": [said]}
    return {**given, **fields}


def test_a_remittance_typed_from_paper_is_posted_as_an_835_is(desk: Desk) -> None:
    claim = desk.claim("A1")
    answer = desk.world.command("enter_payment", **typed(claim))
    assert answer["ok"], answer
    desk.world.run_due("remittance")
    row = only(desk, tables.remittance)
    assert (row["id"], row["state"], row["method"]) == (answer["remittance_id"], "posted", "CHK")
    assert desk.world.open(tables.remittance, row)["typed_by"] == "biller"
    assert desk.state(claim) == "paid"
    assert desk.world.balances() == {"cash": 10000, "contractual": 5000, "revenue": -15000}
    assert not desk.world.command("enter_payment", **typed(claim))["ok"]
    check(desk)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": "101.00"}, "does not add up"),
        ({"amount": "much"}, "not typed"),
        ({"surprise": 1}, "not typed"),
        ({"claims": [{"control_number": "X", "charge": "1.00", "paid": "0.50"}], "amount": "0.50"}, "does not add up"),
    ],
)
def test_a_typed_remittance_that_is_wrong_is_refused_and_changes_nothing(
    desk: Desk, change: dict[str, Any], words: str
) -> None:
    claim = desk.claim("A1")
    answer = desk.world.command("enter_payment", **typed(claim, **change))
    assert not answer["ok"]
    assert words in answer["error"]["what"]
    assert desk.world.rows(tables.remittance) == []


# ---------------------------------------------------------------- the bank


def nacha(trace: str, amount: str, originator: str = "1999999999", day: str = "261120") -> str:
    cents = f"{int(Decimal(amount) * 100):010d}"
    records = [
        "101 071000013 9999999992611200900A094101CLAIMHUB BANK         ALDER STREET                   ",
        f"5220CEDAR MUTUAL                        {originator}CCDHCCLAIMPMT261120{day}   1071000010000001",
        f"622071000013987654           {cents}{'ALDER':<15}{'ALDER STREET CLINIC':<22}  1071000010000001",
        f"705{f'TRN*1*{trace}*{originator}~':<80}00010000001",
        f"82200000020007100001{0:012d}{cents:>012}{originator}                         071000010000001",
        f"9000001000001000000020007100001{0:012d}{cents:>012}{'':39}",
    ]
    return "\n".join(record.ljust(94) for record in records)


def bai2(trace: str, amount: str) -> str:
    cents = int(Decimal(amount) * 100)
    return "\n".join(
        [
            "01,BANK,CLINIC,261120,0900,1,80,,2/",
            "02,CLINIC,BANK,1,261120,0900,USD,2/",
            "03,987654,USD,010,100000,,/",
            f"16,142,{cents},Z,REF1,,CEDAR MUTUAL HCCLAIMPMT/",
            f"88,TRN*1*{trace}*1999999999~/",
            "16,175,5000,Z,REF2,,LOCKBOX DEPOSIT/",
            "49,100000,3/",
            "98,100000,1,5/",
            "99,100000,1,7/",
        ]
    )


def export(trace: str, amount: str) -> str:
    return (
        f'Posted Date,Description,Amount\n11/20/2026,"CEDAR MUTUAL HCCLAIMPMT TRN*1*{trace}*1999999999~","${amount}"\n'
    )


@pytest.mark.parametrize("form", [nacha, bai2, export])
def test_a_deposit_meets_its_remittance_by_number_payer_and_amount(desk: Desk, form: Any) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((in_full(claim),)))
    answer = desk.world.command("load_bank_file", text=form("EFT1", "100.00"))
    assert (answer["ok"], answer["entries"], answer["new"]) == (True, 1, 1), answer
    deposit = only(desk, tables.bank_deposit)
    assert (deposit["state"], deposit["amount_cents"], deposit["deposited_on"]) == ("matched", 10000, "2026-11-20")
    again = desk.world.command("load_bank_file", text=form("EFT1", "100.00"))
    assert (again["entries"], again["new"]) == (1, 0)
    assert desk.world.items() == []


def test_a_transfer_that_the_first_bank_file_shows_a_day_late_counts_as_deposited(desk: Desk) -> None:
    claims = [desk.claim(account) for account in ("A1", "A2")]
    for number, claim in enumerate(claims, start=1):
        desk.send(Remit((in_full(claim),), trace=f"EFT{number}"))
    desk.world.command("load_bank_file", text=nacha("EFT1", "100.00", day="261123"))
    with reading(desk.world.store) as connection:
        (stage,) = [each for each in reconcile.report(connection).stages if each.name == "deposited"]
    assert (stage.count, stage.amount) == (1, Decimal("100.00"))  # of the other the bank had not begun to tell


def test_a_deposit_that_differs_from_its_remittance_is_for_a_person(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.world.command("load_bank_file", text=nacha("EFT1", "90.00"))
    desk.send(Remit((in_full(claim),)))
    (item,) = desk.world.items("unmatched payments")
    assert (item["kind"], item["money_cents"]) == ("deposit amount differs", -1000)
    assert only(desk, tables.bank_deposit)["state"] == "differs"


def test_what_lacks_its_other_half_after_three_business_days_is_for_a_person_until_it_comes(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.world.command("load_bank_file", text=nacha("EFT9", "100.00"))
    desk.send(Remit((in_full(claim),)))  # its transfer EFT1 of 20 November was never seen by the bank
    desk.world.advance(days=(date(2026, 11, 24) - desk.world.clock.today()).days)
    desk.world.run_due("bank")
    assert desk.world.items() == []
    desk.world.advance(days=3)
    desk.world.run_due("bank")
    kinds = {item["kind"] for item in desk.world.items("unmatched payments")}
    assert kinds == {"payment without remittance", "remittance without payment"}
    other = desk.claim("A2")
    desk.send(Remit((in_full(other),), trace="EFT9"))
    desk.world.command("load_bank_file", text=nacha("EFT1", "100.00"))
    assert desk.world.items() == []
    check(desk)


def test_parts_of_a_payment_in_several_files_are_posted_when_the_bank_says_so(desk: Desk) -> None:
    claims = [desk.claim(f"A{n}") for n in range(3)]
    desk.send(Remit((in_full(claims[0]),)))
    (held,) = desk.send(Remit((in_full(claims[1]),)))
    assert held["state"] == "held"
    answer = desk.world.command("load_bank_file", text=nacha("EFT1", "200.00"))
    assert answer["released"] == 1
    desk.world.run_due("remittance")
    assert only(desk, tables.remittance, id=held["id"])["state"] == "posted"
    (more,) = desk.send(Remit((in_full(claims[2]),)))
    assert more["state"] == "held"
    assert "this would be too much" in more["reason"]
    assert only(desk, tables.bank_deposit)["state"] == "matched"
    check(desk)


@pytest.mark.parametrize(
    "text", ["", "nothing,here\n1,2\n", "date,amount,description\nsoon,1.00,x\n", "01,A/\n16,142,x/"]
)
def test_a_file_that_is_no_banks_is_refused(desk: Desk, text: str) -> None:
    answer = desk.world.command("load_bank_file", text=text)
    assert answer["error"]["code"] == "H560"


# ---------------------------------------------------------------- contracts and patients


def test_a_line_that_is_allowed_less_than_the_contract_says_is_for_a_person(desk: Desk) -> None:
    world = desk.world
    world.config = replace(world.config, contracts={("90001", "99213"): Decimal("120.00")})
    first, second = desk.claim("A1"), desk.claim("A2")
    enough = Line("99213", "150", "100", (("CO", "45", "30"), ("PR", "3", "20")))
    desk.send(Remit((in_full(first), in_full(second, lines=(enough,)))))
    (item,) = world.items("denials")
    assert (item["kind"], item["claim_id"], item["money_cents"]) == ("underpaid", first["id"], 2000)
    check(desk)


@pytest.mark.parametrize("how", ["payer", "code"])
def test_nothing_is_asked_of_a_patient_who_may_not_be_asked(desk: Desk, how: str) -> None:
    world = desk.world
    claim = desk.claim("A1")
    cas = [("CO", "45", "30"), ("PR", "1", "20")]
    if how == "payer":
        spared = world.config.payers["90001"].model_copy(update={"patient_share": "never"})
        world.config = replace(world.config, payers={**world.config.payers, "90001": spared})
    else:
        cas = [("CO", "45", "30"), ("PR", "1", "19"), ("OA", "209", "1")]
    desk.send(Remit((in_full(claim, lines=(Line("99213", "150", "100", tuple(cas)),)),)))
    assert "receivable patient" not in world.balances()
    (item,) = world.items("denials")
    assert "may not be asked" in item["sentence"]
    check(desk)


# ---------------------------------------------------------------- shapes


def test_a_reversal_under_the_number_of_the_claim_that_was_replaced_finds_the_payment(desk: Desk) -> None:
    old, new = desk.claim("A1"), desk.claim("A2")
    with desk.world.writing() as connection:
        chain = tables.claim.update().where(tables.claim.c.id == new["id"]).values(chain_id=old["chain_id"])
        connection.execute(chain)
    paid = in_full(new)
    desk.send(Remit((paid,)))
    back = replace(paid.reversed(), number=old["control_number"])
    (row,) = desk.send(Remit((back,), trace="BACK"))
    assert (row["claims_posted"], desk.state(new)) == (1, "reversed")
    assert desk.world.items() == []
    check(desk)


def test_a_take_back_that_is_larger_than_the_payment_is_carried_forward_and_met_later(desk: Desk) -> None:
    first, second, third = (desk.claim(f"A{n}") for n in range(3))
    paid = in_full(first)
    desk.send(Remit((paid,)))
    other = in_full(second, paid="40", lines=(Line("99213", "150", "40", (("CO", "45", "110"),)),))
    forward = Remit((paid.reversed(), other), plb=(("FB:NEXT", "-60"),), trace="E2", handling="H", method="NON")
    (row,) = desk.send(forward)
    assert (row["state"], row["amount_cents"]) == ("posted", 0)
    desk.send(Remit((in_full(third),), plb=(("FB:NEXT", "60"),), trace="E3"))
    assert desk.world.balances().get("provider level", 0) == 0
    figures = check(desk)
    assert figures.forwarded == ()
    assert figures.cash == Decimal("140.00")


def test_a_line_that_is_paid_with_another_one_says_so(desk: Desk) -> None:
    claim = desk.claim("A1", ("100.00", "50.00"))
    panel = Line("80050", "100", "90", (("CO", "45", "10"),), original="99213")
    part = Line("80050", "50", "0", (("CO", "97", "50"),), original="83036")
    desk.send(Remit((Paid(claim["control_number"], "150", "90", (panel, part)),)))
    (item,) = desk.world.items("denials")
    assert item["kind"] == "bundled line"
    assert check(desk).charges.paid == Decimal("90.00")


def test_a_posted_cent_leads_back_to_its_segment(desk: Desk) -> None:
    claim = desk.claim("A1", ("100.00", "50.00"))
    lines = desk.lines(claim)
    said = tuple(
        Line(each["code"], charge, charge, control=each["control_number"])
        for each, charge in zip(lines, ("100.00", "50.00"), strict=True)
    )
    desk.send(Remit((Paid(claim["control_number"], "150", "150", said),)))
    places = {row["charge_id"]: row["reference"] for row in desk.world.rows(tables.ledger_posting, account="clearing")}
    assert places[lines[0]["charge_id"]] == "ISA 000000001, segment 10 SVC"
    assert places[lines[1]["charge_id"]] == "ISA 000000001, segment 13 SVC"
