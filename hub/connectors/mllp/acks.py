"""Application acknowledgements that go over a connection of their own.

In enhanced mode an application acknowledgement is a message: it may travel by another connection than the one that
brought what it answers, and is itself answered by an accept acknowledgement (HL7 v2.5.1 chapter 2, section 2.9.3).
While the other side takes none, all of them wait, and one work item says so.
"""

# Twisted is largely untyped.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.python.failure import Failure as TwistedFailure

from hub.connectors.mllp.destination import MllpDestination
from hub.connectors.mllp.judge import Judge
from hub.connectors.mllp.settings import MllpDestinationSettings
from hub.core.clock import at, real_ms
from hub.engine.contracts import (
    Again,
    DestinationContext,
    Failure,
    Health,
    Mark,
    Noted,
    Outcome,
    Parcel,
    Processed,
    SourceContext,
    Stored,
)
from hub.formats.hl7v2.ack import read_ack
from hub.formats.hl7v2.header import Header, read_header

reactor: Any = _reactor

WAITS = (1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds until an acknowledgement that was not taken goes again; the last of them each time after that."""
DOWN = sum(WAITS)
"""Seconds in which none was taken after which a person is told."""
IN_HAND = 500
"""How many acknowledgements are in memory at most; the others wait in the store."""
_SAY_EVERY = 60.0


@dataclass(slots=True, eq=False)
class _Due:
    """An acknowledgement that is to be sent."""

    message_id: int
    answer: bytes
    attempt: int = 1
    taken_before: int = 0
    """How many others had been taken when it last was not."""
    failed: bool = False
    timer: Any = None


class ApplicationAcks:
    """Tells the senders of one listener what became of their messages, over the connection that *settings* describe.

    Until it is taken the message's answer counts as undelivered (a refused message's as owed), and a note stands beside
    the message: after a restart, or when another source takes this one's place, it is told then. What is refused, or
    not taken while others are, is given up and becomes a work item. When none is taken, nothing is given up.
    """

    def __init__(self, settings: MllpDestinationSettings, context: SourceContext, judge: Judge) -> None:
        self._context = context
        self._judge = judge
        self._connections = settings.connections
        self._where = settings.endpoint.shown
        self._awaited: dict[int, Deferred[Any]] = {}
        self._due: dict[int, _Due] = {}
        self._ready: deque[_Due] = deque()
        self._sending = 0
        self._more = False  # whether the store holds some that are not in hand
        self._taking_up = False
        self._ended_meanwhile: set[int] = set()  # what a list that is being taken up names though it has gone
        self._taken = 0
        self._since = 0  # the first failure after which none was taken
        self._told = True  # whether a work item may be open: one may be from before the start
        self._told_at = 0.0
        self._outage = f"outage {judge.owed_as}"
        self._stopped = False
        self._sender = MllpDestination(
            settings,
            DestinationContext(
                channel=context.channel,
                destination="application_acks",
                environment=context.environment,
                secrets=context.secrets,
                workers=context.workers,
                clock=context.clock,
                log=context.log,
                var=context.var,
            ),
        )

    def start(self) -> None:
        """Read the certificates, and take up what is owed. Raises `CertificateError` or `SecretMissingError`."""
        self._sender.start()
        self._take_up_more(first=True)

    def stop(self) -> Deferred[None]:
        """Send what is in hand; what is not known yet stays unsaid."""
        self._stopped = True
        for awaited in list(self._awaited.values()):
            awaited.cancel()
        for due in self._due.values():
            if due.timer is not None:
                due.timer.cancel()
        self._ready.clear()
        return self._sender.stop()

    def health(self) -> tuple[Health, ...]:
        """How the sender's other side stands."""
        return self._sender.health()

    def owe(self, header: Header, stored: Stored) -> None:
        """Tell what becomes of the message with this *header* when that is known."""
        if stored.message_id in self._awaited:
            return
        ended = stored.processed
        awaited = self._context.intake.processed(stored.message_id) if ended is None else succeed(ended)
        self._tell(header, stored.message_id, awaited)

    def send(self, message_id: int, answer: bytes) -> None:
        """Send *answer*, which says what became of the message."""
        if self._stopped or message_id in self._due:
            return
        if len(self._due) >= IN_HAND:
            self._more = True
            return
        due = self._due[message_id] = _Due(message_id, answer)
        self._ready.append(due)
        self._go()

    def _go(self) -> None:
        while self._ready and self._sending < self._connections and not self._stopped:
            due = self._ready.popleft()
            self._sending += 1
            parcel = Parcel(due.message_id, due.message_id, due.attempt, "ACK", "", due.answer)
            self._sender.deliver(parcel).addCallback(self._ended, due)

    def _take_up_more(self, *, first: bool = False) -> None:
        if self._taking_up or self._stopped:
            return
        self._taking_up, self._more = True, False

        def over(result: Any) -> Any:
            self._taking_up = False
            self._ended_meanwhile.clear()
            return result

        taken_up: Deferred[None] = self._take_up(first=first)
        taken_up.addBoth(over).addErrback(self._not_taken_up).addCallback(lambda _: self._go_on())

    @inlineCallbacks
    def _take_up(self, *, first: bool) -> Any:
        """Owe what is owed and not in hand: what was when the hub, or the source before this one, ended, too."""
        intake, judge = self._context.intake, self._judge
        if first:
            self._since = int((yield intake.place(self._context.channel, self._outage)) or self._since)
        notes: list[Noted] = yield intake.noted(self._context.channel, judge.owed_as, judge.owed_until())
        for note in reversed(notes):
            if any(note.message_id in known for known in (self._due, self._awaited, self._ended_meanwhile)):
                continue
            if len(self._due) >= IN_HAND:
                self._more = True
                return
            awaited = intake.processed(note.message_id)  # before the look: the steps may end at any time
            again: Again | None = yield intake.again(note.message_id)
            if self._stopped or again is None or again.stored.processed is not None:
                awaited.addErrback(_given_up).cancel()
            if self._stopped:
                return
            if again is None:
                intake.unanswered(note.message_id, "The application acknowledgement of this message was not sent.")
                continue
            header, (_, _, answer, ended) = _header(again.raw, note.text), again.stored
            if answer is not None and read_ack(answer).code.startswith("A"):
                self.send(note.message_id, answer)
            else:
                self._tell(header, note.message_id, succeed(ended) if ended is not None else awaited)

    def _not_taken_up(self, failure: TwistedFailure) -> None:
        error = failure.value or RuntimeError()
        self._context.log.failure("mllp: what is owed could not be read; it is sent after the next start", error)

    def _tell(self, header: Header, message_id: int, awaited: Deferred[Processed]) -> None:
        self._awaited[message_id] = awaited

        def processed(result: Processed) -> None:
            answer = self._judge.processed(header, result)
            if answer is None:
                self._context.intake.answered(message_id, delivered=False, noted=True)
                self._note_end(message_id)
            else:
                self.send(message_id, answer)

        def over(result: Any) -> Any:
            if self._awaited.get(message_id) is awaited:
                del self._awaited[message_id]
            return result

        awaited.addBoth(over).addCallbacks(processed, _given_up)

    def _ended(self, outcome: Outcome, due: _Due) -> None:
        self._sending -= 1
        if outcome.failure is None:
            self._taken += 1
            self._context.intake.answered(due.message_id, delivered=True, noted=True)
            self._answers_again()
            self._gone(due)
        elif outcome.failure is Failure.PERMANENT or (due.attempt > len(WAITS) and self._taken > due.taken_before):
            self._context.log.warning("mllp: application acknowledgement not delivered", reason=outcome.reason)
            text = f"The application acknowledgement of this message was not taken: {outcome.reason}"
            self._context.intake.unanswered(due.message_id, text)
            if outcome.failure is Failure.PERMANENT:
                self._answers_again()
            self._gone(due)
        elif not self._stopped:  # else it stays owed, for whoever comes after this source
            self._again(due)
            self._none_is_taken(outcome.reason)
        self._go()

    def _again(self, due: _Due) -> None:
        def again() -> None:
            due.timer = None
            self._ready.append(due)
            self._go()

        due.timer = reactor.callLater(WAITS[min(due.attempt, len(WAITS)) - 1], again)
        due.attempt += 1
        due.failed = True
        due.taken_before = self._taken

    def _gone(self, due: _Due) -> None:
        del self._due[due.message_id]
        self._note_end(due.message_id)
        self._go_on()

    def _go_on(self) -> None:
        if self._more and len(self._due) <= IN_HAND // 2:
            self._take_up_more()
        self._look()

    def _note_end(self, message_id: int) -> None:
        if self._taking_up:
            self._ended_meanwhile.add(message_id)

    def _is_down(self) -> bool:
        """Whether none was taken for so long that a person is to know."""
        return bool(self._since) and real_ms() - self._since >= DOWN * 1000

    def _none_is_taken(self, reason: str) -> None:
        self._since = self._since or real_ms()
        now = reactor.seconds()
        if not self._is_down() or (self._told_at and now - self._told_at < _SAY_EVERY):
            return
        if not self._told_at:
            self._context.log.warning("mllp: no application acknowledgement is taken", reason=reason)
        context, self._told, self._told_at = self._context, True, now
        since = at(self._since, context.clock.zone)

        def sentence(count: int) -> str:
            wait = "acknowledgement waits" if count == 1 else "acknowledgements wait"
            return (
                f"{count:,} application {wait} to be sent: {self._where} has taken none since {since:%Y-%m-%d %H:%M}. "
                f"{reason} What is owed stays owed, over a restart too, and goes when it is taken; this item is then "
                "resolved."
            )

        _unheard(context.intake.keep(context.channel, Mark(self._outage, str(self._since))))
        context.intake.stuck(context.channel, self._judge.owed_as, sentence, self._judge.owed_until())

    def _answers_again(self) -> None:
        if self._is_down():  # those that wait for minutes go now
            for due in self._due.values():
                if due.timer is not None:
                    due.timer.cancel()
                    due.timer, due.attempt = None, 1
                    self._ready.append(due)
        self._since = 0

    def _look(self) -> None:
        """Resolve the work item when nothing that was not taken is left."""
        if not self._told or self._since or self._more or self._taking_up or self._stopped:
            return
        if not any(due.failed for due in self._due.values()):
            self._told, self._told_at = False, 0.0
            _unheard(self._context.intake.keep(self._context.channel, Mark(self._outage, "")))
            self._context.intake.stuck(self._context.channel, self._judge.owed_as, None)


def _unheard(kept: Deferred[None]) -> None:
    """A mark that could not be kept is kept at the next occasion."""
    kept.addErrback(lambda _failure: None)


def _given_up(failure: TwistedFailure) -> None:
    failure.trap(CancelledError)


def _header(raw: bytes, named: str) -> Header:
    """The header of the stored message *raw* with the control id that its sender gave the last part of it."""
    header = read_header(raw)
    if not named:
        return header
    fields = list(header.fields)
    fields[9] = bytes.fromhex(named)
    return replace(header, fields=tuple(fields))
