from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from hub.connectors.fhir import CONNECTOR, FhirSource, FhirSourceSettings
from hub.connectors.hook import HookSource
from hub.engine.contracts import EndpointState
from tests.connectors.behaviour import Peer, serving
from tests.connectors.peers import WAIT, Surroundings, describe_fhir, within
from tests.connectors.test_http import answering
from tests.connectors.test_http import told as answer_of

TOKEN = "a-token-of-the-tests"
HALF = b'{"resourceType": "Encounter", "id": "\\ud800"}'
ENCOUNTER = {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/p1"}}


def notification(kind: str, number: str = "1", resources: tuple[dict[str, Any], ...] = ()) -> bytes:
    parameter: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": "Subscription/s1"}},
        {"name": "type", "valueCode": kind},
    ]
    if kind == "event-notification":
        parts = [
            {"name": "event-number", "valueString": number},
            {"name": "focus", "valueReference": {"reference": "Encounter/e1"}},
        ]
        parameter.append({"name": "notification-event", "part": parts})
    entries = [{"resource": {"resourceType": "Parameters", "parameter": parameter}}]
    entries += [{"resource": resource} for resource in resources]
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}).encode()


@dataclass
class Told:
    status: int
    body: dict[str, Any]


@asynccontextmanager
async def listening(around: Surroundings, **options: Any) -> AsyncIterator[HookSource]:
    around.secret("hook_token", TOKEN)
    accepts = options.pop("accepts", frozenset())
    settings = FhirSourceSettings.model_validate(
        {"listen": "tcp:127.0.0.1:0", "token": {"secret": "hook_token"}, **options}
    )
    source = FhirSource(settings, around.source(CONNECTOR, describe=describe_fhir, accepts=accepts))
    source.start()
    try:
        yield source
    finally:
        await within(source.stop())


async def curl(
    around: Surroundings, source: HookSource, body: bytes, *more: str, path: str = "/fhir/ehr", token: str = TOKEN
) -> Told:
    """What OpenSSL's and curl's own checks of the certificate let through."""
    program = shutil.which("curl")
    if program is None:
        pytest.fail("curl is not installed")
    port = source.health()[0].address.rpartition(":")[2]
    scheme = "https" if source.settings.tls else "http"
    arguments = [program, "--silent", "--show-error", "--max-time", str(WAIT), "--data-binary", "@-"]
    arguments += ["--cacert", str(around.folder / "var/tls/ehr.pem")] if source.settings.tls else []
    arguments += ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/fhir+json"]
    arguments += ["-w", "\n%{http_code}", *more, f"{scheme}://127.0.0.1:{port}{path}"]
    done = await within(deferToThread(subprocess.run, arguments, input=body, capture_output=True, timeout=WAIT + 5))
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.decode().rpartition("\n")
    return Told(int(status), json.loads(text) if text else {})


@pytest_twisted.ensureDeferred
async def test_a_notification_is_accepted_over_tls_after_it_is_stored(around: Surroundings) -> None:
    body = notification("event-notification", resources=(ENCOUNTER,))
    async with listening(around) as source:
        told = await curl(around, source, body)
    (received,) = around.intake.received
    assert told.status == 202
    assert told.body["resourceType"] == "OperationOutcome"
    assert (received.raw, received.description.kind, received.description.lane) == (
        body,
        "Bundle/notification",
        "Encounter/e1",
    )


@pytest_twisted.ensureDeferred
async def test_a_repeated_notification_is_answered_as_before(around: Surroundings) -> None:
    body = notification("event-notification")
    async with listening(around) as source:
        first = await curl(around, source, body)
        second = await curl(around, source, body)
    assert (first.status, second.status) == (202, 200)
    assert first.body == second.body


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1]])
@pytest_twisted.ensureDeferred
async def test_without_the_token_nothing_is_kept(around: Surroundings, token: str) -> None:
    async with listening(around) as source:
        told = await curl(around, source, notification("event-notification"), token=token)
    assert told.status == 401
    assert around.intake.received == []


@pytest_twisted.ensureDeferred
async def test_a_body_over_the_limit_is_refused(around: Surroundings) -> None:
    async with listening(around, max_message="1KB") as source:
        told = await curl(around, source, b"x" * 5000)
        chunked = await curl(around, source, b"x" * 5000, "-H", "Transfer-Encoding: chunked")
    assert (told.status, chunked.status) == (413, 413)
    assert around.intake.received == []


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"resourceType": 7}', b"\xff\xfe", b'{"a": NaN}', b"[" * 99999, HALF]
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_resource_is_kept_as_refused_and_not_echoed(around: Surroundings, body: bytes) -> None:
    async with listening(around) as source:
        told = await curl(around, source, body)
    (received,) = around.intake.received
    assert told.status == 400
    assert told.body["issue"][0]["severity"] == "error"
    assert received.refusal
    assert received.raw == body


@pytest_twisted.ensureDeferred
async def test_an_empty_body_is_heard(around: Surroundings) -> None:
    async with listening(around) as source:
        assert (await curl(around, source, b"")).status == 200
    assert around.intake.received == []


@pytest.mark.parametrize("kind", ["handshake", "heartbeat"])
@pytest_twisted.ensureDeferred
async def test_a_greeting_is_answered_and_needs_nothing_done(around: Surroundings, kind: str) -> None:
    async with listening(around) as source:
        assert (await curl(around, source, notification(kind))).status == 200
    assert around.intake.received[0].filtered
    assert around.intake.received[0].description.kind == kind


