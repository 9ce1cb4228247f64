"""The API: what it answers is what it declares, whatever is sent, and nobody gets further than their token."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert, update
from starlette.testclient import TestClient

from hub.core.clock import real_ms
from hub.security.sessions import token_digest
from hub.security.users import PERMISSIONS, ROLES
from hub.store import tables
from hub.web.api.openapi import document
from hub.web.api.table import BASE, OPERATIONS, Operation
from hub.web.app import create_app

from .conftest import FOUND, World, csrf_of, keep_findings


def client_of(world: World, user: str, permissions: set[str], **columns: Any) -> TestClient:
    """A program with a token of *user*."""
    token = f"hub_{user}-{len(permissions)}-{random.random()}"
    now = real_ms()
    row = {"name": token[:60], "created_at": now, "expires_at": now + 60_000, "used_at": now} | columns
    with world.store.begin() as connection:
        connection.execute(
            insert(tables.api_token).values(
                token_digest=token_digest(token), user_name=user, permissions=" ".join(permissions), **row
            )
        )
    client = world.client()
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def address(operation: Operation, world: World) -> str:
    ids = {"messages": "message", "claims": "P8W3N6D5R2", "work-items": "item0", "remittances": "remittance"}
    ids |= {"accounts": "patient"}
    of = ids.get(operation.path.split("/")[1], "message")
    path = operation.path.replace("{id}", str(world.ids[of])).replace("{name}", "ehr_visits")
    return BASE + path.replace("{queue}", "denials")


SENT: dict[str, dict[str, Any]] = {
    "reason": {"reason": "the partner moves house"},
    "token": {"token": "once-and-only"},
    "version": {"version": 0},
    "assignee": {"assignee": "biller"},
    "resolution": {"resolution": "accepted"},
    "until": {"until": "2099-01-01"},
    "comment": {"comment": "asked the desk"},
}


def sent_to(operation: Operation) -> dict[str, Any]:
    fields = operation.body.model_fields if operation.body else {}
    return {key: value for name in fields for key, value in SENT.get(name, {}).items()}


def fits(value: object, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether *value* is what *schema* says: as much of JSON Schema as the document uses."""
    if "$ref" in schema:
        return fits(value, whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], whole)
    if "anyOf" in schema:
        return any(fits(value, each, whole) for each in schema["anyOf"])
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if not isinstance(value, kinds[kind]):
        return False
    if isinstance(value, dict):
        parts = schema["properties"]
        return value.keys() == parts.keys() and all(fits(value[name], parts[name], whole) for name in parts)
    if isinstance(value, list):
        return all(fits(each, schema["items"], whole) for each in value)
    return not isinstance(value, str) or re.search(schema.get("pattern", ""), value) is not None


def test_every_operation_answers_what_the_document_declares_and_names_nobody(world: World) -> None:
    client, declared = client_of(world, "everything", set(PERMISSIONS)), document("1")
    assert client.get(f"{BASE}/openapi.json").json()["paths"].keys() == declared["paths"].keys()
    for operation in OPERATIONS:
        headers = {"X-Reason": "the payer asks for it"} if operation.needs_reason else {}
        answer = client.request(operation.method, address(operation, world), json=sent_to(operation), headers=headers)
        entry = declared["paths"][BASE + operation.path][operation.method.lower()]
        assert str(answer.status_code) in entry["responses"], operation.path
        content = entry["responses"][str(answer.status_code)]["content"]
        if operation.gives_bytes:
            assert answer.content.startswith(b"MSH|")
            continue
        assert fits(answer.json(), content["application/json"]["schema"], declared), (operation.path, answer.text)
        assert answer.status_code in {200, 409}, (operation.path, answer.text)
        assert "QUINTERO" not in answer.text.upper()
        assert "MEM778812" not in answer.text


def test_every_operation_answers_each_role_by_the_table_and_nobody_without_a_token(world: World) -> None:
    stranger = world.client()
    clients = {role: client_of(world, role, set(PERMISSIONS)) for role in ROLES}
    for operation in OPERATIONS:
        answer = stranger.request(operation.method, address(operation, world))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "H750")
        for role, permissions in ROLES.items():
            # an empty body and no reason: whoever may is told what is missing, and nothing changes
            answer = clients[role].request(operation.method, address(operation, world))
            assert (answer.status_code != 403) is (operation.permission in permissions), (role, operation.path)


