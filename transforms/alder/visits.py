"""Registrations, admissions, transfers, their updates and their end, and what takes them back (ADT) as visits."""

from hub.scripting import Message, Skip, Visit, mapping

from .people import accident, clinicians, coverage, patient, weight
from .stays import stay

EVENTS = [f"ADT^{event}" for event in ("A01", "A03", "A04", "A06", "A07", "A08", "A11", "A13")]


@mapping(accepts=EVENTS, returns=Visit)
def visit(message: Message) -> Visit:
    """One visit per account; A11, which knows no insurance, takes it back. Without an IN1 the patient pays alone."""
    cancelled = message.type == "ADT^A11"
    times = message.fields({"as_of": "MSH-7.1 | datetime", "visit_date": "PV1-44.1 | date"})
    return Visit(
        account=message.required("PID-18.1"),
        visit_number=message["PV1-19.1"],
        patient=patient(message),
        as_of=times["as_of"].isoformat() if times["as_of"] else "",
        visit_date=times["visit_date"],
        patient_class=message["PV1-2"] or "O",
        department=message["PV1-3.1"],
        attending_npi=message["PV1-7[.13=NPI].1"],
        referring_npi=message["PV1-8[.13=NPI].1"],
        clinicians=clinicians(message, "PV1-7", "PV1-8", "PR1-11"),
        accident=accident(message),
        prior_authorisation=message["IN1-14.1"],
        weight=weight(message),
        stay=stay(message),
        coverages=None if cancelled else tuple(coverage(line) for line in message.each("IN1")),
        procedures=charged_for(message),
        cancelled=cancelled,
    )


@mapping(accepts=["ADT^A02", "ADT^A12"], returns=Visit)
def transfer(message: Message) -> Skip:
    """A transfer is kept, but said to nobody."""
    return Skip(message, "a transfer tells neither diagnoses nor insurance")


def charged_for(message: Message) -> tuple[str, ...]:
    """The procedures that must be charged; those of a stay (ICD-10-PCS) are charged by revenue code."""
    return tuple(line["PR1-3.1"] for line in message.each("PR1") if line["PR1-3.3"] != "I10P")
