"""Epic's side of the interfaces: sends ADT, SIU and DFT, answers FHIR reads behind Backend Services, takes DFT back.

    python simulators/epic.py --hub 127.0.0.1:6610 --books epic.jsonl --jwks keys.json

It plays a few visits and then goes on to listen. What it does to make life hard, because such interfaces do:

- HL7 2.3, times without a zone, several identifiers in PID-3, a user in MSH-8, each interface on its own connection;
- one registration has no IN1: its insurance is to be read by FHIR;
- a supply-usage DFT whose lines are no charges, and a charge that is voided by a negative one;
- a connection that breaks before the answer: the same message comes again under the same MSH-10;
- access tokens that live for seconds (HTTP 401 afterwards), and HTTP 429 with Retry-After every few requests;
- an incoming interface that now and then hangs up without an answer, and refuses posting codes that it does not know.

The books are JSON lines: ``sent`` (control, type, answer, attempts), ``token`` (algorithm, kid, life or the error),
``fhir`` (path without its values, status), ``refused`` and ``posted`` (control, account, lines with transaction, kind,
code and amount; ``repeat`` for one that was posted before).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

START, END = b"\x0b", b"\x1c\r"
CLIENT_ID = "claimhub-nonprod"
OID = "urn:oid:1.2.840.114350.1.13.0.1.7"
CSN, MRN, HAR = f"{OID}.3.698084.8", f"{OID}.5.737384.14", f"{OID}.2.726582"
DEPARTMENT, PAYOR = f"{OID}.2.686980", f"{OID}.2.678671"
NPI = "http://hl7.org/fhir/sid/us-npi"
POSTING_CODES = {"5001", "5101", "5102", "5103", "5104", "5201"}
LONGEST_PROOF = 300
THROTTLED_EVERY = 5
HANGS_UP_EVERY = 4
Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One charge."""

    transaction: str
    code: str
    modifier: str
    amount: str


@dataclass(frozen=True)
class Visit:
    """One visit of an invented person."""

    number: int
    family: str
    given: str
    payor: tuple[str, str]
    member: str
    when: datetime
    lines: tuple[Line, ...]
    says_insurance: bool

    @property
    def csn(self) -> str:
        """The contact serial number."""
        return f"3000455{self.number:02d}"

    @property
    def har(self) -> str:
        """The hospital account."""
        return f"700215{self.number:02d}"

    @property
    def mrn(self) -> str:
        """The record number."""
        return f"M4400{self.number:02d}"

    @property
    def patient(self) -> str:
        """The patient's id in FHIR."""
        return f"pQ{self.number}"


PEOPLE = (("MOCKRIDGE", "ADA"), ("SAMPLESON", "BRAM"), ("FABLEMAN", "CLEO"), ("STANDIN", "DREW"), ("UNREALE", "ELSA"))
PAYORS = ((("1001", "CEDAR MUTUAL"), "CM"), (("1003", "NORTHWIND HEALTH PLAN"), "NW"))


def visits(count: int, day: date) -> list[Visit]:
    """The visits of the play; every third one says nothing of insurance."""
    found = []
    for number in range(1, count + 1):
        family, given = PEOPLE[(number - 1) % len(PEOPLE)]
        payor, series = PAYORS[number % len(PAYORS)]
        when = datetime.combine(day, clock(8)) + timedelta(minutes=20 * number)
        lines = (
            Line(f"91{number:02d}01", "99213", "", "135.00"),
            Line(f"91{number:02d}02", "83036", "QW", "40.00"),
        )
        found.append(Visit(number, family, given, payor, f"{series}004122{number:02d}", when, lines, number % 3 != 2))
    return found


# ---------------------------------------------------------------- HL7 v2 out


def adt(visit: Visit) -> str:
    """The registration."""
    return "\r".join([head("EPIC", "ADT^A04", f"A{visit.csn}", visit.when, "REGUSER1"), *about(visit), *in1(visit)])


def siu(visit: Visit) -> str:
    """The booking, a week before."""
    booked = visit.when - timedelta(days=7)
    slot = f"^^20^{visit.when:%Y%m%d%H%M}"
    return "\r".join(
        [
            head("EPIC", "SIU^S12", f"S{visit.csn}", booked, "SCHUSER"),
            f"SCH||{visit.csn}^EPIC|||||FOLLOW UP|OFFICE|20|MIN|{slot}||||||||||||||SCHEDULED",
            *about(visit)[1:],
            "AIP|1||1999000114^OKAFOR^MARIN^^^^^^NPI^^^^NPI",
        ]
    )


