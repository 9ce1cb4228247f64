"""Tokens that expire: OAuth 2 client credentials, proven by a password or by a signature.

Sources: RFC 6749, sections 2.3.1, 4.4 and 5.2; RFC 7523 (signed proof); SMART App Launch 2, Backend Services and
discovery (``.well-known/smart-configuration``).
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets as random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, Self
from urllib.parse import quote, urlencode

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from hub.connectors.client_keys import ClientKey, key_that_signs, signed_claims
from hub.connectors.errors import TokenError
from hub.connectors.settings import Secret, Settings, WebAddress
from hub.core.secret import Secrets

reactor: Any = _reactor

EARLIER = 30.0
"""Seconds before its end that a token is not used any more: requests take their time, and clocks differ."""
USUAL_LIFE = 300.0
"""Seconds that a token is kept whose server does not say how long it lives."""
PROOF_LIFE = 240
"""Seconds that a signed proof may be used. SMART allows 300; the rest is for clocks that differ."""
DISCOVERED_FOR = 3600.0
"""Seconds that an address found by discovery is used before it is looked for again."""
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_REFUSALS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
    | {"invalid_scope", "invalid_target", "temporarily_unavailable", "server_error"}
)
_ADDRESS: TypeAdapter[str] = TypeAdapter(WebAddress)


class OAuth(Settings):
    """OAuth 2 client credentials: the hub asks a server for tokens (RFC 6749, section 4.4)."""

    token_url: WebAddress | None = Field(
        None, description="Where tokens are given out.", examples=["https://login.clinic.example/oauth2/token"]
    )
    discover: WebAddress | None = Field(
        None,
        description="Instead of token_url, the FHIR server's base address: the server says in "
        ".well-known/smart-configuration where it gives out tokens.",
        examples=["https://ehr.clinic.example/fhir"],
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
    key_id: str = Field(
        "",
        description="The name under which the server knows the key. Left out, its thumbprint (RFC 7638).",
        examples=["hub-2026"],
    )
    keys: tuple[ClientKey, ...] = Field(
        (),
        description="Instead of private_key, several keys, so that one can follow another: all are published (hub "
        "jwks), and the newest whose day has come signs.",
        examples=[[{"key": {"secret": "ehr_key_2026"}}, {"key": {"secret": "ehr_key_2027"}, "since": "2027-01-01"}]],
    )
    scope: str = Field("", description="What to ask for.", examples=["system/*.read"])
    secret_in: Literal["header", "body"] = Field(
        "header", description="Whether the password travels as basic authentication or in the body.", examples=["body"]
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        proofs = (self.client_secret is not None, self.private_key is not None, bool(self.keys))
        if sum(proofs) != 1:
            raise ValueError("give client_secret, private_key or keys, one of them")
        if (self.token_url is None) == (self.discover is None):
            raise ValueError("give token_url or discover, one of them")
        return self

    @property
    def signing_keys(self) -> tuple[ClientKey, ...]:
        """The keys that may sign; none when a password is the proof."""
        if self.private_key is not None:
            return (ClientKey(key=self.private_key, id=self.key_id, since=None),)
        return self.keys


class _Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


Ask = Callable[[str, str, dict[str, str], bytes | None], Awaitable[Any]]
"""Method, address, headers and body of a request; gives an answer with *status* and *body*."""


def configuration_url(base: str) -> str:
    """Where the server at *base* says how to get tokens (SMART App Launch 2, section 4.1)."""
    return f"{base.rstrip('/')}/.well-known/smart-configuration"


def discovered(settings: OAuth, answer: _Answer) -> str:
    """The token address that a server's SMART configuration names. Raises :class:`TokenError` when there is none."""
    assert settings.discover is not None
    where = configuration_url(settings.discover)
    try:
        plain = json.loads(answer.body) if answer.status == 200 else {}
        address = _ADDRESS.validate_python(plain["token_endpoint"])
        algorithms = plain.get("token_endpoint_auth_signing_alg_values_supported", ())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
        raise TokenError(
            "The server does not say where it gives out tokens.",
            where=where,
            expected="token_endpoint, an https address",
            found=f"HTTP {answer.status}",
            fix="Ask for the address and write it as token_url.",
        ) from None
    if settings.signing_keys and algorithms and not {"RS384", "ES384"} & {str(each) for each in algorithms}:
        raise TokenError("The server takes no signature that the hub can make.", where=where, expected="RS384 or ES384")
    return address


