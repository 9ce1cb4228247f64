"""A claim of athenahealth as the visit that billing knows."""

from hub.scripting import Event, Visit, mapping, table

from .interface import PERFORMER, REFERRAL, SERVICE_DATE, SUPERVISOR, TRANSACTION
from .people import as_of, coverages, day, npi, patient

DEPARTMENTS = table("athena/departments.csv", key="department")


@mapping(accepts="claim", returns=Visit)
def visit(event: Event) -> Visit:
    """One visit for each claim, with its patient, the insurances and the list of its charges."""
    department = DEPARTMENTS.get(event["claim.departmentid"])
    return Visit(
        account=event.required("claim.claimid"),
        visit_number=event["claim.appointmentid"],
        patient=patient(event),
        as_of=as_of(event),
        visit_date=day(event["appointment.date"]) or day(event[SERVICE_DATE]),
        department=department["code"] if department else "",
        attending_npi=npi(event, PERFORMER),
        supervising_npi=npi(event, (SUPERVISOR,)),
        referral_number=event[REFERRAL],
        coverages=coverages(event),
        charged=tuple(event.all(f"claim.procedures[*].{TRANSACTION}")),
    )
