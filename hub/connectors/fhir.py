"""FHIR R4: a hook for what a server's Subscription sends, and resources written to a server.

Sources: FHIR R4, Subscription (rest-hook channel: POST, or PUT to ``Type/id``); Subscriptions R5 Backport
implementation guide 1.1 (notification bundles, handshake, heartbeat).
"""

from __future__ import annotations

from pydantic import Field

from hub.connectors.fhir_probe import probe
from hub.connectors.fhir_write import FhirDestinationSettings, open_destination
from hub.connectors.hook import HookSettings, HookSource, Manner
from hub.engine.contracts import Connector, SourceContext
from hub.formats.fhir.text import FhirError, read, write

GREETINGS = frozenset({"handshake", "heartbeat", "query-status"})
"""Kinds of message that say something of the subscription and nothing of a patient."""


class FhirSourceSettings(HookSettings):
    """An HTTPS address that a FHIR server sends its notifications to."""

    path: str | None = Field(
        None,
        pattern=r"^(/[A-Za-z0-9._~-]+)+$",
        description="The path of the hook. Left out, /fhir/ and the channel's name.",
        examples=["/fhir/ehr_fhir"],
    )


def outcome(severity: str, code: str, text: str) -> bytes:
    """An OperationOutcome with one issue (FHIR R4, issue types). *text* never repeats what was sent."""
    issue = {"severity": severity, "code": code, "details": {"text": text}}
    return write({"resourceType": "OperationOutcome", "issue": [issue]})


def open_source(settings: FhirSourceSettings, context: SourceContext) -> HookSource:
    """A hook that answers with OperationOutcomes."""
    manner = Manner(
        say=outcome,
        media_type=b"application/fhir+json; charset=utf-8",
        path=settings.path or f"/fhir/{context.channel}",
        takes=lambda media_type: not media_type or b"json" in media_type,
        place_of=_place_of,
        agree=_agree,
        filtered=lambda kind: f"The subscription's {kind} needs nothing done." if kind in GREETINGS else None,
    )
    return HookSource(settings, context, manner)


def _place_of(rest: str) -> str | None:
    """What follows the hook's path: empty, or ``Type/id``; None when it is another path."""
    if rest.strip("/") and (not rest.startswith("/") or rest.count("/") != 2):
        return None
    return rest.strip("/")


def _agree(raw: bytes, place: str) -> None:
    """Check that the resource put to *place* is the one that belongs there."""
    resource = read(raw)
    if f"{resource['resourceType']}/{resource.get('id')}" != place:
        raise FhirError(
            "The resource is not the one that the address names.", where="id", expected="the Type/id of the address"
        )


CONNECTOR = Connector(
    name="fhir",
    summary="FHIR R4: notifications taken by HTTPS, resources written to a server.",
    source_settings=FhirSourceSettings,
    open_source=open_source,
    destination_settings=FhirDestinationSettings,
    open_destination=open_destination,
    probe=probe,
)
