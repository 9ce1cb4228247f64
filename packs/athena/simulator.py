"""athenahealth's side of the interface: a REST API with tokens and quotas, and webhooks that say only what changed.

    python simulators/athena.py --hook http://127.0.0.1:6630/fhir/athena --books athena.jsonl

It prints its port as JSON. ``POST /play`` takes commands as JSON objects, so that a person or a test can say what
happens (nothing of the vendor's): ``{"do": "visit", "day": "2026-03-02"}``, ``{"do": "change", "claimid": "5001",
"procedures": [["99214", "195.00"]]}``, ``{"do": "cancel", "appointmentid": "901"}``, ``{"do": "insure",
"patientid": "3001", "package": "20003", "member": "NW00000001"}``, ``{"do": "let go"}`` for notifications that wait,
and ``{"do": "set", "hanging": true}`` for any of the fields of :class:`Mood`.

The shapes of notifications are those of the vendor's public samples of its event platform; those of the API's answers
are what its public pages suggest. Books are JSON lines: ``notification`` (topic, record, status, seconds, attempt),
``request`` (method, kind of address, status), ``note`` (claim, text).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import random
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from twisted.internet import reactor as _reactor
from twisted.internet import ssl
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer, readBody
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

reactor: Any = _reactor
Json = dict[str, Any]
ANSWER_WITHIN = 2.0
"""Seconds within which a webhook must be answered."""
TRIED_AGAIN_AFTER = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
TOPICS = "https://api.athena.example/fhir/r4/SubscriptionTopic"
FAMILIES = ("FAUXLEY", "MOCKRIDGE", "SAMPLESON", "PLACEHOLT", "DUMMOND", "FICTON")
GIVEN = ("ADA", "BRISA", "CLEO", "DREW", "EMIL", "FINN", "GRETA", "HUGO")


@dataclass
class Mood:
    """How the API behaves. Zero, empty and false are well-behaved."""

    per_second: int = 0
    per_day: int = 0
    retry_after: int = 0  # what a 429 asks for; 0: it does not say, and every second one keeps silent anyway
    token_seconds: float = 3600.0
    page: int = 10
    slow: float = 0.0  # seconds before each answer
    hanging: bool = False  # no answer at all
    down: bool = False  # 503
    fail_every: int = 0  # every so many-th request is answered 503, and the next one is cut off
    lose_notes: bool = False  # notes are kept and the answer is not given
    late: float = 0.0  # seconds before a notification leaves
    twice: bool = False  # each notification leaves twice
    shuffled: bool = False  # notifications wait for each other and leave in another order


@dataclass
class Practice:
    """The records, as the API shows them."""

    number: str
    claims: dict[str, Json] = field(default_factory=dict)
    appointments: dict[str, Json] = field(default_factory=dict)
    patients: dict[str, Json] = field(default_factory=dict)
    insurances: dict[str, list[Json]] = field(default_factory=dict)
    notes: dict[str, list[Json]] = field(default_factory=dict)
    changed: dict[str, date] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def next(self, kind: str, first: int) -> str:
        """A number for another record of *kind*."""
        self.counts[kind] += 1
        return str(first + self.counts[kind])

    def visit(self, day: date, procedures: list[list[str]], package: str, member: str, dice: random.Random) -> Json:
        """A patient comes, is seen, and a claim is made of it; the claim."""
        patient = self._patient(dice, package, member)
        appointment = self.next("appointment", 900)
        claim = self.next("claim", 5000)
        self.appointments[appointment] = {
            "appointmentid": appointment,
            "patientid": patient,
            "departmentid": "1",
            "providerid": "71",
            "date": f"{day:%m/%d/%Y}",
            "starttime": "09:30",
            "duration": "20",
            "appointmentstatus": "4",
            "lastmodified": _now(),
        }
        self.claims[claim] = {
            "claimid": claim,
            "patientid": patient,
            "appointmentid": appointment,
            "departmentid": "1",
            "billedproviderid": "71",
            "billedservicedate": f"{day:%m/%d/%Y}",
            "diagnoses": [
                {"diagnosisid": "1", "diagnosisrawcode": "E11.9", "diagnosiscodeset": "ICD10"},
                {"diagnosisid": "2", "diagnosisrawcode": "250.00", "diagnosiscodeset": "ICD9"},
            ],
            "procedures": [],
        }
        self.charge(claim, procedures)
        return self.claims[claim]

    def charge(self, claim: str, procedures: list[list[str]]) -> None:
        """Have *claim* consist of *procedures*, pairs of code and amount: what stays keeps its number."""
        known = {line["procedurecode"]: line["transactionid"] for line in self.claims[claim]["procedures"]}
        lines = [
            {
                "transactionid": known.get(code) or self.next("transaction", 70000),
                "procedurecode": code,
                "units": "1",
                "chargeamount": amount,
            }
            for code, amount in procedures
        ]
        self.claims[claim] |= {"procedures": lines, "lastmodified": _now()}
        self.changed[claim] = datetime.now(UTC).date()

    def insure(self, patient: str, package: str, member: str) -> None:
        """Have *patient* be insured by this alone."""
        number = self.next("insurance", 300)
        self.insurances[patient] = [
            {
                "insuranceid": number,
                "insurancepackageid": package,
                "insuranceplanname": {"20001": "CEDAR MUTUAL", "20003": "NORTHWIND HEALTH PLAN"}.get(package, "OTHER"),
                "sequencenumber": 1,
                "insuranceidnumber": member,
                "policynumber": "GRP713",
                "relationshiptoinsuredid": "1",
                "issuedate": "01/01/2020",
            }
        ]

    def _patient(self, dice: random.Random, package: str, member: str) -> str:
        number = self.next("patient", 3000)
        self.patients[number] = {
            "patientid": number,
            "firstname": dice.choice(GIVEN),
            "lastname": dice.choice(FAMILIES),
            "dob": f"{dice.randint(1, 12):02d}/{dice.randint(1, 28):02d}/{dice.randint(1950, 1999)}",
            "sex": dice.choice("FM"),
            "address1": f"{dice.randint(10, 989)} ELM AVE",
            "city": "SPRINGFIELD",
            "state": "IL",
            "zip": "62704",
            "homephone": "2175550100",
        }
        self.insure(number, package, member or f"CM{dice.randint(1_000_000, 99_999_999):08d}")
        return number


class Books:
    """What happened, one JSON object a line."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a") if path else None  # noqa: SIM115 (open as long as the process)

    def record(self, kind: str, **about: Any) -> None:
        """Write one entry down."""
        if self._file:
            self._file.write(json.dumps({"kind": kind, "at": time.time(), **about}) + "\n")
            self._file.flush()