def token_request(settings: OAuth, secrets: Secrets, token_url: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request for a token. Raises `SecretMissingError` or :class:`TokenError`."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    form = {"grant_type": "client_credentials"}
    if settings.scope:
        form["scope"] = settings.scope
    if settings.client_secret is None:
        form |= {"client_assertion_type": _ASSERTION, "client_assertion": _proof(settings, secrets, token_url)}
    else:
        password = secrets.value(settings.client_secret)
        if settings.secret_in == "body":  # noqa: S105 (it says where, not what)
            form |= {"client_id": settings.client_id, "client_secret": password}
        else:
            pair = f"{quote(settings.client_id, safe='')}:{quote(password, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers, urlencode(form).encode()


def _proof(settings: OAuth, secrets: Secrets, token_url: str) -> str:
    now = int(time.time())
    claims: dict[str, str | int] = {
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": token_url,
        "jti": random.token_urlsafe(24),
        "iat": now,
        "exp": now + PROOF_LIFE,
    }
    key = key_that_signs(settings.signing_keys, dt.datetime.fromtimestamp(now, dt.UTC).date())
    return signed_claims(key, secrets, claims)[0]


def token_in(answer: _Answer, token_url: str) -> tuple[str, float]:
    """The token that *answer* holds, and how many seconds it lives. Raises :class:`TokenError` when there is none."""
    try:
        plain = json.loads(answer.body)
        refusal = plain.get("error")
        token = plain.get("access_token")
        life = float(plain.get("expires_in", USUAL_LIFE))
    except (ValueError, TypeError, AttributeError, RecursionError):
        refusal, token, life = None, "", 0.0
    if answer.status != 200:
        known = f", {refusal}" if refusal in _REFUSALS else ""
        raise TokenError(
            "The server gives out no token.",
            where=token_url,
            expected="HTTP 200",
            found=f"HTTP {answer.status}{known}",
            fix="Check client_id, its secret or key, and the scope.",
        )
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise TokenError("The server's token cannot be read.", where=token_url)
    return token, min(life, 86_400.0)


class Tokens:
    """The token of one client. However many requests need one at a time, one is asked for."""

    def __init__(self, settings: OAuth, secrets: Secrets, ask: Ask) -> None:
        self._settings = settings
        self._secrets = secrets
        self._ask = ask
        self._token = ""
        self._good_until = 0.0
        self._waiting: list[Deferred[None]] | None = None
        self._found = ""
        self._found_until = 0.0

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
            address = await self._address()
            headers, body = token_request(self._settings, self._secrets, address)
            token, life = token_in(await self._ask("POST", address, headers, body), address)
            self._token = token
            # At least a second, or a server with very short tokens would be asked for ever.
            self._good_until = reactor.seconds() + max(1.0, life - EARLIER)
        except TokenError:
            self._found = ""  # it may have moved
            raise
        finally:
            self._waiting = None
            for turn in waiting:  # after a failure the next of them asks
                reactor.callLater(0, turn.callback, None)

    async def _address(self) -> str:
        if self._settings.token_url is not None:
            return self._settings.token_url
        assert self._settings.discover is not None
        if not self._found or reactor.seconds() >= self._found_until:
            where = configuration_url(self._settings.discover)
            answer = await self._ask("GET", where, {"Accept": "application/json"}, None)
            self._found = discovered(self._settings, answer)
            self._found_until = reactor.seconds() + DISCOVERED_FOR
        return self._found
