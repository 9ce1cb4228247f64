"""Intake: a message becomes durable, once, before anybody is told that it did."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, update
from twisted.internet.defer import Deferred

from hub.core.clock import DAY_MS, BusinessClock, at, real_ms
from hub.core.ids import IdMaker
from hub.core.points import reached
from hub.core.vault import Vault
from hub.engine.awaited import Awaited
from hub.engine.contracts import Again, Mark, Note, Noted, Processed, Received, Stored
from hub.engine.items import open_item
from hub.engine.journal import Journal
from hub.engine.marks import read_mark, write_mark
from hub.engine.notes import end_note, free_notes, lose_note, stick_notes, take_up, write_notes
from hub.engine.outcomes import FILTERED, IN_PROGRESS, REJECTED, processed_of
from hub.engine.plan import ChannelPlan, SitePlan
from hub.store.contents import INSERT_CONTENTS, content_tuples, read_content
from hub.store.counters import Counts, add_counts, add_rate
from hub.store.hot import InsertMany, Row, marks, run
from hub.store.identifiers import INSERT_IDENTIFIERS, stretch_of
from hub.store.numbers import take_numbers
from hub.store.tables import duplicate, message, work_item

DUPLICATE_WINDOW_MS = 30 * DAY_MS
NO_LANE = b""


class Arrival(NamedTuple):
    """A stored message that its channel's steps are to run on."""

    sequence: int
    message_id: int
    channel: str
    kind: str
    control_id: str
    source: str
    received_on: str
    received_at: int
    lanes: tuple[bytes, ...]
    raw: bytes | None  # None: read it from the store when its turn comes
    raw_id: int


class _Request(NamedTuple):
    received: Received
    message_id: int
    raw_id: int
    answer_id: int | None
    day: str


_Control = tuple[str, str, str]  # channel, sender, control id
_Key = tuple[str, str, str, bytes]  # the same, and the digest of the content

_EARLIER = (
    "SELECT control_id, content_digest, message_id, expires_at FROM duplicate"
    " WHERE channel = ? AND sender = ? AND control_id IN ({})"
)
_FORGET = "DELETE FROM duplicate WHERE channel = ? AND sender = ? AND control_id = ? AND content_digest = ?"
_INSERT_MESSAGES = InsertMany(
    message,
    "sequence", "id", "organisation", "partition", "channel", "bundle", "kind", "control_id", "sender", "source",
    "received_at", "received_on", "finished_at", "size", "lane_digest", "other_lane_digest", "onward", "mapped",
    "steps_outcome", "answer", "reason", "reason_code", "flags", "parent_id", "relation", "raw_id", "answer_id",
)  # fmt: skip
_INSERT_DUPLICATES = InsertMany(
    duplicate, "channel", "sender", "control_id", "content_digest", "message_id", "expires_at"
)


def _control(received: Received) -> _Control:
    """What a message is called, as far as the store keeps it."""
    return received.channel, _kept(received.description.sender), _kept(received.description.control_id)


def _kept(text: str, most: int = 200) -> str:
    """As much of *text*, which a peer chose, as a column of *most* characters can hold.

    PostgreSQL takes no NUL, and neither store half a surrogate pair.
    """
    return text[:most].encode(errors="replace").decode().replace("\0", "?")


