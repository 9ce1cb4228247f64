from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_twisted
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import ValidationError

from hub.connectors import http
from hub.connectors.client_keys import ClientKey, key_that_signs, new_key, published, signed_claims
from hub.connectors.errors import TokenError
from hub.engine.contracts import Failure
from tests.connectors.behaviour import Behaviour, Peer, delivered, serving
from tests.connectors.peers import Surroundings, failure_of, parcel
from tests.connectors.test_http import answering, poster, told


class Provider:
    """Gives out numbered tokens at /token and takes the last of them at every other address."""

    def __init__(self, *, life: int = 3600, fails: int = 0, forgets: int = 0) -> None:
        self.life = life
        self.fails = fails
        self.forgets = forgets
        self.asked: list[bytes] = []
        self.calls: list[str] = []

    def behave(self) -> Behaviour:
        return answering(self._reply)

    def _reply(self, peer: Peer, request: bytes) -> None:
        if request.startswith(b"POST /token"):
            self.asked.append(request)
            if self.fails:
                self.fails -= 1
                peer.say(told("400 Bad Request", b'{"error": "invalid_client"}'))
                return
            token = {"access_token": f"t{len(self.asked)}", "token_type": "bearer", "expires_in": self.life}
            peer.say(told("200 OK", json.dumps(token).encode()))
            return
        shown = request.partition(b"Authorization: Bearer ")[2].partition(b"\r\n")[0].decode()
        self.calls.append(shown)
        if self.forgets:
            self.forgets -= 1
            peer.say(told("401 Unauthorized"))
        else:
            peer.say(told("201 Created" if shown == f"t{len(self.asked)}" else "401 Unauthorized"))


def options(port: int, **more: Any) -> dict[str, Any]:
    return {
        "oauth": {
            "token_url": f"http://127.0.0.1:{port}/token",
            "client_id": "hub:1",
            "client_secret": {"secret": "client"},
            "scope": "system/*.write",
            **more,
        }
    }


async def run(around: Surroundings, provider: Provider, count: int = 1, **more: Any) -> list[str]:
    around.secret("client", "a secret")
    async with serving(provider.behave()) as server:
        destination = poster(around, server.port, **options(server.port, **more))
        return [failure_of(one) for one in await delivered(destination, *[parcel(b"{}")] * count)]


@pytest_twisted.ensureDeferred
async def test_one_token_serves_all_requests_until_it_expires(around: Surroundings) -> None:
    provider = Provider()
    assert await run(around, provider, 6) == ["delivered"] * 6
    assert provider.calls == ["t1"] * 6
    head, _, body = provider.asked[0].partition(b"\r\n\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"hub%3A1:a%20secret") in head
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["system/*.write"]}


@pytest_twisted.ensureDeferred
async def test_a_token_that_the_server_refuses_is_renewed_once(around: Surroundings) -> None:
    provider = Provider(forgets=1)
    assert await run(around, provider) == ["delivered"]
    assert provider.calls == ["t1", "t2"]
    provider = Provider(forgets=9)
    assert await run(around, provider) == ["permanent"]
    assert len(provider.calls) == 2


