"""Whether a peer can be reached, for ``hub connect``: a connection and, with TLS, a certificate. Nothing is sent.

Blocks; for the command line.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.core.errors import HubError
from hub.core.secret import Secrets

WITHIN_SECONDS = 10.0
WELCOME_SECONDS = 0.5


class UnreachedError(HubError):
    """A peer cannot be reached, or is not who it should be."""

    code = "H414"


def probe(settings: Any, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Try the address of *settings*: an ``endpoint``, a ``url`` or a ``base``. A listener has none.

    Raises :class:`UnreachedError`, and `SecretMissingError` for the key of the client's certificate.
    """
    if (endpoint := getattr(settings, "endpoint", None)) is not None:
        yield from reach(endpoint.host, endpoint.port, client_tls(settings, folder, secrets) if settings.tls else None)
    elif address := getattr(settings, "url", None) or getattr(settings, "base", None):
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        yield from reach(parts.hostname or "", port, client_tls(settings, folder, secrets) if secure else None)
    else:
        yield "it listens by itself; there is nobody to reach"


def client_tls(settings: Any, folder: Path, secrets: Secrets) -> ssl.SSLContext:
    """Whom a client trusts and what it shows, by *settings*.

    Raises :class:`UnreachedError` for a file that cannot be used, and `SecretMissingError`.
    """
    try:
        context = ssl.create_default_context(cafile=str(folder / settings.trust) if settings.trust else None)
    except OSError as error:
        raise UnreachedError("The file to trust cannot be used.", where=settings.trust, found=_why(error)) from None
    if settings.certificate is None or settings.private_key is None:
        return context
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:  # the library reads keys from files alone
        key.write(secrets.value(settings.private_key))
        key.flush()
        try:
            context.load_cert_chain(folder / settings.certificate, key.name)
        except OSError as error:
            raise UnreachedError(
                "The certificate to show, or its key, cannot be used.", where=settings.certificate, found=_why(error)
            ) from None
    return context


def reach(host: str, port: int, context: ssl.SSLContext | None) -> Iterator[str]:
    """Say, step by step, how far one comes; with *context*, by TLS. Raises :class:`UnreachedError` where it ends."""
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
        if context is None:
            return
        try:
            with context.wrap_socket(connection, server_hostname=host) as secured:
                expires = (secured.getpeercert() or {}).get("notAfter", "an unknown day")
                yield f"{secured.version()}, its certificate is trusted until {expires}"
                _require_welcome(secured)
        except ssl.SSLCertVerificationError as error:
            raise UnreachedError(
                f"Its certificate is not trusted: {error.verify_message}.", where=where, fix="Name its issuer in trust."
            ) from None
        except OSError as error:
            raise UnreachedError(
                f"TLS does not come about: {_why(error)}.",
                where=where,
                fix="Does it want a certificate of ours, or another one? Name it in certificate.",
            ) from None


def _require_welcome(secured: ssl.SSLSocket) -> None:
    """Wait a moment for the alert by which a server of TLS 1.3 says that it wants another certificate of ours."""
    secured.settimeout(WELCOME_SECONDS)
    with suppress(TimeoutError):
        secured.recv(1)


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(reason).replace("_", " ").lower()
