"""How the sender of a request proves who it is: a bearer token, a signature over the body, or both.

Sources: RFC 6750 (bearer token), RFC 2104 (HMAC). There is no standard for signed hooks; what differs between servers
is a setting: the header, what is signed, how the result is written.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from hub.connectors.settings import Secret, Settings
from hub.core.secret import Secrets
from hub.core.units import Duration
from hub.engine.contracts import Note, Noted

NOTED = "nonce"
"""The kind of the notes that keep used nonces."""
NONCES = 100_000
"""How many used nonces are remembered; while that many are fresh, further signed requests are asked to come back."""
_PLACES = re.compile(r"\{(body|timestamp|nonce|method|path)\}")
_HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"


class Signature(Settings):
    """A keyed hash (HMAC) that comes with each request."""

    header: str = Field(
        "X-Hub-Signature", pattern=_HEADER, description="Where the signature stands.", examples=["X-Hub-Signature"]
    )
    secret: Secret = Field(description="The key that both sides know.", examples=[{"secret": "ehr_hook_key"}])
    algorithm: Literal["sha256", "sha384", "sha512"] = Field("sha256", description="The hash.", examples=["sha256"])
    prefix: str = Field("sha256=", description="What stands before the signature itself.", examples=["sha256=", ""])
    encoding: Literal["hex", "base64"] = Field("hex", description="How it is written.", examples=["hex"])
    signs: str = Field(
        "{body}",
        description="What is signed; {body}, {timestamp}, {nonce}, {method} and {path} stand for those of the request.",
        examples=["{body}", "{timestamp}.{body}"],
    )
    timestamp_header: str | None = Field(
        None,
        pattern=_HEADER,
        description="Where the time of sending stands: seconds or milliseconds since 1970, or a date.",
        examples=["X-Hub-Timestamp"],
    )
    tolerance: Duration = Field(
        300.0, description="How far that time may be from the hub's, before or after.", examples=["5m"]
    )
    nonce_header: str | None = Field(
        None,
        pattern=_HEADER,
        description="Where a text stands that is used once. A second request with it is refused, unless the first one "
        "could not be stored, also after a restart. A text that holds what follows {nonce} in signs is refused: the "
        "beginning of a body could pass for the end of another text.",
        examples=["X-Hub-Nonce"],
    )

    @model_validator(mode="after")
    def _what_is_checked_is_signed(self) -> Self:
        if "{body}" not in self.signs:
            raise ValueError("signs must hold {body}, or anything could be sent with an old signature")
        for name, header in (("timestamp", self.timestamp_header), ("nonce", self.nonce_header)):
            if (header is not None) != (f"{{{name}}}" in self.signs):
                raise ValueError(f"{name}_header and {{{name}}} in signs go together")
        if self.nonce_header is not None and self.timestamp_header is None:
            raise ValueError("a nonce is remembered as long as its timestamp is good, so it needs timestamp_header")
        return self


Header = Callable[[str], str | None]
"""Gives a request's header by name."""
Doubt = Literal["unproven", "too many"]


class SignatureCheck:
    """Checks the signatures of one listener. *now* are seconds since 1970, by the real clock."""

    def __init__(self, settings: Signature, secrets: Secrets, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._secrets = secrets
        self._now = now
        self._used: OrderedDict[str, float] = OrderedDict()
        self.uses_nonces = settings.nonce_header is not None
        self._after_nonce = _PLACES.split(settings.signs.partition("{nonce}")[2])[0]
        """What stands between the nonce and what is signed next: it tells where the nonce ends."""

    def is_worth_reading(self, header: Header) -> bool:
        """Whether the headers alone do not yet speak against the request."""
        settings = self._settings
        return self._given(header) is not None and (settings.timestamp_header is None or self._is_fresh(header))

    def doubt(self, header: Header, method: str, path: str, body: bytes) -> Doubt | None:
        """Why the request is not accepted, or None. Its nonce is then used. Raises `SecretMissingError`."""
        settings = self._settings
        given = self._given(header)
        if given is None or (settings.timestamp_header is not None and not self._is_fresh(header)):
            return "unproven"
        texts = {
            "timestamp": self._text(header, settings.timestamp_header),
            "nonce": self._text(header, settings.nonce_header),
            "method": method,
            "path": path,
        }
        if self._after_nonce and self._after_nonce in texts["nonce"]:
            return "unproven"
        wanted = hmac.new(self._secrets.value(settings.secret).encode(), digestmod=settings.algorithm)
        for number, part in enumerate(_PLACES.split(settings.signs)):
            if number % 2 == 0:
                wanted.update(part.encode())
            else:
                wanted.update(body if part == "body" else texts[part].encode())
        if not hmac.compare_digest(given, wanted.digest()):
            return "unproven"
        return self._use(header) if settings.nonce_header is not None else None

    def forget(self, header: Header) -> None:
        """The request could not be stored, so it may come again as it is."""
        self._used.pop(self._digest(header), None)

    def note(self, header: Header) -> Note | None:
        """What is to be kept with the request, so that its nonce stays used; None where there are no nonces."""
        digest = self._digest(header)
        return Note(NOTED, round(self._used[digest] * 1000), digest) if digest in self._used else None

    def take_up(self, notes: Iterable[Noted]) -> None:
        """Remember the nonces that were used before this listener was opened."""
        for until, name in sorted((note.until, note.name) for note in notes):
            self._used[name] = until / 1000

    def _use(self, header: Header) -> Doubt | None:
        now = self._now()
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        key = self._digest(header)
        if not self._text(header, self._settings.nonce_header) or key in self._used:
            return "unproven"
        if len(self._used) >= NONCES:
            return "too many"
        # A timestamp may lie in the future by the tolerance and is good until as long after it.
        self._used[key] = now + 2 * self._settings.tolerance
        return None

    def _given(self, header: Header) -> bytes | None:
        text = header(self._settings.header)
        if text is None or not text.startswith(self._settings.prefix):
            return None
        text = text[len(self._settings.prefix) :].strip()
        try:
            if self._settings.encoding == "hex":
                return bytes.fromhex(text)
            return base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            return None

    def _is_fresh(self, header: Header) -> bool:
        sent = _seconds(self._text(header, self._settings.timestamp_header))
        return sent is not None and abs(self._now() - sent) <= self._settings.tolerance

    @staticmethod
    def _text(header: Header, name: str | None) -> str:
        return (header(name) or "") if name is not None else ""

    def _digest(self, header: Header) -> str:
        """The nonce as it is remembered: one of another key is another one."""
        nonce = f"{self._settings.secret.name}\0{self._text(header, self._settings.nonce_header)}"
        return hashlib.blake2b(nonce.encode("utf-8", "replace"), digest_size=16).hexdigest()


class BearerCheck:
    """Compares the token that a request shows, in constant time."""

    def __init__(self, token: Secret, secrets: Secrets) -> None:
        self._token = token
        self._secrets = secrets

    def accepts(self, header: Header) -> bool:
        """Whether the request shows the token. Raises `SecretMissingError`."""
        wanted = f"Bearer {self._secrets.value(self._token)}"
        return hmac.compare_digest((header("Authorization") or "").encode(), wanted.encode())


def _seconds(text: str) -> float | None:
    """*text* as seconds since 1970: a number of seconds or milliseconds, an ISO or an HTTP date."""
    text = text.strip()
    if re.fullmatch(r"\d{1,13}(\.\d{1,9})?", text, re.ASCII):
        number = float(text)
        return number / 1000 if number > 99_999_999_999 else number
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
