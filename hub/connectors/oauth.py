"""Tokens that expire: OAuth 2 client credentials, proven by a password or by a signature.

Sources: RFC 6749, sections 2.3.1 and 4.4; RFC 7523 (signed proof); SMART App Launch 2, Backend Services (RS384, ES384).
"""

from __future__ import annotations

import base64
import json
import secrets as random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, Self
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from pydantic import Field, model_validator
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from hub.connectors.errors import TokenError
from hub.connectors.settings import Secret, Settings, WebAddress
from hub.core.secret import Secrets

reactor: Any = _reactor

EARLIER = 30.0
"""Seconds before its end that a token is not used any more: requests take their time, and clocks differ."""
USUAL_LIFE = 300.0
"""Seconds that a token is kept whose server does not say how long it lives."""
PROOF_LIFE = 300
"""Seconds that a signed proof may be used; SMART allows no more."""
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class OAuth(Settings):
    """OAuth 2 client credentials: the hub asks a server for tokens (RFC 6749, section 4.4)."""

    token_url: WebAddress = Field(
        description="Where tokens are given out.", examples=["https://login.clinic.example/oauth2/token"]
    )
    client_id: str = Field(description="Who the hub is to that server.", examples=["claimhub"])
    client_secret: Secret | None = Field(
        None, description="The password that goes with it.", examples=[{"secret": "ehr_client"}]
    )
    private_key: Secret | None = Field(
        None,
        description="Instead of a password, a private key in PEM form (RSA, or elliptic curve P-384) that signs each "
        "request, as SMART Backend Services has it.",
        examples=[{"secret": "ehr_client_key"}],
    )
    key_id: str = Field("", description="The name under which the server knows the key.", examples=["hub-2026"])
    scope: str = Field("", description="What to ask for.", examples=["system/*.read"])
    secret_in: Literal["header", "body"] = Field(
        "header", description="Whether the password travels as basic authentication or in the body.", examples=["body"]
    )

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if (self.client_secret is None) == (self.private_key is None):
            raise ValueError("give client_secret or private_key, one of them")
        return self


class _Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


Ask = Callable[[str, str, dict[str, str], bytes | None], Awaitable[Any]]
"""Method, address, headers and body of a request; gives an answer with *status* and *body*."""


class Tokens:
    """The token of one client. However many requests need one at a time, one is asked for."""

    def __init__(self, settings: OAuth, secrets: Secrets, ask: Ask) -> None:
        self._settings = settings
        self._secrets = secrets
        self._ask = ask
        self._token = ""
        self._good_until = 0.0
        self._waiting: list[Deferred[None]] | None = None

    async def token(self) -> str:
        """A token that can be used now. Raises :class:`TokenError`, or what asking for one raises."""
        while self._token == "" or reactor.seconds() >= self._good_until:
            if self._waiting is None:
                await self._fetch()
            else:
                turn: Deferred[None] = Deferred()
                self._waiting.append(turn)
                await turn
        return self._token

    def refused(self, token: str) -> None:
        """The server does not take *token* (any more)."""
        if token == self._token:
            self._token = ""

    async def _fetch(self) -> None:
        waiting: list[Deferred[None]] = []
        self._waiting = waiting
        try:
            headers, body = self._request()
            self._keep(await self._ask("POST", self._settings.token_url, headers, body))
        finally:
            self._waiting = None
            for turn in waiting:  # after a failure the next of them asks
                reactor.callLater(0, turn.callback, None)

    def _request(self) -> tuple[dict[str, str], bytes]:
        settings = self._settings
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        form = {"grant_type": "client_credentials"}
        if settings.scope:
            form["scope"] = settings.scope
        if settings.private_key is not None:
            form |= {"client_assertion_type": _ASSERTION, "client_assertion": self._proof(settings.private_key)}
        elif settings.client_secret is not None:
            password = self._secrets.value(settings.client_secret)
            if settings.secret_in == "body":  # noqa: S105 (it says where, not what)
                form |= {"client_id": settings.client_id, "client_secret": password}
            else:
                pair = f"{quote(settings.client_id, safe='')}:{quote(password, safe='')}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers, urlencode(form).encode()

    def _proof(self, name: Secret) -> str:
        settings = self._settings
        now = int(time.time())
        claims: dict[str, str | int] = {
            "iss": settings.client_id,
            "sub": settings.client_id,
            "aud": settings.token_url,
            "jti": random.token_urlsafe(24),
            "iat": now,
            "exp": now + PROOF_LIFE,
        }
        return signed_claims(self._secrets.value(name).encode(), settings.key_id, claims)

    def _keep(self, answer: _Answer) -> None:
        if answer.status != 200:
            raise TokenError(
                "The server gives out no token.",
                where=self._settings.token_url,
                expected="HTTP 200",
                found=f"HTTP {answer.status}",
                fix="Check client_id, its secret or key, and the scope.",
            )
        try:
            plain = json.loads(answer.body)
            token = plain["access_token"]
            life = float(plain.get("expires_in", USUAL_LIFE))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            token, life = "", 0.0
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise TokenError("The server's token cannot be read.", where=self._settings.token_url)
        self._token = token
        # At least a second, or a server with very short tokens would be asked for ever.
        self._good_until = reactor.seconds() + max(1.0, min(life, 86_400.0) - EARLIER)


def signed_claims(private_key: bytes, key_id: str, claims: dict[str, str | int]) -> str:
    """*claims* as a JSON Web Token (RFC 7519). Raises :class:`TokenError` when the key cannot sign it."""
    try:
        key = serialization.load_pem_private_key(private_key, None)
    except (ValueError, TypeError):
        key = None
    algorithm: Literal["RS384", "ES384"] = "RS384" if isinstance(key, rsa.RSAPrivateKey) else "ES384"
    head = {"alg": algorithm, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    text = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
    match key:
        case rsa.RSAPrivateKey():
            signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA384())
        case ec.EllipticCurvePrivateKey() if key.curve.name == "secp384r1":
            r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA384())))
            signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
        case _:
            raise TokenError(
                "The private key cannot sign requests for tokens.",
                where="oauth.private_key",
                expected="an RSA key, or an elliptic curve key on P-384, in PEM form",
            )
    return f"{text}.{_packed(signature)}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
