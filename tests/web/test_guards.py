"""Who gets where: every route with every role, forms from elsewhere, headers, signing in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hub.core.clock import real_ms
from hub.security.sessions import IDLE_MS, LOCK_AFTER
from hub.security.users import PERMISSIONS, ROLES
from hub.store import tables
from hub.web.app import SECURITY_HEADERS, create_app
from hub.web.main import Listening, server_config
from hub.web.pages.login import FAILURES_PER_ADDRESS
from hub.web.routes import ROUTES

from .conftest import PASSWORD, World, csrf_of, sign_in

OPEN = {"/login", "/healthz", "/readyz", "/metrics", "/.well-known/jwks.json"}


def address(path: str, world: World) -> str:
    known = {
        "/channels/{name}": "/channels/ehr_visits",
        "/messages/{id}": f"/messages/{world.ids['message']}",
        "/deliveries/{id}": f"/deliveries/{world.ids['ambiguous']}",
        "/claims/{id}": f"/claims/{world.ids['H7K2M9Q4A1']}",
        "/queues/items/{id}": f"/queues/items/{world.ids['item0']}",
        "/queues/{queue}": "/queues/denials",
        "/accounts/{id}": f"/accounts/{world.ids['patient']}",
        "/remittances/{id}": f"/remittances/{world.ids['remittance']}",
        "/payments/{id}": f"/payments/{world.ids['payment']}",
        "/users/{name}": "/users/viewer",
    }
    for pattern, real in known.items():
        path = path.replace(pattern, real)
    return (
        path.replace("{tab}", "raw")
        .replace("{act}", "hold")
        .replace("{payer}", "60054")
        .replace("/{figure}/{part}", "/acceptance/accepted")
    )


def test_every_route_answers_each_role_by_the_table_and_nobody_without_a_session(world: World) -> None:
    stranger = world.client()
    for entry in ROUTES:
        answer = stranger.request(
            entry.method, address(entry.path, world), data={"x": "1"} if entry.method == "POST" else None
        )
        assert answer.status_code in {303, 401}, entry.path
        assert "/login" in answer.headers.get("location", "/login")
    for role, permissions in ROLES.items():
        client = world.client(role)
        csrf = csrf_of(client.get("/me"))
        for entry in ROUTES:
            if entry.path.startswith("/live/") or entry.path in {"/logout", "/hide", "/me/password", "/me/preferences"}:
                continue
            data = {"csrf": csrf} if entry.method == "POST" else None
            answer = client.request(entry.method, address(entry.path, world), data=data)
            allowed = not entry.permission or bool(permissions & set(entry.permission.split("|")))
            assert (answer.status_code != 403) is allowed, (role, entry.method, entry.path, answer.status_code)
            assert answer.status_code < 500, (role, entry.path)


def test_every_permission_that_a_route_asks_for_exists() -> None:
    asked = {each for entry in ROUTES for each in entry.permission.split("|") if each}
    assert asked <= PERMISSIONS.keys()


def test_no_form_is_accepted_without_the_token_of_its_session(world: World) -> None:
    client, other = world.client("everything"), world.client("operator")
    foreign = csrf_of(other.get("/me"))
    before = len(world.engine.asked)
    for entry in ROUTES:
        if entry.method == "POST":
            for token in ("", foreign):
                answer = client.post(address(entry.path, world), data={"csrf": token, "reason": "a good enough reason"})
                assert answer.status_code == 403, entry.path
    assert {command for command, _, _ in world.engine.asked[before:]} <= {"write"}
    assert client.get("/me").status_code == 200


def test_every_answer_carries_the_security_headers_and_pages_are_never_kept(world: World) -> None:
    client = world.client("everything")
    for path in ("/", "/login", "/healthz", "/static/hub.css", "/nowhere", f"/messages/{world.ids['message']}/raw"):
        answer = client.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, path
        assert answer.headers["cache-control"] == ("public, max-age=300" if "static" in path else "no-store")
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


def test_the_session_cookie_is_out_of_reach_of_scripts_and_bound_to_tls_where_there_is_tls(world: World) -> None:
    client = world.client()
    cookie = sign_in(client, "viewer").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(world: World) -> None:
    client = world.client()
    wrong, unknown = sign_in(client, "viewer", "wrong wrong wrong"), sign_in(client, "nobody", "wrong wrong wrong")
    assert wrong.status_code == unknown.status_code == 401
    strip = lambda page: page.text.split("<main")[1].split("csrf")[0]  # noqa: E731
    assert strip(wrong) == strip(unknown)


def test_an_account_locks_after_failures_even_for_the_right_password(world: World) -> None:
    client = world.client()
    for _ in range(LOCK_AFTER):
        assert sign_in(client, "viewer", "wrong wrong wrong").status_code == 401
    assert sign_in(client, "viewer").status_code == 401
    assert sign_in(client, "operator").status_code == 303


def test_an_address_with_many_failures_waits_whatever_it_sends(world: World) -> None:
    client = world.client()
    for number in range(FAILURES_PER_ADDRESS):
        sign_in(client, f"nobody{number}", "wrong wrong wrong")
    assert sign_in(client, "viewer").status_code == 429


def test_a_sign_in_form_from_elsewhere_is_refused(world: World) -> None:
    client = world.client()
    client.get("/login")
    answer = client.post("/login", data={"csrf": "x", "name": "viewer", "password": PASSWORD})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_never_leads_to_another_site(world: World, target: str) -> None:
    client = world.client()
    csrf = csrf_of(client.get("/login"))
    answer = client.post("/login", data={"csrf": csrf, "name": "viewer", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_an_idle_session_ends_and_leads_back_to_where_it_was(world: World) -> None:
    client = world.client("viewer")
    with world.store.begin() as connection:
        connection.execute(update(tables.session).values(seen_at=real_ms() - IDLE_MS))
    answer = client.get("/claims?state=paid")
    assert answer.headers["location"] == "/login?next=%2Fclaims%3Fstate%3Dpaid"


def test_signing_out_ends_the_session_in_the_store(world: World) -> None:
    client = world.client("viewer")
    client.post("/logout", data={"csrf": csrf_of(client.get("/me"))})
    assert client.get("/").status_code == 303
    with world.store.connect() as connection:
        assert connection.execute(select(tables.session)).first() is None


def test_whoever_has_a_first_password_chooses_their_own_before_anything_else(world: World) -> None:
    client = world.client("fresh")
    assert client.get("/").headers["location"] == "/me"
    csrf = csrf_of(client.get("/me"))
    fields = {"csrf": csrf, "old": PASSWORD, "new": "a long walk by the sea", "again": "a long walk by the sea"}
    assert client.post("/me/password", data={**fields, "again": "other"}).status_code == 422
    assert client.post("/me/password", data=fields).status_code == 303
    assert client.get("/").status_code == 200


def test_large_forms_are_refused(world: World) -> None:
    client = world.client("viewer")
    assert client.post("/me/preferences", data={"theme": "x" * 100_000}).status_code == 413


def test_behind_a_proxy_cookies_need_tls_and_the_address_is_believed_from_this_machine_only(world: World) -> None:
    behind = server_config(world_app(world), Listening("127.0.0.1:0", behind_tls_proxy=True))
    direct = server_config(world_app(world), Listening(":0"))
    assert (behind.proxy_headers, direct.proxy_headers) == (True, False)
    assert behind.forwarded_allow_ips == ["127.0.0.1", "::1"]
    assert direct.host == "127.0.0.1"
    client = TestClient(
        create_app(world.store, world.vault, replace(world.settings, secure=True)),
        base_url="https://hub.example",
        follow_redirects=False,
    )
    cookie = sign_in(client, "viewer").headers["set-cookie"]
    assert cookie.startswith("__Host-hub_session=")
    assert "Secure" in cookie
    assert "max-age" in client.get("/login").headers["strict-transport-security"]


def world_app(world: World) -> Starlette:
    return create_app(world.store, world.vault, world.settings)
