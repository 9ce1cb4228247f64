"""The EHR, met by a trivial listener: what it sends, what it books, and how it misbehaves."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
import urllib.error
import urllib.request
from collections import Counter, defaultdict

import hl7 as other_hl7
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fhir.resources.R4B.bundle import Bundle


def ack(message, code="AA"):
    """Answer a message that was read by python-hl7."""
    control = str(message.segment("MSH")(10))
    return f"MSH|^~\\&|CLAIMHUB|HUB|ALDER_EHR|ALDER|20260302||ACK|A{control}|T|2.5.1\rMSA|{code}|{control}\r".encode()


class Acceptor(socketserver.ThreadingTCPServer):
    """An MLLP listener that keeps what it gets: whole messages, and the remains of broken ones."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Connection)
        self.answer = answer
        self.messages, self.remains = [], []
        self.lock = threading.Lock()


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        buffer = b""
        while data := self.receive():
            buffer += data
            while b"\x1c\r" in buffer:
                block, buffer = buffer.split(b"\x1c\r", 1)
                raw = block.lstrip(b"\x0b")
                with self.server.lock:
                    self.server.messages.append(raw)
                    answer = self.server.answer(raw)
                if answer is not None:
                    try:
                        self.request.sendall(b"\x0b" + answer + b"\x1c\r")
                    except OSError:
                        return
        if buffer:
            self.server.remains.append(buffer)

    def receive(self):
        try:
            return self.request.recv(65536)
        except OSError:
            return b""


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.headers["Authorization"], json.loads(body)))
        # The first one is turned away, to see it come again.
        self.send_response(503 if len(self.server.bodies) == 1 else 202)
        self.end_headers()

    def log_message(self, *args):
        pass


def read(raw):
    return other_hl7.parse(raw.decode().replace("\r\n", "\r").replace("\n", "\r"))


def accept(raw):
    try:
        return ack(read(raw))
    except Exception:
        return b"MSH|^~\\&|CLAIMHUB|HUB|||20260302||ACK|X|T|2.5.1\rMSA|AR|\r"


