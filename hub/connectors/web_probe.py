"""How far one comes with a server that speaks HTTP, for ``hub connect``: reached, logged in, and how it takes a HEAD.

Nothing is written: HEAD is a safe method (RFC 9110, section 9.2.1), and a token changes nothing. Blocks; for the
command line.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.connectors.oauth import OAuth, configuration_url, discovered, token_in, token_request
from hub.connectors.reach import WITHIN_SECONDS, UnreachedError, client_tls
from hub.connectors.reach import probe as reach_it
from hub.core.secret import Secrets

_MOST = 16 << 20
_SHUT_OUT = frozenset({401, 403, 407})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes


def probe(settings: Any, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Say, step by step, how far one comes. Raises `UnreachedError`, `TokenError` or `SecretMissingError`."""
    server = getattr(settings, "server", None) or settings
    yield from reach_it(server, folder, secrets)
    url = getattr(server, "url", None) or getattr(server, "base", None)
    if url is None:
        return
    headers = yield from log_in(server, folder, secrets)
    answer = ask(server, folder, secrets, "HEAD", url, headers)
    if answer.status in _SHUT_OUT:
        raise UnreachedError(
            "The server does not let us in.",
            where=_without_query(url),
            found=f"HTTP {answer.status}",
            fix="Check the token or the client's certificate, and what they are allowed to do.",
        )
    yield f"HEAD, which changes nothing, is answered with HTTP {answer.status}"


def log_in(server: Any, folder: Path, secrets: Secrets) -> Generator[str, None, dict[str, str]]:
    """Say what a log-in by *server*'s settings comes to, and return the headers of whoever is logged in.

    Raises `UnreachedError`, `TokenError` or `SecretMissingError`.
    """
    if server.oauth is not None:
        address = _token_address(server.oauth, server, folder, secrets)
        yield f"tokens are given out at {address}"
        form = token_request(server.oauth, secrets, address)
        token, life = token_in(ask(server, folder, secrets, "POST", address, *form), address)
        yield f"logged in as {server.oauth.client_id}, the token lives {life:.0f} s"
        return {"Authorization": f"Bearer {token}"}
    if server.token is not None:
        value = secrets.value(server.token)
        yield f'token "{server.token.name}" is shown'
        return {"Authorization": f"Bearer {value}"}
    return {}


def _token_address(oauth: OAuth, server: Any, folder: Path, secrets: Secrets) -> str:
    if oauth.token_url is not None:
        return oauth.token_url
    assert oauth.discover is not None
    where = configuration_url(oauth.discover)
    return discovered(oauth, ask(server, folder, secrets, "GET", where, {"Accept": "application/json"}))


def ask(
    settings: Any,
    folder: Path,
    secrets: Secrets,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes | None = None,
) -> Answer:
    """One request by *settings*, within some seconds. Raises `UnreachedError` or `SecretMissingError`."""
    parts = urlsplit(url)
    connection: HTTPConnection
    if parts.scheme == "https":
        context = client_tls(settings, folder, secrets)
        connection = HTTPSConnection(parts.netloc, timeout=WITHIN_SECONDS, context=context)
    else:
        connection = HTTPConnection(parts.netloc, timeout=WITHIN_SECONDS)
    where = f"{parts.scheme}://{parts.netloc}{parts.path}"
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(_MOST))
    except ssl.SSLError as error:
        raise UnreachedError("TLS does not come about.", where=where, found=str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise UnreachedError("No answer came.", where=where, found=type(error).__name__) from None
    finally:
        connection.close()


def _without_query(url: str) -> str:
    return url.partition("?")[0]
