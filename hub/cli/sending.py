"""What `hub send` does on the wire: one item at a time per connection, each waited for until it is answered."""

# Parts of Twisted are untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="arg-type, no-untyped-call"

from __future__ import annotations

import io
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.python.failure import Failure as TwistedFailure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from hub.core.errors import HubError
from hub.formats.hl7v2.ack import Ack, read_ack, wants_accept_ack, wants_application_ack
from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.header import HL7ParseError, read_header
from hub.formats.hl7v2.mllp import START, Frame, FrameError, FrameReader, frame

reactor: Any = _reactor

CONNECT_SECONDS = 10.0
_PEM_END = b"-----END CERTIFICATE-----\n"
Result = Literal["accepted", "refused", "unanswered"]


class SendError(HubError):
    """Nothing can be sent as asked."""

    code = "H650"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send. *name* says which file it stands in, and its number when that holds several."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an item.

    *code* is ``AA``, ``201``, ... or ``sent`` when no answer was asked for. *text* is the receiver's own and may quote
    the item.
    """

    name: str
    control_id: str
    result: Result
    code: str = ""
    condition: str = ""
    where: str = ""
    text: str = ""
    milliseconds: float | None = None


class Carrier(Protocol):
    """One connection of a sender."""

    async def send(self, item: Item) -> Answer:
        """Send *item* and wait for its answer. Never raises for what the other side does."""

    async def close(self) -> None:
        """End the connection."""


# ---------------------------------------------------------------- what is sent


def messages_in(name: str, raw: bytes) -> list[Item]:
    """The HL7 messages in a file, byte for byte: bare, in a batch, in MLLP blocks, or any mixture of them."""
    blocks = [raw]
    if START in raw:
        reader = FrameReader(max(len(raw), 1))
        events = [*reader.feed(raw), *reader.flush()]
        blocks = [event.raw for event in events if isinstance(event, Frame)] or [raw]
    bodies = [body for block in blocks for body in split_batch(block)]
    if len(bodies) == 1:
        return [Item(name, bodies[0])]
    return [Item(f"{name}#{number}", body) for number, body in enumerate(bodies, 1)]


def with_control_id(raw: bytes, control_id: str) -> bytes:
    """The HL7 message *raw* with another MSH-10; as it is when it has no MSH."""
    try:
        read_header(raw)
    except HL7ParseError:
        return raw
    start = raw.index(b"MSH")
    ends = [place for place in (raw.find(b"\r", start), raw.find(b"\n", start)) if place >= 0]
    end = min(ends, default=len(raw))
    separator = raw[start + 3 : start + 4]
    fields = raw[start:end].split(separator)
    fields += [b""] * (10 - len(fields))
    fields[9] = control_id.encode()
    return raw[:start] + separator.join(fields) + raw[end:]


def rounds(items: Sequence[Item], count: int | None, *, fresh: bool) -> Iterator[Item]:
    """*items* in their order; with *count* that many, going round.

    *fresh* gives every message a control id of its own, because a receiver answers a repeat without doing anything.
    """
    started = f"{time.time_ns() // 1000:x}"
    for number in range(len(items) if count is None else count):
        item = items[number % len(items)]
        yield Item(item.name, with_control_id(item.body, f"{started}{number}")) if fresh else item


# ---------------------------------------------------------------- MLLP


class _Line(TwistedProtocol):
    """A connection that waits for one answer at a time."""

    transport: Any

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._control_id = ""
        self._waiting: Deferred[Ack] | None = None
        self.is_lost = False

    def ask(self, raw: bytes, control_id: str) -> Deferred[Ack]:
        """Fires with the answer to *raw*; answers to other messages are passed over."""
        self._control_id, self._waiting = control_id, Deferred()
        self.transport.write(frame(raw))
        return self._waiting

    def say(self, raw: bytes) -> None:
        """Send *raw*, which asks for no answer."""
        self.transport.write(frame(raw))

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        for event in self._reader.feed(data):
            if not isinstance(event, Frame) or self._waiting is None:
                continue
            try:
                ack = read_ack(event.raw)
            except HL7ParseError as error:
                self._settle(error)
                continue
            if not self._control_id or ack.control_id in {"", self._control_id}:
                self._settle(ack)

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:  # noqa: N802
        self.is_lost = True
        self._settle(SendError("The connection was closed before an answer came."))

    def _settle(self, result: Ack | HubError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.errback(result) if isinstance(result, HubError) else waiting.callback(result)


class MllpCarrier:
    """Sends HL7 messages over one MLLP connection, opened anew when it was lost."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_SECONDS)
        self._where = f"{host}:{port}"
        self._timeout = timeout
        self._line: _Line | None = None

    async def open(self) -> None:
        """Connect. Raises :class:`SendError` when nobody answers."""
        try:
            self._line = await self._endpoint.connect(Factory.forProtocol(_Line))
        except Exception as error:
            raise SendError(
                "Nobody listens there.",
                where=self._where,
                found=type(error).__name__,
                fix="Is the address right, and the receiver running? `hub status` shows a site's listeners.",
            ) from None

    async def send(self, item: Item) -> Answer:
        """See :class:`Carrier`."""
        control_id = _control_id(item.body)
        try:
            if self._line is None or self._line.is_lost:
                await self.open()
            assert self._line is not None
            if not _wants_answer(item.body):
                self._line.say(item.body)
                return Answer(item.name, control_id, "accepted", code="sent")
            started = time.perf_counter()
            ack = await self._line.ask(item.body, control_id).addTimeout(self._timeout, reactor)
        except DeferredTimeout:
            await self.close()  # a late answer must not be taken for the next one's
            return Answer(item.name, control_id, "unanswered", text=f"No answer within {self._timeout:g} s.")
        except (SendError, FrameError, HL7ParseError) as error:
            return Answer(item.name, control_id, "unanswered", text=error.what)
        return Answer(
            item.name,
            control_id,
            "accepted" if ack.accepted else "refused",
            code=ack.code,
            condition=ack.error_condition,
            where=ack.error_location,
            text=ack.error_text or ack.text,
            milliseconds=(time.perf_counter() - started) * 1000,
        )

    async def close(self) -> None:
        """See :class:`Carrier`."""
        line, self._line = self._line, None
        if line is not None:
            line.transport.loseConnection()


