"""Bookings (SIU) as appointments."""

from hub.scripting import Appointment, Message, mapping

STATES = {"SIU^S15": "cancelled", "SIU^S26": "no show"}


@mapping(accepts=["SIU^S12", "SIU^S13", "SIU^S14", "SIU^S15", "SIU^S26"], returns=Appointment)
def appointment(message: Message) -> Appointment:
    """One appointment, named by the scheduling system's own id; later messages of that id change it."""
    start = message.fields({"starts": "SCH-11.4 | datetime"})["starts"]
    return Appointment(
        appointment=message["SCH-2.1"] or message.required("SCH-1.1"),
        mrn=message.identifier("PID-3", type="MR") or "",
        authority=message["PID-3[MR].4.1"],
        starts=start.isoformat() if start else "",
        state=STATES.get(message.type, "booked"),
        department=message["PV1-3.1"],
        provider_npi=message["AIP-3[.13=NPI].1"] or message["PV1-7[.13=NPI].1"],
    )
