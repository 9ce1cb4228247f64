"""One suite for every destination: what the other end does decides what is known of a delivery.

Transient is what surely was not processed, ambiguous what may have been, permanent what was refused for good. A
connector that is missing here is one whose failures nobody has looked at.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from hub.connectors import connectors, database, fhir, fhir_read, files, http, mllp, rest_read, rest_write, sftp
from hub.connectors import email as hub_email
from hub.connectors.sftp import SftpDestinationSettings
from hub.engine.contracts import Destination, Parcel
from hub.formats.hl7v2.ack import acknowledge
from hub.formats.hl7v2.header import read_header
from hub.formats.hl7v2.mllp import frame
from tests.connectors.behaviour import Peer, Server, delivered, free_port, serving
from tests.connectors.peers import Surroundings, failure_of, parcel, within
from tests.connectors.test_sftp import Partner, partner  # noqa: F401 (a fixture)

FILLING = "x" * 300_000
"""Longer than one read, so that a server can hang up in the middle of a request."""

loop: Any = reactor


# ---------------------------------------------------------------- what the connectors over TCP send and are told


@dataclass(frozen=True)
class Wire:
    """One connector over TCP: how to open it, what to send, and what a server makes of that."""

    open: Callable[[Surroundings, int, dict[str, Any]], Destination]
    body: Callable[[str], bytes]
    is_whole: Callable[[bytes], bool]
    answer: Callable[[bytes, str], bytes]
    name_of: Callable[[bytes], str]


QUICK = {"connect_within": "2s", "answer_within": "3s"}


def hl7(name: str) -> bytes:
    head = f"MSH|^~\\&|CLAIMHUB|HUB|EHR|ALDER|20261123||DFT^P03|{name}|T|2.5.1"
    return f"{head}\rNTE|1||{FILLING}\r".encode()


def hl7_answer(seen: bytes, verdict: str) -> bytes:
    code: Any = {"accepts": "AA", "not now": "AR", "never": "AE"}[verdict]
    return frame(acknowledge(read_header(seen[1:]), code, control_id="X1", now=datetime.now(UTC)))


def http_is_whole(seen: bytes) -> bool:
    head, end, body = seen.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) >= (int(lengths[0].partition(b":")[2]) if lengths else 0)


def http_answer(_: bytes, verdict: str) -> bytes:
    status = {"accepts": "200 OK", "not now": "503 Service Unavailable", "never": "422 Unprocessable"}[verdict]
    body = b'{"resourceType": "Encounter", "id": "e1"}'
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def web(module: Any, model: Any, settings: Callable[[int], dict[str, Any]]) -> Callable[..., Destination]:
    def opened(around: Surroundings, port: int, options: dict[str, Any]) -> Destination:
        made = model.model_validate({**settings(port), **QUICK, "requests": 1, **options})
        open_destination: Any = module.CONNECTOR.open_destination
        destination: Destination = open_destination(made, around.destination(module.CONNECTOR))
        return destination

    return opened


def mllp_sender(around: Surroundings, port: int, options: dict[str, Any]) -> Destination:
    settings = {"endpoint": f"tcp:127.0.0.1:{port}", **QUICK, **options}
    return mllp.MllpDestination(
        mllp.MllpDestinationSettings.model_validate(settings), around.destination(mllp.CONNECTOR)
    )


def json_body(name: str) -> bytes:
    return json.dumps({"name": name, "filling": FILLING}).encode()


def name_in_json(seen: bytes) -> str:
    return str(json.loads(seen.partition(b"\r\n\r\n")[2])["name"])


def poster(more: dict[str, Any]) -> Wire:
    opened = web(http, http.HttpDestinationSettings, lambda port: {"url": f"http://127.0.0.1:{port}/x", **more})
    return Wire(opened, json_body, http_is_whole, http_answer, name_in_json)


def base(port: int) -> dict[str, Any]:
    return {"base": f"http://127.0.0.1:{port}/fhir"}


WIRES = {
    "mllp": Wire(
        mllp_sender,
        hl7,
        lambda seen: seen.endswith(b"\x1c\r"),
        hl7_answer,
        lambda seen: seen.split(b"|")[9].decode(),
    ),
    "http": poster({}),
    "http, repeats known": poster({"idempotency_header": "Idempotency-Key"}),
    "fhir": Wire(
        web(fhir, fhir.FhirDestinationSettings, lambda port: {**base(port), "resource": "ClaimResponse"}),
        lambda name: json.dumps({"resourceType": "ClaimResponse", "name": name, "filling": FILLING}).encode(),
        http_is_whole,
        http_answer,
        name_in_json,
    ),
    "fhir_read": Wire(
        web(fhir_read, fhir_read.FhirReadSettings, base),
        lambda name: json.dumps({"reads": [f"Encounter/{name}"]}).encode(),
        http_is_whole,
        http_answer,
        lambda seen: seen.split(b" ")[1].rpartition(b"/")[2].decode(),
    ),
    "rest_read": Wire(
        web(rest_read, rest_read.RestReadSettings, base),
        lambda name: json.dumps({"kind": "claim", "parts": {"claim": {"path": f"claims/{name}"}}}).encode(),
        http_is_whole,
        http_answer,
        lambda seen: seen.split(b" ")[1].rpartition(b"/")[2].decode(),
    ),
    "rest_write": Wire(
        web(
            rest_write, rest_write.RestWriteSettings, lambda port: {"url": f"http://127.0.0.1:{port}/x", "body": "json"}
        ),
        json_body,
        http_is_whole,
        http_answer,
        name_in_json,
    ),
}


# ---------------------------------------------------------------- what the other end does

Facing = AbstractAsyncContextManager[Destination]


@asynccontextmanager
async def facing(wire: Wire, situation: str, around: Surroundings) -> AsyncIterator[Destination]:
    """A destination whose other end is in *situation*."""
    if situation == "nobody there":
        yield wire.open(around, await free_port(), {})
        return

    def greet(peer: Peer) -> None:
        if situation == "hangs up at once":
            peer.drop()

    def behave(peer: Peer, _: bytes) -> None:
        if situation == "hangs up in the request":
            peer.drop()
        if not wire.is_whole(peer.seen):
            return
        request, peer.seen = peer.seen, b""
        match situation:
            case "hangs up after the request":
                peer.drop()
            case "closes after the request":
                peer.bye()
            case "hangs up in the answer":
                peer.say(wire.answer(request, "accepts")[:12])
                peer.bye()
            case "answers slowly":
                for number, byte in enumerate(wire.answer(request, "accepts")):
                    loop.callLater(0.002 * number, peer.say, bytes([byte]))
            case "accepts" | "not now" | "never":
                peer.say(wire.answer(request, situation))

    options = {"answer_within": "300ms"} if situation == "never answers" else {}
    async with serving(behave, greet) as server:
        yield wire.open(around, server.port, options)


MAY_HAVE = {
    "accepts": "delivered",
    "answers slowly": "delivered",
    "nobody there": "transient",
    "not now": "transient",
    "never": "permanent",
    "hangs up at once": "ambiguous",
    "hangs up in the request": "ambiguous",
    "hangs up after the request": "ambiguous",
    "closes after the request": "ambiguous",
    "hangs up in the answer": "ambiguous",
    "never answers": "ambiguous",
}
MAY_REPEAT = {situation: kind.replace("ambiguous", "transient") for situation, kind in MAY_HAVE.items()}
EXPECTED = {
    "mllp": MAY_HAVE,
    "http": MAY_HAVE,
    "fhir": MAY_HAVE,
    "http, repeats known": MAY_REPEAT,
    "fhir_read": MAY_REPEAT,
    "rest_read": MAY_REPEAT,
    "rest_write": MAY_HAVE,
}


@pytest.mark.parametrize("situation", MAY_HAVE)
@pytest.mark.parametrize("name", WIRES)
@pytest_twisted.ensureDeferred
async def test_what_the_other_end_does_decides_what_is_known(around: Surroundings, name: str, situation: str) -> None:
    async with facing(WIRES[name], situation, around) as destination:
        (outcome,) = await delivered(destination, parcel(WIRES[name].body("M1"), "M1"))
    assert failure_of(outcome) == EXPECTED[name][situation]
    assert bool(outcome.reason) == (outcome.failure is not None)
    assert "xxx" not in outcome.reason


@pytest.mark.parametrize("name", WIRES)
@pytest_twisted.ensureDeferred
async def test_closing_while_busy_waits_for_what_is_in_hand(around: Surroundings, name: str) -> None:
    async with facing(WIRES[name], "answers slowly", around) as destination:
        destination.start()
        under_way = destination.deliver(parcel(WIRES[name].body("M1"), "M1"))
        stopped = destination.stop()
        assert stopped is not None
        await within(stopped)
        assert under_way.called
        assert failure_of(await within(under_way)) == "delivered"


async def sent_in_order(destination: Destination, bodies: list[Parcel], repair: Callable[[], Any]) -> list[str]:
    """Send one after the other as a lane does, repeating what is transient; *repair* the other end after the first."""
    outcomes: list[str] = []
    for one in bodies:
        while True:
            outcomes.append(failure_of(await within(destination.deliver(one))))
            if outcomes[-1] != "transient":
                break
            assert len(outcomes) < 20
            repair()
    stopped = destination.stop()
    assert stopped is not None
    await within(stopped)
    return outcomes


@pytest.mark.parametrize("name", WIRES)
@pytest_twisted.ensureDeferred
async def test_after_an_outage_the_order_goes_on(around: Surroundings, name: str) -> None:
    wire = WIRES[name]
    down = True
    processed: list[str] = []

    def behave(peer: Peer, _: bytes) -> None:
        if wire.is_whole(peer.seen):
            request, peer.seen = peer.seen, b""
            if not down:
                processed.append(wire.name_of(request))
            peer.say(wire.answer(request, "not now" if down else "accepts"))

    def repair() -> None:
        nonlocal down
        down = False

    names = [f"M{number}" for number in range(5)]
    async with serving(behave) as server:
        destination = wire.open(around, server.port, {})
        outcomes = await sent_in_order(destination, [parcel(wire.body(one), one) for one in names], repair)
    assert outcomes == ["transient", *["delivered"] * 5]
    assert processed == names


# ---------------------------------------------------------------- files, near and far


def sftp_sender(around: Surroundings, to: Partner, folder: str = "inbound", **options: Any) -> Destination:
    settings = SftpDestinationSettings.model_validate(to.settings(folder, **options))
    return sftp.open_destination(settings, around.destination(sftp.CONNECTOR))


def lose(*_: Any, **__: Any) -> None:
    raise EOFError


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        ("accepts", "delivered"),
        ("nobody there", "transient"),
        ("not now", "transient"),
        ("never answers", "transient"),
        ("hangs up in the upload", "transient"),
        ("hangs up in the last step", "ambiguous"),
        ("never", "permanent"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_a_file_server_does_decides_what_is_known(
    around: Surroundings,
    partner: Partner,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    situation: str,
    expected: str,
) -> None:
    async with serving(lambda peer, _: None) as silent:
        options: dict[str, Any] = {}
        folder = "nowhere" if situation == "never" else "inbound"
        match situation:
            case "nobody there":
                partner.port = await free_port()
            case "not now":
                partner.refuses = True
            case "never answers":
                partner.port, options = silent.port, {"connect_within": "300ms"}
            case "hangs up in the upload":
                monkeypatch.setattr("paramiko.SFTPClient.putfo", lose)
            case "hangs up in the last step":
                monkeypatch.setattr(sftp, "_rename", lose)
        (outcome,) = await delivered(sftp_sender(around, partner, folder, **options), parcel(b"claims", "a.837"))
    assert failure_of(outcome) == expected
    arrived = [path.name for path in (partner.root / "inbound").iterdir() if path.suffix == ".837"]
    assert arrived == (["a.837"] if expected == "delivered" else [])


@pytest_twisted.ensureDeferred
async def test_after_a_file_server_s_outage_the_order_goes_on(
    around: Surroundings,
    partner: Partner,  # noqa: F811
) -> None:
    partner.refuses = True

    def repair() -> None:
        partner.refuses = False

    parcels = [parcel(str(number).encode(), f"{number}.837") for number in range(3)]
    outcomes = await sent_in_order(sftp_sender(around, partner), parcels, repair)
    assert outcomes == ["transient", *["delivered"] * 3]
    times = [(partner.root / "inbound" / f"{number}.837").stat().st_mtime_ns for number in range(3)]
    assert times == sorted(times)


# ---------------------------------------------------------------- what runs in workers: folders, databases, mail


class Folder:
    """The files connector's other end."""

    module: Any = files

    def __init__(self, around: Surroundings) -> None:
        self.path = around.folder / "out"

    def settings(self) -> dict[str, Any]:
        return {"folder": "out"}

    async def __aenter__(self) -> Folder:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def mend(self) -> None:
        self.path.mkdir(exist_ok=True)

    def arrived(self) -> list[str]:
        found = (path for path in self.path.iterdir() if not path.name.startswith("."))
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