def dft(visit: Visit, control: str, lines: tuple[Line, ...], application: str = "EPIC", sign: int = 1) -> str:
    """Charges of a visit; with *sign* -1 what takes them back."""
    segments = [head(application, "DFT^P03", control, visit.when + timedelta(hours=8), "CHGROUTER"), *about(visit)]
    for number, line in enumerate(lines, 1):
        amount = f"{'-' if sign < 0 else ''}{line.amount}"
        fields = {
            1: str(number), 2: line.transaction + ("V" if sign < 0 else ""), 4: f"{visit.when:%Y%m%d}",
            6: "CG", 7: f"{line.code}^^CPT", 10: str(sign), 11: amount, 12: line.amount, 13: "10501101",
            19: "E11.9^^ICD-10-CM~I10^^ICD-10-CM",
            20: "E1001^OKAFOR^MARIN^^^^^^SER^^^^PROVID~1999000114^OKAFOR^MARIN^^^^^^NPI^^^^NPI",
            25: f"{line.code}^^CPT", 26: line.modifier, 31: line.transaction if sign < 0 else "",
        }  # fmt: skip
        segments.append("FT1|" + "|".join(fields.get(place, "") for place in range(1, 32)))
    return "\r".join(segments)


def head(application: str, kind: str, control: str, when: datetime, user: str) -> str:
    """MSH and EVN, in one text."""
    event = kind.partition("^")[2]
    stamp = f"{when:%Y%m%d%H%M%S}"
    msh = f"MSH|^~\\&|{application}|CLINIC|CLAIMHUB|HUB|{stamp}|{user}|{kind}|{control}|T|2.3"
    return msh if kind.startswith("SIU") else f"{msh}\rEVN|{event}|{stamp}||REG_VISIT|{user}"


def about(visit: Visit) -> list[str]:
    """PID and PV1, and a Z segment."""
    number = f"E77800{visit.number}^^^EPI^EPI~{visit.mrn}^^^CLINICMRN^MR~PORTAL{visit.number}^^^MYCHART^MYCHART"
    home = "19 OAK LN^^SPRINGFIELD^IL^62704^USA^P"
    person = f"{visit.family}^{visit.given}||19840612|F"
    pid = f"PID|1||{number}||{person}|||{home}||^PRN^PH^^1^217^5550188|||||{visit.har}^^^HAR^AN"
    doctor = "E1001^OKAFOR^MARIN^^^^^^SER^^^^PROVID~1999000114^OKAFOR^MARIN^^^^^^NPI^^^^NPI"
    pv1 = (
        f"PV1|1|O|10501101^^^CLINIC||||{doctor}||||||||||||{visit.csn}^^^CSN^VN"
        + "|" * 25
        + f"{visit.when:%Y%m%d%H%M%S}"
    )
    return [pid, pv1, f"ZPV|OFFICE|{visit.csn}"]


def in1(visit: Visit) -> list[str]:
    """The insurance, where the registration says it."""
    if not visit.says_insurance:
        return []
    number, name = visit.payor
    person = f"{visit.family}^{visit.given}"
    holder = f"{person}|SELF|19840612|19 OAK LN^^SPRINGFIELD^IL^62704"
    return [f"IN1|1|2001|{number}|{name}||||GRP771||||20260101||||{holder}|||1" + "|" * 14 + visit.member]


# ---------------------------------------------------------------- MLLP