class StoreIntake:
    """The way into the store for every connector of the node."""

    def __init__(
        self,
        journal: Journal,
        vault: Vault,
        ids: IdMaker,
        clock: BusinessClock,
        plan: SitePlan,
        arrived: Callable[[Arrival], None],
        awaited: Awaited,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._ids = ids
        self._clock = clock
        self._plan = plan
        self._arrived = arrived
        self._awaited = awaited

    def deploy(self, plan: SitePlan) -> None:
        """Take messages for the channels of *plan* from now on."""
        self._plan = plan

    def channel(self, name: str) -> ChannelPlan:
        """The channel of that name, as messages are taken for it now."""
        return self._plan.channels[name]

    def receive(self, received: Received) -> Deferred[Stored]:
        """Make *received* durable; see :class:`hub.engine.contracts.Intake`."""
        request = _Request(
            received,
            self._ids.next(),
            self._ids.next(),
            self._ids.next() if received.answer is not None else None,
            practice_day(self._clock),
        )
        stored: Deferred[tuple[Stored, Arrival | None]] = self._journal.submit_grouped(
            self._store, request, urgent=True
        )
        return stored.addCallback(self._announce)

    def processed(self, message_id: int) -> Deferred[Processed]:
        """Fires when the message's steps have ended; see :class:`hub.engine.contracts.Intake`."""
        return self._awaited.wait(message_id)

    def place(self, channel: str, name: str) -> Deferred[str | None]:
        """How far a source has come; see :class:`hub.engine.contracts.Intake`."""
        return self._journal.submit(lambda connection: read_mark(connection, channel, name))

    def keep(self, channel: str, mark: Mark) -> Deferred[None]:
        """Note how far a source has come, without a message."""
        return self._journal.submit(lambda connection: write_mark(connection, channel, mark))

    def noted(self, channel: str, kind: str, until: int | None = None) -> Deferred[list[Noted]]:
        """What a source has kept; see :class:`hub.engine.contracts.Intake`."""
        return self._journal.submit(lambda connection: take_up(connection, channel, kind, until))

    def note(self, channel: str, note: Note) -> Deferred[None]:
        """Keep *note* without a message."""
        return self._journal.submit(lambda connection: write_notes(connection, channel, 0, [note]))

    def again(self, message_id: int) -> Deferred[Again | None]:
        """A message that is stored, as it stands now."""

        def read(connection: Connection) -> Again | None:
            raw_id = connection.execute(select(message.c.raw_id).where(message.c.id == message_id)).scalar()
            try:
                raw = read_content(connection, self._vault, raw_id or 0)
            except KeyError:
                return None
            return Again(raw, self._earlier(connection, message_id))

        return self._journal.submit(read)

    def answered(self, message_id: int, *, delivered: bool, noted: bool = False) -> None:
        """Note what came of the answer that was owed."""
        now = "delivered" if delivered else "not owed"

        def write(connection: Connection) -> None:
            connection.execute(update(message).where(message.c.id == message_id).values(answer=now))
            if noted:
                end_note(connection, message_id)

        self._journal.submit(write).addErrback(lambda _failure: None)  # then it counts as undelivered

    def unanswered(self, message_id: int, sentence: str) -> None:
        """Have a person told that the answer that was owed is given up."""

        def write(connection: Connection) -> None:
            connection.execute(update(message).where(message.c.id == message_id).values(answer="undelivered"))
            lose_note(connection, message_id, sentence)

        self._journal.submit(write).addErrback(lambda _failure: None)  # then it goes again after the next start

    def stuck(self, channel: str, kind: str, sentence: Callable[[int], str] | None, until: int = 0) -> None:
        """Have a person told, once, that notes of *kind* wait; see :class:`hub.engine.contracts.Intake`."""

        def write(connection: Connection) -> None:
            if sentence is None:
                free_notes(connection, channel, kind)
            else:
                stick_notes(connection, channel, kind, sentence, until, self._open_item)

        self._journal.submit(write).addErrback(lambda _failure: None)  # then it is said at the next failure

    def store(self, connection: Connection, received: Received) -> Arrival | None:
        """Write *received* within another write's transaction; the caller announces the arrival after the commit."""
        request = _Request(received, self._ids.next(), self._ids.next(), None, practice_day(self._clock))
        return self._store(connection, [request])[0][1]

    def _announce(self, result: tuple[Stored, Arrival | None]) -> Stored:
        reached("message.committed")
        stored, arrival = result
        if arrival is not None:
            self._arrived(arrival)
        return stored

    def _store(self, connection: Connection, requests: Sequence[_Request]) -> list[tuple[Stored, Arrival | None]]:
        keys = [self._duplicate_key(request.received) for request in requests]
        known, reused = self._look_up(connection, requests, keys)
        results: list[Stored] = []
        fresh: list[tuple[_Request, _Key | None]] = []
        first_of: dict[_Key, _Request] = {}
        repeats: Counter[_Key] = Counter()
        for request, key in zip(requests, keys, strict=True):
            if key is not None and key in known:
                repeats[key] += 1
                results.append(known[key])
            elif key is not None and key in first_of:
                repeats[key] += 1
                first = first_of[key]
                results.append(Stored(first.message_id, True, first.received.answer))
            else:
                if key is not None:
                    first_of[key] = request
                fresh.append((request, key))
                results.append(Stored(request.message_id, False, request.received.answer))
        numbers = iter(take_numbers(connection, "message", len(fresh))) if fresh else iter(())
        arrivals = self._insert(connection, fresh, numbers, reused)
        self._count_repeats(connection, repeats, requests)
        for request, stored in zip(requests, results, strict=True):
            if request.received.mark is not None:
                write_mark(connection, request.received.channel, request.received.mark)
            if request.received.notes:
                write_notes(connection, request.received.channel, stored.message_id, request.received.notes)
        reached("message.written")
        return [(stored, None if stored.repeated else arrivals.get(stored.message_id)) for stored in results]

    def _insert(
        self,
        connection: Connection,
        fresh: list[tuple[_Request, _Key | None]],
        numbers: Any,
        reused: set[_Control],
    ) -> dict[int, Arrival]:
        messages: list[Row] = []
        contents: list[Row] = []
        duplicates: list[Row] = []
        identifiers: set[tuple[int, str, bytes, int]] = set()
        counts = Counts()
        received_per_channel: Counter[str] = Counter()
        arrivals: dict[int, Arrival] = {}
        now = real_ms()
        for request, key in fresh:
            received, description = request.received, request.received.description
            sequence = next(numbers)
            lanes = self._lanes(received)
            onward = REJECTED if received.refusal else FILTERED if received.filtered else IN_PROGRESS
            control = key[:3] if key is not None else _control(received)
            flags = "control_id_reuse" if key is not None and control in reused else ""
            if key is not None and control[2]:
                reused.add(control)
            messages.append(self._message_row(request, sequence, control, lanes, onward, flags, now))
            contents += content_tuples(self._vault, request.raw_id, received.raw)
            if request.answer_id is not None and received.answer is not None:
                contents += content_tuples(self._vault, request.answer_id, received.answer)
            if key is not None:
                duplicates.append((*key, request.message_id, now + DUPLICATE_WINDOW_MS))
            stretch = stretch_of(sequence)
            for kind, text in description.identifiers:
                if text:
                    identifiers.add((stretch, kind, self._vault.digest(kind, text), sequence))
            counts[received.channel, request.day, "received"] += 1
            counts[received.channel, request.day, onward] += 1
            received_per_channel[received.channel] += 1
            if onward == IN_PROGRESS:
                arrivals[request.message_id] = Arrival(
                    sequence,
                    request.message_id,
                    received.channel,
                    description.kind,
                    description.control_id,
                    received.source,
                    request.day,
                    now,
                    lanes,
                    received.raw if len(received.raw) <= 65_536 else None,
                    request.raw_id,
                )
        if messages:
            _INSERT_MESSAGES(connection, messages)
            INSERT_CONTENTS(connection, contents)
            _INSERT_DUPLICATES(connection, duplicates)
            INSERT_IDENTIFIERS(connection, sorted(identifiers))
            add_counts(connection, counts)
            for channel, number in received_per_channel.items():
                add_rate(connection, channel, received=number)
            unheard = [request for request, _ in fresh if request.received.unheard and request.received.refusal]
            if unheard:
                connection.execute(insert(work_item), [self._unreadable(request) for request in unheard])
        return arrivals

    def _unreadable(self, request: _Request) -> dict[str, Any]:
        """The item that tells a person of a refusal that no peer hears."""
        received = request.received
        return self._open_item(
            queue="messages",
            key=f"unreadable/{request.message_id}",
            kind="unreadable",
            sentence=f"{received.refusal} Whoever put it there does not know that it could not be read.",
            message_id=request.message_id,
        )

    def _open_item(self, *, queue: str, key: str, kind: str, **also: Any) -> dict[str, Any]:
        made = (self._ids, self._vault, self._clock, self._plan.organisation)
        return open_item(*made, queue=queue, key=key, kind=kind, **also)

    def _message_row(
        self,
        request: _Request,
        sequence: int,
        control: _Control,
        lanes: tuple[bytes, ...],
        onward: str,
        flags: str,
        now: int,
    ) -> Row:
        """The row of `message`, in the order of `_INSERT_MESSAGES`."""
        received = request.received
        ended = onward != IN_PROGRESS
        channel, sender, control_id = control
        return (
            sequence,
            request.message_id,
            self._plan.organisation,
            lanes[0][0] % 64 if lanes else 0,
            channel,
            self._plan.bundle,
            _kept(received.description.kind, 32),
            control_id,
            sender,
            _kept(received.source),
            now,
            request.day,
            now if ended else None,
            len(received.raw),
            lanes[0] if lanes else NO_LANE,
            lanes[1] if len(lanes) > 1 else None,
            onward,
            ended,
            onward if ended else "",
            "owed" if received.owes else "delivered" if received.answer is not None else "not owed",
            received.refusal or received.filtered,
            received.refusal_code or None,
            flags,
            received.parent_id,
            received.relation,
            request.raw_id,
            request.answer_id,
        )

    def _lanes(self, received: Received) -> tuple[bytes, ...]:
        if not self._plan.channels[received.channel].ordered or not received.description.lane:
            return ()
        names = [received.description.lane, received.description.other_lane]
        digests = [self._vault.digest("lane", f"{received.channel}\0{name}") for name in names if name]
        return tuple(dict.fromkeys(digests))

    def _duplicate_key(self, received: Received) -> _Key | None:
        description = received.description
        if description.duplicate_basis is None or received.refusal is not None:
            return None
        content_digest = hashlib.blake2b(description.duplicate_basis, digest_size=16).hexdigest()
        keyed = self._vault.digest("content", content_digest)
        return (*_control(received), keyed)

    def _look_up(
        self, connection: Connection, requests: Sequence[_Request], keys: Sequence[_Key | None]
    ) -> tuple[dict[_Key, Stored], set[_Control]]:
        """Which *keys* are known, with what was answered then, and which control ids were used before."""
        wanted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for request, key in zip(requests, keys, strict=True):
            channel, sender, control_id = _control(request.received)
            if key is not None or control_id:
                wanted[channel, sender].add(control_id)
        asked = {key for key in keys if key is not None}
        known: dict[_Key, Stored] = {}
        reused: set[_Control] = set()
        now = real_ms()
        for (channel, sender), control_ids in wanted.items():
            # By the start of the primary key: SQLite does not use an index for a list of rows.
            statement = _EARLIER.format(marks(len(control_ids)))
            rows = run(connection, statement, [channel, sender, *control_ids]).fetchall()
            for control_id, digest, message_id, expires_at in rows:
                key = (channel, sender, control_id, digest)
                if expires_at < now:
                    if key in asked:
                        run(connection, _FORGET, key)
                    continue
                if control_id:
                    reused.add((channel, sender, control_id))
                if key in asked:
                    known[key] = self._earlier(connection, message_id)
        return known, reused

    def _earlier(self, connection: Connection, message_id: int) -> Stored:
        """What is to be said of a message that is repeated."""
        columns = (message.c.answer_id, message.c.steps_outcome, message.c.reason)
        found = connection.execute(select(*columns).where(message.c.id == message_id)).one_or_none()
        if found is None:  # its retention is over
            return Stored(message_id, True, None)
        answer = read_content(connection, self._vault, found.answer_id) if found.answer_id is not None else None
        ended = processed_of(found.steps_outcome, found.reason) if found.steps_outcome else None
        return Stored(message_id, True, answer, ended)

    def _count_repeats(self, connection: Connection, repeats: Counter[_Key], requests: Sequence[_Request]) -> None:
        if not repeats:
            return
        counts = Counts()
        for key, number in repeats.items():
            connection.execute(
                update(duplicate)
                .where(
                    duplicate.c.channel == key[0],
                    duplicate.c.sender == key[1],
                    duplicate.c.control_id == key[2],
                    duplicate.c.content_digest == key[3],
                )
                .values(repeats=duplicate.c.repeats + number)
            )
            counts[key[0], requests[0].day, "repeated"] += number
        add_counts(connection, counts)


def practice_day(clock: BusinessClock) -> str:
    """The practice's calendar day by real time: what received counts are kept by."""
    return _day(real_ms() // 60_000, clock.zone)  # zones change by whole minutes


@lru_cache(maxsize=8)
def _day(minute: int, zone: ZoneInfo) -> str:
    return at(minute * 60_000, zone).date().isoformat()
