"""What people's accounts let them do and see: scopes, emergencies, tokens, alerts; and how an auditor finds it."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import delete, insert, select, update
from starlette.testclient import TestClient

from hub.security import audit
from hub.store import tables
from hub.web.queries.audit import REVIEWED, emergencies

from .conftest import World, csrf_of


def post(client: TestClient, path: str, **fields: str) -> str:
    """Send a form with the session's token; the answer's text, or where it leads."""
    answer = client.post(path, data={"csrf": csrf_of(client.get("/me")), **fields})
    return answer.headers.get("location") or answer.text


def limit(world: World, name: str, **scope: str) -> TestClient:
    with world.store.begin() as connection:
        connection.execute(update(tables.user_account).where(tables.user_account.c.name == name).values(**scope))
    return world.client(name)


def test_who_is_for_some_channels_sees_no_message_or_channel_besides(world: World) -> None:
    client = limit(world, "operator", channels="claims_out")
    assert "claims_out" in client.get("/").text
    assert "ehr_visits" not in client.get("/").text
    assert "ehr_visits" not in client.get("/messages?since=any").text
    assert client.get(f"/messages/{world.ids['message']}").status_code == 404
    assert client.get(f"/messages/{world.ids['message']}/raw").status_code == 404
    assert client.get("/channels/ehr_visits").status_code == 404
    assert client.get(f"/messages/{world.ids['batch_message']}").status_code == 200
    assert "MSG0" not in client.get("/messages.csv?since=any").text
    pause = {"csrf": csrf_of(client.get("/me")), "reason": "not mine to pause"}
    assert client.post("/channels/ehr_visits/pause", data=pause).status_code == 404
    close = {"csrf": pause["csrf"], "reason": "they told us on the phone"}
    assert client.post(f"/deliveries/{world.ids['ambiguous']}/close", data=close).status_code == 404


def test_who_is_for_some_channels_works_on_their_claims_and_items_alone(world: World) -> None:
    ours, theirs = world.client("biller"), limit(world, "manager", channels="ehr_fhir")
    claim, item = world.ids["H7K2M9Q4A1"], world.ids["held_item"]
    with world.store.begin() as connection:
        connection.execute(insert(tables.visit).values(**visit_of("ehr_fhir")))
        connection.execute(update(tables.claim).where(tables.claim.c.id == world.ids["P8W3N6D5R2"]).values(visit_id=77))

    assert f"/claims/{claim}" in ours.get("/claims").text
    listed = theirs.get("/claims").text
    assert f"/claims/{claim}" not in listed
    assert f"/claims/{world.ids['P8W3N6D5R2']}" in listed
    assert theirs.get(f"/claims/{claim}").status_code == theirs.get(f"/claims/{claim}/837").status_code == 404
    assert theirs.get(f"/claims/{world.ids['P8W3N6D5R2']}").status_code == 200

    assert ours.get(f"/queues/items/{item}").status_code == 200
    assert theirs.get(f"/queues/items/{item}").status_code == 404
    fields = {"csrf": csrf_of(theirs.get("/me")), "text": "not mine", "what": "assign", "item": f"{item}:1"}
    assert theirs.post(f"/queues/items/{item}/comment", data=fields).status_code == 404
    theirs.post("/queues/charge-review/bulk", data=fields)
    assert not [command for command, args, _ in world.engine.asked if command == "billing"]
    assert "Nothing waits here" in theirs.get("/queues/charge-review").text
    assert "1 item" in theirs.get("/queues/approval").text


@pytest.mark.parametrize("path", ["/accounts", "/remittances", "/figures", "/figures.csv", "/reconcile", "/payers"])
def test_who_is_for_some_channels_sees_nothing_of_the_whole_practice(world: World, path: str) -> None:
    assert world.client("biller").get(path).status_code == 200
    narrowed = limit(world, "manager", channels="ehr_visits")
    assert "of the whole practice" in narrowed.get(path).text
    assert narrowed.get(path).status_code == 403
    status = narrowed.get("/").text
    assert f'href="{path}"' not in status
    assert "Worth" not in status


def visit_of(channel: str) -> dict[str, object]:
    return {
        "id": 77, "organisation": "alder", "patient_id": 1, "account_digest": b"77", "state": "open",
        "source_channel": channel, "updated_at": 0, "body": b"",
    }  # fmt: skip


def test_who_is_for_another_organisation_sees_nothing(world: World) -> None:
    client = limit(world, "viewer", organisations="birch")
    assert client.get("/").status_code == 403
    assert limit(world, "viewer", organisations="alder birch").get("/").status_code == 200


def test_an_engineer_breaks_the_glass_and_an_auditor_reviews_it(world: World) -> None:
    engineer, auditor = world.client("engineer"), world.client("auditor")
    raw = f"/messages/{world.ids['message']}/raw"
    assert "QUINTERO" not in engineer.get(raw).text
    assert "Break the glass" in engineer.get("/reveal").text
    why = "The EHR is down and the ward asks for her charges now."
    assert "an auditor will ask you" in post(engineer, "/reveal", reason=why, next=raw)
    assert post(engineer, "/reveal", reason=why, next=raw, understood="yes") == raw
    assert "QUINTERO" in engineer.get(raw).text
    post(engineer, "/hide", next="/")
    assert "QUINTERO" not in engineer.get(raw).text
    assert "1 emergency access to review" in auditor.get("/").text
    waiting = auditor.get("/audit/emergencies").text
    assert why in waiting
    sequence = re.search(r'name="sequence" value="(\d+)"', waiting)
    assert sequence
    assert "Say what you found" in post(auditor, "/audit/emergencies", sequence=sequence[1], remark="ok")
    post(auditor, "/audit/emergencies", sequence=sequence[1], remark="Asked the ward; it was so.")
    assert "No emergency access waits for review" in auditor.get("/audit/emergencies").text
    assert "emergency access" not in auditor.get("/").text


def test_a_viewer_has_no_emergency(world: World) -> None:
    assert world.client("viewer").get("/reveal").status_code == 403


def test_an_auditor_traces_who_saw_a_patient_also_under_a_merged_record(world: World) -> None:
    world.client("biller").get(f"/accounts/{world.ids['patient']}")
    auditor = world.client("auditor")
    assert "No patient was found" in post(auditor, "/audit", who="NOBODY")
    where = post(auditor, "/audit", who="00718821")
    assert where == f"/audit?patient={world.ids['patient']}"
    page = auditor.get(where).text
    assert "biller" in page
    with world.store.begin() as connection:
        connection.execute(
            update(tables.audit).where(tables.audit.c.actor == "biller").values(patient_id=world.ids["merged_patient"])
        )
    assert "biller" in auditor.get(where).text
    with world.store.connect() as connection:
        looked = connection.execute(select(tables.audit).where(tables.audit.c.action == "who saw")).all()
    assert len(looked) == 2


def test_an_altered_record_is_named_on_the_audit_page(world: World) -> None:
    auditor = world.client("auditor")
    with world.store.begin() as connection:
        connection.execute(update(tables.audit).where(tables.audit.c.sequence == 1).values(actor="nobody"))
    assert "Record 1 is the first that is not right" in auditor.get("/audit?verify=1").text


def test_a_token_is_made_shown_once_and_withdrawn(world: World) -> None:
    client = world.client("operator")
    made = post(client, "/me/tokens", name="monitoring", days="30", permission="status.view")
    token = re.search(r"<code>(hub_[\w-]+)</code>", made)
    assert token
    assert token[1] not in client.get("/me/tokens").text
    program = world.client()
    program.headers["Authorization"] = f"Bearer {token[1]}"
    assert program.get("/api/v1/status").status_code == 200
    assert program.get("/api/v1/messages").status_code == 403
    assert "a token of that name" in post(client, "/me/tokens", name="monitoring", days="30", permission="status.view")
    assert "what its owner may" in post(client, "/me/tokens", name="people", days="30", permission="users.manage")
    post(client, "/me/tokens/revoke", name="monitoring")
    assert program.get("/api/v1/status").status_code == 401


def test_a_person_gets_other_roles_and_their_sessions_end(world: World) -> None:
    viewer, admin = world.client("viewer"), world.client("admin")
    post(admin, "/users/viewer/roles", role="biller", channels="ehr_visits, claims_out")
    assert viewer.get("/").status_code == 303
    again = world.client("viewer")
    assert again.get("/queues/denials").text.count("Resolve")
    assert again.get("/figures").status_code == 403  # of the whole practice
    assert "responses_in" not in again.get("/").text


def test_an_alert_is_taken_and_snoozed_with_a_reason_and_counts_no_more(world: World) -> None:
    client = world.client("operator")
    before = re.search(r"<h1>(\d+) things need", client.get("/").text)
    assert before
    key = "queue/denials"
    assert post(client, "/alerts/take", key=key, owner="me") == "/?said=taken"
    assert '<span class="hint">with operator</span>' in client.get("/").text
    assert "Say why it may be quiet" in post(client, "/alerts/snooze", key=key, minutes="60", reason="")
    assert post(client, "/alerts/snooze", key=key, minutes="60", reason="waits for the payer") == "/?said=snoozed"
    page = client.get("/").text
    assert f"{int(before[1]) - 1} things need a person" in page
    assert "quiet until" in page
    assert post(client, "/alerts/snooze", key=key, minutes="0") == "/?said=woken"
    assert "needs nobody any more" in post(client, "/alerts/take", key="anything at all", owner="me")
    viewer = world.client("viewer")
    refused = viewer.post("/alerts/take", data={"csrf": csrf_of(viewer.get("/me")), "key": key})
    assert refused.status_code == 403


def test_a_channel_is_drained_with_a_reason(world: World) -> None:
    client = world.client("operator")
    assert "Say why it stops" in post(client, "/channels/ehr_visits/drain", reason="x")
    assert "said=draining" in post(client, "/channels/ehr_visits/drain", reason="the EHR is upgraded tonight")
    assert "Draining" in client.get("/").text
    post(client, "/channels/ehr_visits/resume")
    assert "Draining" not in client.get("/").text


def test_nobody_snoozes_what_is_wrong_with_a_channel_that_is_not_theirs(world: World) -> None:
    key = "connection/claims_out/clearway"
    with world.store.begin() as connection:
        connection.execute(delete(tables.channel_state))
    assert post(world.client("operator"), "/alerts/take", key=key, owner="me") == "/?said=taken"
    limited = limit(world, "operator", channels="ehr_visits")
    assert "needs nobody any more" in post(limited, "/alerts/snooze", key=key, minutes="60", reason="they move house")


@pytest.mark.parametrize("typed", ["\N{SUPERSCRIPT TWO}", "9" * 30, "x"])
def test_a_number_that_is_none_is_answered_and_not_our_mistake(world: World, typed: str) -> None:
    client = world.client("biller")
    item = f"/queues/items/{world.ids['held_item']}"
    for path, fields in (
        (f"{item}/do/void", {"subject_id": str(world.ids["held_charge"]), "version": typed, "reason": "billed twice"}),
        (f"{item}/assign", {"version": typed, "assignee": "biller"}),
        ("/queues/denials/bulk", {"item": f"{world.ids['item0']}:{typed}", "what": "assign"}),
    ):
        assert "Nothing was changed" not in post(client, path, **fields), path


def test_an_emergency_waits_for_somebody_elses_review_however_many_came_since(world: World) -> None:
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        first = audit.record(connection, actor="auditor", action="break glass", reason="the desk was empty at night")
        other = [audit.record(connection, actor="manager", action="break glass", reason="x") for _ in range(101)]
        for sequence in other:
            audit.record(connection, actor="nora", action=REVIEWED, object_type="audit", object_id=str(sequence))
        assert [each.sequence for each in emergencies(connection)] == [first]
    remark = "looked into and found right"
    own = world.client("auditor")
    assert "Somebody else reviews" in post(own, "/audit/emergencies", sequence=str(first), remark=remark)
    assert "waits for no review" in post(own, "/audit/emergencies", sequence=str(other[0]), remark=remark)
    with world.store.connect() as connection:
        assert [each.sequence for each in emergencies(connection)] == [first]