class Books:
    """What happened, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()

    def record(self, kind: str, **fields: Any) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **fields}) + "\n")
            self._file.flush()


class Sender:
    """One interface: a connection of its own, one message at a time, again until it is answered AA."""

    def __init__(self, hub: tuple[str, int], books: Books) -> None:
        self._hub, self._books = hub, books
        self._connection: socket.socket | None = None

    def send(self, text: str, breaks: bool = False) -> None:
        """Send a message until it is answered; with *breaks* the first attempt loses its connection."""
        fields = text.split("\r", 1)[0].split("|")
        attempts = 0
        while True:
            attempts += 1
            try:
                answer = self._once(text, hang_up=breaks and attempts == 1)
                break
            except OSError:
                self.close()
                time.sleep(0.2)
        self._books.record("sent", control=fields[9], type=fields[8], answer=answer, attempts=attempts)

    def _once(self, text: str, *, hang_up: bool) -> str:
        if self._connection is None:
            self._connection = socket.create_connection(self._hub, 10)
        self._connection.sendall(START + text.encode() + END)
        if hang_up:
            raise ConnectionResetError
        for message in blocks(self._connection):
            return next(line.split("|")[1] for line in message.split("\r") if line.startswith("MSA"))
        raise ConnectionResetError

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def blocks(connection: socket.socket) -> Iterator[str]:
    """The messages of a connection, until it ends."""
    read = b""
    while True:
        while END in read:
            block, _, read = read.partition(END)
            yield block.lstrip(START).decode("utf-8", "replace")
        more = connection.recv(65536)
        if not more:
            return
        read += more


class Incoming:
    """The incoming financial interface: books what is posted, once for each control id."""

    def __init__(self, port: int, books: Books, faults: bool) -> None:
        self._books, self._faults = books, faults
        self._posted: set[str] = set()
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            for message in blocks(connection):
                answer = self._take(message)
                if answer is None:
                    return
                connection.sendall(START + answer.encode() + END)

    def _take(self, message: str) -> str | None:
        segments = [line.split("|") for line in message.split("\r") if line]
        control = segments[0][9]
        account = next(each[18].partition("^")[0] for each in segments if each[0] == "PID")
        lines = [
            {"transaction": field(each, 31), "line_type": field(each, 6), "code": field(each, 7).partition("^")[0]}
            | {"amount": field(each, 11).partition("^")[0], "trace": field(each, 30)}
            for each in segments
            if each[0] == "FT1"
        ]
        self._count += 1
        if self._faults and self._count % HANGS_UP_EVERY == 1:
            self._books.record("hung_up", control=control)
            return None
        unknown = [line["code"] for line in lines if line["code"] not in POSTING_CODES]
        if unknown:
            self._books.record("refused", control=control, account=account)
            return acknowledgement(segments[0], "AE", "Posting code is not in our table")
        self._books.record("posted", control=control, account=account, lines=lines, repeat=control in self._posted)
        self._posted.add(control)
        return acknowledgement(segments[0], "AA", "")


def field(segment: list[str], number: int) -> str:
    """A field by its number; empty where the segment ends before."""
    return segment[number] if number < len(segment) else ""


def acknowledgement(msh: list[str], code: str, text: str) -> str:
    """An ACK in Epic's manner: version 2.3, no MSH-9.3."""
    stamp = f"{datetime.now():%Y%m%d%H%M%S}"  # noqa: DTZ005  as such interfaces do
    return (
        f"MSH|^~\\&|EPIC|EPIC|{msh[2]}|{msh[3]}|{stamp}||ACK|{secrets.token_hex(5)}|T|2.3\rMSA|{code}|{msh[9]}|{text}"
    )


# ---------------------------------------------------------------- FHIR


class Keys:
    """The client's public keys, from a file or an address, read again when a key is not known."""

    def __init__(self, place: str) -> None:
        self._place = place

    def find(self, number: str) -> Json | None:
        """The key of that id."""
        if self._place.startswith(("http://", "https://")):
            with urllib.request.urlopen(self._place, timeout=10) as answer:  # noqa: S310
                text = answer.read()
        else:
            text = Path(self._place).read_bytes()
        return next((key for key in json.loads(text)["keys"] if key["kid"] == number), None)


