"""Patient merges: A40, and A18 and A34 of older interfaces."""

from collections.abc import Iterator

from hub.scripting import Merge, Message, mapping

from .people import patient, record_number


@mapping(accepts=["ADT^A18", "ADT^A34", "ADT^A40"], returns=Merge)
def merge(message: Message) -> Iterator[Merge]:
    """Yield one merge for each MRG. PID is the survivor, MRG-1 the number that is retired."""
    survivor = patient(message)
    for line in message.each("MRG"):
        retired, authority = record_number(line, "MRG-1")
        yield Merge(
            survivor=survivor,
            retired_mrn=retired or line.required("MRG-1.1"),
            retired_authority=authority or line["MRG-1.4.1"],
        )
