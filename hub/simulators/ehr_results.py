"""The EHR's MLLP listener for payments and statuses, which is not always a pleasant one."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IAddress

from hub.simulators.books import Books
from hub.simulators.clock import BusinessClock
from hub.simulators.hl7 import Deframer, Message, acknowledge, frame, part
from hub.simulators.process import reactor

# Each kind of trouble has its turn early on; later ones come by chance. AE is for statuses only, and rare:
# it is final, so what it refuses never arrives.
EARLY_TROUBLE = {4: "AR", 8: "closed", 12: "wrong_control", 16: "twice", 20: "late"}
TROUBLE_PERCENT = 3
MOST_LATE = 3
MOST_REFUSED = 2
REFUSED_EVERY = 15


class ResultsServer(protocol.Factory):
    """Books every message once and answers it, with faults sometimes badly."""

    def __init__(self, books: Books, clock: BusinessClock, seed: int, faults: bool, late_seconds: float) -> None:
        self._books, self._clock, self._faults = books, clock, faults
        self._late_seconds = late_seconds
        self._rng = random.Random(f"{seed}:results")
        self._seen: set[str] = set()
        self._troubled: set[str] = set()
        self._statuses = self._refused = self._late = self._fresh = 0
        self.booked = self.lines = 0

    def buildProtocol(self, addr: IAddress | None) -> _Connection:  # noqa: N802
        """Make the protocol of one connection."""
        return _Connection(self)

    def take(self, data: bytes, connection: _Connection) -> None:
        """Book one message and answer it."""
        try:
            message = Message.read(data)
        except ValueError:
            self._books.record("refused", control="", type="", account="", answer="AE")
            return
        control = message.field("MSH", 10)
        trouble = self._trouble(message, control)
        if trouble in {"AR", "AE"}:
            self._books.record(
                "refused",
                control=control,
                type=message.kind,
                account=message.field("PID", 18),
                answer=trouble,
            )
            connection.answer(acknowledge(message, trouble, self._clock.now()))
            return
        self._book(message, control, trouble or "AA")
        good = acknowledge(message, "AA", self._clock.now())
        match trouble:
            case "late":
                reactor.callLater(self._late_seconds, connection.answer, good)
            case "twice":
                connection.answer(good)
                connection.answer(good)
            case "wrong_control":
                connection.answer(acknowledge(message, "AA", self._clock.now(), "SOMETHINGELSE"))
            case "closed":
                connection.close()
            case _:
                connection.answer(good)

    def _trouble(self, message: Message, control: str) -> str:
        """Choose how to answer badly; empty for well. A message is ill-treated once at most."""
        if not self._faults or control in self._seen or control in self._troubled:
            return ""
        self._fresh += 1
        is_status = message.kind.startswith("BAR")
        self._statuses += is_status
        if is_status and self._statuses % REFUSED_EVERY == 0 and self._refused < MOST_REFUSED:
            self._refused += 1
            trouble = "AE"
        elif self._fresh in EARLY_TROUBLE:
            trouble = EARLY_TROUBLE[self._fresh]
        elif self._rng.random() * 100 < TROUBLE_PERCENT:
            trouble = self._rng.choice(sorted(EARLY_TROUBLE.values()))
        else:
            return ""
        if trouble == "late":
            self._late += 1
            if self._late > MOST_LATE:
                return ""
        self._troubled.add(control)
        return trouble

    def _book(self, message: Message, control: str, answer: str) -> None:
        repeat = control in self._seen
        self._seen.add(control)
        lines = [_line(segment) for segment in message.all("FT1")]
        if not repeat:
            self.booked += 1
            self.lines += len(lines)
        self._books.record(
            "result",
            control=control,
            type=message.kind,
            account=message.field("PID", 18),
            status=message.field("PV1", 41),
            lines=lines,
            repeat=repeat,
            answer=answer,
        )


def _line(segment: list[str]) -> dict[str, Any]:
    return {
        "transaction": part(segment, 31),
        "own": part(segment, 2),
        "line_type": part(segment, 6),
        "code": part(segment, 7),
        "amount_cents": _cents(part(segment, 11)),
        "trace": part(segment, 30),
    }


def _cents(text: str) -> int | None:
    """Read an amount with at most two decimals; nothing when it is not one."""
    sign = -1 if text.startswith("-") else 1
    whole, _, rest = text.lstrip("+-").partition(".")
    if not (whole + rest).isdigit() or len(rest) > 2:
        return None
    return sign * (int(whole or "0") * 100 + int(rest.ljust(2, "0")))


class _Connection(protocol.Protocol):
    """One connection of the hub."""

    transport: Any

    def __init__(self, server: ResultsServer) -> None:
        self._server = server
        self._deframer = Deframer()
        self._open = True

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        for message in self._deframer.feed(data):
            self._server.take(message, self)

    def answer(self, data: bytes) -> None:
        """Send an acknowledgement, if anybody is still there."""
        if self._open:
            self.transport.write(frame(data))

    def close(self) -> None:
        """Hang up without a word."""
        self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802
        self._open = False
