"""The public keys by which a site's connectors prove who they are, as one document that servers can fetch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from hub.connectors.client_keys import ClientKey, Jwk, published
from hub.connectors.oauth import OAuth
from hub.core.secret import Secrets
from hub.site.channels import Channel


def key_set(channels: Iterable[Channel], secrets: Secrets) -> bytes:
    """A JSON Web Key Set (RFC 7517) with every key of *channels*, those that do not sign yet included.

    Raises `TokenError` for a key that cannot sign, `SecretMissingError` for one that is not there.
    """
    found: dict[str, Jwk] = {}
    for key in client_keys(channels):
        for jwk in published((key,), secrets):
            found[jwk["kid"]] = jwk
    return json.dumps({"keys": list(found.values())}, indent=1).encode()


def client_keys(channels: Iterable[Channel]) -> list[ClientKey]:
    """Every key that a source or destination of *channels* names."""
    ends = [
        settings
        for channel in channels
        for settings in (
            *(source for _, source in channel.sources),
            *(plan.settings for plan in channel.destinations.values()),
        )
    ]
    return [key for settings in ends for oauth in _oauths(settings) for key in oauth.signing_keys]


def _oauths(value: Any) -> Iterator[OAuth]:
    if isinstance(value, OAuth):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _oauths(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _oauths(item)
