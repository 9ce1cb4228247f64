from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from hub.billing import remittances
from hub.store import tables
from hub.store.changes import StaleDecisionError, apply
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Remit, check, in_full, written


def test_a_good_remittance_is_posted_and_leaves_nothing_in_clearing(desk: Desk) -> None:
    claim = desk.claim("A1")
    (row,) = desk.send(Remit((in_full(claim),)))
    assert (row["state"], row["claims_posted"], row["claims_held"]) == ("posted", 1, 0)
    assert desk.state(claim) == "paid"
    assert desk.world.balances() == {"cash": 10000, "contractual": 5000, "revenue": -15000}
    assert check(desk).unapplied == 0
    assert desk.world.items() == []


def test_the_same_content_under_another_file_name_and_control_number_changes_nothing(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((in_full(claim),)))
    before = desk.world.rows(tables.ledger_posting)
    (row,) = desk.send(Remit((in_full(claim),)))
    assert row["state"] == "duplicate"
    assert desk.world.rows(tables.ledger_posting) == before
    assert desk.world.items() == []
    check(desk)


def test_the_same_remittance_twice_in_one_file_is_posted_once(desk: Desk) -> None:
    claim = desk.claim("A1")
    rows = desk.send(Remit((in_full(claim),)), Remit((in_full(claim),)))
    assert [row["state"] for row in rows] == ["posted", "duplicate"]
    check(desk)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": "101"}, "What the claims pay"),
        ({"claims": "line"}, "A line's charge"),
        ({"claims": "claim"}, "must add up"),
    ],
)
def test_a_remittance_that_is_off_by_a_cent_anywhere_is_held_whole(
    desk: Desk, change: dict[str, str], words: str
) -> None:
    good, claim = desk.claim("A1"), desk.claim("A2")
    bad = in_full(claim)
    if change.get("claims") == "line":
        bad = replace(bad, lines=(Line("99213", "150", "100", (("CO", "45", "50.01"),)),))
    if change.get("claims") == "claim":
        bad = replace(bad, lines=(Line("99213", "149.99", "99.99", (("CO", "45", "50"),)),))
    amount = change.get("amount")
    (row,) = desk.send(Remit((in_full(good), bad), amount=amount))
    assert row["state"] == "held"
    (item,) = desk.world.items("unbalanced remittances")
    assert item["kind"] == ("unbalanced claims" if "claims" in change else "unbalanced remittance")
    assert words in item["sentence"]
    assert item["remittance_id"] == row["id"]
    assert desk.world.rows(tables.remittance_claim) == []
    assert "cash" not in desk.world.balances()
    figures = check(desk)
    assert figures.held_remittances == 1


def test_a_good_remittance_closes_the_held_one_for_the_same_payment(desk: Desk) -> None:
    claim = desk.claim("A1")
    (held,) = desk.send(Remit((in_full(claim),), amount="110"))
    (good,) = desk.send(Remit((in_full(claim),)))
    assert good["state"] == "posted"
    assert desk.world.one(tables.remittance, id=held["id"])["state"] == "closed"
    assert desk.world.items() == []
    check(desk)


def test_a_copy_of_a_held_remittance_opens_no_second_item(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((in_full(claim),), amount="110"))
    (copy,) = desk.send(Remit((in_full(claim),), amount="110"))
    assert copy["state"] == "duplicate"
    assert len(desk.world.items()) == 1
    check(desk)


@pytest.mark.parametrize(
    ("remit", "usage", "kind"),
    [
        (Remit(payee="1234567893", tax_id="999999999"), "T", "other payee"),
        (Remit(), "P", "other environment"),
        (Remit(handling="P"), "T", "test payment"),
        (Remit(method="NON"), "T", "no payment"),
    ],
)
def test_a_remittance_that_is_not_for_us_or_moves_no_money_is_held_with_the_reason(
    desk: Desk, remit: Remit, usage: str, kind: str
) -> None:
    claim = desk.claim("A1")
    (row,) = desk.send(replace(remit, claims=(in_full(claim),)), usage=usage)
    assert row["state"] == "held"
    (item,) = desk.world.items("unbalanced remittances")
    assert item["kind"] == kind
    assert item["sentence"] == row["reason"]
    check(desk)


