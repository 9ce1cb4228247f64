"""The settings that connectors share: the base model, secrets, endpoints.

A connector's settings are one declaration: types and validators parse and check, defaults default,
descriptions and examples are what ``hub docs`` prints. What a channel file says beside them (``type``,
``accepts``, ``takes``, ``order``, ``ambiguous``) belongs to the site and is taken out before a model sees the
rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from hub.core.secret import SecretName

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TCP = re.compile(r"tcp:(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?(?P<port>\d{1,5})\Z")
_HIGHEST_PORT = 65_535


class Settings(BaseModel):
    """The base of every connector's settings: unknown keys are errors; no error repeats its input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    begin_with: ClassVar[tuple[str, ...]] = ()
    """Settings with a default that ``hub new channel`` writes all the same, because one of several ways is needed."""


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A TCP address. *host* is empty for a listener on every interface, *port* 0 when the kernel chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:{_bracketed(self.host)}:{self.port}" if self.host else f"tcp:{self.port}"

    @property
    def shown(self) -> str:
        """The address as the status page shows it."""
        return f"{_bracketed(self.host or '*')}:{self.port}"


@dataclass(frozen=True, slots=True)
class SftpEndpoint:
    """A folder on an SFTP server."""

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"sftp://{_bracketed(self.host)}:{self.port}{self.path}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen_endpoint(value: object) -> object:
    if isinstance(value, TcpEndpoint):
        return value
    match = _TCP.match(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError(
            'a place to listen is "tcp:2575" (every interface) or "tcp:127.0.0.1:2575" (that one); '
            "port 0 is any free one"
        )
    return TcpEndpoint((match["host"] or "").strip("[]"), int(match["port"]))


def _connect_endpoint(value: object) -> object:
    try:
        endpoint = _listen_endpoint(value)
    except ValueError:
        endpoint = None
    if not isinstance(endpoint, TcpEndpoint) or not endpoint.host:
        raise ValueError('a place to connect to is "tcp:host:port", for example "tcp:ehr.clinic.example:6661"')
    return endpoint


def _sftp_endpoint(value: object) -> object:
    if isinstance(value, SftpEndpoint):
        return value
    message = 'an SFTP folder is "sftp://host/folder" or "sftp://host:2222/folder"; the user is a setting apart'
    if not isinstance(value, str):
        raise ValueError(message)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme != "sftp" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(message)
    return SftpEndpoint(parts.hostname, 22 if port is None else port, parts.path.rstrip("/") or "/")


def _secret(value: object) -> object:
    if isinstance(value, SecretName):
        return value
    if isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str):
        return SecretName(value["secret"])
    if isinstance(value, str):
        raise ValueError(
            'a secret is named, never written here: use { secret = "name" } and keep its value in var/secrets'
        )
    raise ValueError('a secret is written { secret = "name" }')


def _web_address(value: object) -> object:
    """An ``https://`` address, or an ``http://`` one of this machine: no token crosses a network in clear."""
    message = 'an address is "https://host/path"; "http://" is for this machine alone (127.0.0.1, localhost)'
    if not isinstance(value, str):
        raise ValueError(message)
    try:
        parts: SplitResult = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(message) from None
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError(message)
    return value


def _as_text(value: Any) -> str:
    return str(value)


ListenAt = Annotated[
    TcpEndpoint,
    BeforeValidator(_listen_endpoint),
    PlainSerializer(_as_text),
    WithJsonSchema({"type": "string", "pattern": _TCP.pattern}),
]
ConnectTo = Annotated[
    TcpEndpoint,
    BeforeValidator(_connect_endpoint),
    PlainSerializer(_as_text),
    WithJsonSchema({"type": "string", "pattern": r"^tcp:.+:\d{1,5}$"}),
]
SftpFolder = Annotated[
    SftpEndpoint,
    BeforeValidator(_sftp_endpoint),
    PlainSerializer(_as_text),
    WithJsonSchema({"type": "string", "pattern": "^sftp://"}),
]
WebAddress = Annotated[str, BeforeValidator(_web_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Secret = Annotated[
    SecretName,
    BeforeValidator(_secret),
    PlainSerializer(lambda name: {"secret": name.name}),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"secret": {"type": "string"}},
            "required": ["secret"],
            "additionalProperties": False,
        }
    ),
]