def _control_id(raw: bytes) -> str:
    try:
        return read_header(raw).control_id
    except HL7ParseError:
        return ""


def _wants_answer(raw: bytes) -> bool:
    """Whether the message asks for an answer when all is well (MSH-15, MSH-16); waiting for any other is in vain."""
    try:
        header = read_header(raw)
    except HL7ParseError:
        return True
    return wants_accept_ack(header, ok=True) or wants_application_ack(header, ok=True)


# ---------------------------------------------------------------- HTTP


class HttpCarrier:
    """Posts items to a URL with a bearer token. With *ca*, only the certificates of that file are trusted."""

    def __init__(self, url: str, timeout: float, *, token: str = "", ca: Path | None = None) -> None:
        policy = BrowserLikePolicyForHTTPS(_trust(ca)) if ca else BrowserLikePolicyForHTTPS()
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._agent = Agent(reactor, policy, connectTimeout=CONNECT_SECONDS, pool=self._pool)
        self._url = url.encode()
        self._timeout = timeout
        self._headers = Headers({"Content-Type": ["application/fhir+json"], "User-Agent": ["claimhub"]})
        if token:
            self._headers.addRawHeader(b"Authorization", f"Bearer {token}".encode())

    async def send(self, item: Item) -> Answer:
        """See :class:`Carrier`."""
        started = time.perf_counter()
        try:
            status, body = await ensureDeferred(self._post(item.body)).addTimeout(self._timeout, reactor)
        except DeferredTimeout:
            return Answer(item.name, "", "unanswered", text=f"No answer within {self._timeout:g} s.")
        except Exception as error:  # a dozen kinds, of sockets, TLS and HTTP
            return Answer(item.name, "", "unanswered", text=f"No answer: {_root(error)}.")
        return Answer(
            item.name,
            "",
            "accepted" if 200 <= status < 300 else "refused",
            code=str(status),
            text="" if 200 <= status < 300 else body[:200].decode("utf-8", "replace"),
            milliseconds=(time.perf_counter() - started) * 1000,
        )

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        producer = FileBodyProducer(io.BytesIO(body))
        response = await self._agent.request(b"POST", self._url, self._headers, producer)
        return response.code, await readBody(response)

    async def close(self) -> None:
        """See :class:`Carrier`."""
        await self._pool.closeCachedConnections()