@pytest.fixture
def hook(tmp_path):
    """An HTTPS listener with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "hub.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(private + authority.read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.bodies, server.authority = [], authority
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ehr(start, clock, hook, tmp_path):
    """Start an EHR and a listener for it; the EHR learns the address from a file, after it is ready."""
    servers = []

    def begin(answer=accept, **config):
        server = Acceptor(answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        simulator = start(
            "ehr",
            clock=clock,
            fhir_token="hub-token",
            hub_file=str(tmp_path / "hub.json"),
            ack_seconds=1.0,
            **config,
        )
        address = {
            "mllp": f"127.0.0.1:{server.server_address[1]}",
            "fhir_hook": f"https://127.0.0.1:{hook.server_address[1]}/fhir",
            "fhir_hook_token": "ehr-token",
            "fhir_hook_ca": str(hook.authority),
        }
        part = tmp_path / "hub.json.part"
        part.write_text(json.dumps(address))
        part.rename(tmp_path / "hub.json")
        return simulator, server

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_day_of_visits_arrives_in_order_and_is_booked(ehr, hook, tools):
    simulator, server = ehr(visits=32, visits_per_day=32)
    tools.wait_for(lambda: simulator.summary()["sending_done"])
    messages = [read(raw) for raw in server.messages]
    booked = simulator.entries("message")
    assert Counter(str(each.segment("MSH")(10)) for each in messages) == Counter(e["control"] for e in booked)
    assert {entry["ack"] for entry in booked} == {"AA"}
    assert simulator.summary()["visits_done"] == 32

    kinds = defaultdict(list)
    for message in messages:
        kinds[str(message.segment("PID")(18)[0][0])].append(
            str(message.segment("MSH")(9)[0][0]) + str(message.segment("MSH")(9)[0][1])
        )
    for account, seen in kinds.items():
        if not account.endswith("X"):
            assert seen[0] == "SIUS12"
            assert seen.index("ADTA04") < seen.index("DFTP03")

    sent = {}
    for message in messages:
        for line in message:
            if str(line[0]) == "FT1":
                sent[str(line(2))] = (str(line(25)[0][0]), round(float(str(line(11)[0][0])) * 100))
    for _, body in hook.bodies:
        for entry in body["entry"]:
            if entry["resource"]["resourceType"] == "ChargeItem":
                item = entry["resource"]
                code, cents = item["code"]["coding"][0]["code"], round(item["priceOverride"]["value"] * 100)
                sent[item["identifier"][0]["value"]] = (code, cents)
    charges = simulator.entries("charge")
    assert len({entry["transaction"] for entry in charges}) == len(charges)
    for entry in charges:
        if entry["via"] != "fhir-id-only":
            assert sent.pop(entry["transaction"]) == (entry["code"], entry["amount_cents"])
    assert not sent
    assert simulator.summary()["charge_cents"] == sum(entry["amount_cents"] for entry in charges)


def test_one_visit_in_eight_comes_as_a_notification_half_of_them_without_resources(ehr, hook, tools):
    simulator, _ = ehr(visits=32, visits_per_day=32)
    tools.wait_for(lambda: simulator.summary()["sending_done"])
    booked = simulator.entries("notification")
    assert Counter(entry["payload"] for entry in booked) == {"full-resource": 2, "id-only": 2}
    assert booked[0]["attempts"] == 2
    assert {token for token, _ in hook.bodies} == {"Bearer ehr-token"}
    first, again = hook.bodies[0][1], hook.bodies[1][1]
    assert first == again
    for _, body in hook.bodies:
        kinds = [entry["resource"]["resourceType"] for entry in body["entry"]]
        assert kinds[0] == "Parameters"
        assert Bundle.model_validate(body).type == "history"
        assert kinds == ["Parameters"] or {"Patient", "Encounter", "ChargeItem"} <= set(kinds)

    base = simulator.ready["fhir_base"]
    only = next(body for _, body in hook.bodies if len(body["entry"]) == 1)
    parts = only["entry"][0]["resource"]["parameter"][-1]["part"]
    focus = next(each["valueReference"]["reference"] for each in parts if each["name"] == "focus")

    def get(path, token="hub-token"):
        request = urllib.request.Request(f"{base}/{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    encounter = get(focus)
    items = get(f"ChargeItem?context={focus}")["entry"]
    patient = get(encounter["subject"]["reference"])
    together = get(
        f"Encounter?_id={encounter['id']}&_include=Encounter:patient&_revinclude=ChargeItem:context"
        "&_revinclude:iterate=Coverage:beneficiary"
    )
    kinds = Counter(entry["resource"]["resourceType"] for entry in together["entry"])
    assert kinds["ChargeItem"] == len(items)
    assert kinds["Patient"] == kinds["Encounter"] == 1
    coverage = get(f"Coverage?patient=Patient/{patient['id']}")
    assert kinds["Coverage"] == coverage["total"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(focus, token="wrong")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("Encounter/none")


def test_a_claim_response_is_booked_once_for_an_identifier(ehr, tools):
    simulator, _ = ehr(visits=1, visits_per_day=1)
    resource = {"resourceType": "ClaimResponse", "identifier": [{"system": "urn:hub", "value": "R1"}]}
    statuses = []
    for _ in range(2):
        request = urllib.request.Request(
            f"{simulator.ready['fhir_base']}/ClaimResponse",
            data=json.dumps(resource).encode(),
            headers={"Authorization": "Bearer hub-token", "Content-Type": "application/fhir+json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            statuses.append((answer.status, answer.headers["Location"]))
    assert statuses == [(201, "/fhir/ClaimResponse/cr-1/_history/1"), (200, "/fhir/ClaimResponse/cr-1/_history/1")]
    booked = tools.wait_for(lambda: len(found := simulator.entries("claim_response")) == 2 and found)
    assert [entry["repeat"] for entry in booked] == [False, True]


def test_a_result_that_is_put_again_under_its_identifier_replaces_what_stood(ehr, tools):
    simulator, _ = ehr(visits=1, visits_per_day=1)
    answers = []
    for status, wanted in (("active", "P1"), ("active", "P1"), ("cancelled", "P1"), ("active", "P2")):
        resource = {
            "resourceType": "ExplanationOfBenefit",
            "identifier": [{"system": "urn:hub", "value": "P1"}],
            "status": status,
        }
        request = urllib.request.Request(
            f"{simulator.ready['fhir_base']}/ExplanationOfBenefit?identifier=urn:hub%7C{wanted}",
            data=json.dumps(resource).encode(),
            headers={"Authorization": "Bearer hub-token", "Content-Type": "application/fhir+json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answers.append((answer.status, answer.headers["Location"].rpartition("/")[2]))
        except urllib.error.HTTPError as refused:
            answers.append((refused.code, ""))
    assert answers == [(201, "1"), (200, "1"), (200, "2"), (412, "")]
    booked = tools.wait_for(lambda: len(found := simulator.entries("explanation")) == 3 and found)
    assert [(entry["repeat"], entry["changed"]) for entry in booked] == [(False, False), (True, False), (True, True)]
    assert booked[-1]["resource"]["status"] == "cancelled"


def test_faults_happen_each_at_least_once_in_sixty_visits_and_everything_still_gets_through(ehr, hook, tools):
    busy = iter(range(10**6))

    def answer(raw):
        try:
            message = read(raw)
        except Exception:
            return accept(raw)
        # Every fiftieth message is turned away for the moment, every sixtieth gets no answer at all.
        turn = next(busy)
        return None if turn % 60 == 59 else ack(message, "AR" if turn % 50 == 49 else "AA")

    simulator, server = ehr(answer, visits=64, visits_per_day=32, faults=True, credit_after_days=1)
    tools.wait_for(lambda: simulator.summary()["sending_done"])
    booked = simulator.entries("message")
    assert {entry["ack"] for entry in booked} == {"AA"}
    assert simulator.summary()["visits_done"] == 64
    faults = {entry["fault"] for entry in booked}
    assert faults >= {
        "cut_frame",
        "lost_ack",
        "control_reuse",
        "dft_first",
        "changed_repeat",
        "credit_before",
        "credit_after",
        "duplicate_dft",
        "line_feeds",
        "carriage_returns_and_line_feeds",
    }
    assert "ADT^A40" in {entry["type"] for entry in booked}
    assert {entry["answer"] for entry in simulator.entries("malformed")} == {"AR"}
    charges = simulator.entries("charge")
    assert {entry["expected"] for entry in charges} >= {
        "billable",
        "credited_before",
        "credited_after",
        "queue",
        "rejected",
        "duplicate",
    }
    reasons = {entry["reason"] for entry in charges if entry["expected"] == "queue"}
    assert reasons == {"unknown_department", "missing_performer", "unknown_payer"}
    assert {entry["version"] for entry in charges} == {1, 2}
    known = {entry["transaction"] for entry in charges}
    assert {entry["credits"] for entry in simulator.entries("credit")} <= known
    assert {entry["fault"] for entry in simulator.entries("notification")} >= {"repeated", "out_of_order"}
    events = [entry["event"] for entry in simulator.entries("notification")]
    assert events != sorted(events)

    # Half a frame came, and then the whole message; the lost answer's message came twice, the same bytes.
    assert server.remains
    by_fault = {entry["fault"]: entry["control"] for entry in booked}
    controls = Counter()
    contents = defaultdict(set)
    for raw in server.messages:
        if raw.startswith(b"MSH|^~\\&|ALDER_EHR|ALDER|"):
            control = str(read(raw).segment("MSH")(10))
            controls[control] += 1
            contents[control].add(raw)
    assert controls[by_fault["lost_ack"]] >= 2
    assert len(contents[by_fault["lost_ack"]]) == 1
    assert len(contents[by_fault["control_reuse"]]) == 2
    first = next(raw for raw in server.messages if by_fault["line_feeds"].encode() in raw)
    assert b"\r" not in first


class Sender:
    """A hub's outgoing MLLP connection, one message at a time."""

    def __init__(self, port):
        self.port = port
        self.socket = None

    def send(self, control, kind="DFT^P03", seconds=5.0):
        """Send one result; return the answers as (MSA-1, MSA-2), empty when the other side hung up."""
        text = (
            f"MSH|^~\\&|CLAIMHUB|HUB|ALDER_EHR|ALDER|20260302||{kind}|{control}|T|2.5.1\rPID|||M1|||||||||||||||AC1\r"
            "PV1||O|||||||||||||||||||||||||||||||||||||||paid\r"
            f"FT1|1|H{control}||20260302|20260302|PY|PAYMENT||||12.50^USD|||||||||||||||||||CM1|CHG1\r"
        )
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        self.socket.settimeout(seconds)
        self.socket.sendall(b"\x0b" + text.encode() + b"\x1c\r")
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            data = None
        if not data:
            self.socket.close()
            self.socket = None
            return "silence" if data is None else []
        blocks = [block.lstrip(b"\x0b").decode() for block in data.split(b"\x1c\r") if block]
        return [tuple(block.split("\r")[1].split("|")[1:3]) for block in blocks]