class Hook:
    """Tells the subscriber what changed: at least once, in any order, until it is heard."""

    def __init__(self, options: argparse.Namespace, mood: Mood, books: Books, dice: random.Random) -> None:
        self._options, self._mood, self._books, self._dice = options, mood, books, dice
        self._waiting: list[tuple[str, str, bytes]] = []
        trusted = [ssl.Certificate.loadPEM(Path(options.trust).read_text())] if options.trust else []
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates(trusted)) if trusted else None
        self._agent: Any = Agent(reactor, policy) if policy else Agent(reactor)

    def tell(self, topic: str, record: str, number: str) -> None:
        """Something happened to a record."""
        if not self._options.hook:
            return
        body = notification(self._options.practice, topic, record, number)
        self._waiting += [(topic, number, body)] * (2 if self._mood.twice else 1)
        if not self._mood.shuffled:
            self.let_go()

    def let_go(self) -> None:
        """Send what waits, in another order where the mood is so."""
        leaving, self._waiting = self._waiting, []
        if self._mood.shuffled:
            leaving.reverse()
        for topic, number, body in leaving:
            reactor.callLater(self._mood.late, lambda *each: ensureDeferred(self._send(*each)), topic, number, body, 1)

    async def _send(self, topic: str, number: str, body: bytes, attempt: int) -> None:
        signature = hmac.new(self._options.hook_key.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": ["application/fhir+json"], "X-Hub-Signature": [f"sha256={signature}"]}
        began = time.monotonic()
        asked: Deferred[Any] = self._agent.request(
            b"POST", self._options.hook.encode(), Headers(headers), FileBodyProducer(_file(body))
        )
        asked.addTimeout(ANSWER_WITHIN, reactor)
        try:
            answer = await asked
            await readBody(answer)
            status = answer.code
        except Exception:  # refused, cut off or too late: all the same to this sender
            status = 0
        taken = time.monotonic() - began
        about = {"topic": topic, "record": number, "status": status, "seconds": round(taken, 3), "attempt": attempt}
        self._books.record("notification", **about)
        if not 200 <= status < 300:
            wait = TRIED_AGAIN_AFTER[min(attempt, len(TRIED_AGAIN_AFTER)) - 1]
            reactor.callLater(wait, lambda: ensureDeferred(self._send(topic, number, body, attempt + 1)))


def notification(practice: str, topic: str, record: str, number: str) -> bytes:
    """One event in a Bundle whose numbers begin anew each time, named by the vendor's own identifier alone."""
    event, now = str(uuid.uuid4()), datetime.now(UTC)
    subscription = f"Subscription/{uuid.uuid5(uuid.NAMESPACE_URL, topic)}"
    focus = {"identifier": {"system": f"urn:athenahealth:athenanet:{record}:{practice}", "value": number}}
    happened = {"id": event, "eventNumber": "1", "timestamp": now.isoformat(timespec="milliseconds"), "focus": focus}
    status = {
        "resourceType": "SubscriptionStatus",
        "id": str(uuid.uuid4()),
        "status": "active",
        "type": "event-notification",
        "eventsSinceSubscriptionStart": "1",
        "notificationEvent": [happened],
        "subscription": {"reference": subscription},
        "topic": f"{TOPICS}/{topic}",
    }
    audit = {"resourceType": "AuditEvent", "id": event, "recorded": now.isoformat(timespec="seconds")}
    bundle = {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "history",
        "timestamp": now.isoformat(timespec="milliseconds"),
        "entry": [{"resource": status}, {"resource": audit}],
    }
    return json.dumps(bundle).encode()


class Api(Resource):
    """The REST API and its token endpoint, and beside them ``/play``."""

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self._options = options
        self._dice = random.Random(options.seed)  # noqa: S311 (a play, not a secret)
        self.mood = Mood(per_second=options.per_second, per_day=options.per_day, token_seconds=options.token_seconds)
        self.practice = Practice(options.practice)
        self._books = Books(options.books)
        self._hook = Hook(options, self.mood, self._books, self._dice)
        self._tokens: dict[str, float] = {}
        self._requests: Counter[str] = Counter()
        self._in_second: Counter[int] = Counter()

    def render(self, request: Request) -> Any:
        """Answer, or not, as the mood is."""
        path = request.path.decode()
        body = request.content.read() if request.content else b""
        if path == "/play":
            return _json(request, 200, self._play(json.loads(body)))
        if self.mood.hanging:
            return NOT_DONE_YET
        if path == "/oauth2/v1/token":
            return self._token(request, body)
        answer = self._answer(request, path, body)
        if answer is None:
            request.transport.abortConnection()
            return NOT_DONE_YET
        status, document = answer
        self._books.record("request", method=request.method.decode(), what=_kind(path), status=status)
        if not self.mood.slow:
            return _json(request, status, document)
        reactor.callLater(self.mood.slow, lambda: (request.write(_json(request, status, document)), request.finish()))
        return NOT_DONE_YET

    def _token(self, request: Request, body: bytes) -> bytes:
        pair = f"{self._options.client_id}:{self._options.client_secret}".encode()
        shown = request.getHeader(b"authorization") or b""
        grant = parse_qs(body.decode()).get("grant_type")
        if shown != b"Basic " + base64.b64encode(pair) or grant != ["client_credentials"]:
            return _json(request, 401, {"error": "invalid_client"})
        token = f"{self._dice.getrandbits(128):032x}"
        self._tokens[token] = time.monotonic() + self.mood.token_seconds
        self._books.record("token")
        return _json(request, 200, {"access_token": token, "token_type": "Bearer", "expires_in": "3600"})

    def _answer(self, request: Request, path: str, body: bytes) -> tuple[int, Any] | None:
        """A status and a document; None cuts the connection."""
        self._requests["all"] += 1
        turn = self._requests["all"]
        if self.mood.down or (self.mood.fail_every and turn % self.mood.fail_every == 0):
            return 503, {"error": "unavailable"}
        if self.mood.fail_every and turn % self.mood.fail_every == 1 and turn > 1:
            return None
        token = (request.getHeader(b"authorization") or b"").decode().removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) < time.monotonic():
            return 401, {"error": "The token is not valid, or not any more."}
        if self._is_too_much(request):
            return 429, {"error": "Quota exceeded."}
        prefix = f"/v1/{self._options.practice}/"
        if not path.startswith(prefix):
            return 404, {"error": "unknown practice"}
        arguments = {name.decode(): values[0].decode() for name, values in (request.args or {}).items()}
        words = path.removeprefix(prefix).split("/")
        if request.method == b"POST":
            return self._write(words, parse_qs(body.decode()))
        return self._read(path, words, arguments)

    def _is_too_much(self, request: Request) -> bool:
        second = int(time.time())
        self._in_second[second] += 1
        self._requests["counted"] += 1
        fast = self.mood.per_second and self._in_second[second] > self.mood.per_second
        much = self.mood.per_day and self._requests["counted"] > self.mood.per_day
        if not fast and not much:
            return False
        self._requests["refused"] += 1
        if self.mood.retry_after and self._requests["refused"] % 2:
            request.setHeader("Retry-After", str(self.mood.retry_after))
        return True

    def _read(self, path: str, words: list[str], arguments: dict[str, str]) -> tuple[int, Any]:
        practice = self.practice
        match words:
            case ["claims"]:
                patient = arguments.get("patientid")
                found = [claim for claim in practice.claims.values() if claim["patientid"] == patient]
                return 200, self._paged(path, "claims", found, arguments)
            case ["claims", "changed"]:
                return 200, self._paged(path, "claims", [practice.claims[n] for n in practice.changed], arguments)
            case ["claims", number] if number in practice.claims:
                return 200, practice.claims[number]
            case ["claims", number, "notes"] if number in practice.claims:
                return 200, self._paged(path, "notes", practice.notes.get(number, []), arguments)
            case ["appointments", number] if number in practice.appointments:
                return 200, [practice.appointments[number]]
            case ["patients", number] if number in practice.patients:
                return 200, [practice.patients[number]]
            case ["patients", number, "insurances"] if number in practice.patients:
                return 200, self._paged(path, "insurances", practice.insurances[number], arguments)
        return 404, {"error": "There is no such record."}

    def _paged(self, path: str, name: str, items: list[Json], arguments: dict[str, str]) -> Json:
        start, more = int(arguments.get("offset", 0)), {}
        end = start + self.mood.page
        if end < len(items):
            kept = "".join(f"&{key}={value}" for key, value in arguments.items() if key != "offset")
            more = {"next": f"{path}?offset={end}{kept}"}
        return {name: items[start:end], "totalcount": len(items), **more}

    def _write(self, words: list[str], form: dict[str, list[str]]) -> tuple[int, Any] | None:
        match words:
            case ["claims", number, "note"] if number in self.practice.claims:
                text = form.get("claimnote", [""])[0]
                if not text:
                    return 400, {"error": "A note needs a claimnote."}
                self.practice.notes.setdefault(number, []).append({"claimnote": text})
                self._books.record("note", claim=number, text=text)
                return None if self.mood.lose_notes else (200, {"success": "true"})
        return 404, {"error": "There is no such record."}

    def _play(self, command: Json) -> Json:
        practice, tell = self.practice, self._hook.tell
        match command:
            case {"do": "visit"}:
                day = date.fromisoformat(command["day"])
                procedures = command.get("procedures", [["99213", "135.00"]])
                package, member = command.get("package", "20001"), command.get("member", "")
                claim = practice.visit(day, procedures, package, member, self._dice)
                tell("Appointment.check-in", "appointment", claim["appointmentid"])
                tell("Encounter.signoff", "encounter", claim["appointmentid"])
                tell("Claim.create", "claim", claim["claimid"])
                return claim
            case {"do": "change", "claimid": claimid, "procedures": procedures}:
                practice.charge(claimid, procedures)
                tell("Claim.update", "claim", claimid)
                return practice.claims[claimid]
            case {"do": "cancel", "appointmentid": number}:
                practice.appointments[number] |= {"appointmentstatus": "x", "lastmodified": _now()}
                tell("Appointment.cancel", "appointment", number)
                return practice.appointments[number]
            case {"do": "insure", "patientid": number}:
                practice.insure(number, command["package"], command["member"])
                tell("Patient.update", "patient", number)
                return practice.patients[number]
            case {"do": "set", **mood}:
                for name in {each.name for each in fields(Mood)} & set(mood):
                    setattr(self.mood, name, mood[name])
                if not self.mood.shuffled:
                    self._hook.let_go()
                return dict(vars(self.mood))
            case {"do": "let go"}:
                self._hook.let_go()
                return {}
        return {"requests": self._requests["all"], "refused": self._requests["refused"], "notes": practice.notes}


