"""Scheduling messages (SIU) as appointments."""

from hub.scripting import Appointment, Message, mapping, table

from .interface import VISIT_DEPARTMENT
from .people import department, npi, record_number

STATUSES = table("epic/appointment_statuses.csv", key="status")
EVENTS = {"SIU^S15": "cancelled", "SIU^S16": "cancelled", "SIU^S17": "cancelled", "SIU^S26": "no show"}
KINDS = ["SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S16", "SIU^S17", "SIU^S26"]


@mapping(accepts=KINDS, returns=Appointment)
def appointment(message: Message) -> Appointment:
    """One appointment. Its state is the event's; where that says only "changed", the status of SCH-25 decides."""
    starts = message.fields({"slot": "SCH-11.4 | datetime", "service": "AIS-4 | datetime"})
    start = starts["slot"] or starts["service"]
    status = STATUSES.get(message["SCH-25.1"].upper())
    number, authority = record_number(message)
    return Appointment(
        appointment=message["SCH-2.1"] or message.required("SCH-1.1"),
        mrn=number,
        authority=authority,
        starts=start.isoformat() if start else "",
        state=EVENTS.get(message.type) or (status["state"] if status else "booked"),
        department=department(message[VISIT_DEPARTMENT] or message["AIL-3.1"]),
        provider_npi=npi(message, "AIP-3") or npi(message, "PV1-7"),
    )
