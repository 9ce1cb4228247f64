"""What intake must know of a message, read from its bytes by the channel's format.

This runs where messages come in, so it reads no more than it needs: an HL7 view is lazy, of an X12 file only the head
is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from hub.core.errors import HubError
from hub.engine.contracts import Description
from hub.formats.hl7v2.glance import Glance, glance
from hub.formats.hl7v2.header import content_without_timestamp, read_header
from hub.formats.hl7v2.message import Message
from hub.site.views import Event

_HEAD = 1 << 14


def describer(message_format: str, lane: str, encoding: str | None = None) -> Callable[[bytes], Description]:
    """The function that describes messages of *message_format* for a channel that keeps order by *lane*.

    It raises `HubError` with the place when the bytes cannot be read. *encoding* is for HL7 senders that declare none.
    What a channel of HL7 messages fetched from a FHIR server is read as that.
    """
    if message_format == "hl7v2":
        return lambda raw: _fhir(raw, lane) if is_json(raw) else _hl7v2(raw, lane, encoding)
    describe = {"x12": _x12, "fhir": _fhir, "json": _json}[message_format]
    return lambda raw: describe(raw, lane)


def is_json(raw: bytes) -> bool:
    """Whether *raw* is a JSON object and so no HL7 message: these begin with MSH."""
    return raw.lstrip()[:1] == b"{"


def _hl7v2(raw: bytes, lane: str, encoding: str | None) -> Description:
    header = read_header(raw)
    message = (glance(raw, header) if encoding is None else None) or Message(raw, encoding=encoding)
    mrn, family = _identifier(message, "PID-3"), message["PID-5.1"]
    merged = _identifier(message, "MRG-1")
    identifiers = (
        ("mrn", mrn),
        ("mrn", merged),
        ("account", message["PID-18.1"]),
        ("visit", message["PV1-19.1"]),
        ("appointment", message["SCH-2.1"]),
        ("name", family),
        ("name", f"{family} {message['PID-5.2']}".strip()),
    )
    return Description(
        kind=header.type,
        control_id=header.control_id,
        sender=f"{header.sending_application}|{header.sending_facility}",
        lane=_hl7v2_lane(message, raw, lane, mrn, encoding),
        other_lane=_patient_lane(message, "MRG-1", merged) or None if lane == "patient" else None,
        duplicate_basis=content_without_timestamp(raw),
        identifiers=_distinct(identifiers),
    )


def _hl7v2_lane(message: Glance | Message, raw: bytes, lane: str, mrn: str, encoding: str | None) -> str:
    match lane:
        case "patient":
            return _patient_lane(message, "PID-3", mrn) or _account_lane(message)
        case "account":
            return _account_lane(message) or _patient_lane(message, "PID-3", mrn)
        case "strict":
            return "strict"
        case "any":
            return _unique(raw)
        case path:
            return Message(raw, encoding=encoding)[path]


def _account_lane(message: Glance | Message) -> str:
    account = message["PID-18.1"]
    return f"account|{message['PID-18.4.1']}|{account}" if account else ""


def _patient_lane(message: Glance | Message, field: str, mrn: str) -> str:
    if not mrn:
        return ""
    authority = message[f"{field}[MR].4.1"] or message[f"{field}.4.1"]
    return f"patient|{authority}|{mrn}"


def _identifier(message: Glance | Message, field: str) -> str:
    """The medical record number in *field*; the first identifier where none is marked so."""
    return message.identifier(field, type="MR") or message[f"{field}.1"]


def _x12(raw: bytes, lane: str) -> Description:
    from hub.formats.x12.envelope import identify
    from hub.formats.x12.segments import read_segments

    kinds = identify(raw[:_HEAD])
    isa = next(iter(read_segments(raw[:_HEAD])))
    return Description(
        kind=kinds[0] if kinds else "X12",
        control_id=isa[13],
        sender=isa[6],
        lane=_unique(raw) if lane == "any" else "strict" if lane == "strict" else isa[6],
        duplicate_basis=raw,
        identifiers=_distinct([("interchange", isa[13])]),
    )


def _fhir(raw: bytes, lane: str) -> Description:
    from hub.formats.fhir.notification import summary
    from hub.formats.fhir.text import FhirError

    try:
        told = summary(raw)
    except FhirError:
        if _is_event(raw):  # what was fetched from a REST server beside FHIR, or a time of day
            return _json(raw, lane)
        raise
    return Description(
        kind=told.kind,
        control_id=told.control_id,
        sender=told.sender,
        lane="strict" if lane == "strict" else told.lane if told.lane and lane != "any" else _unique(raw),
        duplicate_basis=told.duplicate_basis,
        identifiers=told.identifiers,
    )


def _json(raw: bytes, lane: str) -> Description:
    event = Event.parse(raw)
    account = event["account"]
    by = {"strict": "strict", "any": _unique(raw), "patient": f"patient|{event['authority']}|{event['mrn']}"}
    return Description(
        kind=event.kind,
        control_id=event["result"] or event["id"],
        sender=event["payer_id"],
        lane=by.get(lane, f"account|{account}"),
        duplicate_basis=raw,
        identifiers=_distinct(
            [
                ("mrn", event["mrn"]),
                ("account", account),
                ("visit", event["visit_number"]),
                ("claim", event["control_number"]),
            ]
        ),
    )


def _is_event(raw: bytes) -> bool:
    try:
        event = Event.parse(raw)
    except HubError:
        return False
    return bool(event["event"]) and not event["resourceType"]


def _unique(raw: bytes) -> str:
    """A lane of its own for every message."""
    return hashlib.sha256(raw).hexdigest()


def _distinct(identifiers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((kind, text) for kind, text in identifiers if text))
