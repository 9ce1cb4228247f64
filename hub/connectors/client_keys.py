"""The keys by which the hub proves who it is to token servers: which one signs, and what is published of them.

Sources: RFC 7515, 7517, 7518, 7519 (JSON Web Signature, Key, Algorithms, Token); RFC 7638 (thumbprint); SMART App
Launch 2, client authentication by asymmetric keys (RS384, ES384; several keys may be published at a time).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from pydantic import Field

from hub.connectors.errors import TokenError
from hub.connectors.settings import Secret, Settings
from hub.core.secret import Secrets

LEAST_RSA_BITS = 2048
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Jwk = dict[str, str]


class ClientKey(Settings):
    """One of the hub's keys at a token server."""

    key: Secret = Field(
        description="The private key in PEM form: RSA, or elliptic curve P-384.", examples=[{"secret": "ehr_key_2027"}]
    )
    id: str = Field("", description="The name it is published by. Left out, its thumbprint.", examples=["hub-2027"])
    since: dt.date | None = Field(
        None,
        description="The day from which on it signs; until then it is only published. Of several keys, the newest "
        "whose day has come signs.",
        examples=[dt.date(2027, 1, 1)],
    )


@dataclass(frozen=True, slots=True)
class _Key:
    private: _PrivateKey
    id: str

    @property
    def algorithm(self) -> str:
        return "RS384" if isinstance(self.private, rsa.RSAPrivateKey) else "ES384"

    def sign(self, text: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(text, padding.PKCS1v15(), hashes.SHA384())
        r, s = decode_dss_signature(self.private.sign(text, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def new_key() -> bytes:
    """A new private key, elliptic curve P-384, in PEM form."""
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_that_signs(keys: Iterable[ClientKey], today: dt.date) -> ClientKey:
    """Of *keys* the newest whose day has come by *today*. Raises :class:`TokenError` when none has."""
    begun = [key for key in keys if key.since is None or key.since <= today]
    if not begun:
        raise TokenError("No key may sign yet.", where="oauth.keys", expected="a key whose day (since) has come")
    return max(begun, key=lambda key: key.since or dt.date.min)


def signed_claims(key: ClientKey, secrets: Secrets, claims: dict[str, str | int]) -> tuple[str, str]:
    """*claims* as a JSON Web Token signed with *key*, and the algorithm.

    Raises :class:`TokenError` when the key cannot sign, `SecretMissingError` when it is not there.
    """
    signer = _read(key, secrets)
    head = {"alg": signer.algorithm, "typ": "JWT", "kid": signer.id}
    text = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
    return f"{text}.{_packed(signer.sign(text.encode()))}", signer.algorithm


def published(keys: Iterable[ClientKey], secrets: Secrets) -> list[Jwk]:
    """The public half of each of *keys* as a JSON Web Key, those that do not sign yet included. Raises as above."""
    found = (_read(key, secrets) for key in keys)
    return [
        {**_public(key.private), "kid": key.id, "alg": key.algorithm, "use": "sig"} for key in found
    ]  # fmt: skip


def _read(key: ClientKey, secrets: Secrets) -> _Key:
    try:
        private = serialization.load_pem_private_key(secrets.value(key.key).encode(), None)
    except (ValueError, TypeError):
        private = None
    match private:
        case rsa.RSAPrivateKey() if private.key_size >= LEAST_RSA_BITS:
            return _Key(private, key.id or _thumbprint(private))
        case ec.EllipticCurvePrivateKey() if private.curve.name == "secp384r1":
            return _Key(private, key.id or _thumbprint(private))
    raise TokenError(
        "The private key cannot sign requests for tokens.",
        where=f"secret {key.key.name}",
        expected=f"an RSA key of {LEAST_RSA_BITS} bits or more, or an elliptic curve key on P-384, in PEM form",
        fix="`hub jwks --new NAME` makes one.",
    )


def _public(private: _PrivateKey) -> Jwk:
    """The members of RFC 7518, section 6, in the order of RFC 7638."""
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    point = private.public_key().public_numbers()
    return {"crv": "P-384", "kty": "EC", "x": _number(point.x, 48), "y": _number(point.y, 48)}


def _thumbprint(private: _PrivateKey) -> str:
    return _packed(hashlib.sha256(json.dumps(_public(private), separators=(",", ":")).encode()).digest())


def _number(value: int, size: int = 0) -> str:
    return _packed(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
