"""What athenahealth's notifications name, and what changed by night, to be read from its REST API."""

import datetime as dt
from collections.abc import Iterator

from hub.scripting import Event, Fetch, Get, Hold, Skip, mapping

from .interface import (
    APPOINTMENT,
    BOOKING,
    CHANGED_CLAIMS,
    CLAIM,
    CLAIMS_OF_PATIENT,
    HELD_FOR,
    INSURANCES,
    PATIENT,
    READ_FOR,
)


@mapping(accepts="Bundle/notification", returns=Fetch)
def fetch(event: Event) -> Iterator[Fetch | Hold | Skip]:
    """Ask for each record that the notification names."""
    for status in event.resources("SubscriptionStatus"):
        topic = status["topic"].rpartition("/")[2]
        for happened in status.each("notificationEvent"):
            number = happened["focus.identifier.value"]
            if topic in HELD_FOR:
                queue, reason = HELD_FOR[topic]
                yield Hold(happened, queue=queue, reason=reason)
            elif topic not in READ_FOR:
                yield Skip(happened, "nothing is read for this topic")
            elif not number.isalnum():
                yield Hold(happened, reason="The notification does not say which record it is about.")
            else:
                yield READS[READ_FOR[topic]](number)


@mapping(accepts="nightly", returns=Fetch)
def look_for_changes(event: Event) -> Fetch:
    """Ask which claims changed since yesterday: what a lost notification told of is found here."""
    today = dt.date.fromisoformat(event["day"])
    path = CHANGED_CLAIMS.format(first=as_they_write(today - dt.timedelta(days=1)), last=as_they_write(today))
    return Fetch(kind="changes", parts={"claims": Get(path, each="claims")})


@mapping(accepts="changes", returns=Fetch)
def fetch_changed(event: Event) -> Iterator[Fetch]:
    """Ask for each claim of a list."""
    for item in event.each("claims"):
        yield claim(item.required("claimid"))


def claim(number: str) -> Fetch:
    """A claim with its appointment, its patient and what insures them."""
    return Fetch(
        kind="claim",
        parts={
            "claim": Get(CLAIM.format(number=number)),
            "appointment": Get(APPOINTMENT, optional=True),
            "patient": Get(PATIENT),
            "insurances": Get(INSURANCES, each="insurances"),
        },
        keys={"account": number, "mrn": "{claim.patientid}", "visit_number": "{claim.appointmentid}"},
    )


def appointment(number: str) -> Fetch:
    """A booking."""
    return Fetch(
        kind="appointment",
        parts={"appointment": Get(BOOKING.format(number=number))},
        keys={"mrn": "{appointment.patientid}", "visit_number": number},
    )


def patient(number: str) -> Fetch:
    """Which claims a patient has, to read each of them anew with the patient and the insurances."""
    path = CLAIMS_OF_PATIENT.format(number=number)
    return Fetch(kind="changes", parts={"claims": Get(path, each="claims")}, keys={"mrn": number})


READS = {"claim": claim, "appointment": appointment, "patient": patient}


def as_they_write(day: dt.date) -> str:
    """MM/DD/YYYY, as it stands in an address."""
    return f"{day.month:02d}%2F{day.day:02d}%2F{day.year}"
