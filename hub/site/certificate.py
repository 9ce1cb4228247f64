"""The certificate that the pages are served with when the site has none of a public authority: made at the first run.

It is signed by itself, so a browser asks once whether to trust it; `hub run` prints its fingerprint to compare. It is
made anew 30 days before it ends.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hub.core.errors import HubError

DAYS = 397
RENEW_DAYS = 30


class CertificateError(HubError):
    """The certificate that the settings name cannot be used."""

    code = "H248"


def ensure_certificate(folder: Path, host: str = "") -> tuple[Path, Path]:
    """The site's own certificate and its key below *folder* (PEM), made when they are absent, over soon, or for others.

    It is for this machine's names, loopback, and *host*. The key is readable by its owner alone.
    """
    certificate, key = folder / "web.crt", folder / "web.key"
    names = _names(host)
    if not (certificate.exists() and key.exists() and _still_good(certificate.read_bytes(), names)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made, private = _make(names)
        _write(key, private)
        _write(certificate, made)
    return certificate, key


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (PEM), as browsers show it."""
    digest = x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def _names(host: str) -> list[str]:
    found = ["localhost", socket.gethostname(), "127.0.0.1", "::1", host.strip("[]")]
    return list(dict.fromkeys(name for name in found if name and name not in {"0.0.0.0", "::"}))  # noqa: S104


def _still_good(pem: bytes, names: list[str]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    named = {*known.get_values_for_type(x509.DNSName), *map(str, known.get_values_for_type(x509.IPAddress))}
    return set(names) <= named and certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _make(names: list[str]) -> tuple[bytes, bytes]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "claimhub pages")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes) -> None:
    """Write *content*, readable by its owner alone, all at once."""
    new = path.with_suffix(f"{path.suffix}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
