"""What every hook does with strangers, repeats and floods, by way of the http source."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall, deferLater

from hub.connectors import http, proof
from hub.connectors.hook import HookSource
from hub.connectors.proof import Signature, SignatureCheck
from hub.connectors.rate import RateLimit
from hub.engine.contracts import Description
from tests.connectors.authority import Authority
from tests.connectors.peers import Surroundings, within
from tests.connectors.test_fhir_source import TOKEN, Told, curl

KEY = "a key of the tests"


def describe(raw: bytes) -> Description:
    return Description(kind="event", lane="x", duplicate_basis=raw)


@asynccontextmanager
async def listening(around: Surroundings, **options: Any) -> AsyncIterator[HookSource]:
    around.secret("hook_token", TOKEN)
    around.secret("hook_key", KEY)
    settings = {"listen": "tcp:127.0.0.1:0", "tls": False, "token": {"secret": "hook_token"}, **options}
    model = http.HttpSourceSettings.model_validate(settings)
    source = http.open_source(model, around.source(http.CONNECTOR, describe=describe))
    source.start()
    try:
        yield source
    finally:
        await within(source.stop())


async def post(around: Surroundings, source: HookSource, body: bytes = b'{"a": 1}', **headers: str) -> Told:
    more = [part for name, value in headers.items() for part in ("-H", f"{name.replace('_', '-')}: {value}")]
    return await curl(around, source, body, *more, path="/hook/ehr")


def mac(text: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


@pytest_twisted.ensureDeferred
async def test_any_body_is_a_message_and_the_answer_is_small(around: Surroundings) -> None:
    async with listening(around) as source:
        told = await post(around, source)
        elsewhere = await curl(around, source, b"{}", path="/hook/ehr/more")
    assert (told.status, told.body["code"], elsewhere.status) == (202, "informational", 404)
    assert [item.raw for item in around.intake.received] == [b'{"a": 1}']


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("sha256=" + mac(b'{"a": 1}'), 202),
        ("sha256=" + mac(b'{"a": 1}').upper(), 202),
        ("sha256=" + mac(b'{"a": 1}', "other"), 401),
        ("sha256=" + mac(b'{"a": 2}'), 401),
        (mac(b'{"a": 1}'), 401),
        ("sha256=zz", 401),
        ("", 401),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_signature_over_the_body_proves_the_sender(around: Surroundings, given: str, status: int) -> None:
    signature = {"secret": {"secret": "hook_key"}}
    async with listening(around, token=None, signature=signature) as source:
        told = await post(around, source, X_Hub_Signature=given)
    assert told.status == status
    assert len(around.intake.received) == (status == 202)


class Headers(dict[str, str]):
    def __call__(self, name: str) -> str | None:
        return self.get(name)


STAMPED = {
    "header": "Sig",
    "secret": {"secret": "hook_key"},
    "prefix": "",
    "encoding": "base64",
    "signs": "{timestamp}.{nonce}.{method}.{path}.{body}",
    "timestamp_header": "At",
    "nonce_header": "Once",
}


def check(around: Surroundings, now: float = 1_000_000.0) -> SignatureCheck:
    around.secret("hook_key", KEY)
    return SignatureCheck(Signature.model_validate(STAMPED), around.secrets, lambda: now)


def signed(at: str = "1000000", nonce: str = "n1", body: bytes = b"x") -> Headers:
    text = f"{at}.{nonce}.POST./p.".encode() + body
    digest = hmac.new(KEY.encode(), text, hashlib.sha256).digest()
    return Headers(Sig=base64.b64encode(digest).decode(), At=at, Once=nonce)


@pytest.mark.parametrize(
    ("at", "good"),
    [
        ("1000000", True),
        ("1000299.5", True),
        ("999701", True),
        ("1000301", False),
        ("999699", False),
        ("1970-01-12T13:46:40Z", True),
        ("1970-01-12T13:46:40", True),
        (formatdate(1_000_000, usegmt=True), True),
        ("", False),
        ("soon", False),
        ("9" * 13, False),
        ("٣", False),
        ("0001-01-01", False),
    ],
)
def test_a_timestamp_is_signed_and_near(around: Surroundings, at: str, good: bool) -> None:
    assert (check(around).doubt(signed(at), "POST", "/p", b"x") is None) is good


def test_a_timestamp_may_be_in_milliseconds(around: Surroundings) -> None:
    now = time.time()
    assert check(around, now).doubt(signed(str(int(now * 1000))), "POST", "/p", b"x") is None


def test_what_was_signed_cannot_be_changed_or_repeated(around: Surroundings) -> None:
    checking = check(around)
    assert checking.doubt(signed(), "PUT", "/p", b"x") == "unproven"
    assert checking.doubt(signed(), "POST", "/q", b"x") == "unproven"
    assert checking.doubt(signed(), "POST", "/p", b"y") == "unproven"
    assert checking.doubt(Headers(signed(), At="1000001"), "POST", "/p", b"x") == "unproven"
    assert checking.doubt(signed(), "POST", "/p", b"x") is None
    assert checking.doubt(signed(), "POST", "/p", b"x") == "unproven"
    checking.forget(signed())
    assert checking.doubt(signed(), "POST", "/p", b"x") is None


def test_the_beginning_of_a_body_does_not_pass_for_the_end_of_another_nonce(around: Surroundings) -> None:
    around.secret("hook_key", KEY)
    signs = {"signs": "{timestamp}.{nonce}.{body}"}
    checking = SignatureCheck(Signature.model_validate({**STAMPED, **signs}), around.secrets, lambda: 1_000_000.0)
    digest = hmac.new(KEY.encode(), b'1000000.n1.{"a": 1.50}', hashlib.sha256).digest()
    captured = Headers(Sig=base64.b64encode(digest).decode(), At="1000000", Once="n1")
    assert checking.doubt(captured, "POST", "/p", b'{"a": 1.50}') is None
    assert checking.doubt(Headers(captured, Once='n1.{"a": 1'), "POST", "/p", b"50}") == "unproven"


def test_used_nonces_are_bounded_and_none_is_forgotten_while_it_is_fresh(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "NONCES", 3)
    now = [1_000_000.0]
    checking = check(around)
    checking._now = lambda: now[0]
    doubts = [checking.doubt(signed(nonce=f"n{number}"), "POST", "/p", b"x") for number in range(5)]
    assert doubts == [None, None, None, "too many", "too many"]
    now[0] += 601
    assert checking.doubt(signed("1000601", "n9"), "POST", "/p", b"x") is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"signs": "{timestamp}.{nonce}"}, "body"),
        ({"signs": "{nonce}.{body}"}, "timestamp"),
        ({"signs": "{timestamp}.{body}"}, "nonce"),
        ({"signs": "{nonce}.{body}", "timestamp_header": None}, "needs timestamp_header"),
    ],
)
def test_a_signature_that_would_prove_nothing_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Signature.model_validate({**STAMPED, **change})


@pytest_twisted.ensureDeferred
async def test_a_signed_request_that_was_not_stored_may_come_again(around: Surroundings) -> None:
    async with listening(around, signature={**STAMPED, "signs": "{timestamp}{nonce}{body}"}) as source:
        at = str(int(time.time()))
        digest = hmac.new(KEY.encode(), f"{at}n1".encode() + b'{"a": 1}', hashlib.sha256).digest()
        headers = {"Sig": base64.b64encode(digest).decode(), "At": at, "Once": "n1"}
        around.intake.failing = OSError("disk full")
        statuses = [(await post(around, source, **headers)).status]
        around.intake.failing = None
        statuses += [(await post(around, source, **headers)).status for _ in range(2)]
    assert statuses == [503, 202, 401]


@pytest_twisted.ensureDeferred
async def test_a_flood_is_told_when_to_come_back(around: Surroundings) -> None:
    async with listening(around, rate=2) as source:
        statuses = [(await post(around, source, f"[{number}]".encode())).status for number in range(3)]
    assert statuses == [202, 202, 429]
    assert len(around.intake.received) == 2


def test_each_peer_has_its_own_rate_and_gets_it_back() -> None:
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.admit("a") for _ in range(60)] == [0.0] * 60
    assert limit.admit("a") == pytest.approx(1.0)
    assert limit.admit("b") == 0.0
    now[0] = 2.5
    assert [limit.admit("a") > 0 for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("shown", "status"), [("ehr.example", 202), ("lab.example", 403), (None, None)])
@pytest_twisted.ensureDeferred
async def test_with_mutual_tls_the_certificate_is_the_proof(
    around: Surroundings, shown: str | None, status: int | None
) -> None:
    authority = Authority(around.folder / "tls")
    options = {"tls": True, "token": None, "client_ca": "tls/ca.pem", "client_names": ["ehr.example"]}
    async with listening(around, **options) as source:
        more: list[str] = []
        if shown:
            certificate, key = authority.issue(shown)
            more = ["--cert", str(certificate), "--key", str(key)]
        if status is None:
            with pytest.raises(AssertionError, match="curl"):
                await curl(around, source, b"{}", *more, path="/hook/ehr")
        else:
            assert (await curl(around, source, b"{}", *more, path="/hook/ehr")).status == status
    assert len(around.intake.received) == (status == 202)


def test_a_hook_that_anybody_could_use_is_refused() -> None:
    with pytest.raises(ValidationError, match="prove who they are"):
        http.HttpSourceSettings.model_validate({"listen": "tcp:8443"})


class Client(Protocol):
    def __init__(self) -> None:
        self.seen = b""
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.seen += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802
        self.lost.callback(None)


async def connected(source: HookSource) -> Client:
    port = int(source.health()[0].address.rpartition(":")[2])
    made = await within(HostnameEndpoint(reactor, b"127.0.0.1", port).connect(Factory.forProtocol(Client)))
    assert isinstance(made, Client)
    return made


DRIPS = [
    b"POST /hook",
    b"POST /hook/ehr HTTP/1.1\r\nHost: x\r\nX-A: a",
    b"POST /hook/ehr HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
]


@pytest.mark.parametrize("begun", DRIPS)
@pytest_twisted.ensureDeferred
async def test_a_request_that_drips_is_cut_off_wherever_it_stands(around: Surroundings, begun: bytes) -> None:
    async with listening(around, whole_within="100ms") as source:
        client = await connected(source)
        transport: Any = client.transport
        transport.write(begun)
        dripping = LoopingCall(transport.write, b"1")
        dripping.start(0.02)
        await within(client.lost)
        dripping.stop()
    assert around.intake.received == []


@pytest_twisted.ensureDeferred
async def test_a_connection_lasts_longer_than_one_request_may_take(around: Surroundings) -> None:
    proof_of_it = f"Authorization: Bearer {TOKEN}\r\n".encode()
    whole = b"POST /hook/ehr HTTP/1.1\r\nHost: x\r\n" + proof_of_it + b"Content-Length: 2\r\n\r\n{}"
    async with listening(around, whole_within="100ms") as source:
        client = await connected(source)
        transport: Any = client.transport
        for number in range(1, 6):
            transport.write(whole)
            while client.seen.count(b"HTTP/1.1 ") < number:
                await deferLater(reactor, 0.05, lambda: None)  # type: ignore[arg-type]
        assert not client.lost.called


@pytest_twisted.ensureDeferred
async def test_strangers_and_connections_beyond_the_limit_are_closed(around: Surroundings) -> None:
    async with listening(around, peers=["10.0.0.0/8"]) as source:
        await within((await connected(source)).lost)
    async with listening(around, max_connections=1) as source:
        first = await connected(source)
        second = await connected(source)
        await within(second.lost)
        transport: Any = first.transport
        transport.loseConnection()
        await within(first.lost)
        assert (await post(around, source)).status == 202
    assert json.loads(around.intake.received[0].raw) == {"a": 1}
