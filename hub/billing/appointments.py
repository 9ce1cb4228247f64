"""Bookings, kept so that a kept appointment without a charge can be found."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hub.billing import patients
from hub.billing.decision import Decision
from hub.billing.values import Appointment
from hub.core.codec import to_plain
from hub.store.changes import Row


def book(decision: Decision, said: Appointment) -> None:
    """Make or bring up to date the appointment that *said* names by its source's own id.

    What is older than the last that was said changes nothing.
    """
    digest = decision.vault.digest("appointment", f"{decision.channel}|{said.appointment}")
    patient = patients.find(decision, said.authority, said.mrn) if said.mrn else None
    values = {
        "patient_id": patient["id"] if patient else None,
        "starts_at": _starts_at(decision, said.starts),
        "state": said.state,
    }
    row = decision.row("appointment", digest=digest)
    body = to_plain(said)
    if row is None:
        decision.insert(
            "appointment",
            id=decision.ids.next(),
            **decision.owner(),
            digest=digest,
            **values,
            body=decision.seal("appointment", body),
        )
    elif _is_older(decision, said, row):
        decision.count("stale updates")
    elif decision.unseal("appointment", row["body"]) != body or row["patient_id"] != values["patient_id"]:
        decision.update("appointment", row, **values, body=decision.seal("appointment", body))


def _is_older(decision: Decision, said: Appointment, row: Row) -> bool:
    known = decision.unseal("appointment", row["body"]).get("as_of", "")
    return bool(said.as_of) and patients.moment(decision, said.as_of) < patients.moment(decision, known)


def _starts_at(decision: Decision, text: str) -> int:
    """The instant of a start; 0 when the source gave none that can be read."""
    try:
        starts = datetime.fromisoformat(text)
    except ValueError:
        return 0
    if starts.tzinfo is None:
        starts = starts.replace(tzinfo=ZoneInfo(decision.config.practice.time_zone))
    return int(starts.timestamp() * 1000)
