"""Patient merges (ADT A40): the record numbers of MRG are the patient of PID from now on."""

from collections.abc import Iterator

from hub.scripting import Merge, Message, mapping

from .people import patient


@mapping(accepts="ADT^A40", returns=Merge)
def merge(message: Message) -> Iterator[Merge]:
    """Yield one merge for each MRG. PID is the survivor, MRG-1 the number that is retired."""
    survivor = patient(message)
    for line in message.each("MRG"):
        yield Merge(
            survivor=survivor,
            retired_mrn=line.identifier("MRG-1", type="MR") or line.required("MRG-1.1"),
            retired_authority=line["MRG-1.4.1"],
        )
