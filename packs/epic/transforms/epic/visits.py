"""Registrations, admissions, their updates and their end (ADT) as visits."""

from hub.scripting import Message, Visit, mapping

from .interface import ACCOUNT, VISIT_DEPARTMENT, VISIT_NUMBER
from .people import clinicians, coverage, department, first, npi, patient

EVENTS = [f"ADT^{event}" for event in ("A01", "A02", "A03", "A04", "A06", "A07", "A08", "A11", "A12", "A13")]


@mapping(accepts=EVENTS, returns=Visit)
def visit(message: Message) -> Visit:
    """One visit per account; A11 takes it back. A message without IN1 says nothing of insurance."""
    times = message.fields({"as_of": "EVN-2.1 | datetime", "sent": "MSH-7.1 | datetime", "on": "PV1-44.1 | date"})
    as_of = times["as_of"] or times["sent"]
    insurances = message.each("IN1")
    return Visit(
        account=message.required(ACCOUNT),
        visit_number=first(message, VISIT_NUMBER),
        patient=patient(message),
        as_of=as_of.isoformat() if as_of else "",
        visit_date=times["on"],
        patient_class=message["PV1-2"] or "O",
        department=department(message[VISIT_DEPARTMENT]),
        attending_npi=npi(message, "PV1-7"),
        referring_npi=npi(message, "PV1-8"),
        clinicians=clinicians(message, "PV1-7", "PV1-8"),
        prior_authorisation=message["IN1-14.1"],
        coverages=tuple(coverage(line) for line in insurances) if insurances else None,
        cancelled=message.type == "ADT^A11",
    )