def test_whatever_is_sent_the_answer_is_one_of_the_declared_ones(world: World) -> None:
    client, declared = client_of(world, "everything", set(PERMISSIONS)), document("1")
    odd = ["", "\x00", "9" * 30, "-1", "2**63", "9223372036854775808", "../..", "null", "%00", "ü\u2028", "a" * 300]
    chosen = random.Random(4)
    for operation in OPERATIONS:
        declared_here = declared["paths"][BASE + operation.path][operation.method.lower()]["responses"]
        for value in odd:
            part = quote(value.replace("/", "").replace("\x00", "").replace("..", "") or "0")
            path = BASE + re.sub(r"{\w+}", part.replace("\\", ""), operation.path)
            query = dict.fromkeys(operation.query.model_fields, value) or {"unknown": value}
            fields = operation.body.model_fields if operation.body else {}
            bodies: list[Any] = [dict.fromkeys(fields, value), [value], value, {"unknown": value}]
            answer = client.request(
                operation.method,
                path,
                params=query,
                content=json.dumps(chosen.choice(bodies)),
                headers={"X-Reason": "a long enough reason"},
            )
            assert answer.status_code == 404 or str(answer.status_code) in declared_here, (operation.path, value)
            assert answer.status_code < 500, (operation.path, value, answer.text)
            if answer.status_code != 200:
                assert answer.json()["error"].keys() == {"code", "what", "where", "expected", "fix"}


@pytest.mark.parametrize(
    "columns", [{"expires_at": 1}, {"revoked": True}, {"permissions": "claims.view"}], ids=["over", "withdrawn", "less"]
)
def test_a_token_that_is_over_withdrawn_or_for_something_else_opens_nothing(
    world: World, columns: dict[str, Any]
) -> None:
    client = client_of(world, "everything", {"status.view"})
    assert client.get(f"{BASE}/status").status_code == 200
    with world.store.begin() as connection:
        connection.execute(update(tables.api_token).values(**columns))
    assert client.get(f"{BASE}/status").status_code in {401, 403}


def test_a_token_does_no_more_than_its_owner_may_and_is_lost_with_them(world: World) -> None:
    client = client_of(world, "viewer", set(PERMISSIONS))
    assert client.get(f"{BASE}/figures").status_code == 403
    with world.store.begin() as connection:
        connection.execute(
            update(tables.user_account).where(tables.user_account.c.name == "viewer").values(disabled=True)
        )
    assert client.get(f"{BASE}/status").status_code == 401


def test_pages_of_messages_go_by_key_to_the_end_without_a_gap(world: World) -> None:
    client = client_of(world, "viewer", {"messages.view"})
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = client.get(f"{BASE}/messages", params={"since": "any", **cursor}).json()
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = {"before": page["next"]}
    assert len(seen) == len(set(seen)) == 69


def test_messages_are_found_between_two_moments(world: World) -> None:
    client = client_of(world, "viewer", {"messages.view"})

    def found(**moments: int) -> list[str]:
        return [each["id"] for each in client.get(f"{BASE}/messages", params=moments).json()["items"]]

    every = found(received_from=0)
    moments = [(int(each) >> 22) + 1_577_836_800_000 for each in every]  # an id begins with when its message came
    assert found(received_from=min(moments), received_until=max(moments) + 1) == every
    assert found(received_from=max(moments) + 1) == []
    assert found(received_from=2**53 - 1) == []
    earlier = found(received_until=min(moments))
    assert earlier
    assert max(map(int, earlier)) < min(map(int, every))
    assert client.get(f"{BASE}/messages", params={"received_from": "yesterday"}).status_code == 400


def test_raw_content_asks_for_a_reason_and_stands_in_the_audit_log(world: World) -> None:
    client = client_of(world, "operator", {"patients.reveal"})
    path = f"{BASE}/messages/{world.ids['message']}/raw"
    assert client.get(path).status_code == 400
    assert client.get(path, headers={"X-Reason": "the EHR lost its copy"}).status_code == 200
    records = world.client("auditor").get("/audit?action=reveal").text
    assert "the EHR lost its copy" in records


