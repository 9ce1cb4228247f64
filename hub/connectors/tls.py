"""TLS on both sides: a listener that shows a certificate and may ask for one, a client that trusts and may show one.

Sources: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 6125 (names in certificates), IHE ATNA (mutual authentication of
nodes). Nothing older than TLS 1.2 is spoken. Revocation lists are not consulted: a partner's certificate is withdrawn
by taking its name out of ``client_names`` or its issuer out of ``client_ca``.
"""

# Twisted is largely untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="no-untyped-call, import-untyped, misc"
from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pydantic import AfterValidator, Field, model_validator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from hub.connectors.certificates import own_certificate
from hub.connectors.errors import CertificateError
from hub.connectors.settings import Secret, Settings
from hub.core.secret import Secrets

HTTP_1 = (b"http/1.1",)
_END = b"-----END CERTIFICATE-----"
_REJECTED = ("alert certificate", "alert bad certificate", "alert unknown ca", "alert access denied", "alert handshake")
"""How OpenSSL words the alerts by which a server says that it does not take our certificate."""


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError('an allowed peer is an address or a network, such as "10.1.2.3" or "10.1.0.0/16"') from None
    return text


class ListenerSecurity(Settings):
    """Who may connect to a listener, and by which certificates both sides know each other."""

    tls: bool = Field(True, description="Whether connections are encrypted.", examples=[True])
    certificate: str | None = Field(
        None,
        description="The certificate to show, in PEM form, with its chain. Left out, the hub makes one of its own in "
        "var/tls. A relative path begins at the site's folder.",
        examples=["config/hub.pem"],
    )
    private_key: Secret | None = Field(
        None, description="The private key of the certificate.", examples=[{"secret": "hub_tls_key"}]
    )
    client_ca: str | None = Field(
        None,
        description="A file of certificates in PEM form. With it, senders must show a certificate that one of these "
        "issued (mutual TLS). A relative path begins at the site's folder.",
        examples=["config/partners.pem"],
    )
    client_names: tuple[str, ...] = Field(
        (),
        description="Of the certificates that client_ca issued, the names that may connect: common names, or "
        "alternative names of the kinds DNS, mail and address. Empty: every one.",
        examples=[["ehr.clinic.example"]],
    )
    peers: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        (),
        description="The addresses and networks that may connect. Empty: every one.",
        examples=[["10.1.2.3", "10.8.0.0/16"]],
    )

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a certificate needs its private_key, and the other way round")
        if self.client_ca is not None and not self.tls:
            raise ValueError("client_ca asks senders for certificates, so it needs tls = true")
        if self.client_names and self.client_ca is None:
            raise ValueError("client_names are names in certificates, so they need client_ca")
        return self


class ClientSecurity(Settings):
    """Which servers a client trusts, and what it shows them."""

    trust: str | None = Field(
        None,
        description="A file of certificates in PEM form to trust instead of the system's, for a server with a "
        "certificate of its own. A relative path begins at the site's folder.",
        examples=["var/tls/ehr.pem"],
    )
    certificate: str | None = Field(
        None,
        description="The certificate to show when the server asks for one (mutual TLS), in PEM form, with its chain. "
        "A relative path begins at the site's folder.",
        examples=["config/hub.pem"],
    )
    private_key: Secret | None = Field(
        None, description="The private key of the certificate.", examples=[{"secret": "hub_tls_key"}]
    )

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a certificate needs its private_key, and the other way round")
        return self


class AllowedPeers:
    """Knows the addresses that may connect."""

    def __init__(self, peers: tuple[str, ...]) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in peers)

    def admit(self, host: str) -> bool:
        """Whether a peer at *host* may connect."""
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def listener_options(
    settings: ListenerSecurity, var: Path, secrets: Secrets, name: str, protocols: tuple[bytes, ...] = ()
) -> CertificateOptions:
    """What a TLS listener by *settings* needs; *name* is that of the certificate that the hub makes itself.

    Raises :class:`hub.connectors.errors.CertificateError`, or `SecretMissingError`.
    """
    if settings.certificate is None or settings.private_key is None:
        certificate_file, key_file = own_certificate(var / "tls", name)
        certificate, key = _read(certificate_file), _read(key_file)
    else:
        certificate = _read(var.parent / settings.certificate)
        key = secrets.value(settings.private_key).encode()
    trust = trusted(var.parent / settings.client_ca) if settings.client_ca else None
    return tls_options(certificate, key, protocols=protocols, client_trust=trust)


