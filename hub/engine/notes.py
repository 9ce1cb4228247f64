"""What a source keeps beside a message, in the transaction that stores it, and finds again after a restart.

A message that a note stands beside keeps its content. A note whose time has passed goes by itself; where somebody has
to know that, a work item tells a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, select, update

from hub.engine.contracts import Followed, Note, Noted
from hub.store.tables import source_note, work_item

OpenItem = Callable[..., dict[str, Any]]
"""Makes a row of `work_item`; see :func:`hub.engine.items.open_item`."""
_MOST_TOLD = 50
_GIVEN_UP = 0


def write_notes(connection: Connection, channel: str, message_id: int, notes: Iterable[Note | Followed]) -> None:
    """Keep *notes* beside the message. One of the same name is replaced; one of the same message only lasts longer."""
    for note in notes:
        match note:
            case Note():
                _keep(connection, channel, message_id, note)
            case Followed(kind, names, until):
                connection.execute(
                    update(source_note)
                    .where(_is(channel, kind), source_note.c.name.in_(names))
                    .values(sentence="", until_at=until)
                )


def take_up(connection: Connection, channel: str, kind: str, until: int | None) -> list[Noted]:
    """The notes of *kind* that *channel* has, newest message first; with *until* they last until then at least.

    Those that :func:`lose_note` gave up are not among them.
    """
    if until is not None:
        _prolong(connection, channel, kind, until)
    mine = (_is(channel, kind), source_note.c.until_at > _GIVEN_UP)
    rows = connection.execute(select(source_note).where(*mine).order_by(source_note.c.message_id.desc())).all()
    return [Noted(row.name, row.message_id, row.text, row.until_at, not row.sentence) for row in rows]


def end_note(connection: Connection, message_id: int) -> None:
    """What the note that is named after that message waited for has happened."""
    connection.execute(delete(source_note).where(_named_after(message_id)))


def lose_note(connection: Connection, message_id: int, sentence: str) -> None:
    """What that note waited for does not happen any more: a person is told so by *sentence*."""
    lost = {"sentence": sentence, "until_at": _GIVEN_UP}
    connection.execute(update(source_note).where(_named_after(message_id)).values(**lost))


def stick_notes(
    connection: Connection, channel: str, kind: str, sentence: Callable[[int], str], until: int, open_item: OpenItem
) -> None:
    """Tell a person by one work item that the notes of *kind* wait, and make them last until *until* at least.

    *sentence* gets their number. An item that was resolved opens again.
    """
    _prolong(connection, channel, kind, until)
    mine = (_is(channel, kind), source_note.c.until_at > _GIVEN_UP)
    counted = select(func.count(), func.min(source_note.c.message_id)).where(*mine)
    count, oldest = connection.execute(counted).one()
    if count:
        _tell(connection, _stuck_key(channel, kind), f"stuck {_word(kind)}", sentence(count), oldest, open_item)


def free_notes(connection: Connection, channel: str, kind: str) -> None:
    """What the notes of *kind* waited for happens again: the work item of :func:`stick_notes` is resolved."""
    mine = (work_item.c.item_key == _stuck_key(channel, kind), work_item.c.state == "open")
    over = {"state": "resolved", "resolution": "all sent", "version": work_item.c.version + 1}
    connection.execute(update(work_item).where(*mine).values(**over))


def is_lost(connection: Connection, now: int) -> bool:
    """Whether there are notes that a person is to be told of. Reads only."""
    return connection.execute(select(source_note.c.name).where(*_lost(now)).limit(1)).first() is not None


def tell_lost(connection: Connection, now: int, open_item: OpenItem) -> bool:
    """Tell a person of notes whose time has passed with nothing that followed; whether there may be more of them."""
    rows = connection.execute(select(source_note).where(*_lost(now)).limit(_MOST_TOLD)).all()
    for row in rows:
        kind = f"lost {_word(row.kind)}"
        _tell(connection, f"{kind}/{row.message_id}", kind, row.sentence, row.message_id, open_item)
        connection.execute(delete(source_note).where(_is(row.channel, row.kind), source_note.c.name == row.name))
    return len(rows) == _MOST_TOLD


def _tell(connection: Connection, key: str, kind: str, sentence: str, message_id: int, open_item: OpenItem) -> None:
    """Say *sentence* in the work item of *key*, which is open from now on."""
    item = open_item(queue="messages", key=key, kind=kind, sentence=sentence, message_id=message_id)
    opened = case((work_item.c.state == "open", work_item.c.opened_business_at), else_=item["opened_business_at"])
    again = {"state": "open", "resolution": "", "sentence": sentence, "message_id": message_id}
    said = update(work_item).where(work_item.c.item_key == key)
    said = said.values(**again, opened_business_at=opened, version=work_item.c.version + 1)
    if not connection.execute(said).rowcount:
        connection.execute(insert(work_item), item)


def _prolong(connection: Connection, channel: str, kind: str, until: int) -> None:
    lasting = (_is(channel, kind), source_note.c.until_at > _GIVEN_UP, source_note.c.until_at < until)
    connection.execute(update(source_note).where(*lasting).values(until_at=until))


def _word(kind: str) -> str:
    return kind.partition(" ")[0]


def _stuck_key(channel: str, kind: str) -> str:
    return f"stuck {kind}/{channel}"


def _keep(connection: Connection, channel: str, message_id: int, note: Note) -> None:
    name = note.name or str(message_id)
    mine = (_is(channel, note.kind), source_note.c.name == name)
    of_same = source_note.c.message_id == message_id
    values = {"message_id": message_id, "text": note.text, "until_at": note.until}
    # A repeat of a message that was followed does not lose what followed it.
    sentence = case((and_(of_same, source_note.c.sentence == ""), ""), else_=note.sentence)
    if not connection.execute(update(source_note).where(*mine).values(**values, sentence=sentence)).rowcount:
        row = {"channel": channel, "kind": note.kind, "name": name, **values, "sentence": note.sentence}
        connection.execute(insert(source_note), row)


def _lost(now: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return source_note.c.until_at < now, source_note.c.sentence != ""


def _is(channel: str, kind: str) -> ColumnElement[bool]:
    return and_(source_note.c.channel == channel, source_note.c.kind == kind)


def _named_after(message_id: int) -> ColumnElement[bool]:
    return and_(source_note.c.message_id == message_id, source_note.c.name == str(message_id))
