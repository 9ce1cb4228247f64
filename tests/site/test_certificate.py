from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from hub.site import certificate
from hub.site.certificate import ensure_certificate, fingerprint


def test_a_certificate_is_made_once_for_loopback_and_the_host_and_its_key_is_private(tmp_path: Path) -> None:
    crt, key = ensure_certificate(tmp_path / "tls", "hub.example")
    first = crt.read_bytes()
    made = x509.load_pem_x509_certificate(first)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "hub.example"} <= set(names.get_values_for_type(x509.DNSName))
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    assert key.stat().st_mode & 0o077 == 0
    ensure_certificate(tmp_path / "tls", "hub.example")
    assert crt.read_bytes() == first
    assert len(fingerprint(first)) == 95


def test_it_is_made_anew_before_it_ends_for_another_name_and_when_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "DAYS", 10)
    crt, _ = ensure_certificate(tmp_path)
    old = crt.read_bytes()
    monkeypatch.setattr(certificate, "DAYS", 397)
    ensure_certificate(tmp_path)
    renewed = x509.load_pem_x509_certificate(crt.read_bytes())
    assert crt.read_bytes() != old
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=300)
    before = crt.read_bytes()
    ensure_certificate(tmp_path, "other.example")
    assert crt.read_bytes() != before
    crt.write_text("nothing")
    ensure_certificate(tmp_path)
    assert crt.read_bytes().startswith(b"-----BEGIN CERTIFICATE")
