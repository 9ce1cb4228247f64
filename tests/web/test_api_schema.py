"""The API keeps to its own OpenAPI document: Schemathesis reads it, calls every operation, and judges every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation, BaseSchema
from sqlalchemy import insert
from starlette.testclient import TestClient

from hub.core.clock import real_ms
from hub.security.sessions import token_digest
from hub.security.users import PERMISSIONS
from hub.store import tables
from hub.web.api.openapi import document
from hub.web.api.table import BASE
from hub.web.app import create_app

from .conftest import World, build_world, sign_in

EVERYTHING = {"Authorization": "Bearer hub_may-do-everything"}
NOTHING = {"Authorization": "Bearer hub_may-do-nothing"}
PATHS: dict[str, dict[str, Any]] = document("1")["paths"]
NAMED = {entry["operationId"]: (path, method) for path, methods in PATHS.items() for method, entry in methods.items()}


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A seeded practice with its engine and two tokens, for all cases of this file."""
    world = build_world(tmp_path_factory.mktemp("practice"))
    now = real_ms()
    held = {"user_name": "everything", "created_at": now, "expires_at": now + 3_600_000, "used_at": now}
    with world.store.begin() as connection:
        for sent, permissions in ((EVERYTHING, PERMISSIONS), (NOTHING, ())):
            token = sent["Authorization"].removeprefix("Bearer ")
            connection.execute(
                insert(tables.api_token).values(
                    token_digest=token_digest(token), name=token, permissions=" ".join(permissions), **held
                )
            )
    sign_in(world.client(), "auditor")  # for the audit log
    yield world
    world.engine.stop()
    world.store.dispose()


def served(practice: World, **changes: Any) -> BaseSchema:
    """The document as the application hands it out, with the application behind it."""
    chosen = replace(practice.settings, **{"api_per_minute": 1_000_000, **changes})
    app = create_app(practice.store, practice.vault, chosen)
    schema = schemathesis.openapi.from_asgi(f"{BASE}/openapi.json", app)
    schema.config.request_timeout = 120.0
    schema.config.max_stream_events = 1  # a stream goes on for as long as somebody listens
    return schema


@pytest.fixture(scope="module")
def described(practice: World) -> BaseSchema:
    return served(practice)


def named(described: BaseSchema, name: str) -> APIOperation:
    path, method = NAMED[name]
    return described[path][method]


def there(path: str, practice: World) -> dict[str, str]:
    """The parts of *path*, naming something that is there."""
    of = {"messages": "message", "claims": "P8W3N6D5R2", "work-items": "item0", "accounts": "patient"}
    kind = of.get(path.removeprefix(BASE).split("/")[1], "remittance")
    parts = {"id": str(practice.ids[kind]), "name": "ehr_visits", "queue": "denials"}
    return {part: value for part, value in parts.items() if f"{{{part}}}" in path}


def judge(operation: APIOperation, mode: GenerationMode, changed: Callable[[Case], None] = lambda _: None) -> None:
    """Send what *mode* makes of the document, after *changed* had it, and hold each answer against the document."""

    @settings(derandomize=True, max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def sent(case: Case) -> None:
        changed(case)
        case.call_and_validate(headers=EVERYTHING)

    sent()


def refused(operation: APIOperation, practice: World, headers: dict[str, str], **sent: Any) -> int:
    """The status of a refusal that is as the document declares it."""
    case = operation.Case(path_parameters=there(operation.path, practice), headers=headers, **sent)
    answer = case.call()
    case.validate_response(answer, excluded_checks=[not_a_server_error])
    return answer.status_code


def test_the_document_is_what_openapi_says_a_document_is(described: BaseSchema) -> None:
    described.validate()
    assert {operation.ok().definition.raw["operationId"] for operation in described.get_all_operations()} == set(NAMED)


def test_what_is_there_is_answered_as_declared(described: BaseSchema, practice: World) -> None:
    headers = {**EVERYTHING, "X-Reason": "the payer asks for it"}
    for name in [name for name, (_, method) in NAMED.items() if method == "get"]:
        operation = named(described, name)
        case = operation.Case(path_parameters=there(operation.path, practice), headers=headers)
        answer = case.call_and_validate()
        assert answer.status_code == 200
        if "application/json" in answer.headers["content-type"]:
            found = answer.json()
            assert found.get("items", found) if isinstance(found, dict) else found, name


@pytest.mark.parametrize("name", NAMED)
def test_what_the_document_allows_is_answered_as_declared(described: BaseSchema, practice: World, name: str) -> None:
    operation = named(described, name)
    judge(operation, GenerationMode.POSITIVE, lambda case: case.path_parameters.update(there(case.path, practice)))
    if there(operation.path, practice):
        judge(operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("name", NAMED)
def test_what_the_document_forbids_is_refused_as_declared(described: BaseSchema, name: str) -> None:
    judge(named(described, name), GenerationMode.NEGATIVE)


def test_nobody_gets_in_without_a_token_with_an_unknown_one_or_with_one_for_less(
    described: BaseSchema, practice: World
) -> None:
    for name in NAMED:
        operation = named(described, name)
        statuses = [refused(operation, practice, headers) for headers in ({}, {"Authorization": "Bearer x"}, NOTHING)]
        assert statuses == [401, 401, 403], name


def test_who_asks_too_often_is_refused_as_declared_everywhere(practice: World) -> None:
    hurried = served(practice, api_per_minute=0)
    assert {refused(named(hurried, name), practice, EVERYTHING) for name in NAMED} == {429}


def test_too_much_and_an_engine_that_is_away_are_refused_as_declared(described: BaseSchema, practice: World) -> None:
    pause = named(described, "pause")
    assert refused(pause, practice, EVERYTHING, body={"reason": "x" * 70_000}, media_type="application/json") == 413
    away = served(practice, control_socket=practice.settings.control_socket.with_name("nobody"))
    because = {"reason": "the partner moves house"}
    assert refused(named(away, "pause"), practice, EVERYTHING, body=because, media_type="application/json") == 503


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_the_document_does_not_name_is_refused_with_those_that_it_does(
    practice: World, method: str
) -> None:
    client: TestClient = practice.client()
    for path, methods in PATHS.items():
        if method.lower() in methods:
            continue
        answer = client.request(method, path.format(**there(path, practice)))
        allowed = {each.upper() for each in methods} | ({"HEAD"} if "get" in methods else set())
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, allowed), path
        assert answer.json()["error"].keys() == {"code", "what", "where", "expected", "fix"}
    answer = client.request(method, f"{BASE}/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "H740")