@pytest_twisted.ensureDeferred
async def test_a_resource_is_put_to_its_own_address_only(around: Surroundings) -> None:
    body = json.dumps(ENCOUNTER).encode()
    async with listening(around) as source:
        right = await curl(around, source, body, "-X", "PUT", path="/fhir/ehr/Encounter/e1")
        wrong = await curl(around, source, body, "-X", "PUT", path="/fhir/ehr/Encounter/e2")
    assert (right.status, wrong.status) == (200, 400)
    assert [bool(received.refusal) for received in around.intake.received] == [False, True]


@pytest.mark.parametrize(
    ("more", "path", "status"),
    [
        ((), "/fhir/other", 404),
        ((), "/fhir/ehrs", 404),
        (("-X", "DELETE"), "/fhir/ehr", 405),
        (("-H", "Content-Type: application/fhir+xml"), "/fhir/ehr", 415),
        (("-H", "Content-Encoding: gzip"), "/fhir/ehr", 415),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_hook_does_not_take_is_said(
    around: Surroundings, more: tuple[str, ...], path: str, status: int
) -> None:
    async with listening(around) as source:
        told = await curl(around, source, notification("event-notification"), *more, path=path)
    assert told.status == status
    assert around.intake.received == []


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_stored_is_to_be_sent_again(around: Surroundings) -> None:
    around.intake.failing = OSError("disk full")
    async with listening(around) as source:
        told = await curl(around, source, notification("event-notification"))
    assert told.status == 503


@pytest_twisted.ensureDeferred
async def test_a_type_that_the_channel_does_not_take_is_filtered(around: Surroundings) -> None:
    async with listening(around, accepts=frozenset({"Bundle/notification"})) as source:
        told = await curl(around, source, json.dumps(ENCOUNTER).encode())
    assert told.status == 200
    assert around.intake.received[0].filtered == "The channel does not take Encounter."


@pytest_twisted.ensureDeferred
async def test_a_paused_hook_closes_its_port_and_resumes_on_it(around: Surroundings) -> None:
    async with listening(around) as source:
        address = source.health()[0].address
        source.pause()
        assert source.health()[0].state == EndpointState.STOPPED
        with pytest.raises(AssertionError, match="connect"):
            await curl(around, source, b"")
        source.resume()
        assert (await curl(around, source, b"")).status == 200
        assert source.health()[0].address == address


@pytest_twisted.ensureDeferred
async def test_the_certificate_that_the_hub_makes_satisfies_strict_checks(around: Surroundings) -> None:
    async with listening(around) as source:
        port = int(source.health()[0].address.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(around.folder / "var/tls/ehr.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT

        def shake() -> str | None:
            import socket

            with socket.create_connection(("127.0.0.1", port), WAIT) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as secured:
                    return secured.version()

        assert await within(deferToThread(shake)) in {"TLSv1.2", "TLSv1.3"}
    assert (around.folder / "var/tls/ehr.key").stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in (around.folder / "var/tls/ehr.pem").read_text()


def test_a_hook_in_clear_is_for_this_machine_alone(tmp_path: Path) -> None:
    plain = {"token": {"secret": "hook_token"}, "tls": False}
    assert FhirSourceSettings.model_validate({**plain, "listen": "tcp:127.0.0.1:8080"})
    with pytest.raises(ValidationError, match="this machine alone"):
        FhirSourceSettings.model_validate({**plain, "listen": "tcp:8080"})


@pytest_twisted.ensureDeferred
async def test_a_ping_without_content_has_what_changed_fetched_over_the_wire(around: Surroundings) -> None:
    around.secret("ehr_token", "for-the-ehr")
    asked: list[bytes] = []
    made_it: Deferred[None] = Deferred()

    def reply(peer: Peer, request: bytes) -> None:
        asked.append(request)
        if request.startswith(b"POST"):
            made = json.loads(request.partition(b"\r\n\r\n")[2]) | {"id": "s1", "status": "active"}
            peer.say(answer_of("201 Created", json.dumps(made).encode()))
            made_it.callback(None)
        elif b"_lastUpdated" in request:
            found = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": ENCOUNTER}]}
            peer.say(answer_of("200 OK", json.dumps(found).encode()))
        elif request.startswith(b"GET /fhir/Subscription/s1"):
            peer.say(answer_of("200 OK", b'{"resourceType":"Subscription","id":"s1","status":"active"}'))
        else:
            peer.say(answer_of("200 OK", b'{"resourceType":"Bundle","type":"searchset"}'))

    async with serving(answering(reply)) as server:
        base = f"http://127.0.0.1:{server.port}/fhir"
        more = {
            "server": {"base": base, "hook": "https://hub.example/fhir/ehr", "token": {"secret": "ehr_token"}},
            "subscription": [{"name": "encounters", "criteria": "Encounter?status=finished", "payload": "empty"}],
        }
        async with listening(around, **more) as source:
            await within(made_it)
            assert (await curl(around, source, b"")).status == 200
            await around.intake.arrived(1)
            assert source.health()[1].address == f"{base} subscription encounters"
    assert [each.description.kind for each in around.intake.received] == ["Bundle/searchset"]
    assert all(b"Authorization: Bearer for-the-ehr" in each for each in asked)