def test_a_program_that_asks_too_often_is_told_to_wait(world: World) -> None:
    world.settings = replace(world.settings, api_per_minute=3)
    client = client_of(world, "viewer", {"queues.view"})
    answers = [client.get(f"{BASE}/queues") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "60"


def test_a_browser_reads_the_api_with_its_session_and_changes_nothing_without_its_token(world: World) -> None:
    client = world.client("operator")
    assert client.get(f"{BASE}/status").status_code == 200
    path, body = f"{BASE}/channels/ehr_visits/pause", {"reason": "the partner moves house"}
    assert client.post(path, json=body).status_code == 403
    csrf = csrf_of(client.get("/me"))
    assert client.post(path, json=body, headers={"X-CSRF-Token": csrf}).json() == {"done": True}


def test_the_version_that_was_seen_guards_against_two_at_once(world: World) -> None:
    client = client_of(world, "biller", {"queues.view", "queues.work"})
    path = f"{BASE}/work-items/{world.ids['item0']}"
    seen = client.get(path).json()
    assert client.post(f"{path}/assign", json={"version": seen["version"], "assignee": "biller"}).status_code == 200
    refused = client.post(f"{path}/resolve", json={"version": seen["version"], "resolution": "accepted"})
    assert refused.status_code == 409
    assert "changed this since" in refused.json()["error"]["what"]
    assert refused.json()["error"]["code"] == "H360"


def test_a_body_whose_length_was_not_announced_is_read_no_further_than_the_limit(world: World) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * 1024

    answer = world.client().post(f"{BASE}/claims/1/approve", content=endless())
    assert (answer.status_code, answer.json()["error"]["what"]) == (413, "Too much was sent.")


def test_an_id_that_no_store_can_hold_is_not_as_described(world: World) -> None:
    client = client_of(world, "auditor", {"audit.view"})
    answer = client.get(f"{BASE}/audit", params={"account": str(2**63)})
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "query.account")


def test_a_replay_names_a_delivery_of_that_message_and_keeps_long_tokens_apart(world: World) -> None:
    client = client_of(world, "operator", {"messages.replay"})
    path = f"{BASE}/messages/{world.ids['message']}/replay"
    body = {"reason": "the partner lost it", "token": "t" * 90}
    foreign = {**body, "delivery": str(world.ids["ambiguous"])}
    assert client.post(path, json=foreign).status_code == 404
    assert not [each for each in world.engine.asked if each[0] == "replay"]
    for token, status in (("t" * 90 + "1", 200), ("t" * 90 + "2", 200), ("t" * 90 + "1", 409)):
        assert client.post(path, json={**body, "token": token}).status_code == status
    spent = [args["token"] for command, args, _ in world.engine.asked if command == "replay"]
    assert max(map(len, spent)) <= 48


def test_an_operation_that_breaks_answers_in_the_form_of_refusals_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = client_of(world, "viewer", {"status.view"}).headers["Authorization"]
    monkeypatch.setattr("hub.web.api.handlers.overview", lambda *_: 1 / 0)
    client = TestClient(create_app(world.store, world.vault, world.settings), raise_server_exceptions=False)
    answer = client.get(f"{BASE}/status", headers={"Authorization": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "H750")
    assert "Zero" not in answer.text


def test_a_claim_and_its_item_tell_what_was_found_and_a_list_of_items_does_not(world: World) -> None:
    keep_findings(world, FOUND)
    program = client_of(world, "biller", {"claims.view", "queues.view"})
    expected = {**FOUND, "place": "2310A NM109"}
    assert program.get(f"{BASE}/claims/{world.ids['K4T9X2B7M1']}").json()["findings"] == [expected]
    item = program.get(f"{BASE}/work-items/{world.ids['item3']}").json()
    assert item["findings"] == [expected]
    listed = program.get(f"{BASE}/queues/{item['queue'].replace(' ', '-')}").json()
    assert {each["findings"] for each in listed} == {None}


def test_the_description_says_what_a_finding_is() -> None:
    schema = document("1")["components"]["schemas"]
    assert set(schema["Finding"]["properties"]) == {*FOUND, "place"}
    assert "SNIP" in schema["Finding"]["description"]
    assert schema["ClaimDetail"]["properties"]["findings"]["items"] == {"$ref": "#/components/schemas/Finding"}
