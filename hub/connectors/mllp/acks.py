"""Application acknowledgements that go over a connection of their own.

In enhanced mode an application acknowledgement is a message: it may travel by another connection than the one that
brought what it answers, and is itself answered by an accept acknowledgement (HL7 v2.5.1 chapter 2, section 2.9.3).
"""

# Twisted is largely untyped.
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.python.failure import Failure as TwistedFailure

from hub.connectors.mllp.destination import MllpDestination
from hub.connectors.mllp.judge import Judge
from hub.connectors.mllp.settings import MllpDestinationSettings
from hub.engine.contracts import (
    Again,
    DestinationContext,
    Failure,
    Health,
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
"""Seconds until an acknowledgement that was not taken goes again; after the last of them it is given up."""


class ApplicationAcks:
    """Tells the senders of one listener what became of their messages, over the connection that *settings* describe.

    Until it is taken the message's answer counts as undelivered (a refused message's as owed), and a note stands beside
    the message: after a restart, or when another source takes this one's place, it is told then. What is given up
    becomes a work item.
    """

    def __init__(self, settings: MllpDestinationSettings, context: SourceContext, judge: Judge) -> None:
        self._context = context
        self._judge = judge
        self._awaited: set[Deferred[Any]] = set()
        self._timers: set[Any] = set()
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
        taken_up: Deferred[None] = self._take_up()
        taken_up.addErrback(self._not_taken_up)

    def stop(self) -> Deferred[None]:
        """Send what is in hand; what is not known yet stays unsaid."""
        self._stopped = True
        for awaited in list(self._awaited):
            awaited.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        return self._sender.stop()

    def health(self) -> tuple[Health, ...]:
        """How the sender's other side stands."""
        return self._sender.health()

    def owe(self, header: Header, stored: Stored) -> None:
        """Tell what becomes of the message with this *header* when that is known."""
        ended = stored.processed
        awaited = self._context.intake.processed(stored.message_id) if ended is None else succeed(ended)
        self._tell(header, stored.message_id, awaited)

    def send(self, message_id: int, answer: bytes, attempt: int = 1) -> None:
        """Send *answer*, which says what became of the message."""
        parcel = Parcel(message_id, message_id, attempt, "ACK", "", answer)
        self._sender.deliver(parcel).addCallback(self._ended, parcel)

    @inlineCallbacks
    def _take_up(self) -> Any:
        """Owe what was owed when the hub, or the source before this one, ended."""
        intake, judge = self._context.intake, self._judge
        notes: list[Noted] = yield intake.noted(self._context.channel, judge.owed_as, judge.owed_until())
        for note in reversed(notes):
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
        self._awaited.add(awaited)

        def processed(result: Processed) -> None:
            answer = self._judge.processed(header, result)
            if answer is None:
                self._context.intake.answered(message_id, delivered=False, noted=True)
            else:
                self.send(message_id, answer)

        def over(result: Any) -> Any:
            self._awaited.discard(awaited)
            return result

        awaited.addBoth(over).addCallbacks(processed, _given_up)

    def _ended(self, outcome: Outcome, parcel: Parcel) -> None:
        if outcome.failure is None:
            self._context.intake.answered(parcel.message_id, delivered=True, noted=True)
        elif outcome.failure is Failure.PERMANENT or (parcel.attempt > len(WAITS) and not self._stopped):
            self._context.log.warning("mllp: application acknowledgement not delivered", reason=outcome.reason)
            text = f"The application acknowledgement of this message was not taken: {outcome.reason}"
            self._context.intake.unanswered(parcel.message_id, text)
        elif not self._stopped:  # else it stays owed, for whoever comes after this source
            self._again(parcel, WAITS[parcel.attempt - 1])

    def _again(self, parcel: Parcel, wait: float) -> None:
        def again() -> None:
            self._timers.discard(timer)
            self.send(parcel.message_id, parcel.body, parcel.attempt + 1)

        timer = reactor.callLater(wait, again)
        self._timers.add(timer)


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
