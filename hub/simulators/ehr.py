"""An EHR: sends visits and charges over MLLP and FHIR, and takes payments and statuses back.

Run it by ``python -m hub.simulators.ehr CONFIG.json``. The configuration has ``seed``, ``visits``,
``visits_per_day``, ``faults``, ``clock``, ``fhir_token`` (what the hub must present), ``ready``,
``books``, ``summary``, and either ``hub`` or ``hub_file`` (a JSON file with that object, waited for),
where ``hub`` has ``mllp`` (``127.0.0.1:port``), ``fhir_hook`` (a URL), ``fhir_hook_token`` and
``fhir_hook_ca`` (path of the PEM to trust). Optional: ``listen`` (``mllp_port``, ``fhir_port``),
``late_seconds`` (real; how late a late answer is), ``ack_seconds`` (how long to wait for one), ``connections``
and ``credit_after_days``. The ready file says ``mllp_port``, ``fhir_port`` and ``fhir_base``.
"""

# Parts of Twisted are untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="arg-type, import-untyped, no-untyped-call"
from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import defer, endpoints, error, protocol, ssl, task
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from twisted.web.server import Site
from zope.interface import implementer

from hub.simulators.books import Books
from hub.simulators.clock import BusinessClock
from hub.simulators.ehr_fhir import FhirServer, Notification, Records, notification_body, notifications
from hub.simulators.ehr_messages import Correspondence, Outgoing
from hub.simulators.ehr_results import ResultsServer
from hub.simulators.ehr_visits import Appointments
from hub.simulators.hl7 import Deframer, Message, frame
from hub.simulators.process import reactor, run
from hub.simulators.whole_world import enlarge

HUB_FILE_SECONDS = 0.1
MALFORMED_SECONDS = 3.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0


class NoAnswerError(Exception):
    """The other side said nothing in time, or hung up."""


class _Client(protocol.Protocol):
    """One connection to the hub's MLLP listener; one question at a time."""

    transport: Any

    def __init__(self) -> None:
        self._deframer = Deframer()
        self._waiting: defer.Deferred[Message] | None = None
        self._control = ""
        self.open = False
        self.strays = 0

    def connectionMade(self) -> None:  # noqa: N802
        self.open = True

    def ask(self, data: bytes, control: str, seconds: float) -> defer.Deferred[Message]:
        """Send bytes and return the acknowledgement; ``control`` empty takes any answer."""
        self._waiting, self._control = defer.Deferred(), control
        self._waiting.addTimeout(seconds, reactor)
        self.say(data)
        return self._waiting

    def say(self, data: bytes) -> None:
        """Send bytes and expect nothing."""
        self.transport.write(data)

    def hang_up(self) -> None:
        """Close the connection, after what was written has left."""
        self.transport.loseConnection()
        self.open = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        for found in self._deframer.feed(data):
            answer = Message.read(found)
            waiting = self._waiting
            if waiting is None or (self._control and answer.field("MSA", 2) != self._control):
                self.strays += 1
                continue
            self._waiting = None
            waiting.callback(answer)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: N802
        self.open = False
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.errback(NoAnswerError())


class _ClientFactory(protocol.Factory):
    def buildProtocol(self, addr: IAddress | None) -> _Client:  # noqa: N802
        return _Client()