def test_results_are_booked_once_and_acknowledged(ehr, tools):
    simulator, _ = ehr(visits=1, visits_per_day=1)
    sender = Sender(simulator.ready["mllp_port"])
    assert sender.send("R1") == [("AA", "R1")]
    assert sender.send("R1") == [("AA", "R1")]
    booked = tools.wait_for(lambda: len(found := simulator.entries("result")) == 2 and found)
    assert [entry["repeat"] for entry in booked] == [False, True]
    assert booked[0]["account"] == "AC1"
    assert booked[0]["status"] == "paid"
    assert booked[0]["lines"] == [
        {
            "transaction": "CHG1",
            "own": "HR1",
            "line_type": "PY",
            "code": "PAYMENT",
            "amount_cents": 1250,
            "trace": "CM1",
        }
    ]


def test_faulty_answers_are_transient_final_late_double_wrong_or_missing(ehr, tools):
    simulator, _ = ehr(visits=1, visits_per_day=1, faults=True, late_seconds=0.8)
    sender = Sender(simulator.ready["mllp_port"])
    seen = Counter()
    for number in range(45):
        control, kind = f"R{number}", "BAR^P05" if number % 2 else "DFT^P03"
        answers = sender.send(control, kind, seconds=0.4)
        if answers == [("AA", control)]:
            continue
        if answers == [("AE", control)]:
            seen["AE"] += 1
            assert kind == "BAR^P05"
            continue
        if answers == "silence":
            seen["late"] += 1
        elif not answers:
            seen["closed"] += 1
        elif len(answers) == 2:
            seen["twice"] += 1
            continue
        else:
            seen["AR" if answers == [("AR", control)] else "wrong"] += 1
        answers = sender.send(control, kind)
        assert ("AA", control) in answers
    assert set(seen) == {"AE", "late", "closed", "twice", "AR", "wrong"}
    assert seen["AE"] <= 2
    entries = tools.wait_for(
        lambda: len(simulator.entries("refused")) >= seen["AE"] + seen["AR"] and simulator.entries("result")
    )
    once = Counter(entry["control"] for entry in entries if not entry["repeat"])
    refused = {entry["control"] for entry in simulator.entries("refused") if entry["answer"] == "AE"}
    assert set(once) == {f"R{number}" for number in range(45)} - refused
    assert set(once.values()) == {1}
