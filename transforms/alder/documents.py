"""Notes as the EHR writes and signs them (MDM): claims wait for those of their visit."""

from hub.scripting import Document, Message, mapping

SIGNED = {"AU", "LA"}  # TXA-17: authenticated, legally authenticated


@mapping(accepts="MDM^T*", returns=Document)
def document(message: Message) -> Document:
    """One note, named by the EHR's own id; later messages of that id change it, and T11 takes it back."""
    as_of = message.fields({"as_of": "MSH-7.1 | datetime"})["as_of"]
    state = "signed" if message["TXA-17"] in SIGNED else "unsigned"
    return Document(
        document=message.required("TXA-12.1"),
        account=message.required("PID-18.1"),
        mrn=message.identifier("PID-3", type="MR") or "",
        authority=message["PID-3[MR].4.1"],
        state="withdrawn" if message.type == "MDM^T11" else state,
        as_of=as_of.isoformat() if as_of else "",
    )