@implementer(IBodyProducer)
class _Body:
    """A request body that is already whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> defer.Deferred[None]:  # noqa: N802
        consumer.write(self._data)
        return defer.succeed(None)

    def pauseProducing(self) -> None:  # noqa: N802
        """Nothing is under way any more."""

    def resumeProducing(self) -> None:  # noqa: N802
        """Nothing is under way any more."""

    def stopProducing(self) -> None:  # noqa: N802
        """Nothing is under way any more."""


class Ehr:
    """The EHR process."""

    _log = Logger()

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._clock = BusinessClock.from_config(config["clock"])
        self._books = Books(Path(config["books"]), Path(config["summary"]), self._clock, self.summary)
        if config.get("world") == "whole":
            enlarge()
        seed, faults = int(config["seed"]), bool(config.get("faults"))
        visits = Appointments(
            seed,
            int(config["visits"]),
            int(config["visits_per_day"]),
            faults,
            self._clock.business_epoch,
            with_hospital=config.get("world") == "whole",
        ).visits()
        self._visits = len(visits)
        letters = Correspondence(seed, float(config.get("credit_after_days", 6)))
        self._messages = letters.messages(visits)
        self._notifications = notifications(visits)
        self._results = ResultsServer(self._books, self._clock, seed, faults, float(config.get("late_seconds", 12.0)))
        self._fhir = FhirServer(Records(visits), config["fhir_token"], self._books, faults)
        self._ack_seconds = float(config.get("ack_seconds", 10.0))
        self._connections = int(config.get("connections", min(4, 1 + self._visits // 20)))
        self._counts: Counter[str] = Counter()
        self._base = ""
        self._stopped = False

    def start(self) -> dict[str, Any]:
        """Listen; the sending begins when the hub's addresses are known. Returns the ports."""
        listen = self._config.get("listen", {})
        mllp = reactor.listenTCP(int(listen.get("mllp_port", 0)), self._results, interface="127.0.0.1")
        fhir = reactor.listenTCP(int(listen.get("fhir_port", 0)), Site(self._fhir), interface="127.0.0.1")
        self._books.start()
        fhir_port = fhir.getHost().port
        self._base = f"http://127.0.0.1:{fhir_port}/fhir"
        self._look_for_hub()
        return {"mllp_port": mllp.getHost().port, "fhir_port": fhir_port, "fhir_base": self._base}

    def stop(self) -> None:
        """Stop sending and close the books."""
        self._stopped = True
        self._books.stop()

    def summary(self) -> dict[str, Any]:
        """Return the counts for progress displays."""
        names = (
            "visits_done",
            "messages_acked",
            "messages_refused",
            "malformed",
            "charges",
            "charge_cents",
            "credits",
            "notifications_sent",
        )
        counts = {name: self._counts[name] for name in names}
        done = self._counts["finished"] == len(self._messages) + len(self._notifications)
        return counts | {
            "visits_total": self._visits,
            "messages_total": len(self._messages),
            "messages_sent": self._counts["finished"] - counts["notifications_sent"],
            "notifications_total": len(self._notifications),
            "results": self._results.booked,
            "result_lines": self._results.lines,
            "claim_responses": self._fhir.posted,
            "sending_done": done,
            "idle": done,
        }

    def _look_for_hub(self) -> None:
        """Begin when the hub's addresses are known: from the configuration, or from the file that it names."""
        if self._stopped:
            return
        hub = self._config.get("hub")
        path = Path(self._config.get("hub_file", "/nonexistent"))
        if hub is None and path.exists():
            hub = json.loads(path.read_text())
        if hub is None:
            reactor.callLater(HUB_FILE_SECONDS, self._look_for_hub)
            return
        for lane in range(self._connections):
            mine = [each for each in self._messages if _lane(each.person, self._connections) == lane]
            self._watch(self._send_lane(hub["mllp"], mine))
        self._watch(self._notify_all(hub))

    def _watch(self, work: Any) -> None:
        """Run a coroutine; a failure is a defect of the simulator and is logged as such."""

        def failed(failure: Failure) -> None:
            if not self._stopped:
                self._log.failure("the simulator failed", failure)

        defer.Deferred.fromCoroutine(work).addErrback(failed)

    # MLLP

    async def _send_lane(self, address: str, messages: list[Outgoing]) -> None:
        """Send some patients' messages one after another; each waits for the answer before it."""
        link: _Client | None = None
        for message in messages:
            await self._until(message.at)
            pause, attempts = FIRST_PAUSE, 0
            while True:
                attempts += 1
                try:
                    if link is None or not link.open:
                        link = await self._connect(address)
                    answer = await self._deliver(link, message, attempts)
                except (NoAnswerError, error.ConnectError, error.ConnectionClosed, defer.TimeoutError):
                    if link is not None:
                        link.hang_up()
                    if message.fault == "malformed":
                        self._book_malformed(message, "")
                        break
                else:
                    if message.fault == "malformed":
                        self._book_malformed(message, answer.field("MSA", 1))
                        break
                    if answer.field("MSA", 1) not in {"AR", "CR"}:
                        self._book(message, answer, attempts)
                        break
                await task.deferLater(reactor, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            self._counts["finished"] += 1

    async def _connect(self, address: str) -> _Client:
        host, _, port = address.rpartition(":")
        endpoint = endpoints.TCP4ClientEndpoint(reactor, host, int(port), timeout=5)
        client = await endpoint.connect(_ClientFactory())
        assert isinstance(client, _Client)
        return client

    async def _deliver(self, link: _Client, message: Outgoing, attempt: int) -> Message:
        """Send one message, or do it badly at the first attempt if that is its fate."""
        data = frame(message.data)
        if message.fault == "malformed":
            return await link.ask(data, "", MALFORMED_SECONDS)
        if message.fault in {"cut_frame", "lost_ack"} and attempt == 1:
            link.say(data[: len(data) // 2] if message.fault == "cut_frame" else data)
            link.hang_up()
            raise NoAnswerError
        return await link.ask(data, message.control, self._ack_seconds)

    def _book(self, message: Outgoing, answer: Message, attempts: int) -> None:
        code = answer.field("MSA", 1)
        self._books.record(
            "message",
            control=message.control,
            type=message.kind,
            account=message.account,
            mrn=message.mrn,
            visit=message.visit_number,
            ack=code,
            text=answer.field("MSA", 3),
            attempts=attempts,
            fault=message.fault,
            sha256=hashlib.sha256(message.data).hexdigest(),
        )
        if code not in {"AA", "CA"}:
            self._counts["messages_refused"] += 1
            return
        self._counts["messages_acked"] += 1
        self._counts["visits_done"] += message.finishes_visit
        self._book_charges(message.bookings)

    def _book_charges(self, bookings: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        for kind, entry in bookings:
            self._books.record(kind, **entry)
            if kind == "credit":
                self._counts["credits"] += 1
            elif kind == "charge" and entry["expected"] != "duplicate" and entry["version"] == 1:
                self._counts["charges"] += 1
                self._counts["charge_cents"] += entry["amount_cents"]

    def _book_malformed(self, message: Outgoing, answer: str) -> None:
        self._counts["malformed"] += 1
        digest = hashlib.sha256(message.data).hexdigest()
        self._books.record("malformed", variant=message.control, answer=answer, sha256=digest)

    # FHIR

    async def _notify_all(self, hub: dict[str, Any]) -> None:
        """Send the notifications one after another."""
        if not self._notifications:
            return
        authority = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(Path(hub["fhir_hook_ca"]).read_bytes())])
        pool = HTTPConnectionPool(reactor, persistent=False)
        agent = Agent(reactor, BrowserLikePolicyForHTTPS(authority), connectTimeout=5, pool=pool)
        for notification in self._notifications:
            await self._until(notification.at)
            await self._notify(agent, hub, notification)
            if notification.fault == "repeated":
                await self._notify(agent, hub, notification, again=True)
            self._counts["finished"] += 1

    async def _notify(
        self, agent: Agent, hub: dict[str, Any], notification: Notification, *, again: bool = False
    ) -> None:
        """Send one notification until it is accepted, and book its charges once."""
        visit = notification.visit
        body = notification_body(notification, self._base)
        headers = Headers(
            {
                "Content-Type": ["application/fhir+json"],
                "Authorization": [f"Bearer {hub['fhir_hook_token']}"],
            }
        )
        pause, attempts = FIRST_PAUSE, 0
        while True:
            attempts += 1
            try:
                asked = agent.request(b"POST", hub["fhir_hook"].encode(), headers, _Body(body))
                response: Any = await asked.addTimeout(self._ack_seconds, reactor)
                response.deliverBody(protocol.Protocol())  # the status says it all
                status = response.code
            except Exception as problem:  # whatever breaks a request, it is sent again
                self._books.record("fault", fault="notification_failed", problem=type(problem).__name__)
                status = 0
            if 200 <= status < 300:
                break
            await task.deferLater(reactor, pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._books.record(
            "notification",
            event=notification.event,
            encounter=visit.visit_number,
            account=visit.account,
            payload="full-resource" if visit.via == "fhir-full" else "id-only",
            status=status,
            attempts=attempts,
            fault=notification.fault,
            repeat=again,
        )
        if not again:
            self._counts["notifications_sent"] += 1
            self._counts["visits_done"] += 1
            self._book_charges(notification.bookings)

    async def _until(self, when: Any) -> None:
        delay = self._clock.real_delay(when)
        if delay > 0:
            await task.deferLater(reactor, delay)


def _lane(person: str, lanes: int) -> int:
    """Choose a patient's connection: always the same one."""
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:4]) % lanes


if __name__ == "__main__":
    run(Ehr)