class Gate:
    """Gives out tokens to whoever proves to be the client, and knows them while they live."""

    def __init__(self, keys: Keys, books: Books, life: int) -> None:
        self._keys, self._books, self._life = keys, books, life
        self._secret = secrets.token_bytes(32)
        self._used: set[str] = set()

    def token(self, form: dict[str, list[str]], address: str) -> tuple[int, Json]:
        """Status and body for a request to the token *address*."""
        problem = self._problem(form, address)
        if problem:
            self._books.record("token", error=problem)
            return 400, {"error": "invalid_client", "error_description": problem}
        until = str(int(time.time()) + self._life)
        mark = hmac.new(self._secret, until.encode(), hashlib.sha256).hexdigest()
        self._books.record("token", error="")
        return 200, {"access_token": f"{until}.{mark}", "token_type": "bearer", "expires_in": self._life}

    def _problem(self, form: dict[str, list[str]], address: str) -> str:
        try:
            (text,) = form["client_assertion"]
            signed, _, signature = text.rpartition(".")
            head, claims = (json.loads(unpacked(part)) for part in signed.split("."))
        except (KeyError, ValueError):
            return "no assertion that can be read"
        key = self._keys.find(head.get("kid", ""))
        if key is None:
            return "unknown key"
        if not verified(key, head.get("alg", ""), signed.encode(), unpacked(signature)):
            return "wrong signature"
        now = time.time()
        if claims.get("iss") != CLIENT_ID or claims.get("sub") != CLIENT_ID or claims.get("aud") != address:
            return "wrong client or audience"
        if not now - 30 < claims.get("exp", 0) <= now + LONGEST_PROOF + 5:
            return "wrong expiry"
        if claims.get("jti") in self._used:
            return "used before"
        self._used.add(claims["jti"])
        return ""

    def knows(self, header: str) -> bool:
        """Whether an Authorization header holds a token that still lives."""
        until, _, mark = header.removeprefix("Bearer ").partition(".")
        good = hmac.new(self._secret, until.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(mark, good) and int(until) > time.time()


def verified(key: Json, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Whether a JSON Web Key (RFC 7517) made this signature."""
    number = {name: int.from_bytes(unpacked(key[name]), "big") for name in ("n", "e", "x", "y") if name in key}
    try:
        if algorithm == "RS384" and key["kty"] == "RSA":
            public = rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
            public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA384())
            return True
        if algorithm == "ES384" and key["kty"] == "EC":
            point = ec.EllipticCurvePublicNumbers(number["x"], number["y"], ec.SECP384R1()).public_key()
            pair = encode_dss_signature(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
            point.verify(pair, signed, ec.ECDSA(hashes.SHA384()))
            return True
    except InvalidSignature:
        pass
    return False


def unpacked(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def resources(visit: Visit) -> list[Json]:
    """A visit as Epic's FHIR tells it."""
    return [
        {
            "resourceType": "Patient",
            "id": visit.patient,
            "identifier": [{"system": MRN, "value": visit.mrn}],
            "name": [{"use": "official", "family": visit.family, "given": [visit.given]}],
            "telecom": [{"system": "phone", "value": "217-555-0188"}],
            "gender": "female",
            "birthDate": "1984-06-12",
            "address": [{"line": ["19 OAK LN"], "city": "SPRINGFIELD", "state": "IL", "postalCode": "62704"}],
        },
        {
            "resourceType": "Encounter",
            "id": f"e{visit.csn}",
            "identifier": [{"system": CSN, "value": visit.csn}],
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": f"Patient/{visit.patient}"},
            "participant": [{"individual": {"identifier": {"system": NPI, "value": "1999000114"}}}],
            "period": {"start": f"{visit.when:%Y-%m-%dT%H:%M:%S}-06:00"},
            "account": [{"identifier": {"system": HAR, "value": visit.har}}],
            "location": [{"location": {"identifier": {"system": DEPARTMENT, "value": "10501101"}}}],
        },
        {
            "resourceType": "Coverage",
            "id": f"c{visit.number}",
            "status": "active",
            "subscriberId": visit.member,
            "beneficiary": {"reference": f"Patient/{visit.patient}"},
            "relationship": {"coding": [{"code": "self"}]},
            "payor": [{"identifier": {"system": PAYOR, "value": visit.payor[0]}, "display": visit.payor[1]}],
            "class": [{"type": {"coding": [{"code": "group"}]}, "value": "GRP771"}],
            "order": 1,
        },
    ]


class Fhir:
    """The FHIR server and its token endpoint."""

    def __init__(self, port: int, gate: Gate, books: Books, played: list[Visit], faults: bool) -> None:
        self.gate, self.books, self.faults = gate, books, faults
        self.resources = [each for visit in played for each in resources(visit)]
        self.count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"fhir": self}))
        self.port = self._server.server_port
        self.root = f"http://127.0.0.1:{self.port}"
        self.base = f"{self.root}/api/FHIR/R4"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Json]:
        """Status and body for a read or a search."""
        kind, _, number = path.removeprefix("/api/FHIR/R4/").partition("/")
        if kind == "metadata":
            return 200, self._abilities()
        if number:
            found = [each for each in self.resources if each["resourceType"] == kind and each["id"] == number]
            return (200, found[0]) if found else (404, trouble("not-found"))
        if not query:
            return 400, trouble("required")
        found = [each for each in self.resources if each["resourceType"] == kind and matches(each, query)]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return 200, bundle | {"entry": [{"resource": each, "search": {"mode": "match"}} for each in found]}

    def _abilities(self) -> Json:
        codes = [{"code": "read"}, {"code": "search-type"}]
        able = [{"type": kind, "interaction": codes} for kind in ("Patient", "Encounter", "Coverage")]
        rest = [{"mode": "server", "resource": able}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}


def matches(resource: Json, query: dict[str, list[str]]) -> bool:
    """Whether a resource is what a search asks for."""
    for name, (value, *_) in query.items():
        if name == "identifier":
            system, _, number = value.rpartition("|")
            if {"system": system, "value": number} not in resource.get("identifier", []):
                return False
        elif name in {"patient", "beneficiary"}:
            subject = resource.get("beneficiary") or resource.get("subject") or {}
            if subject.get("reference", "").rpartition("/")[2] != value.rpartition("/")[2]:
                return False
    return True


