"""Fields written to a REST server that knows no repeats, and looked for before they are sent again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_twisted

from hub.connectors import rest_write
from hub.engine.contracts import Destination, Outcome
from tests.connectors.behaviour import Behaviour, Peer, delivered, serving
from tests.connectors.peers import Surroundings, failure_of, parcel
from tests.connectors.test_http import answering, told

OUTPUT = b'{"claimid": "7/8", "claimnote": "Paid 90.00 (R-1)", "amount": 90.00}'


class Notes:
    """A server that keeps what is posted, lists it, and may lose its answers."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.asked: list[str] = []
        self.losing = False
        self.listing: bytes | None = None

    @property
    def behaviour(self) -> Behaviour:
        return answering(self._reply)

    def _reply(self, peer: Peer, request: bytes) -> None:
        method, path, _ = request.decode().split(" ", 2)
        self.asked.append(f"{method} {path}")
        if method == "GET":
            notes = [parse_qs(note.decode()) for note in self.kept]
            peer.say(self.listing or told("200 OK", json.dumps(notes).encode()))
            return
        self.kept.append(request.partition(b"\r\n\r\n")[2])
        if self.losing:
            peer.drop()
        else:
            peer.say(told("200 OK", b'{"success": true}'))


def writer(around: Surroundings, port: int, **options: Any) -> Destination:
    base = f"http://127.0.0.1:{port}/v1/claims/{{claimid}}"
    look = {"look": f"{base}/notes"} if options.pop("looks", True) else {}
    settings = {"url": f"{base}/note", "answer_within": "5s", **look, **options}
    model = rest_write.RestWriteSettings.model_validate(settings)
    return rest_write.RestWriteDestination(model, around.destination(rest_write.CONNECTOR))


async def written(
    around: Surroundings, notes: Notes, output: bytes = OUTPUT, attempt: int = 1, name: str = "R-1", **options: Any
) -> Outcome:
    async with serving(notes.behaviour) as server:
        (outcome,) = await delivered(writer(around, server.port, **options), parcel(output, name, attempt))
    return outcome


@pytest_twisted.ensureDeferred
async def test_the_fields_fill_the_address_and_the_form(around: Surroundings) -> None:
    notes = Notes()
    outcome = await written(around, notes)
    assert outcome.failure is None
    assert outcome.answer == b'{"success": true}'
    assert notes.asked == ["POST /v1/claims/7%2F8/note"]
    assert parse_qs(notes.kept[0].decode()) == {"claimnote": ["Paid 90.00 (R-1)"], "amount": ["90.00"]}


@pytest_twisted.ensureDeferred
async def test_a_body_may_be_json(around: Surroundings) -> None:
    notes = Notes()
    await written(around, notes, method="PUT", body="json")
    assert notes.asked == ["PUT /v1/claims/7%2F8/note"]
    assert json.loads(notes.kept[0]) == {"claimnote": "Paid 90.00 (R-1)", "amount": "90.00"}


@pytest_twisted.ensureDeferred
async def test_what_was_written_before_its_answer_was_lost_is_not_written_twice(around: Surroundings) -> None:
    notes = Notes()
    notes.losing = True
    first = await written(around, notes)
    second = await written(around, notes, attempt=2)
    assert (failure_of(first), failure_of(second)) == ("transient", "delivered")
    assert len(notes.kept) == 1
    assert notes.asked[-1] == "GET /v1/claims/7%2F8/notes"


@pytest_twisted.ensureDeferred
async def test_the_hub_looks_at_every_page_before_it_sends_again(around: Surroundings) -> None:
    asked: list[str] = []

    def reply(peer: Peer, request: bytes) -> None:
        asked.append(request.split(b" ")[1].decode())
        first = asked[-1].endswith("/notes")
        page = {"notes": ["R-0"], "next": "/v1/claims/7%2F8/notes?offset=1"} if first else {"notes": ["R-1"]}
        peer.say(told("200 OK", json.dumps(page).encode()))

    async with serving(answering(reply)) as server:
        (outcome,) = await delivered(writer(around, server.port), parcel(OUTPUT, "R-1", 2))
    assert failure_of(outcome) == "delivered"
    assert asked == ["/v1/claims/7%2F8/notes", "/v1/claims/7%2F8/notes?offset=1"]


@pytest_twisted.ensureDeferred
async def test_what_the_server_took_is_not_sent_again_because_the_rest_of_its_answer_broke_off(
    around: Surroundings,
) -> None:
    def reply(peer: Peer, _: bytes) -> None:
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        peer.bye()

    async with serving(answering(reply)) as server:
        (outcome,) = await delivered(writer(around, server.port, looks=False), parcel(OUTPUT, "R-1"))
    assert failure_of(outcome) == "delivered"


@pytest_twisted.ensureDeferred
async def test_a_longer_name_is_another_one(around: Surroundings) -> None:
    notes = Notes()
    notes.listing = told("200 OK", b'["Paid (R-10)", "Paid (PR-1)"]')
    await written(around, notes, attempt=2)
    assert len(notes.kept) == 1


@pytest_twisted.ensureDeferred
async def test_what_never_arrived_is_written_by_the_next_attempt(around: Surroundings) -> None:
    notes = Notes()
    outcome = await written(around, notes, attempt=2)
    assert failure_of(outcome) == "delivered"
    assert [asked.split(" ")[0] for asked in notes.asked] == ["GET", "POST"]


@pytest.mark.parametrize("listing", ["503 Service Unavailable", "429 Too Many Requests"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_again_before_one_could_look(around: Surroundings, listing: str) -> None:
    notes = Notes()
    notes.listing = told(listing, b"")
    outcome = await written(around, notes, attempt=2)
    assert failure_of(outcome) == "transient"
    assert notes.kept == []


@pytest.mark.parametrize(
    ("options", "expected"), [({"looks": False}, "ambiguous"), ({"looks": False, "method": "PUT"}, "transient")]
)
@pytest_twisted.ensureDeferred
async def test_without_a_look_a_lost_answer_is_ambiguous_unless_the_method_allows_repeats(
    around: Surroundings, options: dict[str, Any], expected: str
) -> None:
    notes = Notes()
    notes.losing = True
    assert failure_of(await written(around, notes, **options)) == expected


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"claimid": ["7"]}', b'{"claimid": "7", "claimnote": "no name"}', b'{"claimnote": "R-1"}']
)
@pytest_twisted.ensureDeferred
async def test_an_output_that_cannot_be_written_safely_is_refused_and_not_sent(
    around: Surroundings, body: bytes
) -> None:
    notes = Notes()
    assert failure_of(await written(around, notes, output=body)) == "permanent"
    assert notes.asked == []
