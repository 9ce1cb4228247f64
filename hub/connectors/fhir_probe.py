"""How far one comes with a FHIR server, for ``hub connect``: reached, logged in, and what the server says it can do.

Nothing is written. Blocks; for the command line. Source: FHIR R4, CapabilityStatement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub.connectors.reach import UnreachedError
from hub.connectors.reach import probe as reach_it
from hub.connectors.web_probe import ask, log_in
from hub.core.secret import Secrets


def probe(settings: Any, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Say, step by step, how far one comes. Raises `UnreachedError`, `TokenError` or `SecretMissingError`."""
    server = getattr(settings, "server", None) or settings
    yield from reach_it(server, folder, secrets)
    base = getattr(server, "base", None)
    if base is None:
        return
    headers = {"Accept": "application/fhir+json", **(yield from log_in(server, folder, secrets))}
    where = f"{base.rstrip('/')}/metadata"
    answer = ask(server, folder, secrets, "GET", where, headers)
    if answer.status != 200:
        raise UnreachedError("The server does not say what it can do.", where=where, found=f"HTTP {answer.status}")
    yield from _abilities(answer.body, server)


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
