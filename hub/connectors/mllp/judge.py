"""What becomes of a message that came by MLLP, and what its sender is told once it is stored."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import secrets
from collections.abc import Callable
from typing import Literal, NamedTuple

from twisted.internet.defer import Deferred, succeed

from hub.connectors.mllp.continuation import Begun, Continuations, name_of
from hub.connectors.mllp.outside import Stray
from hub.connectors.mllp.settings import MllpSourceSettings
from hub.core.clock import DAY_MS, at, real_ms
from hub.core.errors import HubError
from hub.engine.contracts import Description, Followed, Note, Processed, Received, SourceContext
from hub.formats.hl7v2.ack import AckCode, AckError, acknowledge, wants_accept_ack, wants_application_ack
from hub.formats.hl7v2.continuation import continued_by, join_parts
from hub.formats.hl7v2.header import Header, HL7ParseError, content_without_timestamp, read_header

CONDITIONS = frozenset({"AL", "NE", "ER", "SU"})
"""When an acknowledgement is wanted (table 0155)."""
_PART = "A part of a longer message; the whole is stored when its last part comes."

_Notes = tuple[Note | Followed, ...]
_OWED_MS = 7 * DAY_MS
_UNTOLD = "The application acknowledgement of this message was not sent: no listener of the channel does that any more."
_UNNAMED = "This message has no control id, so that no answer can say which message it is about."
_NOTHING = "A batch without a message."


class _Verdict(NamedTuple):
    """How a message is received: *code* without its mode's first letter, and the complaint, if any."""

    code: Literal["A", "E", "R"] = "A"
    complaint: AckError | None = None
    filtered: str | None = None


