"""How far one comes with a FHIR server, for ``hub connect``: reached, logged in, and what the server says it can do.

Nothing is written. Blocks; for the command line. Source: FHIR R4, CapabilityStatement.
"""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.connectors.oauth import OAuth, configuration_url, discovered, token_in, token_request
from hub.connectors.reach import WITHIN_SECONDS, UnreachedError
from hub.connectors.reach import probe as reach_it
from hub.connectors.tls import ClientSecurity
from hub.core.secret import Secrets

_MOST = 16 << 20


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


def probe(settings: Any, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Say, step by step, how far one comes. Raises `UnreachedError`, `TokenError` or `SecretMissingError`."""
    yield from reach_it(settings, folder, secrets)
    server = getattr(settings, "server", None) or settings
    base = getattr(server, "base", None)
    if base is None:
        return
    headers = {"Accept": "application/fhir+json"}
    if server.oauth is not None:
        address = _token_address(server.oauth, server, folder, secrets)
        yield f"tokens are given out at {address}"
        ask = token_request(server.oauth, secrets, address)
        token, life = token_in(_ask(server, folder, secrets, "POST", address, *ask), address)
        headers["Authorization"] = f"Bearer {token}"
        yield f"logged in as {server.oauth.client_id}, the token lives {life:.0f} s"
    elif server.token is not None:
        headers["Authorization"] = f"Bearer {secrets.value(server.token)}"
    where = f"{base.rstrip('/')}/metadata"
    answer = _ask(server, folder, secrets, "GET", where, headers)
    if answer.status != 200:
        raise UnreachedError("The server does not say what it can do.", where=where, found=f"HTTP {answer.status}")
    yield from _abilities(answer.body, server)


def _token_address(oauth: OAuth, server: ClientSecurity, folder: Path, secrets: Secrets) -> str:
    if oauth.token_url is not None:
        return oauth.token_url
    assert oauth.discover is not None
    where = configuration_url(oauth.discover)
    return discovered(oauth, _ask(server, folder, secrets, "GET", where, {"Accept": "application/json"}))


def _abilities(body: bytes, settings: Any) -> Iterator[str]:
    """What a CapabilityStatement says, and whether what *settings* want is in it."""
    try:
        plain = json.loads(body)
        rest = next(each for each in plain["rest"] if each.get("mode") == "server")
        version = plain.get("fhirVersion")
        able = {
            str(each["type"]): {str(one.get("code")) for one in each.get("interaction", ())}
            for each in rest.get("resource", ())
        }
        whole = {str(one.get("code")) for one in rest.get("interaction", ())}
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        yield "what it says of itself cannot be read (/metadata)"
        return
    yield f"FHIR {version}, {len(able)} resource types"
    readable = sorted(kind for kind, codes in able.items() if "read" in codes or "search-type" in codes)
    if readable:
        yield f"reads and searches {', '.join(readable)}"
    wanted = getattr(settings, "interaction", None)
    if wanted == "bundle" and not whole & {"transaction", "batch"}:
        yield "it does not say that it takes transactions or batches"
    elif wanted in {"create", "update"} and wanted not in able.get(settings.resource, set()):
        yield f"it does not say that it lets anybody {wanted} a {settings.resource}"


def _ask(
    settings: ClientSecurity,
    folder: Path,
    secrets: Secrets,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes | None = None,
) -> _Answer:
    parts = urlsplit(url)
    connection: HTTPConnection
    if parts.scheme == "https":
        context = _tls(settings, folder, secrets)
        connection = HTTPSConnection(parts.netloc, timeout=WITHIN_SECONDS, context=context)
    else:
        connection = HTTPConnection(parts.netloc, timeout=WITHIN_SECONDS)
    where = f"{parts.scheme}://{parts.netloc}{parts.path}"
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        return _Answer(response.status, response.read(_MOST))
    except ssl.SSLError as error:
        raise UnreachedError("TLS does not come about.", where=where, found=str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise UnreachedError("No answer came.", where=where, found=type(error).__name__) from None
    finally:
        connection.close()


def _tls(settings: ClientSecurity, folder: Path, secrets: Secrets) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / settings.trust) if settings.trust else None)
    if settings.certificate is not None and settings.private_key is not None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:  # the library reads keys from files alone
            key.write(secrets.value(settings.private_key))
            key.flush()
            context.load_cert_chain(folder / settings.certificate, key.name)
    return context
