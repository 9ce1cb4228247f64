"""What a person does with work items where they stand, and what happens when somebody else was faster."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient

from hub.store import tables

from .conftest import FOUND, World, csrf_of, keep_findings


def fields_of(page: str, act: str) -> dict[str, str]:
    """The hidden fields of the form that does *act*."""
    form = re.search(rf'action="[^"]*/{act}"[^>]*>(.*?)</form>', page, re.DOTALL)
    assert form, page
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[1]))


def state_of(world: World, table: str, row_id: int) -> str:
    columns = tables.metadata.tables[table].c
    with world.store.connect() as connection:
        return str(connection.execute(select(columns.state).where(columns.id == row_id)).scalar_one())


@pytest.fixture
def biller(world: World) -> TestClient:
    return world.client("biller")


def test_a_held_charge_is_released_in_place_and_its_item_leaves_the_queue(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['held_item']}"
    done = biller.post(f"{path}/do/release", data=fields_of(biller.get(path).text, "do/release"))
    assert done.headers["location"] == "/queues/charge-review?said=done"
    assert state_of(world, "charge", world.ids["held_charge"]) == "open"


def test_what_holds_a_charge_is_corrected_in_place_and_only_with_a_value_and_a_reason(
    world: World, biller: TestClient
) -> None:
    path = f"/queues/items/{world.ids['held_item']}"
    fields = {**fields_of(biller.get(path).text, "do/correct-charge"), "field": "modifiers"}
    answer = biller.post(f"{path}/do/correct-charge", data=fields)
    assert "New value: this is needed." in answer.text
    assert "Say why" in answer.text
    done = biller.post(f"{path}/do/correct-charge", data={**fields, "value": "76", "reason": "done twice that day"})
    assert done.headers["location"] == "/queues/charge-review?said=done"
    assert state_of(world, "charge", world.ids["held_charge"]) == "open"


def test_a_charge_is_taken_back_only_with_a_reason(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['held_item']}"
    fields = fields_of(biller.get(path).text, "do/void")
    assert "Say why" in biller.post(f"{path}/do/void", data=fields).text
    assert biller.post(f"{path}/do/void", data={**fields, "reason": "entered twice"}).status_code == 303
    assert state_of(world, "charge", world.ids["held_charge"]) == "void"


def test_an_item_is_not_resolved_while_its_charge_is_held_and_the_page_says_why(
    world: World, biller: TestClient
) -> None:
    path = f"/queues/items/{world.ids['held_item']}"
    fields = {**fields_of(biller.get(path).text, "resolve"), "resolution": "released", "note": "looked at it"}
    answer = biller.post(f"{path}/resolve", data=fields)
    assert answer.status_code == 422
    assert "The charge is still held." in answer.text
    assert "Release it, correct it or take it back" in answer.text
    assert 'value="looked at it"' in answer.text


def test_who_was_slower_sees_both_values_and_loses_nothing(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['held_item']}"
    fields = {**fields_of(biller.get(path).text, "do/void"), "reason": "entered twice at the desk"}
    charge = tables.charge
    with world.store.begin() as connection:
        connection.execute(
            update(charge)
            .where(charge.c.id == world.ids["held_charge"])
            .values(state="open", version=charge.c.version + 1)
        )
    answer = biller.post(f"{path}/do/void", data=fields)
    assert answer.status_code == 422
    assert "Somebody was faster." in answer.text
    assert "The charge is held" in answer.text
    assert "The charge is open, changed since" in answer.text
    assert 'value="entered twice at the desk"' in answer.text
    assert state_of(world, "charge", world.ids["held_charge"]) == "open"


def test_a_claim_in_the_approval_queue_is_approved_or_billed_anew_in_place(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['item3']}"
    page = biller.get(path).text
    assert "Bill anew" in page
    assert biller.post(f"{path}/do/approve", data=fields_of(page, "do/approve")).status_code == 303
    assert state_of(world, "claim", world.ids["P8W3N6D5R2"]) == "ready"
    page = biller.get(path).text
    held = biller.post(f"{path}/do/hold", data={**fields_of(page, "do/hold"), "reason": "wait for the card"})
    assert held.status_code == 303
    assert state_of(world, "claim", world.ids["P8W3N6D5R2"]) == "held"


def test_a_replacement_that_waits_is_approved_or_discarded_and_other_claims_are_not(
    world: World, biller: TestClient
) -> None:
    path = f"/queues/items/{world.ids['item3']}"
    assert "Discard the replacement" not in biller.get(path).text
    item = tables.work_item
    with world.store.begin() as connection:
        connection.execute(update(item).where(item.c.id == world.ids["item3"]).values(kind="replacement claim"))
    page = biller.get(path).text
    assert "Discard the replacement" in page
    assert fields_of(page, "do/discard")["version"]


def test_a_payment_is_matched_with_one_click_on_the_likeliest_claim(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['payment_item']}"
    page = biller.get(path).text
    assert "the control number begins alike; the charge is the same" in page
    fields = fields_of(page, "match")
    assert fields["control_number"] == "C2R8P5K9D6"
    wrong = biller.post(f"{path}/match", data={**fields, "control_number": "nobody's"})
    assert "No claim of ours has this number." in wrong.text
    assert biller.post(f"{path}/match", data=fields).headers["location"] == "/queues/unmatched-payments?said=matched"
    name, args = next(args for command, args, _ in world.engine.asked if command == "billing").values()
    assert name == "match_payment"
    assert args["claim_id"] == world.ids["C2R8P5K9D6"]


def test_a_balance_is_written_off_with_a_reason_by_who_may_post_money(world: World, biller: TestClient) -> None:
    item, claim_id = tables.work_item, world.ids["H7K2M9Q4A1"]
    with world.store.begin() as connection:
        connection.execute(update(tables.charge).values(claim_id=claim_id))
        connection.execute(update(item).where(item.c.id == world.ids["item0"]).values(claim_id=claim_id))
    path = f"/queues/items/{world.ids['item0']}"
    page = biller.get(path).text
    assert "what the patient owes, 35.00" in page
    fields = {**fields_of(page, "do/write-off"), "reason": "small balance"}
    assert fields["account"] == "patient"
    refused = world.client("operator").post(
        f"{path}/do/write-off", data={**fields, "csrf": csrf_of(world.client("operator").get("/me"))}
    )
    assert refused.status_code in {403, 422}
    assert biller.post(f"{path}/do/write-off", data=fields).status_code == 303
    asked = [args for command, args, _ in world.engine.asked if command == "billing"]
    assert [each["name"] for each in asked] == ["write_off"]
    assert asked[0]["args"]["reason"] == "small balance"


def test_a_resolved_item_is_opened_again(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['item0']}"
    fields = {**fields_of(biller.get(path).text, "resolve"), "resolution": "accepted"}
    assert biller.post(f"{path}/resolve", data=fields).status_code == 303
    page = biller.get(path).text
    assert biller.post(f"{path}/reopen", data=fields_of(page, "reopen")).status_code == 303
    assert state_of(world, "work_item", world.ids["item0"]) == "open"


def test_chosen_items_are_given_put_to_rest_and_resolved_together(world: World, biller: TestClient) -> None:
    page = biller.get("/queues/denials").text
    chosen = re.findall(r'name="item" value="(\d+:\d+)"', page)
    assert len(chosen) == 3
    csrf = csrf_of(biller.get("/me"))
    assert "Choose items first" in biller.post("/queues/denials/bulk", data={"csrf": csrf, "what": "assign"}).text
    given = {"csrf": csrf, "item": chosen, "what": "assign", "assignee": "manager"}
    assert biller.post("/queues/denials/bulk", data=given).headers["location"] == "/queues/denials?said=bulk"
    assert biller.get("/queues/denials").text.count("with manager") >= 3
    stale = biller.post("/queues/denials/bulk", data={**given, "what": "resolve", "resolution": "accepted"})
    assert "3 not done: Somebody changed this" in stale.text
    fresh = re.findall(r'name="item" value="(\d+:\d+)"', biller.get("/queues/denials").text)
    rest = {"csrf": csrf, "item": fresh[:2], "what": "snooze", "until": "2099-01-01"}
    assert biller.post("/queues/denials/bulk", data=rest).status_code == 303
    page = biller.get("/queues/denials").text
    assert "Resting: 2" in page
    assert len(re.findall(r'name="item"', page)) == 1
    assert biller.get("/queues/denials?state=resting").text.count("rests until 1 Jan 2099") == 2


def test_a_field_of_a_stopped_claim_is_corrected_where_the_item_stands(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['item3']}"
    fields = fields_of(biller.get(path).text, "do/correct")
    wrong = biller.post(f"{path}/do/correct", data={**fields, "field": "birthday", "line": "x", "value": ""})
    for said in ("What is corrected: choose one.", "Line: a whole number.", "New value: this is needed.", "Say why"):
        assert said in wrong.text
    sent = {**fields, "field": "modifiers", "line": "1", "value": "QW", "reason": "the test is waived"}
    assert biller.post(f"{path}/do/correct", data=sent).status_code == 303
    name, args = next(args for command, args, _ in world.engine.asked if command == "billing").values()
    assert name == "correct_claim"
    assert (args["field"], args["line"], args["value"]) == ("modifiers", "1", "QW")


def test_what_a_rule_proposes_is_accepted_in_place(world: World, biller: TestClient) -> None:
    item, sentence = tables.work_item, "This test is usually billed as waived."
    proposal = {"field": "modifiers", "value": "QW", "line": 2}
    evidence = {"findings": [{"rule": "waived-lab", "line": 2, "sentence": sentence, "proposal": proposal}]}
    sealed = world.vault.seal_json(evidence, "work_item.body")
    with world.store.begin() as connection:
        connection.execute(update(item).where(item.c.id == world.ids["item3"]).values(body=sealed))
    path = f"/queues/items/{world.ids['item3']}"
    page = biller.get(path).text
    assert "modifiers of line 2: QW" in page
    assert biller.post(f"{path}/do/accept", data=fields_of(page, "do/accept")).status_code == 303
    name, args = next(args for command, args, _ in world.engine.asked if command == "billing").values()
    assert (name, args["rule"], args["line"]) == ("accept_proposal", "waived-lab", "2")


@pytest.mark.parametrize("page", ["/queues/items/{item3}", "/claims/{K4T9X2B7M1}"])
def test_a_finding_is_shown_with_its_place_its_level_and_what_to_do(
    world: World, biller: TestClient, page: str
) -> None:
    keep_findings(world, FOUND)
    shown = biller.get(page.format_map(world.ids)).text
    for said in ("2310A NM109", "SNIP 6", FOUND["sentence"], FOUND["fix"], "stops the claim"):
        assert said in shown


@pytest.mark.parametrize("page", ["/queues/items/{item3}", "/claims/{K4T9X2B7M1}"])
def test_a_finding_that_an_earlier_version_kept_is_shown_still(world: World, biller: TestClient, page: str) -> None:
    keep_findings(world, {"rule": "LN-01", "severity": "error", "line": 2})
    shown = biller.get(page.format_map(world.ids)).text
    assert "A procedure code does not exist, or is not valid on the day of service." in shown
    assert "not kept" in shown


def test_a_denial_offers_what_its_state_allows(world: World, biller: TestClient) -> None:
    path = f"/queues/items/{world.ids['item0']}"
    assert "Write an appeal" not in biller.get(path).text
    item_id, claim_id = world.ids["item0"], world.ids["K4T9X2B7M1"]
    with world.store.begin() as connection:
        connection.execute(
            insert(tables.denial).values(
                id=77, organisation="alder", partition=0, fence=0, item_id=item_id, claim_id=claim_id,
                chain_id=claim_id,
                patient_id=world.ids["patient"], payer_id="71412", group="CO", reason="197", codes="CO-197",
                cents=31_200, rule="r", covered=True, category="authorization", action="correct", chance=60,
                denied_on="2026-11-20", state="open",
            )
        )  # fmt: skip
    page = biller.get(path).text
    for label in ("Draft the corrected claim", "Write an appeal", "Accept, and write off", "The patient owes it"):
        assert label in page
    fields = {**fields_of(page, "do/correct-denied"), "frequency": "7"}
    assert fields["subject_id"] == "77"


@pytest.fixture
def drafted(world: World) -> int:
    """An appeal of the denial of item0 that is written and not sent; its id."""
    owner = {"organisation": "alder", "partition": 0, "fence": 0}
    denied = {
        "id": 501, "item_id": world.ids["item0"], "claim_id": world.ids["K4T9X2B7M1"], "chain_id": 1, "patient_id": 1,
        "payer_id": "71412", "group": "CO", "reason": "197", "codes": "CO-197", "cents": 31_200, "rule": "CO-197",
        "covered": True, "category": "authorization", "action": "appeal", "chance": 40, "denied_on": "2026-11-01",
        "appeal": "yes", "state": "open",
    }  # fmt: skip
    letter = {"letter": "Dear Cedar Mutual, Marisol Quintero was seen ...", "evidence": [{"title": "999 of 2 Nov"}]}
    action = {
        "id": 601, "denial_id": 501, "kind": "appeal", "rule": "appeal", "automatic": False, "level": 1,
        "state": "drafted", "actor": "biller", "made_business_at": 0, "due_on": "2026-12-30",
        "body": world.vault.seal_json(letter, "denial_action.body"),
    }  # fmt: skip
    with world.store.begin() as connection:
        connection.execute(insert(tables.denial).values(**owner, **denied))
        connection.execute(insert(tables.denial_action).values(**action))
    return 601


def test_an_appeal_is_sent_from_its_item_and_its_letter_is_masked(
    world: World, biller: TestClient, drafted: int
) -> None:
    path = f"/queues/items/{world.ids['item0']}"
    page = biller.get(path).text
    assert "must be with the payer by" in page
    assert "With it: 999 of 2 Nov." in page
    assert "Quintero" not in page
    assert "Write an appeal" not in page

    fields = fields_of(page, "do/send-appeal")
    assert fields["subject_id"] == str(drafted)
    assert "Sent by: choose one." in biller.post(f"{path}/do/send-appeal", data={**fields, "how": "pigeon"}).text
    done = biller.post(f"{path}/do/send-appeal", data={**fields, "how": "fax", "reference": "F-77"})
    assert done.status_code == 303
    assert [ask for name, ask, _ in world.engine.asked if name == "billing"][-1]["args"] == {
        "denial_action_id": drafted, "version": "1", "how": "fax", "reference": "F-77",
    }  # fmt: skip
    assert state_of(world, "denial_action", drafted) == "sent"


def test_the_payers_answer_is_recorded_after_the_item_has_left_its_queue(
    world: World, biller: TestClient, drafted: int
) -> None:
    item = tables.work_item
    with world.store.begin() as connection:
        connection.execute(update(item).where(item.c.id == world.ids["item0"]).values(state="resolved"))
        connection.execute(update(tables.denial_action).values(state="sent", sent_on="2026-11-20"))
    path = f"/queues/items/{world.ids['item0']}"
    page = biller.get(path).text
    assert "waits for the payer" in page
    fields = fields_of(page, "do/decide-appeal")
    assert biller.post(f"{path}/do/decide-appeal", data={**fields, "outcome": "won"}).status_code == 303
    assert state_of(world, "denial_action", drafted) == "won"