class Judge:
    """Decides for one listener. *now* are seconds; *forgotten* hears of parts that never became a whole."""

    def __init__(
        self,
        settings: MllpSourceSettings,
        context: SourceContext,
        now: Callable[[], float],
        forgotten: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._context = context
        self._lenient = frozenset(settings.lenient)
        self.apart = settings.application_acks is not None
        """Whether application acknowledgements go over a connection of their own."""
        self.owed_as = f"answer {hashlib.blake2b(str(settings.listen).encode(), digest_size=8).hexdigest()}"
        """The kind of the notes of what this listener owes over that connection."""
        self._run = secrets.token_hex(6)
        self._serial = itertools.count(1)
        self._second = 0
        self._moment = context.clock.now()
        self._begun = Continuations(settings.max_message, settings.idle, now, forgotten)

    def received(self, raw: bytes, source: str) -> Received:
        """*raw* as it goes into the store, with the answer that its sender gets once it is there.

        Never raises for anything that a sender can send. What cannot be read is answered AE with the place, what
        this site does not take at all AR; both are marked as refused.
        """
        header: Header | None = None
        description = Description(kind="unreadable")
        notes: _Notes = ()
        try:
            header = read_header(raw)
            description = Description(kind=header.type, control_id=header.control_id)
            if not header.control_id and "no_control_id" not in self._lenient:
                raise HL7ParseError(_UNNAMED, where="MSH-10", expected="a control id", condition="101")
            if self._settings.join:
                whole, verdict, notes = self._joined(raw, header)
            else:
                whole, verdict = raw, _Verdict()
            if verdict.filtered:
                basis = content_without_timestamp(raw)
                description = Description(header.type, header.control_id, duplicate_basis=basis)
            elif verdict.complaint is None:
                raw = whole
                description = self._context.describe(raw)
                verdict = self._admit(header, description)
        except HL7ParseError as error:
            verdict = _Verdict("E", AckError.of(error))
        except HubError as error:
            verdict = _Verdict("E", AckError("207", error.what, error.where))
        complaint, owes = verdict.complaint, self._owes(header, verdict)
        if owes and header is not None and self.apart and not self.waits(header):
            notes = (*notes, self._owed(header, joined=bool(notes)))
        return Received(
            channel=self._context.channel,
            raw=raw,
            description=description,
            source=source,
            answer=self._answer(header, verdict),
            refusal=complaint.text if complaint else None,
            refusal_code=complaint.condition if complaint else "",
            filtered=verdict.filtered,
            owes=owes,
            notes=notes,
        )

    def stray(self, stray: Stray, raw: bytes, source: str) -> Received:
        """What no block holds whole, as it goes into the store: refused, and answered where an answer names it."""
        header, verdict = stray.header, _Verdict("R", AckError("100", stray.sentence, "MSH"))
        heard = stray.answered and header is not None and not self._owes(header, verdict)
        return Received(
            channel=self._context.channel,
            raw=raw,
            description=Description(header.type, header.control_id) if header else Description("unreadable"),
            source=source,
            answer=self._answer(header, verdict) if heard else None,
            refusal=stray.sentence,
            refusal_code="unframed",
        )

    def nothing(self, raw: bytes, source: str) -> Received:
        """The batch *raw* without a message, as it goes into the store; its answer is a batch without an answer."""
        return Received(self._context.channel, raw, Description(kind="batch"), source, filtered=_NOTHING)

    def waits(self, header: Header) -> bool:
        """Whether the only answer to a message is to say what became of it, and so waits for that."""
        if not self._is_enhanced(header):
            return self._context.ack == "processed"
        return not self.apart and not wants_accept_ack(header, ok=True) and wants_application_ack(header, ok=True)

    def processed(self, header: Header, processed: Processed) -> bytes | None:
        """The answer that says what became of a message; None when its sender does not want to hear that."""
        ok = processed.error is None
        if self._is_enhanced(header) and not wants_application_ack(header, ok):
            return None
        error = AckError("207", processed.error.what) if processed.error is not None else None
        return self._written(header, "AA" if ok else "AE", error)

    def take_up(self) -> Deferred[None]:
        """Remember the parts that the store holds."""
        if not self._settings.join:
            return succeed(None)
        return self._begun.take_up(self._context.intake, self._context.channel)

    def owed_until(self) -> int:
        """Until when what is owed from now on is tried, before a person is told that nobody does."""
        return real_ms() + _OWED_MS

    def _owed(self, header: Header, *, joined: bool) -> Note:
        """The note of an application acknowledgement. A joined message begins with the control id of another part."""
        named = header.wire(10)[:100].hex() if joined else ""
        return Note(self.owed_as, self.owed_until(), text=named, sentence=_UNTOLD)

    def _owes(self, header: Header | None, verdict: _Verdict) -> bool:
        """Whether the sender is to hear more than the answer that it gets when the message is stored."""
        if header is None or verdict.filtered == _PART:
            return False
        if not self._is_enhanced(header):
            return verdict == _Verdict() and self.waits(header)
        accepted = wants_accept_ack(header, ok=verdict.complaint is None)
        if verdict.complaint is not None:
            return self.apart and not accepted and wants_application_ack(header, ok=False)
        told = not self.apart and not accepted and verdict.filtered is not None
        return not told and header.application_ack in {"AL", "ER", "SU"}

    def _is_enhanced(self, header: Header) -> bool:
        """Whether MSH-15 and MSH-16 count. Conditions that table 0155 does not know (dates stand there) do not."""
        asked = {header.accept_ack, header.application_ack} & CONDITIONS
        return bool(asked) and "original_mode" not in self._lenient

    def _joined(self, raw: bytes, header: Header) -> tuple[bytes, _Verdict, _Notes]:
        """The whole message that *raw* is or completes, or the verdict on a part; with what to note beside it."""
        onward = continued_by(raw, header)
        if not onward and not header.continues:
            return raw, _Verdict(), ()
        before: Begun | None = Begun()
        if header.continues:
            before = self._begun.before(name_of(header, header.continues))
        if before is None:
            text = "The earlier parts of this message are not here; send it again from the first."
            return raw, _Verdict("E", AckError("204", text, "MSH-14")), ()
        parts = (*before.parts, raw)
        if sum(map(len, parts)) > self._settings.max_message:
            text = "The parts of this message are together longer than a message may be."
            return raw, _Verdict("E", AckError("207", text, "DSC-1")), ()
        if onward:
            return raw, _Verdict(filtered=_PART), self._begun.goes_on(name_of(header, onward), before, raw)
        return join_parts(parts), _Verdict(), self._begun.follows(before)

    def _admit(self, header: Header, description: Description) -> _Verdict:
        context = self._context
        production = context.environment == "production"
        strict = "any_processing_id" not in self._lenient
        if strict and header.processing_id and (header.processing_id == "P") != production:
            text = f"This is a {context.environment} system; the message is marked {header.processing_id[:1]}."
            return _Verdict("R", AckError("202", text, "MSH-11"))
        if not context.accepts or description.kind in context.accepts:
            return _Verdict()
        if self._settings.unlisted == "filter":
            return _Verdict(filtered=f"The channel does not take {description.kind}.")
        code = description.kind.partition("^")[0]
        known_code = any(kind.partition("^")[0] == code for kind in context.accepts)
        return _Verdict("R", AckError("201" if known_code else "200", "This message type is not taken here.", "MSH-9"))

    def _answer(self, header: Header | None, verdict: _Verdict) -> bytes | None:
        """The acknowledgement, or None when the sender wants none.

        In enhanced mode a sender that wants no accept acknowledgement but an application acknowledgement gets
        only that one.
        """
        mode: Literal["A", "C"] = "A"
        if header is not None and self._is_enhanced(header):
            ok = verdict.code == "A"
            if wants_accept_ack(header, ok):
                mode = "C"
            elif not wants_application_ack(header, ok) or (self.apart and ok):
                return None
        codes: dict[str, AckCode] = {
            "AA": "AA", "AE": "AE", "AR": "AR", "CA": "CA", "CE": "CE", "CR": "CR",
        }  # fmt: skip
        return self._written(header, codes[mode + verdict.code], verdict.complaint)

    def _written(self, header: Header | None, code: AckCode, error: AckError | None) -> bytes:
        return acknowledge(
            header,
            code,
            control_id=f"{self._run}{next(self._serial):x}",
            now=self._now(),
            error=error,
            accept="AL" if self.apart and code.startswith("A") else "NE",
        )

    def _now(self) -> dt.datetime:
        """The business time, as exactly as an acknowledgement writes it."""
        second = self._context.clock.now_ms() // 1000
        if second != self._second:
            self._second, self._moment = second, at(second * 1000, self._context.clock.zone)
        return self._moment
