"""Messages: searching by key, and everything about one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, literal, literal_column, select, union, union_all

from hub.core.ids import id_floor
from hub.core.vault import Vault
from hub.store.identifiers import identified
from hub.store.tables import attempt, batch, claim, delivery, message, remittance
from hub.web.queries.distinct import distinct

PAGE = 50
_RECENT = 500
_SELDOM = ("owed", "undelivered")
"""Answers that have an index of their own."""
_PIECE = 100_000
_LONG = 0.25
"""How long, in seconds, a search goes on that has to read messages to know whether they are meant."""
SEARCHED_KINDS = ("mrn", "account", "name", "claim", "payer", "trace", "visit", "member")
IMPERSONAL_KINDS = frozenset({"claim", "payer", "trace"})


@dataclass(frozen=True, slots=True)
class Search:
    """What a message list shows.

    *since_ms* and *until_ms* are 0 for any time; *before* and *after* are sequences (keyset pages); *within* are the
    channels that whoever searches may see, empty for all.
    """

    text: str = ""
    channel: str = ""
    kind: str = ""
    onward: str = ""
    answer: str = ""
    since_ms: int = 0
    until_ms: int = 0
    before: int | None = None
    after: int | None = None
    within: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One line of the list."""

    sequence: int
    id: int
    channel: str
    kind: str
    control_id: str
    received_at: int
    onward: str
    answer: str
    reason: str
    size: int
    flags: str
    relation: str


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Rows, newest first, and whether there are newer and older ones.

    *reached* is the sequence at which a long search stopped, to be gone on with from there; None when it ended.
    """

    rows: tuple[MessageRow, ...]
    newer: bool
    older: bool
    reached: int | None = None

    @property
    def oldest(self) -> int | None:
        """Before which sequence older ones begin."""
        return self.reached or (self.rows[-1].sequence if self.rows else None)


@dataclass(frozen=True, slots=True)
class MessageDetail:
    """One message's metadata."""

    sequence: int
    id: int
    channel: str
    bundle: str
    kind: str
    control_id: str
    sender: str
    source: str
    received_at: int
    received_on: str
    finished_at: int | None
    size: int
    onward: str
    answer: str
    reason: str
    reason_code: str
    flags: str
    parent_id: int | None
    relation: str
    raw_id: int
    answer_id: int | None
    mapped_id: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver."""

    number: int
    started_at: int
    ended_at: int | None
    outcome: str
    reason: str
    actor: str
    answer_id: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One output of a message, with its attempts."""

    id: int
    destination: str
    kind: str
    name: str
    state: str
    attempts: int
    due_at: int
    reason: str
    created_at: int
    finished_at: int | None
    body_id: int
    tries: tuple[Attempt, ...]


def digests_of(vault: Vault, text: str) -> list[tuple[str, bytes]]:
    """The blind indexes that *text* may stand in, by kind.

    A name may be written with or without its comma.
    """
    spellings = {text.strip(), " ".join(text.replace(",", " ").split()), text.replace(",", "^").replace(" ", "")}
    names = [("name", vault.digest("name", spelling)) for spelling in sorted(spellings)]
    return [(kind, vault.digest(kind, text)) for kind in SEARCHED_KINDS if kind != "name"] + names


def search_statement(search: Search, digests: list[tuple[str, bytes]], first_sequence: int, limit: int) -> Select[Any]:
    """The statement behind :func:`find`, for the test of its query plan."""
    conditions = [message.c.sequence >= first_sequence] if first_sequence else []
    if search.within:
        conditions.append(message.c.channel.in_(search.within))
    for column, wanted in (
        (message.c.channel, search.channel),
        (message.c.kind, search.kind),
        (message.c.onward, search.onward),
        (message.c.answer, search.answer),
    ):
        if wanted:
            conditions.append(column == wanted)
    if search.answer in _SELDOM:  # in the words of the index, which holds no others
        conditions.append(message.c.answer.in_([literal_column(f"'{word}'") for word in _SELDOM]))
    if search.text:
        by_control = select(message.c.sequence).where(
            message.c.control_id >= search.text, message.c.control_id < search.text + "\U0010ffff"
        )
        conditions.append(message.c.sequence.in_(union(by_control, *identified(digests)).scalar_subquery()))
    if search.after is not None:
        conditions.append(message.c.sequence > search.after)
        order = message.c.sequence.asc()
    else:
        order = message.c.sequence.desc()
    if search.before is not None:
        conditions.append(message.c.sequence < search.before)
    return select(message).where(and_(True, *conditions)).order_by(order).limit(limit)


