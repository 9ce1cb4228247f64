"""What may leave the store, by outcome and age, in slices that a journal can write between two messages.

Content and metadata leave apart: first what a message said, much later that it was there. Nothing unresolved leaves:
messages in progress, held or errored, messages with a delivery that is not settled, a work item that is open or a note
of their source. What claims, acknowledgements and remittances said stays longer. Claims, ledger, remittances, work
items, counters and the audit log (45 CFR 164.316(b)(2): six years) never leave. Reading finds candidates beside the
writer; each delete asks again, in its own transaction, whether they still may go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, exists, func, or_, select

from hub.core.clock import DAY_MS
from hub.core.ids import id_floor
from hub.store.identifiers import stretch_of
from hub.store.tables import (
    attempt,
    content,
    delivery,
    due,
    duplicate,
    identifier,
    message,
    rate,
    remittance,
    session,
    setting,
    source_note,
    work_item,
)

EVIDENCE = ("837P", "837I", "837D", "835", "999", "997", "277CA", "277", "TA1")
"""Kinds of messages that prove what was billed, when it was taken, and what was paid."""
TOKEN = "token "  # noqa: S105  how the settings that keep spent replay tokens begin
_SETTLED = ("delivered", "closed", "shadow")
_PAGE = 1000
_MOST_CHUNKS = 48
_MOST_BYTES = 1 << 18
_MOST_MESSAGES = 5
_MOST_EXPIRED = 100
_RATES_MS = 15 * DAY_MS  # two weeks to compare with, and the day on which that is done
_TOKENS_MS = 30 * DAY_MS
_REPORTS_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """How many milliseconds after a message was finished its parts are kept.

    Its content by outcome, or *evidence_ms* when it is one of :data:`EVIDENCE` or a remittance; its row, identifiers,
    deliveries and attempts *metadata_ms* (evidence: the longer of the two).
    """

    done_ms: int = 90 * DAY_MS
    filtered_ms: int = 30 * DAY_MS
    rejected_ms: int = 90 * DAY_MS
    evidence_ms: int = 3650 * DAY_MS
    metadata_ms: int = 730 * DAY_MS

    @property
    def shortest_ms(self) -> int:
        """The age below which nothing can leave."""
        return min(self.done_ms, self.filtered_ms, self.rejected_ms, self.evidence_ms, self.metadata_ms)


@dataclass(frozen=True, slots=True)
class Page:
    """Messages that may lose something, by sequence, and where to look next; *after* is None at the end."""

    sequences: tuple[int, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one slice removed. *again* are the messages that have more to lose."""

    chunks: int = 0
    messages: int = 0
    again: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Expired:
    """Keys of rows of *table* whose time has passed."""

    table: str
    keys: tuple[tuple[Any, ...], ...]


def candidates(connection: Connection, retention: Retention, now: int, after: int) -> Page:
    """The next messages after sequence *after* that may lose their content or themselves. Reads only."""
    rows = connection.execute(
        select(message.c.sequence, message.c.received_at, _losing(retention, now).label("losing"))
        .where(message.c.sequence > after)
        .order_by(message.c.sequence)
        .limit(_PAGE)
    ).all()
    found = tuple(row.sequence for row in rows if row.losing)
    over = len(rows) < _PAGE or rows[-1].received_at > now - retention.shortest_ms
    return Page(found, None if over else rows[-1].sequence)


def prune(connection: Connection, retention: Retention, now: int, sequences: Sequence[int]) -> Pruned:
    """Remove one slice of what the messages *sequences* may lose.

    Asks of each whether it still may. Content leaves chunk by chunk; a message itself only when none of its is left.
    """
    batch = sequences[:_MOST_MESSAGES]
    rows = connection.execute(
        select(
            message.c.sequence,
            message.c.raw_id,
            message.c.answer_id,
            message.c.mapped_id,
            _old(retention, now).label("old"),
        ).where(message.c.sequence.in_(batch), _losing(retention, now))
    ).all()
    taken, unfinished = _chunks(connection, rows)
    if taken:
        _delete(connection, content, taken)
    gone = [row.sequence for row in rows if row.old and row.sequence not in unfinished]
    if gone:
        _remove(connection, gone)
    return Pruned(len(taken), len(gone), (*sorted(unfinished), *sequences[_MOST_MESSAGES:]))


def expired(connection: Connection, now: int) -> list[Expired]:
    """Rows that only mattered for a time: a slice of each kind. Reads only."""
    found = []
    for table, condition in _expiring(now):
        keys = table.primary_key.columns
        rows = connection.execute(select(*keys).where(condition).limit(_MOST_EXPIRED)).all()
        if rows:
            found.append(Expired(table.name, tuple(tuple(row) for row in rows)))
    return found


def remove_expired(connection: Connection, now: int, found: Expired) -> bool:
    """Delete the rows of *found* whose time has still passed; whether there may be more of them."""
    for table, condition in _expiring(now):
        if table.name == found.table:
            _delete(connection, table, found.keys, condition)
    return len(found.keys) == _MOST_EXPIRED


def give_back_pages(connection: Connection, most: int) -> int:
    """Give up to *most* free pages back to the disk, for SQLite; how many were given.

    The pragma's argument would be ignored: the driver takes one step of it, and each step is a page.
    """
    if connection.dialect.name != "sqlite":
        return 0
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
    given = min(free, most)
    for _ in range(given):
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return given