@pytest_twisted.ensureDeferred
async def test_without_a_token_nothing_is_sent_and_it_is_tried_again(around: Surroundings) -> None:
    provider = Provider(fails=1)
    assert await run(around, provider, 2) == ["transient", "delivered"]
    assert len(provider.calls) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": 7}', b'{"access_token": "a\\nb"}', b"[" * 9999])
@pytest_twisted.ensureDeferred
async def test_a_token_that_cannot_be_read_is_no_token(around: Surroundings, body: bytes) -> None:
    around.secret("client", "a secret")
    async with serving(answering(lambda peer, _: peer.say(told("200 OK", body)))) as server:
        (outcome,) = await delivered(poster(around, server.port, **options(server.port)), parcel(b"{}"))
    assert outcome.failure == Failure.TRANSIENT
    assert "secret" not in outcome.reason


@pytest_twisted.ensureDeferred
async def test_a_token_server_that_hangs_up_leaves_nothing_in_doubt(around: Surroundings) -> None:
    around.secret("client", "a secret")
    async with serving(answering(lambda peer, _: peer.drop())) as server:
        (outcome,) = await delivered(poster(around, server.port, **options(server.port)), parcel(b"{}"))
    assert outcome.failure == Failure.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_the_password_may_travel_in_the_body(around: Surroundings) -> None:
    provider = Provider()
    await run(around, provider, secret_in="body")
    form = parse_qs(provider.asked[0].partition(b"\r\n\r\n")[2].decode())
    assert (form["client_id"], form["client_secret"]) == (["hub:1"], ["a secret"])
    assert b"Basic" not in provider.asked[0]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest_twisted.ensureDeferred
async def test_a_key_may_sign_the_request_as_smart_backend_services_has_it(around: Surroundings) -> None:
    key = rsa.generate_private_key(65537, 2048)
    around.secret("signer", pem(key).decode())
    provider = Provider()
    await run(around, provider, client_secret=None, private_key={"secret": "signer"}, key_id="k1")
    (proof,) = parse_qs(provider.asked[0].partition(b"\r\n\r\n")[2].decode())["client_assertion"]
    head, claims, signature = proof.split(".")
    key.public_key().verify(unpacked(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA384())
    assert json.loads(unpacked(head)) == {"alg": "RS384", "typ": "JWT", "kid": "k1"}
    said = json.loads(unpacked(claims))
    assert (said["iss"], said["sub"], said["exp"] - said["iat"]) == ("hub:1", "hub:1", 240)
    assert said["aud"].endswith("/token")


def key_of(around: Surroundings, text: bytes, **more: Any) -> ClientKey:
    around.secret("key", text.decode())
    return ClientKey.model_validate({"key": {"secret": "key"}, **more})


def test_an_elliptic_curve_key_signs_as_es384_and_others_do_not(around: Surroundings) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    token, algorithm = signed_claims(key_of(around, pem(key)), around.secrets, {"a": 1})
    head, claims, signature = token.split(".")
    raw = unpacked(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    key.public_key().verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA384()))
    assert algorithm == "ES384"
    for other in (pem(ec.generate_private_key(ec.SECP256R1())), b"nothing", pem(rsa.generate_private_key(65537, 1024))):
        with pytest.raises(TokenError):
            signed_claims(key_of(around, other), around.secrets, {})


def test_what_is_published_verifies_what_is_signed(around: Surroundings) -> None:
    for text in (new_key(), pem(rsa.generate_private_key(65537, 2048))):
        key = key_of(around, text)
        token, algorithm = signed_claims(key, around.secrets, {"jti": "1"})
        (jwk,) = published([key], around.secrets)
        assert jwk["alg"] == algorithm
        assert json.loads(unpacked(token.split(".")[0]))["kid"] == jwk["kid"]
        assert "d" not in jwk
        assert verified(token, jwk)


def verified(token: str, jwk: dict[str, str]) -> bool:
    """Whether the public key of RFC 7517 that *jwk* is signed *token*."""
    signed, _, signature = token.rpartition(".")
    number = {name: int.from_bytes(unpacked(jwk[name]), "big") for name in ("n", "e", "x", "y") if name in jwk}
    if jwk["kty"] == "RSA":
        public = rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
        public.verify(unpacked(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA384())
        return True
    point = ec.EllipticCurvePublicNumbers(number["x"], number["y"], ec.SECP384R1()).public_key()
    raw = unpacked(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    point.verify(pair, signed.encode(), ec.ECDSA(hashes.SHA384()))
    return True


def test_the_thumbprint_is_that_of_rfc_7638(around: Surroundings) -> None:
    jwk = published([key_of(around, pem(rsa.generate_private_key(65537, 2048)))], around.secrets)[0]
    canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
    assert unpacked(jwk["kid"]) == hashlib.sha256(canonical.encode()).digest()


def test_of_several_keys_the_newest_whose_day_has_come_signs() -> None:
    first, second = (
        ClientKey.model_validate({"key": {"secret": name}, **more})
        for name, more in (("old", {}), ("new", {"since": "2027-01-01"}))
    )
    for keys in ((first, second), (second, first)):
        assert key_that_signs(keys, dt.date(2026, 12, 31)) is first
        assert key_that_signs(keys, dt.date(2027, 1, 1)) is second
    with pytest.raises(TokenError, match="No key may sign yet"):
        key_that_signs((second,), dt.date(2026, 12, 31))


def discovering(configuration: dict[str, Any], found: list[str]) -> Behaviour:
    """A FHIR server that says where tokens are given out; *found* gathers the paths that were asked for."""

    def reply(peer: Peer, request: bytes) -> None:
        path = request.split()[1].decode()
        found.append(path)
        if path.endswith("smart-configuration"):
            peer.say(told("200 OK", json.dumps(configuration).encode()))
        elif path == "/elsewhere/token":
            peer.say(told("200 OK", b'{"access_token": "t1", "expires_in": 300}'))
        else:
            peer.say(told("201 Created"))

    return answering(reply)


@pytest_twisted.ensureDeferred
async def test_the_token_address_is_discovered_once(around: Surroundings) -> None:
    around.secret("signer", new_key().decode())
    configuration: dict[str, Any] = {"token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"]}
    found: list[str] = []
    async with serving(discovering(configuration, found)) as server:
        configuration["token_endpoint"] = f"http://127.0.0.1:{server.port}/elsewhere/token"
        asked = options(server.port, token_url=None, client_secret=None, private_key={"secret": "signer"})
        asked["oauth"]["discover"] = f"http://127.0.0.1:{server.port}/fhir/"
        done = await delivered(poster(around, server.port, **asked), parcel(b"{}"), parcel(b"{}"))
    assert [failure_of(one) for one in done] == ["delivered"] * 2
    assert found[:2] == ["/fhir/.well-known/smart-configuration", "/elsewhere/token"]
    assert found.count("/elsewhere/token") == 1


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"token_endpoint": 7},
        {"token_endpoint": "http://ehr.example/token"},  # in clear, across a network
        {
            "token_endpoint": "https://ehr.example/token",
            "token_endpoint_auth_signing_alg_values_supported": ["HS256"],
        },
    ],
)
@pytest_twisted.ensureDeferred
async def test_without_a_token_address_that_can_be_used_nothing_is_sent(
    around: Surroundings, configuration: dict[str, Any]
) -> None:
    around.secret("signer", new_key().decode())
    async with serving(discovering(configuration, [])) as server:
        asked = options(server.port, token_url=None, client_secret=None, private_key={"secret": "signer"})
        asked["oauth"]["discover"] = f"http://127.0.0.1:{server.port}/fhir"
        (outcome,) = await delivered(poster(around, server.port, **asked), parcel(b"{}"))
    assert outcome.failure == Failure.TRANSIENT


def test_one_kind_of_token_is_given() -> None:
    both = {"url": "https://ehr.example/x", "token": {"secret": "t"}, **options(1)}
    with pytest.raises(ValidationError, match="token or oauth"):
        http.HttpDestinationSettings.model_validate(both)
    with pytest.raises(ValidationError, match="one of them"):
        http.HttpDestinationSettings.model_validate({"url": "https://ehr.example/x", **options(1, client_secret=None)})
