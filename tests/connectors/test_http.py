from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.internet import reactor

from hub.connectors import fhir, fhir_read, http
from hub.connectors.certificates import own_certificate
from hub.connectors.tls import tls_options
from hub.engine.contracts import Destination, EndpointState, Failure
from tests.connectors.behaviour import Behaviour, Peer, Server, delivered, free_port, serving
from tests.connectors.peers import Surroundings, failure_of, parcel, within


def told(status: str, body: bytes = b"{}", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def answering(reply: Any) -> Behaviour:
    """A server that calls *reply* with the connection and each whole request."""

    def behave(peer: Peer, _: bytes) -> None:
        head, end, body = peer.seen.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if end and len(body) >= (int(lengths[0].partition(b":")[2]) if lengths else 0):
            request, peer.seen = peer.seen, b""
            reply(peer, request)

    return behave


def always(answer: bytes) -> Behaviour:
    return answering(lambda peer, _: peer.say(answer))


def poster(around: Surroundings, port: int, **options: Any) -> Destination:
    settings = {"url": f"http://127.0.0.1:{port}/x/{{name}}", "answer_within": "5s", **options}
    model = http.HttpDestinationSettings.model_validate(settings)
    return http.open_destination(model, around.destination(http.CONNECTOR))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("200 OK", "delivered"),
        ("201 Created", "delivered"),
        ("204 No Content", "delivered"),
        ("302 Found", "permanent"),
        ("400 Bad Request", "permanent"),
        ("401 Unauthorized", "permanent"),
        ("404 Not Found", "permanent"),
        ("409 Conflict", "permanent"),
        ("408 Request Timeout", "transient"),
        ("429 Too Many Requests", "transient"),
        ("500 Internal Server Error", "transient"),
        ("503 Service Unavailable", "transient"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_decides(around: Surroundings, answer: str, expected: str) -> None:
    async with serving(always(told(answer, b""))) as server:
        (outcome,) = await delivered(poster(around, server.port), parcel(b"{}"))
    assert failure_of(outcome) == expected


@pytest.mark.parametrize(
    ("reply", "options", "expected"),
    [
        (lambda peer, _: peer.drop(), {}, "ambiguous"),
        (lambda peer, _: peer.bye(), {}, "ambiguous"),
        (lambda peer, _: None, {"answer_within": "100ms"}, "ambiguous"),
        (lambda peer, _: peer.say(b"not http\r\n\r\n"), {}, "ambiguous"),
        (lambda peer, _: peer.drop(), {"method": "PUT"}, "transient"),
        (lambda peer, _: peer.drop(), {"idempotency_header": "Idempotency-Key"}, "transient"),
        (lambda peer, _: peer.drop(), {"if_none_exist": "identifier=urn:x|{name}"}, "transient"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_loss_after_the_request_is_ambiguous_unless_the_server_knows_repeats(
    around: Surroundings, reply: Any, options: dict[str, Any], expected: str
) -> None:
    async with serving(answering(reply)) as server:
        (outcome,) = await delivered(poster(around, server.port, **options), parcel(b"{}"))
    assert failure_of(outcome) == expected


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_transient(around: Surroundings) -> None:
    destination = poster(around, await free_port())
    outcome = await within(destination.deliver(parcel(b"{}")))
    assert outcome.failure == Failure.TRANSIENT
    assert destination.health()[0].state == EndpointState.REFUSED


@pytest_twisted.ensureDeferred
async def test_the_request_carries_token_name_and_headers(around: Surroundings) -> None:
    around.secret("ehr_token", "a-token")
    seen: list[bytes] = []

    def reply(peer: Peer, request: bytes) -> None:
        seen.append(request)
        peer.say(told("201 Created", b'{"id": "1"}'))

    options = {
        "token": {"secret": "ehr_token"},
        "content_type": "application/fhir+json",
        "if_none_exist": "identifier=urn:x|{name}",
    }
    async with serving(answering(reply)) as server:
        (outcome,) = await delivered(poster(around, server.port, **options), parcel(b"{}", "a b/c"))
    assert outcome.answer == b'{"id": "1"}'
    assert seen[0].startswith(b"POST /x/a%20b%2Fc HTTP/1.1\r\n")
    for line in (
        b"Authorization: Bearer a-token",
        b"Content-Type: application/fhir+json",
        b"If-None-Exist: identifier=urn:x|a%20b%2Fc",
    ):
        assert line.lower() in seen[0].lower()


@pytest_twisted.ensureDeferred
async def test_the_server_may_ask_to_wait(around: Surroundings) -> None:
    async with serving(always(told("429 Too Many Requests", b"", "Retry-After: 7"))) as server:
        (outcome,) = await delivered(poster(around, server.port), parcel(b"{}"))
    assert outcome.retry_after == 7.0


@pytest_twisted.ensureDeferred
async def test_a_missing_token_is_a_login_failure_and_nothing_is_sent(around: Surroundings) -> None:
    destination = poster(around, await free_port(), token={"secret": "absent"})
    outcome = await within(destination.deliver(parcel(b"{}")))
    assert outcome.failure == Failure.TRANSIENT
    assert destination.health()[0].state == EndpointState.LOGIN_FAILED


@pytest.mark.parametrize("trusted", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_server_without_a_trusted_certificate_is_sent_nothing(around: Surroundings, trusted: bool) -> None:
    certificate, key = own_certificate(around.folder / "var" / "tls", "server")
    options = tls_options(certificate.read_bytes(), key.read_bytes())
    plain = Server(always(told("200 OK")))
    net: Any = reactor
    port = net.listenSSL(0, plain._port.factory, options, interface="127.0.0.1")
    settings: dict[str, Any] = {"url": f"https://localhost:{port.getHost().port}/x"}
    if trusted:
        settings["trust"] = "var/tls/server.pem"
    try:
        (outcome,) = await delivered(poster(around, 0, **settings), parcel(b"{}"))
    finally:
        await within(port.stopListening())
        await plain.close()
    assert failure_of(outcome) == ("delivered" if trusted else "transient")
    if not trusted:
        assert "not trusted" in outcome.reason
        assert all(peer.seen == b"" for peer in plain.peers)


@pytest_twisted.ensureDeferred
async def test_a_resource_is_created_under_its_type(around: Surroundings) -> None:
    seen: list[bytes] = []

    def reply(peer: Peer, request: bytes) -> None:
        seen.append(request)
        peer.say(told("201 Created"))

    async with serving(answering(reply)) as server:
        settings = fhir.FhirDestinationSettings.model_validate(
            {"base": f"http://127.0.0.1:{server.port}/fhir/", "resource": "ClaimResponse"}
        )
        destination = fhir.open_destination(settings, around.destination(fhir.CONNECTOR))
        (outcome,) = await delivered(destination, parcel(b'{"resourceType": "ClaimResponse"}'))
    assert failure_of(outcome) == "delivered"
    assert seen[0].startswith(b"POST /fhir/ClaimResponse HTTP/1.1\r\n")


def test_a_token_is_not_written_into_a_header() -> None:
    settings = {"url": "https://ehr.clinic.example/x", "headers": {"authorization": "Bearer abc"}}
    with pytest.raises(ValidationError, match="a token is named"):
        http.HttpDestinationSettings.model_validate(settings)


# ---------------------------------------------------------------- fhir_read


def reader(around: Surroundings, port: int, **options: Any) -> Destination:
    settings = {"base": f"http://127.0.0.1:{port}/fhir", "answer_within": "5s", **options}
    model = fhir_read.FhirReadSettings.model_validate(settings)
    return fhir_read.FhirReadDestination(model, around.destination(fhir_read.CONNECTOR))


def wanted(*reads: str, searches: tuple[str, ...] = ()) -> bytes:
    return json.dumps({"reads": reads, "searches": searches}).encode()


def serving_resources(pages: dict[str, bytes]) -> Behaviour:
    def reply(peer: Peer, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        peer.say(told("200 OK", pages[path]) if path in pages else told("404 Not Found"))

    return answering(reply)


@pytest_twisted.ensureDeferred
async def test_reads_and_paged_searches_become_one_bundle_with_each_resource_once(
    around: Surroundings,
) -> None:
    encounter = b'{"resourceType":"Encounter","id":"1"}'
    first = b'{"resourceType":"ChargeItem","id":"a","priceOverride":{"value":10.00}}'
    second = b'{"resourceType":"ChargeItem","id":"b"}'
    page = b'{"resourceType":"Bundle","entry":[{"resource":%s},{"resource":%s}],"link":[%s]}'
    pages = {
        "/fhir/Encounter/1": encounter,
        "/fhir/ChargeItem?context=Encounter/1": page % (first, encounter, b'{"relation":"next","url":"/fhir?page=2"}'),
        "/fhir?page=2": page % (second, b'{"resourceType":"OperationOutcome"}', b""),
    }
    async with serving(serving_resources(pages)) as server:
        body = wanted("Encounter/1", searches=("ChargeItem?context=Encounter/1",))
        (outcome,) = await delivered(reader(around, server.port), parcel(body))
    assert failure_of(outcome) == "delivered"
    assert outcome.answer == (
        b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":%s},{"resource":%s},{"resource":%s}]}'
        % (encounter, first, second)
    )


@pytest_twisted.ensureDeferred
async def test_a_search_may_travel_in_the_body_so_that_no_log_keeps_what_was_searched_by(around: Surroundings) -> None:
    seen: list[bytes] = []

    def reply(peer: Peer, request: bytes) -> None:
        seen.append(request)
        peer.say(told("200 OK", b'{"resourceType":"Bundle"}'))

    async with serving(answering(reply)) as server:
        body = wanted(searches=("Patient?identifier=M1",))
        (outcome,) = await delivered(reader(around, server.port, by_post=True), parcel(body))
    assert failure_of(outcome) == "delivered"
    assert seen[0].startswith(b"POST /fhir/Patient/_search HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nidentifier=M1")


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        (always(told("401 Unauthorized")), "permanent"),
        (always(told("403 Forbidden")), "permanent"),
        (always(told("404 Not Found")), "permanent"),
        (always(told("410 Gone")), "permanent"),
        (always(told("429 Too Many Requests")), "transient"),
        (always(told("503 Service Unavailable")), "transient"),
        (always(told("200 OK", b"<html>")), "permanent"),
        (answering(lambda peer, _: peer.drop()), "transient"),
        (answering(lambda peer, _: (peer.say(told("200 OK", b"{}" * 99)[:-50]), peer.bye())), "transient"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_fetch_that_fails_is_never_ambiguous(around: Surroundings, behave: Behaviour, expected: str) -> None:
    async with serving(behave) as server:
        (outcome,) = await delivered(reader(around, server.port), parcel(wanted("Encounter/1")))
    assert failure_of(outcome) == expected


@pytest_twisted.ensureDeferred
async def test_the_token_never_follows_a_link_to_another_server(around: Surroundings) -> None:
    around.secret("ehr_token", "a-token")
    async with serving(always(told("200 OK"))) as other:
        page = {
            "resourceType": "Bundle",
            "link": [{"relation": "next", "url": f"http://127.0.0.1:{other.port}/more"}],
        }
        async with serving(always(told("200 OK", json.dumps(page).encode()))) as server:
            destination = reader(around, server.port, token={"secret": "ehr_token"})
            (outcome,) = await delivered(destination, parcel(wanted(searches=("ChargeItem?x=1",))))
        assert other.peers == []
    assert outcome.failure == Failure.PERMANENT


@pytest_twisted.ensureDeferred
async def test_a_search_without_an_end_is_given_up(around: Surroundings) -> None:
    page = b'{"resourceType":"Bundle","link":[{"relation":"next","url":"/fhir?again"}]}'
    async with serving(always(told("200 OK", page))) as server:
        destination = reader(around, server.port, pages=3)
        (outcome,) = await delivered(destination, parcel(wanted(searches=("ChargeItem?x=1",))))
    assert outcome.failure == Failure.PERMANENT


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", wanted("../admin"), wanted("https://elsewhere.example/Patient/1"), b'{"reads": [1]}'],
)
@pytest_twisted.ensureDeferred
async def test_what_is_no_fetch_is_refused(around: Surroundings, body: bytes) -> None:
    outcome = await within(reader(around, await free_port()).deliver(parcel(body)))
    assert outcome.failure == Failure.PERMANENT