def find(
    connection: Connection,
    search: Search,
    digests: list[tuple[str, bytes]],
    clock: Callable[[], float] = time.monotonic,
) -> MessagePage:
    """One page of what *search* finds, newest first.

    A search that no index answers goes through the messages piece by piece, and stops when it has taken long.
    """
    first = first_sequence_since(connection, search.since_ms) if search.since_ms else 0
    if first is None:
        return MessagePage((), newer=False, older=False)
    search = _until(connection, search)
    if search.after is not None or search.text or _is_indexed(search):
        found, reached = connection.execute(search_statement(search, digests, first, PAGE + 1)).all(), None
    else:
        found, reached = _piecewise(connection, search, first, clock)
    more, rows = len(found) > PAGE, _explained(connection, [_row(row) for row in found[:PAGE]])
    if search.after is not None:
        return MessagePage(tuple(reversed(rows)), newer=more, older=True)
    return MessagePage(tuple(rows), newer=search.before is not None, older=more or reached is not None, reached=reached)


def _until(connection: Connection, search: Search) -> Search:
    """*search* with its last moment as a sequence, too."""
    after = first_sequence_since(connection, search.until_ms) if search.until_ms else None
    if after is None:
        return search
    return replace(search, before=min(after, search.before or after))


def _is_indexed(search: Search) -> bool:
    """Whether one index holds everything that *search* asks for, in order of arrival."""
    asked = {name for name in ("channel", "kind", "onward", "answer") if getattr(search, name)}
    if (search.within and not search.channel) or search.answer not in {"", *_SELDOM}:
        return False
    return len(asked) < 2 or asked == {"channel", "onward"}


def _piecewise(
    connection: Connection, search: Search, first: int, clock: Callable[[], float]
) -> tuple[list[Row[Any]], int | None]:
    """Up to a page and one of what *search* finds from *first* on, newest first, and where the search stopped early."""
    found: list[Row[Any]] = []
    end = clock() + _LONG
    above = search.before or newest_sequence(connection) + 1
    while above > first:
        below = max(first, above - _PIECE)
        piece = replace(search, before=above)
        found += connection.execute(search_statement(piece, [], below, PAGE + 1 - len(found)))
        above = below
        if len(found) > PAGE:
            return found, None
        if clock() > end and above > first:
            return found, above
    return found, None


def everything(
    connection: Connection, search: Search, digests: list[tuple[str, bytes]], at_most: int
) -> list[MessageRow]:
    """All that *search* finds, oldest first, *at_most* of the oldest."""
    first = first_sequence_since(connection, search.since_ms) if search.since_ms else 0
    if first is None:
        return []
    search = _until(connection, search)
    statement = search_statement(search, digests, first, at_most).order_by(None).order_by(message.c.sequence)
    return _explained(connection, [_row(row) for row in connection.execute(statement)])


def first_sequence_since(connection: Connection, since_ms: int) -> int | None:
    """The sequence of the first message of *since_ms* or later, found through the ids: they are ordered by time."""
    return connection.execute(
        select(message.c.sequence).where(message.c.id >= id_floor(since_ms)).order_by(message.c.id).limit(1)
    ).scalar()


def count_newer(connection: Connection, search: Search, digests: list[tuple[str, bytes]], at_most: int) -> int:
    """How many messages *search* finds after its *after*, counted to *at_most*."""
    found = search_statement(search, digests, 0, at_most).with_only_columns(message.c.sequence).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def newest_sequence(connection: Connection) -> int:
    """The sequence of the newest message, 0 when there is none."""
    return connection.execute(select(func.max(message.c.sequence))).scalar() or 0


def kinds(connection: Connection) -> list[str]:
    """The kinds that have been received."""
    return distinct(connection, message.c.kind)


def get(connection: Connection, message_id: int) -> MessageDetail | None:
    """The message called *message_id*."""
    row = connection.execute(select(message).where(message.c.id == message_id)).first()
    if row is None:
        return None
    return MessageDetail(
        **{
            name: getattr(row, name)
            for name in (
                "sequence", "id", "channel", "bundle", "kind", "control_id", "sender", "source", "received_at",
                "received_on", "finished_at", "size", "onward", "answer", "reason_code", "flags", "parent_id",
                "raw_id", "answer_id", "mapped_id",
            )
        },
        reason=row.reason or "",
        relation=row.relation or "",
    )  # fmt: skip


def neighbours(connection: Connection, channel: str, sequence: int) -> tuple[int | None, int | None]:
    """The ids of the next newer and the next older message of the same channel."""
    own = select(message.c.id).where(message.c.channel == channel)
    newer = own.where(message.c.sequence > sequence).order_by(message.c.sequence).limit(1)
    older = own.where(message.c.sequence < sequence).order_by(message.c.sequence.desc()).limit(1)
    return connection.execute(newer).scalar(), connection.execute(older).scalar()


