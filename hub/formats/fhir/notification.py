"""Subscription notifications, bundles, and what intake must know of them.

Sources: FHIR R4 (Bundle, Subscription); Subscriptions R5 Backport implementation guide 1.1 (a notification is
a Bundle whose first entry is a SubscriptionStatus, in R4 written as Parameters).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub.formats.fhir.text import FhirError, Resource, read, write

KINDS = {
    "handshake": "handshake",
    "heartbeat": "heartbeat",
    "event-notification": "Bundle/notification",
    "query-status": "query-status",
    "query-event": "Bundle/query-event",
}
"""What messages of each notification type are called here."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a notification: its number, what it is about, and when it happened.

    *focus* is a reference, or ``system|value`` where the server names its own identifier alone. Some servers number the
    events of each Bundle from 1, so that only the time tells two events about one thing apart.
    """

    number: str
    focus: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """What a Subscription told. *events* are what happened, in order; *resources* came along.

    *status* is how the subscription stands, *count* how many events there were since it began, where that is told.
    """

    type: str
    subscription: str
    events: tuple[Happened, ...]
    resources: tuple[Resource, ...]
    status: str = ""
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What intake must know of a message; the fields are those of the engine's Description."""

    kind: str
    control_id: str = ""
    sender: str = ""
    lane: str = ""
    duplicate_basis: bytes | None = None
    identifiers: tuple[tuple[str, str], ...] = ()


def notification(raw: bytes) -> Notification | None:
    """The notification that *raw* is, or None when it is another resource. Raises :class:`FhirError`."""
    return notification_of(read(raw))


def notification_of(resource: Resource) -> Notification | None:
    """The same of a resource that was read already."""
    if resource["resourceType"] == "Bundle":
        resources = resources_of(resource)
        status = _status(resources[0]) if resources else None
        others = resources[1:]
    else:
        status, others = _status(resource), ()
    if status is None:
        return None
    events = tuple(
        Happened(_text(event.get("eventNumber")), _focus(event.get("focus")), _text(event.get("timestamp")))
        for event in _objects(status.get("notificationEvent"))
    )
    count = _text(status.get("eventsSinceSubscriptionStart"))
    return Notification(
        _text(status.get("type")),
        _reference(status.get("subscription")),
        events,
        others,
        _text(status.get("status")),
        int(count) if count.isdecimal() and len(count) < 16 else None,
    )


def resources_of(resource: Resource) -> tuple[Resource, ...]:
    """The resources in a Bundle, in its order; any other resource alone."""
    if resource["resourceType"] != "Bundle":
        return (resource,)
    found = (entry.get("resource") for entry in _objects(resource.get("entry")))
    return tuple(item for item in found if isinstance(item, dict) and isinstance(item.get("resourceType"), str))


def next_link(bundle: Resource) -> str | None:
    """Where the next page of a search is; None on the last one."""
    links = (link for link in _objects(bundle.get("link")) if link.get("relation") == "next")
    return next((url for link in links if (url := _text(link.get("url")))), None)


def summary(raw: bytes) -> Summary:
    """What intake must know of *raw*. Raises :class:`FhirError` when it is no resource.

    Everything about one visit shares a lane: its Encounter's reference, else its patient's. Two copies of a
    notification tell of the same events with the same content, whatever its envelope says of times and ids; a
    copy of any other resource is equal to it.
    """
    resource = read(raw)
    told = notification_of(resource)
    if told is None:
        return _plain(resource)
    if told.type not in KINDS:
        raise FhirError("This notification has an unknown type.", where="SubscriptionStatus.type")
    first = told.events[0] if told.events else Happened("", "")
    basis = None
    if told.events or told.resources:
        events = [[event.number, event.focus, event.at] for event in told.events]
        basis = write([told.type, told.subscription, events, _sorted(list(told.resources))])
    return Summary(
        kind=KINDS[told.type],
        control_id=first.number,
        sender=told.subscription,
        lane=_lane(told.resources, first.focus),
        duplicate_basis=basis,
        identifiers=_identifiers(told.resources),
    )


def _plain(resource: Resource) -> Summary:
    resources = resources_of(resource)
    kind = resource["resourceType"]
    if kind == "Bundle":
        kind = f"Bundle/{_text(resource.get('type')) or 'collection'}"
    return Summary(
        kind=kind,
        control_id=_text(resource.get("id")),
        lane=_lane(resources),
        duplicate_basis=write(_sorted(resource)),
        identifiers=_identifiers(resources),
    )