def _chunks(connection: Connection, rows: Sequence[Any]) -> tuple[list[tuple[int, int]], set[int]]:
    """The chunks that this slice removes, and the sequences of the messages that have more.

    Raw bytes go last: while they are there a message has something to lose.
    """
    owner = _contents(connection, rows)
    raws = {row.raw_id for row in rows}
    found = connection.execute(
        select(content.c.id, content.c.ordinal, func.length(content.c.body)).where(content.c.id.in_(owner))
    ).all()
    taken: list[tuple[int, int]] = []
    unfinished: set[int] = set()
    room = _MOST_BYTES
    for content_id, ordinal, size in sorted(found, key=lambda chunk: (chunk[0] in raws, chunk[0], chunk[1])):
        if taken and (room < size or len(taken) == _MOST_CHUNKS):
            room = 0
            unfinished.add(owner[content_id])
        else:
            taken.append((content_id, ordinal))
            room -= size
    return taken, unfinished


def _contents(connection: Connection, rows: Sequence[Any]) -> dict[int, int]:
    """The sequence of its message by the id of each content that *rows* of messages own."""
    sent = connection.execute(
        select(delivery.c.id, delivery.c.body_id, delivery.c.message_sequence).where(
            delivery.c.message_sequence.in_([row.sequence for row in rows])
        )
    ).all()
    message_of = {each.id: each.message_sequence for each in sent}
    answers = connection.execute(
        select(attempt.c.delivery_id, attempt.c.answer_id).where(
            attempt.c.delivery_id.in_(message_of), attempt.c.answer_id.is_not(None)
        )
    )
    owner = {each.body_id: each.message_sequence for each in sent}
    owner |= {answer_id: message_of[delivery_id] for delivery_id, answer_id in answers}
    for row in rows:
        owner |= dict.fromkeys({row.raw_id, row.answer_id, row.mapped_id} - {None}, row.sequence)
    return owner


def _delete(
    connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]], *conditions: ColumnElement[bool]
) -> None:
    """Delete by primary key, one by one: SQLite would read the whole table for a list of row values."""
    columns = table.primary_key.columns
    names = [f"key_{number}" for number, _ in enumerate(columns)]
    mine = [column == bindparam(name) for column, name in zip(columns, names, strict=True)]
    statement = delete(table).where(*mine, *conditions)
    connection.execute(statement, [dict(zip(names, key, strict=True)) for key in keys])


def _remove(connection: Connection, sequences: Sequence[int]) -> None:
    mine = select(delivery.c.id).where(delivery.c.message_sequence.in_(sequences))
    connection.execute(delete(attempt).where(attempt.c.delivery_id.in_(mine)))
    connection.execute(delete(delivery).where(delivery.c.message_sequence.in_(sequences)))
    stretches = {stretch_of(sequence) for sequence in sequences}
    connection.execute(
        delete(identifier).where(identifier.c.stretch.in_(stretches), identifier.c.message_sequence.in_(sequences))
    )
    connection.execute(delete(message).where(message.c.sequence.in_(sequences)))


def _losing(retention: Retention, now: int) -> ColumnElement[bool]:
    """Whether a message may lose something that is there."""
    has_content = exists().where(content.c.id == message.c.raw_id)
    open_item = exists().where(work_item.c.message_id == message.c.id, work_item.c.state == "open")
    unsettled = exists().where(delivery.c.message_sequence == message.c.sequence, delivery.c.state.not_in(_SETTLED))
    noted = exists().where(source_note.c.message_id == message.c.id)
    said = and_(has_content, _content_old(retention, now))
    return and_(or_(said, _old(retention, now)), ~open_item, ~unsettled, ~noted)


def _content_old(retention: Retention, now: int) -> ColumnElement[bool]:
    evidence = _is_evidence()
    by_outcome = or_(
        *(
            and_(message.c.onward == outcome, message.c.finished_at < now - age)
            for outcome, age in (
                ("done", retention.done_ms),
                ("filtered", retention.filtered_ms),
                ("rejected", retention.rejected_ms),
            )
        )
    )
    longest = and_(_finished(), message.c.finished_at < now - retention.evidence_ms)
    return or_(and_(evidence, longest), and_(~evidence, by_outcome))


def _old(retention: Retention, now: int) -> ColumnElement[bool]:
    """Whether a message's row may go, once its content has."""
    evidence = _is_evidence()
    longer = max(retention.evidence_ms, retention.metadata_ms)
    age = or_(
        and_(evidence, message.c.finished_at < now - longer),
        and_(~evidence, message.c.finished_at < now - retention.metadata_ms, _content_old(retention, now)),
    )
    return and_(_finished(), age)


def _finished() -> ColumnElement[bool]:
    return message.c.onward.in_(("done", "filtered", "rejected"))


def _is_evidence() -> ColumnElement[bool]:
    return or_(message.c.kind.in_(EVIDENCE), exists().where(remittance.c.message_id == message.c.id))


def _expiring(now: int) -> list[tuple[Table, ColumnElement[bool]]]:
    return [
        (duplicate, duplicate.c.expires_at < now),
        (session, session.c.expires_at < now),
        (source_note, and_(source_note.c.until_at < now, source_note.c.sentence == "")),
        (rate, rate.c.minute < (now - _RATES_MS) // 60_000),
        # instants of 13 digits, compared as the texts they are: other settings are no numbers
        (setting, and_(setting.c.name.startswith(TOKEN), setting.c.value < str(now - _TOKENS_MS))),
        (
            due,
            and_(due.c.done, due.c.business_at == 0, due.c.kind == "delivered", due.c.id < id_floor(now - _REPORTS_MS)),
        ),
    ]
