"""Whether a peer can be reached, for ``hub connect``: a connection and, with TLS, a certificate. Nothing is sent.

Blocks; for the command line.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.core.errors import HubError
from hub.core.secret import Secrets

WITHIN_SECONDS = 10.0


class UnreachedError(HubError):
    """A peer cannot be reached, or is not who it should be."""

    code = "H414"


def probe(settings: Any, folder: Path, _secrets: Secrets) -> Iterator[str]:
    """Try the address of *settings*: an ``endpoint``, a ``url`` or a ``base``. A listener has none."""
    if (endpoint := getattr(settings, "endpoint", None)) is not None:
        yield from reach(endpoint.host, endpoint.port, tls=settings.tls, trust=settings.trust, folder=folder)
    elif address := getattr(settings, "url", None) or getattr(settings, "base", None):
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        yield from reach(parts.hostname or "", port, tls=secure, trust=settings.trust, folder=folder)
    else:
        yield "it listens by itself; there is nobody to reach"


def reach(host: str, port: int, *, tls: bool, trust: str | None, folder: Path) -> Iterator[str]:
    """Say, step by step, how far one comes. Raises :class:`UnreachedError` with the place where it ends."""
    where = f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), WITHIN_SECONDS)
    except socket.gaierror:
        raise UnreachedError(
            "The name is not known.", where=where, fix="Is it spelled right? Does DNS answer?"
        ) from None
    except OSError as error:
        what = error.strerror or "no answer in time"
        raise UnreachedError(
            f"Nothing answers there: {what}.", where=where, fix="Is the port right? A firewall?"
        ) from None
    with closing(connection):
        yield f"reached {where}"
        if not tls:
            return
        context = ssl.create_default_context(cafile=str(folder / trust) if trust else None)
        try:
            with context.wrap_socket(connection, server_hostname=host) as secured:
                expires = (secured.getpeercert() or {}).get("notAfter", "an unknown day")
                yield f"{secured.version()}, its certificate is trusted until {expires}"
        except ssl.SSLCertVerificationError as error:
            raise UnreachedError(
                f"Its certificate is not trusted: {error.verify_message}.", where=where, fix="Name its issuer in trust."
            ) from None
        except OSError as error:
            raise UnreachedError(f"TLS does not come about: {error.strerror}.", where=where) from None
