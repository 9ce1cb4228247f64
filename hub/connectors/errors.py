"""What a connector says when it cannot start at all."""

from __future__ import annotations

from hub.core.errors import HubError


class ListenError(HubError):
    """A listener could not open its port."""

    code = "H410"


class CertificateError(HubError):
    """A certificate or private key cannot be used."""

    code = "H411"


class TokenError(HubError):
    """A server gives out no token, or the hub cannot prove who it is."""

    code = "H412"