def deliveries(connection: Connection, sequence: int) -> list[Delivery]:
    """What message *sequence* put out, in order."""
    rows = connection.execute(
        select(delivery).where(delivery.c.message_sequence == sequence).order_by(delivery.c.sequence).limit(200)
    ).all()
    tries: dict[int, list[Attempt]] = {row.id: [] for row in rows}
    for row in connection.execute(
        select(attempt).where(attempt.c.delivery_id.in_(tries)).order_by(attempt.c.delivery_id, attempt.c.number)
    ):
        tries[row.delivery_id].append(
            Attempt(row.number, row.started_at, row.ended_at, row.outcome, row.reason or "", row.actor, row.answer_id)
        )
    return [
        Delivery(
            row.id, row.destination, row.kind, row.name, row.state, row.attempts, row.due_at, row.reason or "",
            row.created_at, row.finished_at, row.body_id, tuple(tries[row.id]),
        )
        for row in rows
    ]  # fmt: skip


def claims_in(connection: Connection, detail: MessageDetail) -> list[tuple[int, str]]:
    """The claims that the message carries as a batch: id and control number, the first 50."""
    rows = connection.execute(
        select(claim.c.id, claim.c.control_number)
        .join(batch, batch.c.id == claim.c.batch_id)
        .where(batch.c.reference == detail.control_id, batch.c.message_id == detail.id)
        .order_by(claim.c.id)
        .limit(50)
    )
    return [(row.id, row.control_number) for row in rows]


def remittances_in(connection: Connection, message_id: int) -> list[tuple[int, str]]:
    """The remittances that the message brought: id and trace number, the first 50."""
    rows = connection.execute(
        select(remittance.c.id, remittance.c.trace)
        .where(remittance.c.message_id == message_id)
        .order_by(remittance.c.ordinal)
        .limit(50)
    )
    return [(row.id, row.trace) for row in rows]


def delivery_message_id(connection: Connection, delivery_id: int) -> int | None:
    """The id of the message that delivery *delivery_id* belongs to."""
    return connection.execute(select(delivery.c.message_id).where(delivery.c.id == delivery_id)).scalar()


def children(connection: Connection, message_id: int) -> list[MessageRow]:
    """Messages that came of this one: fetched, split, replayed, caused."""
    return [
        _row(row)
        for row in connection.execute(
            select(message).where(message.c.parent_id == message_id).order_by(message.c.sequence).limit(50)
        )
    ]


def _explained(connection: Connection, rows: list[MessageRow]) -> list[MessageRow]:
    """*rows*; where one is in error and says nothing itself, with what the destination said that refused it."""
    silent = [row.sequence for row in rows if row.onward == "errored" and not row.reason]
    if not silent:
        return rows
    refused = connection.execute(
        select(delivery.c.message_sequence, delivery.c.destination, delivery.c.reason).where(
            delivery.c.message_sequence.in_(silent), delivery.c.state == "refused"
        )
    )
    said = {row.message_sequence: f"{row.destination}: {row.reason}" for row in refused if row.reason}
    return [replace(row, reason=row.reason or said.get(row.sequence, "")) for row in rows]


def failures(connection: Connection, channel: str) -> list[tuple[str, str, int, int, int]]:
    """Recent messages of *channel* that did not end well, by cause: outcome, reason, times, first and last received."""
    refused = (
        select(delivery.c.destination + literal(": ") + delivery.c.reason)
        .where(delivery.c.message_sequence == message.c.sequence, delivery.c.state == "refused")
        .order_by(delivery.c.sequence)
        .limit(1)
        .scalar_subquery()
    )
    newest = [
        select(
            message.c.onward,
            func.coalesce(func.nullif(message.c.reason, ""), refused, literal("")).label("reason"),
            message.c.received_at,
        )
        .where(message.c.channel == channel, message.c.onward == state)
        .order_by(message.c.sequence.desc())
        .limit(_RECENT)
        .subquery()
        for state in ("held", "errored", "rejected")
    ]
    recent = union_all(*(select(each) for each in newest)).subquery()
    rows = connection.execute(
        select(
            recent.c.onward,
            recent.c.reason,
            func.count(),
            func.min(recent.c.received_at),
            func.max(recent.c.received_at),
        )
        .group_by(recent.c.onward, recent.c.reason)
        .order_by(func.max(recent.c.received_at).desc())
        .limit(20)
    )
    return [(state, reason, times, first, last) for state, reason, times, first, last in rows]


def _row(row: Any) -> MessageRow:
    return MessageRow(
        row.sequence, row.id, row.channel, row.kind, row.control_id, row.received_at, row.onward, row.answer,
        row.reason or "", row.size, row.flags, row.relation or "",
    )  # fmt: skip


def ambiguous(connection: Connection, channel: str) -> list[tuple[int, int, str, str, str]]:
    """Sends of *channel* that may have arrived: message id, delivery id, destination, name, reason; oldest first."""
    rows = connection.execute(
        select(delivery.c.message_id, delivery.c.id, delivery.c.destination, delivery.c.name, delivery.c.reason)
        .where(delivery.c.state == "ambiguous", delivery.c.channel == channel)
        .order_by(delivery.c.sequence)
        .limit(50)
    )
    return [(row.message_id, row.id, row.destination, row.name, row.reason or "") for row in rows]