def _trust(ca: Path) -> Any:
    try:
        blocks = ca.read_bytes().split(_PEM_END)[:-1]
        return trustRootFromCertificates([Certificate.loadPEM(block + _PEM_END) for block in blocks])
    except Exception:
        raise SendError(
            "The certificates to trust cannot be read.", where=str(ca), expected="certificates in PEM"
        ) from None


def _root(error: BaseException) -> str:
    """The kind of what is at the bottom of a web client's failure."""
    reasons = getattr(error, "reasons", None)
    return _root(reasons[0].value) if reasons else type(error).__name__


# ---------------------------------------------------------------- folders


class FolderCarrier:
    """Puts items into a folder as files, each under its final name only once it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, item: Item) -> Answer:
        """See :class:`Carrier`."""
        started = time.perf_counter()
        name = item.name.rpartition("/")[2]
        unfinished = self._folder / f".{name}.part"
        try:
            unfinished.write_bytes(item.body)
            final = _free_name(self._folder / name)
            os.rename(unfinished, final)  # noqa: PTH104  the one call that replaces nothing half
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            return Answer(item.name, "", "unanswered", text=f"Not written: {error.strerror}.")
        took = (time.perf_counter() - started) * 1000
        return Answer(item.name, "", "accepted", code="written", milliseconds=took)

    async def close(self) -> None:
        """See :class:`Carrier`."""


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


# ---------------------------------------------------------------- all of it


async def send_all(
    carriers: Sequence[Carrier], items: Iterable[Item], answered: Callable[[Answer], None], *, rate: float | None = None
) -> None:
    """Send *items* over whichever of *carriers* is free, at most *rate* a second; *answered* hears of each."""
    started = reactor.seconds()
    numbered = enumerate(items)

    async def work(carrier: Carrier) -> None:
        for number, item in numbered:
            wait = started + number / rate - reactor.seconds() if rate else 0.0
            if wait > 0:
                await deferLater(reactor, wait, lambda: None)
            answered(await carrier.send(item))
        await carrier.close()

    await gatherResults([ensureDeferred(work(carrier)) for carrier in carriers], consumeErrors=True)


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured. 0.0 of nothing."""
    if not sorted_values:
        return 0.0
    rank = -(-len(sorted_values) * percent // 100)  # rounded up
    return sorted_values[max(int(rank), 1) - 1]


def on_reactor(work: Callable[[], Awaitable[None]]) -> None:
    """Run *work* on the reactor until it is done. Raises what it raised; `KeyboardInterrupt` after Ctrl-C."""
    failures: list[TwistedFailure] = []
    finished = False

    async def whole() -> None:
        nonlocal finished
        try:
            await work()
            finished = True
        except HubError:
            failures.append(TwistedFailure())
            finished = True
        finally:
            if reactor.running:
                reactor.stop()

    reactor.callWhenRunning(lambda: ensureDeferred(whole()))
    reactor.run()
    if failures:
        failures[0].raiseException()
    if not finished:
        raise KeyboardInterrupt
