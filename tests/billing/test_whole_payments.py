from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from hub.billing import whole_payments
from hub.store import tables
from tests.billing.payer import Desk, Paid, Remit, in_full


def told(desk: Desk) -> list[dict[str, Any]]:
    """The *remittance* events since the last look, after everything that is due was done."""
    desk.world.emitted.clear()
    desk.world.run_due(whole_payments.KIND)
    return [json.loads(emit.body) for emit in desk.world.emitted if emit.kind == "remittance"]


def parts_of(event: dict[str, Any]) -> Decimal:
    amounts = [each["paid"] for each in event["claims"]] + [each["amount"] for each in event["adjustments"]]
    return sum(map(Decimal, amounts), Decimal(event["waiting"]["amount"]))


def test_a_payment_is_told_with_its_claims_what_the_payer_withheld_and_what_waits(desk: Desk) -> None:
    claim = desk.claim("A1")
    stranger = Paid("STRANGER", "70", "70", member="")
    desk.send(Remit((in_full(claim), stranger), plb=(("WO", "30"), ("L6", "-2"))))
    (event,) = told(desk)
    assert event["trace"] == "EFT1"
    assert (event["total"], event["amount"]) == ("142.00", "142.00")
    assert parts_of(event) == Decimal("142.00")
    (one,) = event["claims"]
    assert (one["control_number"], one["paid"], one["reverses"]) == (claim["control_number"], "100.00", "")
    assert one["result"] == next(emit.name for emit in desk.emitted if emit.kind == "payment")
    assert [(each["code"], each["amount"]) for each in event["adjustments"]] == [("WO", "-30.00"), ("L6", "2.00")]
    assert event["waiting"] == {"claims": 1, "amount": "70.00"}


def test_a_payment_taken_back_names_what_the_ehr_was_told_before(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = in_full(claim)
    desk.send(Remit((paid,)))
    (first,) = told(desk)
    desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-100"),)))
    (second,) = told(desk)
    assert second["amount"] == "0.00"
    assert parts_of(second) == 0
    assert [each["reverses"] for each in second["claims"]] == [first["claims"][0]["result"]]


def test_what_a_person_undoes_or_posts_later_is_told_again_under_the_same_name(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((in_full(claim, member=""),)))
    (first,) = told(desk)
    row = desk.world.one(tables.remittance_claim)
    asked = {"remittance_claim_id": row["id"], "version": row["version"], "reason": "another's"}
    assert desk.world.command("unmatch_payment", **asked)["ok"]
    (second,) = told(desk)
    assert second["result"] == first["result"]
    assert (second["claims"], second["waiting"]) == ([], {"claims": 1, "amount": "100.00"})
    assert desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=claim["id"])["ok"]
    (third,) = told(desk)
    assert third["result"] == first["result"]
    assert third["waiting"]["claims"] == 0
    assert third["claims"][0]["result"] != first["claims"][0]["result"]  # the first posting stays taken back
    assert {parts_of(each) for each in (first, second, third)} == {Decimal("100.00")}


def test_a_large_payment_is_told_in_parts_that_come_to_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_payments, "CLAIMS_IN_PART", 2)
    claims = [desk.claim(f"A{number}") for number in range(5)]
    desk.send(Remit(tuple(in_full(each) for each in claims), plb=(("WO", "7.50"),)))
    events = told(desk)
    assert [(each["part"], each["parts"], len(each["claims"])) for each in events] == [(1, 3, 2), (2, 3, 2), (3, 3, 1)]
    assert sum(Decimal(each["amount"]) for each in events) == Decimal("492.50")
    assert {each["total"] for each in events} == {"492.50"}
    assert [bool(each["adjustments"]) for each in events] == [True, False, False]
