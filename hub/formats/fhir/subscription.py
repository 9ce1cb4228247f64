"""Subscriptions as resources: what a client asks for, and how one stands on its server.

Sources: FHIR R4, Subscription (rest-hook); Subscriptions R5 Backport implementation guide 1.1 (topic-based
subscriptions in R4: the extensions of the profile backport-subscription, the operations ``$status`` and ``$events``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hub.formats.fhir.text import Resource

GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
Payload = Literal["empty", "id-only", "full-resource"]
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be told, and where: *criteria* (a search) of R4, or a *topic* with *filters* of the backport guide."""

    endpoint: str
    payload: Payload
    criteria: str = ""
    topic: str = ""
    filters: tuple[str, ...] = ()
    heartbeat: int | None = None
    headers: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a subscription stands on its server. *end* is None when it has none."""

    id: str
    status: str
    end: dt.datetime | None
    same: Mapping[str, str]
    """What tells one of our subscriptions from another: criteria and endpoint."""


def subscription(wanted: Wanted, end: dt.datetime, number: str = "") -> Resource:
    """The resource that asks for *wanted* until *end*; with *number*, the id, to replace the one that stands."""
    channel: Resource = {"type": "rest-hook", "endpoint": wanted.endpoint}
    if wanted.heartbeat is not None:
        channel = {"extension": [_extension("backport-heartbeat-period", "UnsignedInt", wanted.heartbeat)], **channel}
    if wanted.payload != "empty" or wanted.topic:
        channel["payload"] = "application/fhir+json"
    if wanted.topic:
        channel["_payload"] = {"extension": [_extension("backport-payload-content", "Code", wanted.payload)]}
    if wanted.headers:
        channel["header"] = list(wanted.headers)
    resource: Resource = {"resourceType": "Subscription"}
    if number:
        resource["id"] = number
    if wanted.topic:
        resource["meta"] = {"profile": [f"{GUIDE}/backport-subscription"]}
    resource |= {
        "status": "requested",
        "end": end.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "reason": wanted.reason or "Notifications",
        "criteria": wanted.topic or wanted.criteria,
    }
    if wanted.filters:
        extensions = [_extension("backport-filter-criteria", "String", text) for text in wanted.filters]
        resource["_criteria"] = {"extension": extensions}
    return resource | {"channel": channel}


def standing(resource: Any) -> Standing | None:
    """How the Subscription *resource* stands; None when it is none, or has no id that can be used."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "Subscription":
        return None
    number = resource.get("id")
    if not isinstance(number, str) or not _ID.match(number):
        return None
    channel = resource.get("channel")
    endpoint = channel.get("endpoint") if isinstance(channel, dict) else None
    same = {"criteria": str(resource.get("criteria", "")), "endpoint": str(endpoint or "")}
    return Standing(number, str(resource.get("status", "")), _instant(resource.get("end")), same)


def _extension(name: str, kind: str, value: Any) -> Resource:
    return {"url": f"{GUIDE}/{name}", f"value{kind}": value}


def _instant(value: Any) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