class Table:
    """The database connector's other end; until it is mended somebody else locks it."""

    module: Any = database

    def __init__(self, around: Surroundings) -> None:
        self._file = around.folder / "out.db"
        self._other = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._other.execute("CREATE TABLE status (name TEXT)")
        self._other.execute("BEGIN EXCLUSIVE")

    def settings(self) -> dict[str, Any]:
        return {
            "url": f"sqlite:///{self._file}",
            "statements": ["INSERT INTO status VALUES (:name)"],
            "answer_within": "100ms",
        }

    async def __aenter__(self) -> Table:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._other.close()
        database.access.close_databases()

    def mend(self) -> None:
        if self._other.in_transaction:
            self._other.execute("COMMIT")

    def arrived(self) -> list[str]:
        return [name for (name,) in self._other.execute("SELECT name FROM status ORDER BY rowid")]


class Mail:
    """The email connector's other end: a server that speaks as much SMTP as it takes to misbehave in each phase."""

    module: Any = hub_email

    def __init__(self, around: Surroundings, situation: str = "not now") -> None:
        self.situation = situation
        self.mails: list[bytes] = []
        self._server: Server | None = None

    def settings(self) -> dict[str, Any]:
        assert self._server is not None
        options = (
            {"connect_within": "300ms", "answer_within": "300ms"} if self.situation.startswith("never answers") else {}
        )
        address = {"server": f"tcp:127.0.0.1:{self._server.port}", "security": "none"}
        return {**address, "sender": "hub@clinic.example", "to": ["ops@clinic.example"], **options}

    async def __aenter__(self) -> Mail:
        self._server = Server(self._behave, self._greet)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.close()

    def mend(self) -> None:
        self.situation = "accepts"

    def arrived(self) -> list[str]:
        return [mail.partition(b"Subject: ")[2].split(b"\r\n")[0].decode().rpartition(" ")[2] for mail in self.mails]

    def _greet(self, peer: Peer) -> None:
        match self.situation:
            case "hangs up at once":
                peer.drop()
            case "not now":
                peer.say(b"421 later\r\n")
            case "never answers":
                pass
            case _:
                peer.say(b"220 here\r\n")

    def _behave(self, peer: Peer, _: bytes) -> None:
        if not peer.seen.endswith(b"\r\n"):
            return
        if b"\r\n.\r\n" in peer.seen:
            mail, peer.seen = peer.seen, b""
            self._end(peer, mail)
        elif b"Message-ID" not in peer.seen:
            line, peer.seen = peer.seen[:4].upper(), b""
            self._step(peer, line)

    def _step(self, peer: Peer, line: bytes) -> None:
        match self.situation:
            case "hangs up before the mail" if line == b"DATA":
                peer.drop()
            case "never" if line == b"RCPT":
                peer.say(b"550 nobody here\r\n")
            case _:
                peer.say(b"354 go on\r\n" if line == b"DATA" else b"250 yes\r\n")

    def _end(self, peer: Peer, mail: bytes) -> None:
        match self.situation:
            case "hangs up after the mail":
                peer.drop()
            case "never answers the mail":
                pass
            case "refuses the mail":
                peer.say(b"554 not this\r\n")
            case "no room for the mail":
                peer.say(b"452 full\r\n")
            case "answers slowly":
                self.mails.append(mail)
                for number, byte in enumerate(b"250 kept\r\n"):
                    loop.callLater(0.002 * number, peer.say, bytes([byte]))
            case _:
                self.mails.append(mail)
                peer.say(b"250 kept\r\n")


