"""Records read from a REST server in parts, by what earlier parts say, page after page, within a quota."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from hub.connectors import rest_read
from hub.engine.contracts import Destination, EndpointState, Failure, Outcome
from tests.connectors.behaviour import Behaviour, Peer, delivered, free_port, serving
from tests.connectors.peers import Surroundings, parcel, within
from tests.connectors.test_http import answering, told

Answers = dict[str, Any]
CLAIM = {"claimid": 7, "patientid": "31", "chargeamount": 150.10}
PAGE_1 = {"insurances": [{"n": 1}, {"n": 2}], "next": "/v1/1/patients/31/insurances?offset=2"}
PAGE_2 = {"insurances": [{"n": 3}], "next": None}
WANTED = {
    "kind": "claim",
    "parts": {
        "claim": {"path": "claims/7"},
        "patient": {"path": "patients/{claim.patientid}"},
        "insurances": {"path": "patients/{claim.patientid}/insurances", "each": "insurances"},
    },
    "keys": {"account": "{claim.claimid}", "mrn": "{claim.patientid}"},
}
GOOD: Answers = {
    "/v1/1/claims/7": CLAIM,
    "/v1/1/patients/31": [{"lastname": "Examplar"}],
    "/v1/1/patients/31/insurances": PAGE_1,
    "/v1/1/patients/31/insurances?offset=2": PAGE_2,
}


def serves(answers: Answers, asked: list[str] | None = None) -> Behaviour:
    """A server that answers paths with JSON documents, bytes as they are, and anything else with 404."""

    def reply(peer: Peer, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        if asked is not None:
            asked.append(path)
        found = answers.get(path)
        if found is None:
            peer.say(told("404 Not Found"))
        else:
            peer.say(found if isinstance(found, bytes) else told("200 OK", json.dumps(found).encode()))

    return answering(reply)


def reader(around: Surroundings, port: int, **options: Any) -> Destination:
    settings = {"base": f"http://127.0.0.1:{port}/v1/1", "answer_within": "5s", **options}
    return rest_read.RestReadDestination(
        rest_read.RestReadSettings.model_validate(settings), around.destination(rest_read.CONNECTOR)
    )


def wants(**parts: Any) -> bytes:
    return json.dumps({"kind": "claim", "parts": parts}).encode()


async def read(around: Surroundings, answers: Answers, body: bytes, **options: Any) -> Outcome:
    async with serving(serves(answers)) as server:
        (outcome,) = await delivered(reader(around, server.port, **options), parcel(body))
    return outcome


@pytest_twisted.ensureDeferred
async def test_a_record_is_read_in_parts_that_earlier_parts_lead_to(around: Surroundings) -> None:
    outcome = await read(around, GOOD, json.dumps(WANTED).encode())
    assert outcome.failure is None
    assert outcome.answer is not None
    document = json.loads(outcome.answer)
    assert document.pop("read_at")[:2] == "20"
    assert document == {
        "event": "claim",
        "account": "7",
        "mrn": "31",
        "claim": CLAIM,
        "patient": {"lastname": "Examplar"},
        "insurances": [{"n": 1}, {"n": 2}, {"n": 3}],
    }
    assert outcome.answer.startswith(b'{"event":')


@pytest_twisted.ensureDeferred
async def test_amounts_keep_their_digits(around: Surroundings) -> None:
    answer = told("200 OK", b'{"chargeamount": 150.10}')
    outcome = await read(around, {"/v1/1/c": answer}, wants(claim={"path": "c"}))
    assert outcome.answer is not None
    assert b"150.10" in outcome.answer


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (told("404 Not Found"), Failure.PERMANENT),
        (told("401 Unauthorized"), Failure.PERMANENT),
        (told("503 Service Unavailable"), Failure.TRANSIENT),
        (told("429 Too Many Requests", b"", "Retry-After: 3"), Failure.TRANSIENT),
        (told("200 OK", b"<html>"), Failure.PERMANENT),
        (told("200 OK", b"[" * 100_000), Failure.PERMANENT),
        (told("200 OK", b'{"a": "\\ud800"}'), Failure.PERMANENT),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_none_decides_by_what_it_is(
    around: Surroundings, answer: bytes, failure: Failure
) -> None:
    outcome = await read(around, {"/v1/1/c": answer}, wants(claim={"path": "c"}))
    assert outcome.failure == failure
    assert outcome.reason


@pytest.mark.parametrize("behave", [lambda peer, _: peer.drop(), lambda peer, _: None])
@pytest_twisted.ensureDeferred
async def test_a_read_without_an_answer_is_done_again(around: Surroundings, behave: Any) -> None:
    async with serving(answering(behave)) as server:
        destination = reader(around, server.port, answer_within="200ms")
        (outcome,) = await delivered(destination, parcel(wants(claim={"path": "c"})))
    assert outcome.failure == Failure.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_said_by_health(around: Surroundings) -> None:
    destination = reader(around, await free_port())
    outcome = await within(destination.deliver(parcel(wants(claim={"path": "c"}))))
    assert outcome.failure == Failure.TRANSIENT
    assert destination.health()[0].state == EndpointState.REFUSED


@pytest_twisted.ensureDeferred
async def test_an_optional_part_is_left_out_where_the_server_does_not_have_it(around: Surroundings) -> None:
    body = wants(
        claim={"path": "claims/7"},
        visit={"path": "appointments/{claim.appointmentid}", "optional": True},
        note={"path": "claims/{claim.claimid}/note", "optional": True},
    )
    outcome = await read(around, GOOD, body)
    assert outcome.answer is not None
    assert set(json.loads(outcome.answer)) == {"event", "read_at", "claim"}


@pytest.mark.parametrize(
    "path",
    ["../9/claims/7", "a/../../../x", "/claims/7", "https://other.example/x", "//other.example/x", "", "{claim", "a b"],
)
@pytest_twisted.ensureDeferred
async def test_what_would_leave_the_base_is_refused_and_not_asked(around: Surroundings, path: str) -> None:
    asked: list[str] = []
    async with serving(serves(GOOD, asked)) as server:
        (outcome,) = await delivered(reader(around, server.port), parcel(wants(claim={"path": path})))
    assert outcome.failure == Failure.PERMANENT
    assert asked in ([], ["/v1/1/{claim"])


@pytest_twisted.ensureDeferred
async def test_what_a_part_says_cannot_lead_elsewhere(around: Surroundings) -> None:
    asked: list[str] = []
    answers = {"/v1/1/claims/7": {"patientid": "../../../x?y=1#"}}
    body = wants(claim={"path": "claims/7"}, patient={"path": "patients/{claim.patientid}"})
    async with serving(serves(answers, asked)) as server:
        (outcome,) = await delivered(reader(around, server.port), parcel(body))
    assert outcome.failure == Failure.PERMANENT
    assert asked == ["/v1/1/claims/7", "/v1/1/patients/..%2F..%2F..%2Fx%3Fy%3D1%23"]


@pytest_twisted.ensureDeferred
async def test_a_next_page_at_another_server_gets_no_token_of_ours(around: Surroundings) -> None:
    answers = {"/v1/1/l": {"items": [], "next": "https://other.example/l?offset=1"}}
    outcome = await read(around, answers, wants(l={"path": "l", "each": "items"}))
    assert outcome.failure == Failure.PERMANENT
    assert "another server" in outcome.reason


@pytest_twisted.ensureDeferred
async def test_pages_without_an_end_end(around: Surroundings) -> None:
    answers = {"/v1/1/l": {"items": [1], "next": "/v1/1/l"}}
    outcome = await read(around, answers, wants(l={"path": "l", "each": "items"}), pages=5)
    assert outcome.failure == Failure.PERMANENT


@pytest.mark.parametrize("body", [b"", b"[]", b'{"kind": "x"}', b'{"kind": "x", "parts": {"read_at": {"path": "c"}}}'])
@pytest_twisted.ensureDeferred
async def test_an_output_that_is_no_fetch_is_refused(around: Surroundings, body: bytes) -> None:
    outcome = await read(around, GOOD, body)
    assert outcome.failure == Failure.PERMANENT


@pytest_twisted.ensureDeferred
async def test_a_record_half_read_when_the_quota_ends_goes_on_where_it_stopped(around: Surroundings) -> None:
    asked: list[str] = []
    quota = {"name": "half", "per_second": 0.05}  # one request every twenty seconds: longer than one waits inside
    body = json.dumps(WANTED).encode()
    async with serving(serves(GOOD, asked)) as server:
        destination = reader(around, server.port, quota=quota)
        first = await within(destination.deliver(parcel(body)))
        destination.client._budget._free_at = 0.0
        second = await within(destination.deliver(parcel(body, attempt=2)))
        await within(destination.stop())
    assert first.failure == second.failure == Failure.TRANSIENT
    assert first.retry_after == pytest.approx(20, abs=2)
    assert asked == ["/v1/1/claims/7", "/v1/1/patients/31"]


@pytest_twisted.ensureDeferred
async def test_a_token_that_ended_is_renewed_once_and_the_read_goes_on(around: Surroundings) -> None:
    around.secret("ehr_client", "s3cret")
    given: list[str] = []

    def reply(peer: Peer, request: bytes) -> None:
        if request.startswith(b"POST /token"):
            given.append(f"token-{len(given)}")
            peer.say(told("200 OK", json.dumps({"access_token": given[-1], "expires_in": 3600}).encode()))
        elif b"token-0" in request:
            peer.say(told("401 Unauthorized"))
        else:
            peer.say(told("200 OK", b'{"claimid": 7}'))

    async with serving(answering(reply)) as server:
        oauth = {
            "token_url": f"http://127.0.0.1:{server.port}/token",
            "client_id": "hub",
            "client_secret": {"secret": "ehr_client"},
        }
        (outcome,) = await delivered(reader(around, server.port, oauth=oauth), parcel(wants(claim={"path": "c"})))
    assert outcome.failure is None
    assert given == ["token-0", "token-1"]


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_the_records_in_hand(around: Surroundings) -> None:
    peers: list[Peer] = []
    async with serving(answering(lambda peer, _: peers.append(peer))) as server:
        destination = reader(around, server.port)
        reading = destination.deliver(parcel(wants(claim={"path": "c"})))
        while not peers:
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        stopping = destination.stop()
        assert stopping is not None
        ended: list[None] = []
        stopping.addCallback(ended.append)
        await deferLater(reactor, 0)  # type: ignore[arg-type]
        assert not ended
        peers[0].say(told("200 OK", b"{}"))
        assert (await within(reading)).failure is None
        await within(stopping)
    assert destination.health()[0].state == EndpointState.STOPPED