def tls_options(
    certificate: bytes,
    private_key: bytes,
    *,
    protocols: tuple[bytes, ...] = HTTP_1,
    client_trust: Any = None,
) -> CertificateOptions:
    """What a TLS listener needs, from PEM texts; further certificates in the first are the chain.

    With *client_trust* a client must show a certificate that it vouches for. Raises
    :class:`hub.connectors.errors.CertificateError` when certificate and key cannot be used together.
    """
    try:
        options = CertificateOptions(
            **_identity(certificate, private_key),
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableProtocols=list(protocols) or None,
            trustRoot=client_trust,
        )
        options.getContext()
    except (ValueError, TypeError, SSL.Error) as error:
        raise _unusable(error) from None
    return options


def client_options(settings: ClientSecurity, site: Path, secrets: Secrets) -> Callable[[str], Any]:
    """Makes, for a server's name, what a TLS connection to it needs.

    The files are read once, so that a wrong path is found when the site starts. Raises
    :class:`hub.connectors.errors.CertificateError`, or `SecretMissingError`.
    """
    root = trusted(site / settings.trust) if settings.trust else platformTrust()
    shown: dict[str, Any] = {}
    if settings.certificate is not None and settings.private_key is not None:
        key = secrets.value(settings.private_key).encode()
        try:
            shown = _identity(_read(site / settings.certificate), key)
            CertificateOptions(**shown).getContext()
        except (ValueError, TypeError, SSL.Error) as error:
            raise _unusable(error) from None
    extra = {**shown, "raiseMinimumTo": TLSVersion.TLSv1_2}

    def options(hostname: str) -> Any:
        return optionsForClientTLS(hostname, trustRoot=root, extraCertificateOptions=dict(extra))

    return options


@implementer(IPolicyForHTTPS)
class WebPolicy:
    """The same for Twisted's web client."""

    def __init__(self, options: Callable[[str], Any]) -> None:
        self._options = options

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802 (Twisted's name)
        """What a connection to *hostname* needs."""
        return self._options(hostname.decode("ascii"))


def trusted(file: Path) -> Any:
    """The certificates in *file* as what is trusted. Raises :class:`hub.connectors.errors.CertificateError`."""
    try:
        certificates = [
            Certificate.loadPEM(text + _END) for text in file.read_bytes().split(_END) if b"BEGIN CERT" in text
        ]
    except (OSError, SSL.Error, ValueError):
        certificates = []
    if not certificates:
        raise CertificateError(
            "The certificates to trust cannot be read.", where=str(file), expected="certificates in PEM form"
        )
    return trustRootFromCertificates(certificates)


def peer_names(transport: Any) -> frozenset[str]:
    """The names in the certificate that the peer of *transport* showed; none when it showed none."""
    shown = transport.getPeerCertificate()
    if shown is None:
        return frozenset()
    certificate: x509.Certificate = shown.to_cryptography()
    names = {str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset(names)
    names |= set(extension.get_values_for_type(x509.DNSName))
    names |= set(extension.get_values_for_type(x509.RFC822Name))
    names |= {str(address) for address in extension.get_values_for_type(x509.IPAddress)}
    return frozenset(names)


def says_our_certificate_is_refused(error: BaseException | None) -> bool:
    """Whether *error*, which ended a connection, is a server's word that our certificate is not good enough.

    In TLS 1.3 that comes after the client's side of the handshake is done. No server hands on what such a client sent.
    """
    return isinstance(error, SSL.Error) and any(alert in str(error) for alert in _REJECTED)


def _identity(certificate: bytes, private_key: bytes) -> dict[str, Any]:
    # Twisted's annotations still ask for pyOpenSSL's own classes, which pyOpenSSL itself deprecates.
    chain = x509.load_pem_x509_certificates(certificate)
    key = serialization.load_pem_private_key(private_key, None)
    return {"privateKey": key, "certificate": chain[0], "extraCertChain": list(chain[1:])}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError("The certificate cannot be read.", where=str(file), found=error.strerror or "") from None


def _unusable(error: Exception) -> CertificateError:
    return CertificateError(
        "The certificate and the private key cannot be used.",
        expected="PEM, and a key that belongs to the certificate",
        found=type(error).__name__,
    )