def trouble(kind: str) -> Json:
    """An OperationOutcome, with a code of Epic's own."""
    coding = [{"system": f"{OID}.2.657369", "code": "4101"}]
    issue = {"severity": "fatal", "code": kind, "details": {"coding": coding}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


class _Handler(BaseHTTPRequestHandler):
    fhir: Fhir

    def do_GET(self) -> None:
        """Answer a read, a search or the discovery."""
        fhir, parts = self.fhir, urlsplit(self.path)
        if parts.path.endswith("/.well-known/smart-configuration"):
            token = f"{fhir.root}/oauth2/token"
            algorithms = ["RS384", "ES384"]
            self._say(200, {"token_endpoint": token, "token_endpoint_auth_signing_alg_values_supported": algorithms})
            return
        fhir.count += 1
        if not fhir.gate.knows(self.headers.get("Authorization", "")):
            status, body = 401, trouble("login")
        elif fhir.faults and fhir.count % THROTTLED_EVERY == 3:
            status, body = 429, trouble("throttled")
        else:
            status, body = fhir.answer(parts.path, parse_qs(parts.query))
        fhir.books.record("fhir", path=parts.path.removeprefix("/api/FHIR/R4/").partition("/")[0], status=status)
        self._say(status, body)

    def do_POST(self) -> None:
        """Answer a request for a token."""
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        self._say(*self.fhir.gate.token(form, f"{self.fhir.root}/oauth2/token"))

    def _say(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: the books say it."""


# ---------------------------------------------------------------- the play


def play(hub: tuple[str, int], played: list[Visit], books: Books, faults: bool) -> None:
    """Send the visits: bookings, registrations, supplies, charges, a void."""
    scheduling, registration, charges = (Sender(hub, books) for _ in range(3))
    for visit in played:
        scheduling.send(siu(visit))
        registration.send(adt(visit), breaks=faults and visit.number == 1)
    for visit in played:
        charges.send(dft(visit, f"D{visit.csn}", visit.lines), breaks=faults and visit.number == 2)
    first = played[0]
    supply = (Line("SUP1", "7781", "", "12.00"),)
    charges.send(dft(first, "SUP1", supply, application="OPTIME_SUPPLY"))
    charges.send(dft(first, f"V{first.csn}", first.lines[1:], sign=-1))
    for sender in (scheduling, registration, charges):
        sender.close()
    books.record("played", visits=len(played))


def main() -> None:
    """Listen, say where in the ready file, play once the hub's address is known, and go on listening."""
    parser = argparse.ArgumentParser(description="Epic's side of the interfaces.")
    parser.add_argument("--hub", metavar="HOST:PORT", help="the MLLP port of channel epic_visits")
    parser.add_argument("--hub-file", type=Path, metavar="FILE", help="a file with that, waited for")
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--day", type=date.fromisoformat, default=None, help="the day of the visits (default: today)")
    parser.add_argument("--jwks", required=True, metavar="FILE|URL", help="the client's keys: what `hub jwks` prints")
    parser.add_argument("--token-life", type=int, default=60, metavar="SECONDS")
    parser.add_argument("--mllp-port", type=int, default=6611)
    parser.add_argument("--fhir-port", type=int, default=6612)
    parser.add_argument("--books", type=Path, default=Path("epic.jsonl"))
    parser.add_argument("--ready", type=Path, default=None, help="where to write the ports once they are open")
    parser.add_argument("--no-faults", action="store_true", help="be kind")
    options = parser.parse_args()
    faults = not options.no_faults
    books = Books(options.books)
    played = visits(options.visits, options.day or date.today())  # noqa: DTZ011  the day of this machine
    incoming = Incoming(options.mllp_port, books, faults)
    fhir = Fhir(options.fhir_port, Gate(Keys(options.jwks), books, options.token_life), books, played, faults)
    if options.ready:
        temporary = options.ready.with_suffix(".part")
        temporary.write_text(json.dumps({"mllp_port": incoming.port, "fhir_base": fhir.base, "client_id": CLIENT_ID}))
        temporary.replace(options.ready)
    hub = options.hub
    while hub is None:
        hub = options.hub_file.read_text().strip() if options.hub_file and options.hub_file.exists() else None
        time.sleep(0.1)
    host, _, port = hub.rpartition(":")
    play((host, int(port)), played, books, faults)
    threading.Event().wait()


if __name__ == "__main__":
    main()