def test_a_payment_number_that_comes_again_with_other_content_is_held(desk: Desk) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    desk.send(Remit((in_full(first),)))
    (row,) = desk.send(Remit((in_full(second),)))
    assert row["state"] == "held"
    assert desk.world.items()[0]["kind"] == "payment number used before"
    check(desk)


def test_remittances_without_money_may_share_a_number(desk: Desk) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    for claim in (first, second):
        denied = in_full(claim, paid="0", lines=(Line("99213", "150", "0", (("CO", "50", "150"),)),))
        (row,) = desk.send(Remit((denied,), trace="0", handling="H", method="NON"))
        assert row["state"] == "posted"
    assert desk.state(first) == desk.state(second) == "denied"
    check(desk)


def test_a_debit_takes_money_out_of_cash(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((in_full(claim),)))
    raw = written(Remit((in_full(claim).reversed(),), trace="EFT2", amount="100"), control=9)
    (row,) = desk.take(raw.replace(b"*100*C*ACH", b"*100*D*ACH"))
    assert (row["state"], row["amount_cents"]) == ("posted", -10000)
    assert desk.world.balances() == {"receivable payer": 15000, "revenue": -15000}
    check(desk)


def test_posting_that_stops_anywhere_goes_on_where_it_stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remittances, "CLAIMS_STAGED_AT_ONCE", 2)
    monkeypatch.setattr(remittances, "CLAIMS_POSTED_AT_ONCE", 2)
    claims = [desk.claim(f"A{n}") for n in range(5)]
    raw = written(Remit(tuple(in_full(each) for each in claims), plb=(("L6:X", "-1.50"),)))
    message_id = desk.world.add_message(channel="responses_in", kind="835", raw=raw)
    states = []
    for _ in range(12):
        desk.go_on(message_id, steps=1)
        check(desk)
        row = desk.world.one(tables.remittance, message_id=message_id)
        states.append((row["state"], row["claims_posted"]))
    assert states[:3] == [("staged", 0), ("staged", 0), ("posting", 0)]
    assert states[3:6] == [("posting", 2), ("posting", 4), ("posting", 5)]
    assert set(states[6:]) == {("posted", 5)}
    assert "clearing" not in desk.world.balances()


def test_a_decision_made_twice_from_one_snapshot_is_refused_the_second_time(desk: Desk) -> None:
    claim = desk.claim("A1")
    raw = written(Remit((in_full(claim),)))
    message_id = desk.world.add_message(channel="responses_in", kind="835", raw=raw)
    desk.go_on(message_id, steps=1)
    with reading(desk.world.store) as connection:
        twice = [desk.decided(message_id, connection) for _ in range(2)]
    with desk.world.writing() as connection:
        apply(connection, twice[0].changes)
    with pytest.raises(StaleDecisionError), desk.world.writing() as connection:
        apply(connection, twice[1].changes)
    desk.go_on(message_id)
    check(desk)


def test_two_copies_decided_at_the_same_time_are_not_both_applied(desk: Desk) -> None:
    claim = desk.claim("A1")
    raw = written(Remit((in_full(claim),)))
    messages = [desk.world.add_message(channel="responses_in", kind="835", raw=raw) for _ in range(2)]
    with reading(desk.world.store) as connection:
        decisions = [desk.decided(message_id, connection) for message_id in messages]
    with desk.world.writing() as connection:
        apply(connection, decisions[0].changes)
    with pytest.raises(StaleDecisionError), desk.world.writing() as connection:
        apply(connection, decisions[1].changes)
    for message_id in messages:
        desk.go_on(message_id)
    assert [row["state"] for row in desk.world.rows(tables.remittance)] == ["posted", "duplicate"]
    check(desk)


def test_a_file_that_comes_to_billing_as_a_destination_is_posted_and_told(desk: Desk) -> None:
    claims = [desk.claim(f"A{n}") for n in range(3)]
    first, second = Remit((in_full(claims[0]), in_full(claims[1]))), Remit((in_full(claims[2]),), trace="EFT2")
    desk.world.decide_file(written(first, second), kinds=("835", "835"))
    assert [desk.state(claim) for claim in claims] == ["paid"] * 3
    assert sum(emit.kind == "payment" for emit in desk.world.emitted) == 3
    assert desk.world.balances() == {"cash": 30000, "contractual": 15000, "revenue": -45000}
    check(desk)