OTHER_ENDS: dict[str, Any] = {"files": Folder, "database": Table, "email": Mail}


def working(around: Surroundings, end: Any) -> Destination:
    connector = end.module.CONNECTOR
    made = connector.destination_settings.model_validate(end.settings())
    opened: Destination = connector.open_destination(made, around.destination(connector))
    return opened


def named(name: str) -> Parcel:
    return parcel(json.dumps({"name": name}).encode(), name)


@pytest.mark.parametrize("name", OTHER_ENDS)
@pytest_twisted.ensureDeferred
async def test_after_an_outage_the_order_goes_on_for_what_runs_in_workers(around: Surroundings, name: str) -> None:
    async with OTHER_ENDS[name](around) as end:
        outcomes = await sent_in_order(working(around, end), [named(f"M{number}") for number in range(4)], end.mend)
        assert outcomes == ["transient", *["delivered"] * 4]
        assert end.arrived() == [f"M{number}" for number in range(4)]


@pytest.mark.parametrize("name", OTHER_ENDS)
@pytest_twisted.ensureDeferred
async def test_closing_waits_for_the_worker_that_is_busy(around: Surroundings, name: str) -> None:
    async with OTHER_ENDS[name](around) as end:
        end.mend()
        destination = working(around, end)
        under_way = destination.deliver(named("M1"))
        stopped = destination.stop()
        assert stopped is not None
        await within(stopped)
        assert under_way.called
        assert failure_of(await within(under_way)) == "delivered"
        assert end.arrived() == ["M1"]


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        ("accepts", "delivered"),
        ("answers slowly", "delivered"),
        ("not now", "transient"),
        ("never answers", "transient"),
        ("hangs up at once", "transient"),
        ("hangs up before the mail", "transient"),
        ("no room for the mail", "transient"),
        ("never", "permanent"),
        ("refuses the mail", "permanent"),
        ("hangs up after the mail", "ambiguous"),
        ("never answers the mail", "ambiguous"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_a_mail_server_does_decides_what_is_known(
    around: Surroundings, situation: str, expected: str
) -> None:
    async with Mail(around, situation) as end:
        (outcome,) = await delivered(working(around, end), named("M1"))
        assert failure_of(outcome) == expected
        assert end.arrived() == (["M1"] if expected == "delivered" else [])


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        ("accepts", "delivered"),
        ("was there already", "delivered"),
        ("nobody there", "transient"),
        ("hangs up in the upload", "transient"),
        ("hangs up in the last step", "transient"),
        ("never", "permanent"),
        ("the worker dies", "ambiguous"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_a_folder_does_decides_what_is_known(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, situation: str, expected: str
) -> None:
    end = Folder(around)
    destination: Any = working(around, end)
    if situation != "nobody there":
        end.mend()
    match situation:
        case "was there already" | "never":
            (end.path / "M1").write_bytes(named("M1").body if situation == "was there already" else b"another")
        case "hangs up in the upload":
            monkeypatch.setattr("os.fsync", no_room)
        case "hangs up in the last step":
            monkeypatch.setattr("os.link", no_room)
        case "the worker dies":
            destination._context.workers.dying.add("files.put")
    (outcome,) = await delivered(destination, named("M1"))
    assert failure_of(outcome) == expected
    if situation != "nobody there":  # whole under its name, or not there; and nothing half is left
        left = {"delivered": ["M1"], "permanent": ["M1"]}.get(expected, [])
        assert [path.name for path in end.path.iterdir()] == left


def test_every_destination_is_in_this_suite() -> None:
    within_the_store = {"channel"}  # nothing is at its other end that could misbehave
    known = {name.partition(",")[0] for name in WIRES} | {"sftp"} | set(OTHER_ENDS) | within_the_store
    assert {name for name, connector in connectors().items() if connector.open_destination} == known
