"""Payments by hand in the pages: what a form asks, what billing is told, and that billing takes what a form says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from hub.store import tables
from hub.store.database import reading
from hub.web.queries import payments
from hub.web.typed_payments import TypedClaim, claims_in, of_our_claim, read_claim, read_claims, read_head
from tests.billing.conftest import make_world
from tests.billing.payer import Desk

from .conftest import World, csrf_of


@pytest.fixture
def poster(world: World) -> TestClient:
    return world.client("biller")


def told(world: World, name: str) -> dict[str, Any]:
    """What billing was told last by the command *name*."""
    asked = [args["args"] for command, args, _ in world.engine.asked if command == "billing" and args["name"] == name]
    return dict(asked[-1])


def state_of(world: World, payment_id: int) -> str:
    with world.store.connect() as connection:
        table = tables.remittance_claim
        return str(connection.execute(select(table.c.state).where(table.c.id == payment_id)).scalar_one())


def test_a_match_is_undone_with_a_reason_on_the_payments_own_page(world: World, poster: TestClient) -> None:
    path = f"/payments/{world.ids['payment']}"
    page = poster.get(path)
    assert "Not for this claim?" in page.text
    fields = {"csrf": csrf_of(page), "version": "1"}
    refused = poster.post(f"{path}/undo", data=fields)
    assert (refused.status_code, "Say why" in refused.text) == (422, True)
    done = poster.post(f"{path}/undo", data={**fields, "reason": "another patient"})
    assert done.headers["location"] == f"{path}?said=unmatched"
    assert told(world, "unmatch_payment")["reason"] == "another patient"
    assert state_of(world, world.ids["payment"]) == "unmatched"
    slower = poster.post(f"{path}/undo", data={**fields, "reason": "another patient"})
    assert "Somebody changed this" in slower.text


def test_a_payment_that_waits_is_matched_or_restated_where_it_stands(world: World, poster: TestClient) -> None:
    path = f"/payments/{world.ids['stray']}"
    page = poster.get(path)
    fields = {"csrf": csrf_of(page), "version": "1"}
    unknown = poster.post(f"{path}/match", data={**fields, "control_number": "NONE"})
    assert "No claim of ours has this number." in unknown.text
    claim = {"c0-number": "C2R8P5K9", "c0-status": "1", "c0-charge": "85.00", "c0-paid": "eighty"}
    wrong = poster.post(f"{path}/restate", data={**fields, **claim})
    assert "Paid: an amount like 125.00." in wrong.text
    assert 'value="eighty"' in wrong.text
    claim |= {"c0-paid": "0", "c0-adjustments": "co-45 85", "restate_reason": "told by phone"}
    assert poster.post(f"{path}/restate", data={**fields, **claim}).status_code == 303
    said = told(world, "restate_payment")["claim"]
    assert said["adjustments"] == [{"group": "CO", "reason": "45", "amount": "85"}]
    assert "status" not in said


def test_a_payment_on_paper_is_typed_beside_the_lines_that_were_billed(world: World, poster: TestClient) -> None:
    page = poster.get("/remittances/new")
    head = {"csrf": csrf_of(page), "payer_id": "60054", "trace": "CHECK7", "amount": "100", "paid_on": "2026-11-20"}
    head |= {"method": "CHK", "beside": "", "stage": "claims", "numbers": "H7K2M9Q4A1 NONE"}
    fetched = poster.post("/remittances/new", data=head)
    assert "No claim of ours has the number NONE." in fetched.text
    assert 'name="c0-l1-paid"' in fetched.text
    assert 'value="CHECK7"' in fetched.text
    paid = {"c0-number": "H7K2M9Q4A1", "c0-status": "1", "c0-charge": "215", "c0-paid": "100"}
    line = {"c0-l0-code": "99213", "c0-l0-charge": "215", "c0-l0-paid": "100", "c0-l0-adjustments": "CO-45 90, PR 3 25"}
    sent = {**head, "stage": "post", "numbers": "", "beside": "WO five", **paid, **line}
    assert "Beside the claims" in poster.post("/remittances/new", data=sent).text
    done = poster.post("/remittances/new", data={**sent, "beside": ""})
    assert done.headers["location"].startswith("/remittances/")
    said = told(world, "enter_payment")
    assert said["claims"][0]["patient"] == "25"
    again = poster.post("/remittances/new", data={**sent, "beside": "", "trace": "EFT00012345"})
    assert "This payment was entered before." in again.text


def test_only_who_may_post_money_is_offered_the_forms(world: World) -> None:
    viewer = world.client("viewer")
    assert viewer.get("/remittances/new").status_code == 403
    path = f"/payments/{world.ids['payment']}"
    undo = viewer.post(f"{path}/undo", data={"csrf": csrf_of(viewer.get("/me")), "version": "1", "reason": "another's"})
    assert undo.status_code == 403
    assert state_of(world, world.ids["payment"]) == "posted"


def test_the_next_insurance_is_billed_from_the_claims_page(world: World, poster: TestClient) -> None:
    path = f"/claims/{world.ids['H7K2M9Q4A1']}"
    page = poster.get(path)
    assert "Bill the next insurance" in page.text
    done = poster.post(f"{path}/next-payer", data={"csrf": csrf_of(page), "version": "1"})
    assert done.headers["location"] == f"{path}?said=next"


# ---------------------------------------------------------------- the words that a form gives to billing


def test_what_a_form_says_is_posted_by_billing_to_the_cent(tmp_path: Path) -> None:
    desk = Desk(make_world(tmp_path))
    claim = desk.claim("A1", ("150.00", "65.00"))
    with reading(desk.world.store) as connection:
        _, lines = payments.lines_of(connection, claim["control_number"])
    typed = of_our_claim(claim["control_number"], lines)
    typed.paid = "120"
    typed.lines[0].paid, typed.lines[0].adjustments = "80.00", "CO-45 45, PR-3 25"
    typed.lines[1].paid, typed.lines[1].adjustments = "40", "CO-45 15.00; PR-2 10"
    head = {"payer_id": "90001", "trace": "CHK1", "amount": "115", "paid_on": "2026-11-20", "method": "CHK"}
    head["beside"] = "WO 5.00 OLD1"
    said, about = read_claims([typed]), read_head(head)
    assert said.errors == about.errors == {}
    answer = desk.world.command("enter_payment", **about.plain, **said.plain)
    assert answer["ok"], answer
    desk.world.run_due("remittance")
    assert desk.state(claim) == "paid"
    assert desk.world.balances(claim_id=claim["id"])["receivable patient"] == 3500
    desk.world.check_ledger()
    desk.world.store.dispose()


def test_a_form_gives_back_what_was_typed_and_says_what_it_cannot_read() -> None:
    form = {"c0-number": "h1", "c0-status": "9", "c0-charge": "1.234", "c0-paid": "", "c0-adjustments": "45",
            "c0-l0-code": "", "c0-l0-paid": "1", "c0-l0-remarks": "x"}  # fmt: skip
    (claim,) = claims_in(form)
    read = read_claim(claim, "c0")
    assert set(read.errors) == {
        "c0-status", "c0-charge", "c0-paid", "c0-adjustments", "c0-l0-code", "c0-l0-charge", "c0-l0-remarks",
    }  # fmt: skip
    assert claim.lines[0].remarks == "x"
    assert set(read_head({}).errors) == {"payer_id", "trace", "paid_on", "amount", "method"}
    assert read_claim(TypedClaim(number="H1", charge="5", paid="5"), "c0").errors == {}