def test_two_reversals_decided_at_the_same_time_take_the_payment_back_once(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = in_full(claim)
    desk.send(Remit((paid,)))
    files = [
        written(Remit((paid.reversed(),), plb=(("FB", "-100"),), trace=f"BACK{number}"), control=20 + number)
        for number in range(2)
    ]
    messages = [desk.world.add_message(channel="responses_in", kind="835", raw=raw) for raw in files]
    for message_id in messages:
        desk.go_on(message_id, steps=1)
    with reading(desk.world.store) as connection:
        decisions = [desk.decided(message_id, connection) for message_id in messages]
    with desk.world.writing() as connection:
        apply(connection, decisions[0].changes)
    with pytest.raises(StaleDecisionError), desk.world.writing() as connection:
        apply(connection, decisions[1].changes)
    for message_id in messages:
        desk.go_on(message_id)
    assert [item["kind"] for item in desk.world.items()] == ["reversal without payment"]
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 15000
    check(desk)


@pytest.mark.sqlite
def test_posting_never_reads_a_whole_table(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = in_full(claim, number="H0", member="W123456789", icn="I1")
    asked: set[tuple[str, Any]] = set()

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            asked.add((statement, parameters))

    event.listen(desk.world.store, "before_cursor_execute", note)
    correct = replace(paid, number=claim["control_number"], paid="90")
    correct = replace(correct, lines=(Line("99213", "150", "90", (("CO", "45", "30"), ("CO", "50", "30"))),))
    desk.send(Remit((paid, paid.reversed(), correct), plb=(("WO:I1", "5"), ("FB", "-5"))))
    event.remove(desk.world.store, "before_cursor_execute", note)
    assert desk.world.one(tables.remittance)["claims_posted"] == 3
    whole = set()
    with reading(desk.world.store) as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            whole |= {row.detail for row in plan if row.detail.startswith("SCAN") and "INDEX" not in row.detail}
    assert whole == set()


def test_once_released_only_the_claims_that_do_not_add_up_are_kept_apart_until_somebody_restates_them(
    desk: Desk,
) -> None:
    good, claim = desk.claim("A1"), desk.claim("A2")
    bad = in_full(claim, lines=(Line("99213", "150", "100", (("CO", "45", "50.01"),)),))
    (held,) = desk.send(Remit((in_full(good), bad)))
    world = desk.world
    assert world.command("release_remittance", remittance_id=held["id"], version=1, reason="The payer says so")["ok"]
    world.run_due("remittance")
    row = world.one(tables.remittance, id=held["id"])
    assert (row["state"], row["claims_posted"], row["claims_held"]) == ("posted", 1, 1)
    assert (desk.state(good), desk.state(claim)) == ("paid", "sent")
    assert check(desk).unapplied == 100
    (item,) = world.items()
    assert (item["kind"], item["claim_id"], item["money_cents"]) == ("unbalanced claim", claim["id"], 10000)
    assert "off by" in item["sentence"]
    payment = world.one(tables.remittance_claim, id=item["remittance_claim_id"])
    about = {"remittance_claim_id": payment["id"], "version": payment["version"], "reason": "By telephone"}
    assert not world.command("match_payment", claim_id=claim["id"], **about)["ok"]
    line = {"code": "99213", "charge": "150", "paid": "100"}
    other = {"charge": "150", "paid": "90", "lines": [line | {"paid": "90"}]}
    assert not world.command("restate_payment", claim=other, **about)["ok"]
    wrong = {"charge": "150", "paid": "100", "lines": [line]}
    assert not world.command("restate_payment", claim=wrong, **about)["ok"]
    line["adjustments"] = [{"group": "CO", "reason": "45", "amount": "50"}]
    assert world.command("restate_payment", claim=wrong, **about) == {"ok": True, "state": "posted"}
    assert desk.state(claim) == "paid"
    assert world.items() == []
    assert world.one(tables.remittance, id=held["id"])["claims_held"] == 0
    assert check(desk).unapplied == 0
