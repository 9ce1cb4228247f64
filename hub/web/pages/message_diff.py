"""The tab *Diff* of a message: any two of its contents, and of the messages that it is linked to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hub.store.contents import read_content
from hub.web.call import Call
from hub.web.content import values_as_json
from hub.web.differences import Difference, difference
from hub.web.queries import messages
from hub.web.subjects import patients_in


@dataclass(frozen=True, slots=True)
class Source:
    """A content that can be compared: its word in addresses (the content's id), what it is, the message it is of."""

    key: str
    title: str
    message_id: int


@dataclass(frozen=True, slots=True)
class DiffView:
    """What the tab shows: the choices, the two chosen, and how they differ; None when one of them is not kept."""

    sources: tuple[Source, ...]
    first: str
    second: str
    found: Difference | None


def diff_view(call: Call, connection: Connection, detail: messages.MessageDetail) -> DiffView:
    """The two contents that the address names; at first the raw message and what the mapping made of it."""
    sources = list(_sources(connection, detail, ""))
    for linked in [detail.parent_id, *(child.id for child in messages.children(connection, detail.id)[:5])]:
        other = messages.get(connection, linked) if linked is not None else None
        if other is not None and call.sees(other.channel):
            sources += _sources(connection, other, f"{other.relation or 'linked'} {other.control_id or other.id}: ")
    keys = [source.key for source in sources]
    first = call.query.get("from", "") if call.query.get("from", "") in keys else keys[0]
    second = call.query.get("to", "") if call.query.get("to", "") in keys else keys[min(1, len(keys) - 1)]
    for source in sources:  # the look at this message is recorded already
        if source.key in {first, second} and source.message_id != detail.id:
            patients = _patients(call, connection, int(source.key))
            call.look("message", source.message_id, patients=patients, always=False)
    try:
        bodies = [values_as_json(read_content(connection, call.site.vault, int(key))) for key in (first, second)]
    except KeyError:
        return DiffView(tuple(sources), first, second, None)
    return DiffView(tuple(sources), first, second, difference(*bodies))


def _patients(call: Call, connection: Connection, content_id: int) -> tuple[int, ...]:
    try:
        return patients_in(connection, call.site.vault, read_content(connection, call.site.vault, content_id))
    except KeyError:
        return ()


def _sources(connection: Connection, detail: messages.MessageDetail, prefix: str) -> list[Source]:
    def source(content_id: int, title: str) -> Source:
        return Source(str(content_id), f"{prefix}{title}", detail.id)

    found = [source(detail.raw_id, "raw, as it came in")]
    if detail.mapped_id is not None:
        found.append(source(detail.mapped_id, "mapped"))
    if detail.answer_id is not None:
        found.append(source(detail.answer_id, "what we answered"))
    for delivery in messages.deliveries(connection, detail.sequence)[:20]:
        name = f" ({delivery.name})" if delivery.name else ""
        found.append(source(delivery.body_id, f"outgoing to {delivery.destination}, {delivery.kind}{name}"))
        found += [
            source(each.answer_id, f"answer of {delivery.destination}, attempt {each.number}")
            for each in delivery.tries
            if each.answer_id is not None
        ]
    return found
