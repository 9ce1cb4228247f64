"""Bookings, kept so that a kept appointment without a charge can be found."""

from hub.scripting import Appointment, Event, Skip, mapping, table

from .interface import AUTHORITY, NO_SHOW, OPEN_SLOT, STATES
from .people import as_of, day, npi

DEPARTMENTS = table("athena/departments.csv", key="department")


@mapping(accepts="appointment", returns=Appointment)
def appointment(event: Event) -> Appointment | Skip:
    """One appointment as it stands now, in the practice's own time."""
    status = event["appointment.appointmentstatus"]
    if status == OPEN_SLOT or not event["appointment.patientid"]:
        return Skip(event, "an open slot is nobody's appointment")
    department = DEPARTMENTS.get(event["appointment.departmentid"])
    state = STATES.get(status, "booked")
    return Appointment(
        appointment=event.required("appointment.appointmentid"),
        mrn=event["appointment.patientid"],
        authority=AUTHORITY,
        starts=f"{day(event['appointment.date'])}T{event['appointment.starttime'] or '00:00'}",
        state="no show" if state == "cancelled" and event[f"appointment.{NO_SHOW}"] == "true" else state,
        department=department["code"] if department else "",
        provider_npi=npi(event, ("appointment.providerid",)),
        as_of=as_of(event),
    )
