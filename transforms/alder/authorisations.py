"""What insurers authorised beforehand, as registrations tell it: AUT behind its IN1."""

from collections.abc import Iterator

from hub.scripting import Authorisation, AuthorisedService, Message, mapping

FIELDS = {"effective": "AUT-4.1 | date", "expires": "AUT-5.1 | date"}
TREATMENTS = {"units": "AUT-9 | number"}


@mapping(accepts=["ADT^A01", "ADT^A04", "ADT^A08"], returns=Authorisation)
def authorisations(message: Message) -> Iterator[Authorisation]:
    """Yield one authorisation for each AUT that has a number: for how many treatments, and on which days."""
    as_of = message.fields({"as_of": "MSH-7.1 | datetime"})["as_of"]
    for insurance in message.each("IN1"):
        for line in insurance.following("AUT"):
            if not line["AUT-6.1"]:
                continue
            treatments = line.fields(TREATMENTS)["units"]
            yield Authorisation(
                number=line["AUT-6.1"],
                mrn=message.identifier("PID-3", type="MR") or "",
                authority=message["PID-3[MR].4.1"],
                payer_id=insurance["IN1-3.1"],
                services=(AuthorisedService(units=treatments),) if treatments is not None else (),
                as_of=as_of.isoformat() if as_of else "",
                **line.fields(FIELDS),
            )
