"""Writing to a FHIR server: what is asked, what an answer means, and what may be asked twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError

from hub.connectors import fhir
from hub.connectors.fhir_write import FhirDestinationSettings
from hub.engine.contracts import Outcome
from tests.connectors.behaviour import Peer, delivered, serving
from tests.connectors.peers import Surroundings, failure_of, parcel
from tests.connectors.test_http import answering, told

RESULT = {"resourceType": "ClaimResponse", "id": "r1", "status": "active", "disposition": "paid"}
Answers = Callable[[bytes], bytes | None]


async def sent(
    around: Surroundings, answers: Answers, body: Any = RESULT, name: str = "P7", **options: Any
) -> tuple[Outcome, list[bytes]]:
    """What became of *body*, and the requests that the server saw. No answer: the server hangs up."""
    seen: list[bytes] = []

    def reply(peer: Peer, request: bytes) -> None:
        seen.append(request)
        answer = answers(request)
        if answer is None:
            peer.drop()
        else:
            peer.say(answer)

    async with serving(answering(reply)) as server:
        given = {"base": f"http://127.0.0.1:{server.port}/fhir/", "resource": "ClaimResponse", **options}
        settings = FhirDestinationSettings.model_validate({k: v for k, v in given.items() if v is not None})
        destination = fhir.open_destination(settings, around.destination(fhir.CONNECTOR))
        (outcome,) = await delivered(destination, parcel(json.dumps(body).encode(), name))
    return outcome, seen


def head(request: bytes) -> str:
    return request.partition(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")


def trouble(kind: str, where: str = "", **more: Any) -> bytes:
    issue = {"severity": "error", "code": kind, "diagnostics": "DOE JANE 1980-02-14", **more}
    return json.dumps(
        {"resourceType": "OperationOutcome", "issue": [issue | ({"expression": [where]} if where else {})]}
    ).encode()


@pytest.mark.parametrize(
    ("options", "body", "asked", "header"),
    [
        ({}, RESULT, "POST /fhir/ClaimResponse", b""),
        (
            {"if_none_exist": "identifier=urn:x|{name}"},
            RESULT,
            "POST /fhir/ClaimResponse",
            b"If-None-Exist: identifier=urn:x|P7",
        ),
        ({"interaction": "update"}, RESULT, "PUT /fhir/ClaimResponse/r1", b""),
        (
            {"interaction": "update"},
            RESULT | {"meta": {"versionId": "4"}},
            "PUT /fhir/ClaimResponse/r1",
            b'If-Match: W/"4"',
        ),
        (
            {"interaction": "update", "search": "identifier=urn:x|{name}"},
            RESULT,
            "PUT /fhir/ClaimResponse?identifier=urn:x|P7",
            b"",
        ),
        (
            {"interaction": "update", "search": "identifier=urn:x|{name}", "resource": None},
            RESULT | {"resourceType": "ExplanationOfBenefit"},
            "PUT /fhir/ExplanationOfBenefit?identifier=urn:x|P7",
            b"",
        ),
        (
            {"interaction": "bundle", "resource": None},
            {"resourceType": "Bundle", "type": "transaction"},
            "POST /fhir",
            b"",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_each_interaction_asks_as_the_standard_has_it(
    around: Surroundings, options: dict[str, Any], body: Any, asked: str, header: bytes
) -> None:
    outcome, seen = await sent(around, lambda _: told("200 OK", json.dumps(body).encode()), body, **options)
    assert failure_of(outcome) == "delivered"
    assert head(seen[0]) == asked
    assert header.lower() in seen[0].lower()
    assert b"content-type: application/fhir+json" in seen[0].lower()


@pytest.mark.parametrize(
    ("options", "body", "expected"),
    [
        ({}, RESULT, "ambiguous"),
        ({"if_none_exist": "identifier=urn:x|{name}"}, RESULT, "transient"),
        ({"interaction": "update"}, RESULT, "transient"),
        ({"interaction": "bundle", "resource": None}, ("POST", None), "ambiguous"),
        ({"interaction": "bundle", "resource": None}, ("POST", "identifier=urn:x|P7"), "transient"),
        ({"interaction": "bundle", "resource": None}, ("PUT", None), "transient"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_without_an_answer_only_what_may_come_twice_is_repeated(
    around: Surroundings, options: dict[str, Any], body: Any, expected: str
) -> None:
    if isinstance(body, tuple):
        method, condition = body
        request = {"method": method, "url": "ClaimResponse"} | ({"ifNoneExist": condition} if condition else {})
        body = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": RESULT, "request": request}]}
    outcome, _ = await sent(around, lambda _: None, body, **options)
    assert failure_of(outcome) == expected


@pytest.mark.parametrize(
    ("status", "answer", "expected", "words"),
    [
        (
            "422 Unprocessable",
            trouble("required", "ClaimResponse.insurer"),
            "permanent",
            "ClaimResponse.insurer: a required",
        ),
        ("400 Bad Request", trouble("code-invalid", details={"coding": [{"code": "4101"}]}), "permanent", "(4101)"),
        ("409 Conflict", trouble("lock-error"), "transient", "it is locked"),
        ("500 Oops", b"<html>", "transient", "HTTP 500"),
        ("400 Bad Request", trouble("value", "Patient.name.where(family='DOE')"), "permanent", "value is not allowed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_server_says_is_read_into_words_without_its_own_text(
    around: Surroundings, status: str, answer: bytes, expected: str, words: str
) -> None:
    outcome, _ = await sent(around, lambda _: told(status, answer))
    assert failure_of(outcome) == expected
    assert words in outcome.reason
    assert "DOE" not in outcome.reason
    assert outcome.answer == answer


@pytest.mark.parametrize(
    ("stands", "expected"), [({"disposition": "paid"}, "delivered"), ({"disposition": "other"}, "permanent")]
)
@pytest_twisted.ensureDeferred
async def test_a_version_that_is_gone_was_our_own_repeat_or_somebody_else_s_change(
    around: Surroundings, stands: dict[str, str], expected: str
) -> None:
    body = RESULT | {"meta": {"versionId": "4"}}
    now = json.dumps(body | stands | {"meta": {"versionId": "5"}}).encode()

    def answers(request: bytes) -> bytes:
        return told("200 OK", now) if request.startswith(b"GET") else told("412 Precondition Failed")

    outcome, seen = await sent(around, answers, body, interaction="update")
    assert failure_of(outcome) == expected
    assert [head(each) for each in seen] == ["PUT /fhir/ClaimResponse/r1", "GET /fhir/ClaimResponse/r1"]


def done(*statuses: str, issue: str = "value") -> bytes:
    entries = []
    for status in statuses:
        response: dict[str, Any] = {"status": status}
        if not status.startswith("2"):
            response["outcome"] = json.loads(trouble(issue, "Task.status"))
        entries.append({"response": response})
    return told("200 OK", json.dumps({"resourceType": "Bundle", "type": "batch-response", "entry": entries}).encode())


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (done("201 Created", "200 OK"), "delivered", ""),
        (
            done("201 Created", "422"),
            "permanent",
            "1 of 2 entries were not done: entry 2 HTTP 422, Task.status: an element",
        ),
        (done("503", "201 Created", issue="transient"), "transient", "entry 1 HTTP 503"),
        (done("503", "422"), "permanent", "2 of 2"),
        (told("200 OK", b"nonsense"), "transient", "does not say"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_batch_has_an_outcome_for_each_entry(
    around: Surroundings, answer: bytes, expected: str, words: str
) -> None:
    entry = {"resource": RESULT, "request": {"method": "PUT", "url": "ClaimResponse/r1"}}
    body = {"resourceType": "Bundle", "type": "batch", "entry": [entry, entry]}
    outcome, _ = await sent(around, lambda _: answer, body, interaction="bundle", resource=None)
    assert failure_of(outcome) == expected
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, {"resourceType": "Patient"}),
        ({}, "no resource"),
        ({"interaction": "update"}, {"resourceType": "ClaimResponse", "id": "../Patient/1"}),
        ({"interaction": "bundle", "resource": None}, {"resourceType": "Bundle", "type": "collection"}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_what_was_asked_for_is_refused_unsent(
    around: Surroundings, options: dict[str, Any], body: Any
) -> None:
    outcome, seen = await sent(around, lambda _: told("200 OK"), body, **options)
    assert failure_of(outcome) == "permanent"
    assert seen == []


@pytest.mark.parametrize(
    "options",
    [
        {"interaction": "create"},
        {"interaction": "bundle", "resource": "Claim"},
        {"interaction": "update", "resource": "Claim", "if_none_exist": "a=b"},
        {"interaction": "create", "resource": "Claim", "search": "a=b"},
    ],
)
def test_settings_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FhirDestinationSettings.model_validate({"base": "https://ehr.example/fhir", **options})


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_sent_at_all_says_nothing_of_the_server(around: Surroundings) -> None:
    settings = FhirDestinationSettings.model_validate({"base": "http://127.0.0.1:9/fhir/", "resource": "ClaimResponse"})
    destination = fhir.open_destination(settings, around.destination(fhir.CONNECTOR))
    before = destination.health()[0].state
    outcome = await destination.deliver(parcel(b"no JSON", "P7"))
    assert failure_of(outcome) == "permanent"
    assert destination.health()[0].state == before
