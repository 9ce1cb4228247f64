"""Interchanges that billing has batched, to the partner that they name."""

from hub.scripting import Hold, Outgoing, X12File, mapping

DESTINATIONS = {"CLEARWAY01": "clearway", "GRANITE01": "granite"}


@mapping(accepts=["837P", "837I"], returns=Outgoing)
def route(file: X12File) -> Outgoing | Hold:
    """Send the file, byte for byte, where ISA08 says; its name is unique by the interchange control number."""
    destination = DESTINATIONS.get(file.receiver)
    if destination is None:
        return Hold(file, reason="No destination of this channel is that receiver.")
    return Outgoing(
        kind=file.kinds[0],
        body=file.raw,
        name=f"{file.sender}_{file.control_number}.837",
        to=destination,
    )