def _kind(path: str) -> str:
    """An address without its numbers."""
    return "/".join("#" if word.isdigit() else word for word in path.strip("/").split("/"))


def _json(request: Request, status: int, document: Any) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return json.dumps(document).encode()


def _file(body: bytes) -> Any:
    from io import BytesIO

    return BytesIO(body)


def _now() -> str:
    return f"{datetime.now(UTC):%m/%d/%Y %H:%M:%S}"


def main() -> None:
    """Listen until it is told to end."""
    parser = argparse.ArgumentParser(description="athenahealth's side of the interface, for trying and testing.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--practice", default="195900")
    parser.add_argument("--client-id", default="claimhub")
    parser.add_argument("--client-secret", default="athena-client")
    parser.add_argument("--hook", default="", help="where notifications go")
    parser.add_argument("--hook-key", default="athena-hook-key", help="what they are signed with")
    parser.add_argument("--trust", default="", help="the hook's certificate, in PEM form")
    parser.add_argument("--books", default="", help="a file for what happened")
    parser.add_argument("--per-second", type=int, default=0)
    parser.add_argument("--per-day", type=int, default=0)
    parser.add_argument("--token-seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    listening = reactor.listenTCP(options.port, Site(Api(options)), interface="127.0.0.1")
    sys.stdout.write(json.dumps({"port": listening.getHost().port}) + "\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    sys.exit(main())