def _status(resource: Resource) -> Resource | None:
    """The SubscriptionStatus that *resource* is, also where it is written as R4 Parameters; None when it is neither."""
    if resource["resourceType"] == "SubscriptionStatus":
        return resource
    if resource["resourceType"] != "Parameters":
        return None
    parameters = _parameters(resource.get("parameter"))
    if "subscription" not in parameters or "type" not in parameters:
        return None
    events = []
    for parameter in _objects(resource.get("parameter")):
        if parameter.get("name") == "notification-event":
            parts = _parameters(parameter.get("part"))
            events.append(
                {
                    "eventNumber": parts.get("event-number"),
                    "focus": parts.get("focus"),
                    "timestamp": parts.get("timestamp"),
                }
            )
    return {
        "resourceType": "SubscriptionStatus",
        "type": parameters["type"],
        "status": parameters.get("status"),
        "eventsSinceSubscriptionStart": parameters.get("events-since-subscription-start"),
        "subscription": parameters["subscription"],
        "notificationEvent": events,
    }


def _parameters(value: Any) -> dict[str, Any]:
    """Parameters by name, each with its value whatever its type is (the first of each name)."""
    found: dict[str, Any] = {}
    for parameter in _objects(value):
        name = parameter.get("name")
        values = [item for key, item in parameter.items() if key.startswith("value")]
        if isinstance(name, str) and values:
            found.setdefault(name, values[0])
    return found


def _lane(resources: tuple[Resource, ...], focus: str = "") -> str:
    if _relative(focus).startswith("Encounter/"):
        return _relative(focus)
    return next(_encounters(resources), "") or next(_patients(resources), "") or _relative(focus)


def _encounters(resources: tuple[Resource, ...]) -> Iterator[str]:
    for resource in resources:
        if resource["resourceType"] == "Encounter" and resource.get("id"):
            yield f"Encounter/{resource['id']}"
    for resource in resources:
        for name in ("context", "encounter"):
            reference = _relative(_reference(resource.get(name)))
            if reference.startswith("Encounter/"):
                yield reference


def _patients(resources: tuple[Resource, ...]) -> Iterator[str]:
    for resource in resources:
        if resource["resourceType"] == "Patient" and resource.get("id"):
            yield f"Patient/{resource['id']}"
    for resource in resources:
        for name in ("subject", "patient", "beneficiary"):
            reference = _relative(_reference(resource.get(name)))
            if reference.startswith("Patient/"):
                yield reference


def _identifiers(resources: tuple[Resource, ...]) -> tuple[tuple[str, str], ...]:
    """What people search by: record numbers, visit numbers and accounts, each once."""
    found: dict[tuple[str, str], None] = {}
    for resource in resources:
        kind = {"Patient": "mrn", "Encounter": "visit", "Account": "account"}.get(resource["resourceType"])
        if kind:
            found |= {(kind, value): None for value in _values(resource.get("identifier"))}
        for account in _objects(resource.get("account")):
            found |= {("account", value): None for value in _values(account.get("identifier"))}
    return tuple(found)


def _values(identifiers: Any) -> list[str]:
    return [text for identifier in _objects(identifiers) if (text := _text(identifier.get("value")))]


def _objects(value: Any) -> list[Resource]:
    """*value* as a list of objects, whatever it is: one object counts as a list of it."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _reference(value: Any) -> str:
    return _text(value.get("reference")) if isinstance(value, dict) else _text(value)


def _focus(value: Any) -> str:
    """A reference, or the identifier of what has none: FHIR lets a server give either (R4, Reference)."""
    if reference := _reference(value):
        return reference
    identifier = value.get("identifier") if isinstance(value, dict) else None
    if not isinstance(identifier, dict) or not _text(identifier.get("value")):
        return ""
    return f"{_text(identifier.get('system'))}|{_text(identifier.get('value'))}"


def _relative(reference: str) -> str:
    """``Encounter/7`` of ``https://ehr.example/fhir/Encounter/7`` and of ``Encounter/7/_history/2``."""
    parts = reference.partition("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 else reference


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list | bool) else str(value)


def _sorted(value: Any) -> Any:
    """*value* with the keys of every object in order, because their order means nothing."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
