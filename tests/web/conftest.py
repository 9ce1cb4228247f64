"""A seeded store, an engine's stand-in behind a real unix socket, and the pages in front of both."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import Connection, Engine, insert, select, update
from starlette.testclient import TestClient

from hub.core.clock import BusinessClock, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.vault import Vault, create_key_file
from hub.security.passwords import hash_password
from hub.security.users import ROLES
from hub.security.writes import WRITES
from hub.site.bundle import read_bundle, take_files
from hub.store import tables
from hub.store.contents import content_rows
from hub.store.database import open_store
from hub.store.identifiers import stretch_of
from hub.web.app import create_app
from hub.web.settings import ChannelInfo, DestinationInfo, PayerInfo, RuleInfo, WebSettings

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
PASSWORD_HASH = hash_password(PASSWORD)
SCRIPT = "<script>alert(1)</script>"
HL7 = (
    "MSH|^~\\&|ACME|MAIN|HUB|ALDER|20261112110955||DFT^P03|{control}|P|2.5.1\r"
    "EVN|P03|20261112110954\r"
    "PID|1||00718821^^^ALDER^MR||QUINTERO^MARISOL^"
    + SCRIPT
    + "||19710214|F|||12 ELM ST^^MADISON^WI^53703|||||||A-104421\r"
    "PV1|1|O|FM^^^ALDER||||1234567893^OKAFOR^N\r"
    "FT1|1|T-55120||20261110|20261112|CG||||1|150.00||FM||||||E11.9|1234567893|||||99213|25\r"
    "FT1|2|T-55121||20261110|20261112|CG||||1|65.00||FM||||||E11.9|1234567893|||||83036\r"
    "ZBL|1|N|NO COPAY TAKEN\r"
)
X12 = (
    "ISA*00*          *00*          *ZZ*ALDER          *ZZ*CLEARWAY       *261112*1330*^*00501*000000884*1*T*:~"
    "GS*HC*ALDER*CLEARWAY*20261112*1330*884*X*005010X222A1~"
    "ST*837*0001*005010X222A1~BHT*0019*00*B000000884*20261112*1330*CH~"
    "NM1*41*2*ALDER STREET CLINIC*****46*ALDER~NM1*40*2*CLEARWAY*****46*CLEARWAY~HL*1**20*1~"
    "NM1*85*2*ALDER STREET CLINIC*****XX*1234567893~"
    "N3*214 ALDER STREET~N4*MADISON*WI*537030001~HL*2*1*22*0~SBR*P*18*******CI~"
    "NM1*IL*1*QUINTERO*MARISOL****MI*MEM778812~N3*12 ELM ST~N4*MADISON*WI*53703~"
    "DMG*D8*19710214*F~NM1*PR*2*LARKSPUR HEALTH*****PI*60054~"
    "CLM*H7K2M9Q4A1*215***11:B:1*Y*A*Y*Y~HI*ABK:E119~"
    "LX*1~SV1*HC:99213:25*150*UN*1***1~LX*2~SV1*HC:83036*65*UN*1***1~"
    "HL*3*1*22*0~SBR*P*18*******CI~NM1*IL*1*ZUNIGA*TEODORA****MI*MEM990077~N3*7 OAK ST~N4*MADISON*WI*53703~"
    "DMG*D8*19600101*F~NM1*PR*2*LARKSPUR HEALTH*****PI*60054~"
    "CLM*Z9Z9Z9Z9Z9*80***11:B:1*Y*A*Y*Y~HI*ABK:I10~LX*1~SV1*HC:99212*80*UN*1***1~"
    "SE*32*0001~GE*1*884~IEA*1*000000884~"
)
X12_835 = (
    "ISA*00*          *00*          *ZZ*LARKSPUR       *ZZ*ALDER          *261120*0900*^*00501*000000077*0*T*:~"
    "GS*HP*LARKSPUR*ALDER*20261120*0900*77*X*005010X221A1~"
    "ST*835*0001~BPR*I*115.00*C*ACH*CTX*01*999999992*DA*1*1512345678**01*999999992*DA*2*20261120~"
    "TRN*1*EFT00012345*1512345678~DTM*405*20261120~N1*PR*LARKSPUR HEALTH~N3*1 BAY ST~N4*MADISON*WI*53703~"
    "REF*2U*60054~PER*BL*DESK*TE*6085550100~N1*PE*ALDER STREET CLINIC*XX*1234567893~LX*1~"
    "CLP*H7K2M9Q4A1*1*215*120*35*12*LH-26-4410937*11*1~NM1*QC*1*QUINTERO*MARISOL****MI*MEM778812~"
    "SVC*HC:99213:25*150*90**1~DTM*472*20261110~CAS*CO*45*35~CAS*PR*2*25~"
    "SVC*HC:83036*65*30**1~DTM*472*20261110~CAS*CO*45*25~CAS*PR*3*10~"
    "PLB*1234567893*20261231*WO:OLD1*5~SE*24*0001~"
    "ST*835*0002~BPR*I*2118.40*C*CHK************20261120~TRN*1*CM-88120*1712345678~DTM*405*20261120~"
    "N1*PR*CEDAR MUTUAL~N3*2 BAY ST~N4*MADISON*WI*53703~REF*2U*71412~PER*BL*DESK*TE*6085550101~"
    "N1*PE*ALDER STREET CLINIC*XX*1234567893~LX*1~"
    "CLP*K4T9X2B7M1*1*2500*2143.40**12*CM-1*11*1~NM1*QC*1*QUINTERO*MARISOL****MI*MEM778812~"
    "SVC*HC:99205*2500*2118.40**1~DTM*472*20261109~CAS*CO*45*356.60~SE*16*0002~"
    "GE*2*77~IEA*1*000000077~"
)
ACK = "MSH|^~\\&|HUB|ALDER|ACME|MAIN|20261112110955||ACK^P03|1|P|2.5.1\rMSA|AA|MSG1\r"
FIRST_ID = 10


@dataclass(eq=False)
class FakeEngine(threading.Thread):
    """Applies the small writes for real, in one thread, as the journal does; notes every command."""

    path: Path
    store: Engine
    vault: Vault
    asked: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        engine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    request = json.loads(line)
                    try:
                        answer = {"ok": True, **engine.answer(request["command"], request["args"], request["actor"])}
                    except HubError as error:
                        said = {"code": error.code, "what": error.what, "where": error.where, "fix": error.fix}
                        answer = {"ok": False, "error": said}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        self.server = socketserver.UnixStreamServer(str(self.path), Handler)

    def run(self) -> None:
        self.server.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.path.unlink(missing_ok=True)

    def answer(self, command: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        self.asked.append((command, args, actor))
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            match command:
                case "write":
                    return WRITES[args["name"]](connection, {**args["args"], "actor": actor})
                case "status":
                    return {"bundle": "8f3c1a2b9d00", "channels": self._channels()}
                case "pause" | "drain" | "resume":
                    return self._switch(connection, command, args, actor)
                case "replay":
                    if args["token"] in self.spent:
                        raise HubError("This was already done.")
                    self.spent.add(args["token"])
                    return {"message_id": args["message_id"]}
                case "close_delivery":
                    return {}
                case "billing":
                    return {"answer": self._billing(connection, args["name"], args["args"], actor)}
        raise HubError("The engine knows no such command.")

    def _channels(self) -> dict[str, Any]:
        since = real_ms() - 3 * 3_600_000
        return {
            "ehr_visits": {"sources": [_health("listening", "tcp:2575", since, peers=2)], "destinations": {}},
            "claims_out": {
                "sources": [],
                "destinations": {
                    "clearway": [
                        _health("login failed", "sftp.clearway.example", since, "The server does not accept our key.")
                    ],
                    "granite": [_health("idle", "sftp.granite.example", since)],
                },
            },
            "responses_in": {"sources": [_health("connected", "sftp.clearway.example", since)], "destinations": {}},
            "results_to_ehr": {
                "sources": [],
                "destinations": {"ehr": [_health("connected", "ehr.acme.example:6661", since)]},
            },
        }

    def _switch(self, connection: Connection, command: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        state = tables.channel_state
        key = (state.c.channel == args["channel"], state.c.destination == (args.get("destination") or ""))
        values = {"paused": command == "pause", "draining": command == "drain", "reason": args["reason"]}
        values |= {"actor": actor, "changed_at": real_ms()}
        if not connection.execute(update(state).where(*key).values(**values)).rowcount:
            names = {"channel": args["channel"], "destination": args.get("destination") or ""}
            connection.execute(insert(state).values(**names, **values))
        return {}

    def _billing(self, connection: Connection, name: str, args: dict[str, Any], actor: str) -> dict[str, Any]:
        """What billing does about a command, as far as pages can see it: versions are guarded, states move."""
        item = tables.work_item
        if name == "match_payment":
            paid = item.c.remittance_claim_id == args["remittance_claim_id"]
            connection.execute(update(item).where(paid).values(state="resolved", resolution="matched by hand"))
            return {"ok": True}
        if name == "enter_payment":
            found = connection.execute(select(tables.remittance.c.id).where(tables.remittance.c.trace == args["trace"]))
            if found.scalar() is not None:
                return _refused("This payment was entered before.", "")
            return {"ok": True, "remittance_id": connection.execute(select(tables.remittance.c.id)).scalars().first()}
        if "remittance_claim_id" in args:
            return self._payment(connection, name, args)
        if name == "bill_next_payer":
            return {"ok": True, "claim": "N1", "state": "held"}
        subject = next(each for each in ("claim", "charge", "denial_action", "item") if f"{each}_id" in args)
        table = item if subject == "item" else tables.metadata.tables[subject]
        row = connection.execute(select(table).where(table.c.id == args[f"{subject}_id"])).one()
        if name != "comment_item" and int(args["version"]) != row.version:
            return _refused("Somebody changed this since you opened it.", "Load it again.")
        if name == "resolve_item" and row.kind.startswith("charge held"):
            return _refused(
                "The charge is still held.", "Release it, correct it or take it back; the item then resolves itself."
            )
        values: dict[str, Any] = {
            "approve_claim": {"state": "ready", "approved_by": actor},
            "correct_claim": {},
            "accept_proposal": {},
            "hold_claim": {"state": "held"},
            "rebill_claim": {"state": "void"},
            "void_claim": {},
            "release_charge": {"state": "open"},
            "correct_charge": {"state": "open"},
            "void_charge": {"state": "void"},
            "write_off": {},
            "send_appeal": {"state": "sent"},
            "decide_appeal": {"state": args.get("outcome", "")},
            "withdraw_appeal": {"state": "withdrawn"},
            "comment_item": {},
            "assign_item": {"assignee": args.get("assignee") or None},
            "snooze_item": {"snoozed_until": args.get("until", "")},
            "resolve_item": {"state": "resolved", "resolution": args.get("resolution", "")},
            "reopen_item": {"state": "open", "resolution": ""},
        }[name]
        version = row.version + (name != "comment_item")
        connection.execute(update(table).where(table.c.id == row.id).values(version=version, **values))
        if name in {"release_charge", "correct_charge", "void_charge"}:
            connection.execute(
                update(item).where(item.c.charge_id == row.id).values(state="resolved", resolution="released")
            )
        if subject == "item":
            kind = {
                "comment_item": "comment",
                "assign_item": "assigned",
                "reopen_item": "reopened",
                "snooze_item": "snoozed",
            }
            said = {key: args[key] for key in ("comment", "assignee", "resolution", "until") if args.get(key)}
            connection.execute(
                insert(tables.work_event).values(
                    id=real_ms() * 1000 + len(self.asked),
                    item_id=row.id,
                    at=real_ms(),
                    actor=actor,
                    kind=kind.get(name, "resolved"),
                    body=self.vault.seal_json(said, "work_event.body"),
                )
            )
        return {"ok": True}

    def _payment(self, connection: Connection, name: str, args: dict[str, Any]) -> dict[str, Any]:
        payment = tables.remittance_claim
        row = connection.execute(select(payment).where(payment.c.id == args["remittance_claim_id"])).one()
        if int(args["version"]) != row.version:
            return _refused("Somebody changed this since you opened it.", "Load it again.")
        state = {"unmatch_payment": "unmatched", "restate_payment": "posted"}[name]
        changed = update(payment).where(payment.c.id == row.id).values(state=state, version=row.version + 1)
        connection.execute(changed)
        return {"ok": True, "state": state}


def _refused(what: str, fix: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": "H360", "what": what, "fix": fix}}


def _health(state: str, address: str, since: int, detail: str = "", peers: int = 0) -> dict[str, Any]:
    return {"state": state, "address": address, "since_at": since, "detail": detail, "peers": peers}


@dataclass
class World:
    """Everything a test needs: the store, its stand-in engine, what was seeded by name, the application."""

    store: Engine
    vault: Vault
    engine: FakeEngine
    settings: WebSettings
    ids: dict[str, int]

    def client(self, user: str | None = None) -> TestClient:
        """A browser without scripts; signed in when *user* is given."""
        client = TestClient(create_app(self.store, self.vault, self.settings), follow_redirects=False)
        if user is not None:
            sign_in(client, user)
        return client


def sign_in(client: TestClient, user: str, password: str = PASSWORD) -> httpx.Response:
    page = client.get("/login")
    return client.post("/login", data={"csrf": csrf_of(page), "name": user, "password": password, "next": "/"})


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text[:2000]
    return found[1]


class Seeder:
    """Puts rows into the store the way the engine and billing do."""

    def __init__(self, store: Engine, vault: Vault) -> None:
        self.store = store
        self.vault = vault
        self.ids: dict[str, int] = {}
        self._maker = IdMaker()
        self._sequence = 0
        self._at = 0
        self._counts: dict[tuple[str, str], int] = {}
        self._owner = {"organisation": "alder", "partition": 0, "fence": 0}

    def put(self, connection: Connection, table: str, **values: Any) -> int:
        columns = tables.metadata.tables[table].c
        if "id" in columns and "id" not in values:
            values["id"] = self._maker.next()
        if "organisation" in columns:
            values = {**self._owner, **values}
        if isinstance(values.get("body"), dict):
            values["body"] = self.vault.seal_json(values["body"], f"{table}.body")
        connection.execute(
            insert(columns["id"].table if "id" in columns else tables.metadata.tables[table]).values(**values)
        )
        return int(values.get("id", 0))

    def content(self, connection: Connection, text: str) -> int:
        content_id = self._maker.next()
        connection.execute(insert(tables.content), content_rows(self.vault, content_id, text.encode()))
        return content_id

    def message(
        self,
        connection: Connection,
        channel: str,
        kind: str,
        control: str,
        raw: str,
        onward: str,
        ago: int,
        **more: Any,
    ) -> int:
        self._sequence += 1
        at = self._at = real_ms() - ago
        identifiers = more.pop("identifiers", ())
        message_id = self.put(
            connection,
            "message",
            sequence=self._sequence,
            channel=channel,
            bundle="8f3c1a2b9d00",
            kind=kind,
            control_id=control,
            sender=more.pop("sender", "ACME|MAIN"),
            source=more.pop("source", "10.1.4.20:51422"),
            received_at=at,
            received_on=BusinessClock(ZoneInfo("America/Chicago")).today().isoformat(),
            finished_at=None if onward == "in progress" else at + 21,
            size=len(raw),
            lane_digest=b"l",
            onward=onward,
            answer=more.pop("answer", "delivered"),
            raw_id=self.content(connection, raw),
            **more,
        )
        for name, text in identifiers:
            digest = self.vault.digest(name, text)
            self.put(
                connection,
                "identifier",
                stretch=stretch_of(self._sequence),
                kind=name,
                digest=digest,
                message_sequence=self._sequence,
            )
        self._counts[channel, "received"] = self._counts.get((channel, "received"), 0) + 1
        self._counts[channel, onward] = self._counts.get((channel, onward), 0) + 1
        return message_id

    def delivery(
        self,
        connection: Connection,
        message_id: int,
        channel: str,
        destination: str,
        kind: str,
        body: str,
        state: str,
        **more: Any,
    ) -> int:
        at, tries = self._at + 5, more.pop("tries", ())
        delivery_id = self.put(
            connection,
            "delivery",
            sequence=self._sequence * 10 + len(self.ids) + self._maker.next() % 7_000_000,
            message_sequence=self._sequence,
            message_id=message_id,
            channel=channel,
            destination=destination,
            kind=kind,
            lane_digest=b"l",
            state=state,
            attempts=len(tries),
            created_at=at,
            finished_at=at + 500 if state == "delivered" else None,
            body_id=self.content(connection, body),
            **more,
        )
        for number, (outcome, reason) in enumerate(tries, 1):
            self.put(
                connection,
                "attempt",
                delivery_id=delivery_id,
                number=number,
                started_at=at + (number - 1) * 800 + 2,
                ended_at=at + (number - 1) * 800 + 14,
                outcome=outcome,
                reason=reason,
                answer_id=self.content(connection, ACK) if outcome == "delivered" else None,
            )
        return delivery_id

    def counters(self, connection: Connection) -> None:
        day = BusinessClock(ZoneInfo("America/Chicago")).today().isoformat()
        for (channel, name), value in self._counts.items():
            self.put(connection, "counter", channel=channel, day=day, name=name, value=value)


def seed(store: Engine, vault: Vault) -> dict[str, int]:
    """One small practice: visits, claims in many states, money, queues."""
    s = Seeder(store, vault)
    now = real_ms()
    with store.connect().execution_options(writes=True) as c, c.begin():
        for role in ROLES:
            s.put(
                c,
                "user_account",
                name=role,
                title=f"{role.capitalize()} Sample",
                password_hash=PASSWORD_HASH,
                roles=role,
                created_at=now,
            )
        s.put(
            c,
            "user_account",
            name="everything",
            title="K. Osei",
            password_hash=PASSWORD_HASH,
            roles=" ".join(ROLES),
            created_at=now,
        )
        s.put(
            c,
            "user_account",
            name="fresh",
            title="New",
            password_hash=PASSWORD_HASH,
            roles="viewer",
            must_change_password=True,
            created_at=now,
        )
        name = {"family": "Quintero", "given": "Marisol"}
        person = {"mrn": "00718821", "authority": "ALDER", "name": name, "birth_date": "1971-02-14", "sex": "F"}
        s.ids["patient"] = s.put(
            c,
            "patient",
            updated_at=now,
            name_digest=vault.digest("name", "Quintero Marisol"),
            body={"mrn": "00718821", "authority": "ALDER", "patient": person},
        )
        s.put(c, "patient_alias", digest=vault.digest("mrn", "ALDER|00718821"), patient_id=s.ids["patient"])
        s.put(
            c,
            "coverage",
            patient_id=s.ids["patient"],
            priority=1,
            payer_id="60054",
            member_digest=b"m",
            active=True,
            body={"priority": 1, "payer_id": "60054", "member_id": "MEM778812"},
        )
        s.ids["visit"] = s.put(
            c,
            "visit",
            patient_id=s.ids["patient"],
            account_digest=vault.digest("account", "A-104421"),
            visit_on="2026-11-10",
            department="FM",
            state="open",
            source_channel="ehr_visits",
            updated_at=now,
            body={"account": "A-104421", "as_of": ""},
        )
        known = (("account", "A-104421"), ("mrn", "00718821"), ("name", "QUINTERO MARISOL"))
        fields = {
            "transaction": "T-55120",
            "account": "A-104421",
            "code": "99213",
            "amount": "150.00",
            "service_date": "2026-11-10",
        }
        mapped = [
            {"type": "Charge", "path": "FT1[1]", "step": "charges", "script": "acme/charges.py:33", "fields": fields}
        ]
        for number in range(60):
            kind = ("ADT^A04", "ADT^A08", "SIU^S12", "DFT^P03")[number % 4]
            onward = "filtered" if number % 11 == 0 else "done"
            raw = HL7.format(control=f"MSG{number:08}")
            reason = "No field that the hub keeps has changed." if onward == "filtered" else None
            message_id = s.message(
                c, "ehr_visits", kind, f"MSG{number:08}", raw, onward, (60 - number) * 50_000, reason=reason
            )
            if number % 4 == 3:
                s.delivery(
                    c,
                    message_id,
                    "ehr_visits",
                    "billing",
                    "values",
                    json.dumps([["Charge", fields]]),
                    "delivered",
                    tries=[("delivered", "")],
                )
        s.ids["held"] = s.message(
            c,
            "ehr_visits",
            "DFT^P03",
            "MSG00004468",
            HL7.format(control="MSG00004468"),
            "held",
            45_000,
            reason='Department "PT2" is not in the department table.',
            reason_code="H412",
        )
        s.ids["message"] = s.message(
            c,
            "ehr_visits",
            "DFT^P03",
            "MSG00004471",
            HL7.format(control="MSG00004471"),
            "done",
            30_000,
            identifiers=known,
            mapped_id=s.content(c, json.dumps(mapped)),
            answer_id=s.content(c, ACK),
        )
        s.delivery(
            c,
            s.ids["message"],
            "ehr_visits",
            "billing",
            "values",
            json.dumps([["Charge", fields]]),
            "delivered",
            tries=[("delivered", "")],
        )
        s.ids["rejected"] = s.message(
            c,
            "ehr_visits",
            "unreadable",
            "",
            "GARBAGE " + SCRIPT,
            "rejected",
            25_000,
            reason="Byte 0: not an MSH segment; answered AR.",
        )
        s.ids["batch_message"] = s.message(
            c,
            "claims_out",
            "837P",
            "B000000884",
            X12,
            "done",
            24_000,
            answer="not owed",
            sender="",
            source="billing",
        )
        s.delivery(
            c,
            s.ids["batch_message"],
            "claims_out",
            "clearway",
            "837P",
            X12,
            "delivered",
            name="B000000884.837",
            tries=[("delivered", "")],
        )
        for number in range(3):
            waiting = s.message(
                c,
                "claims_out",
                "837P",
                f"B00000089{number}",
                X12,
                "in progress",
                2_400_000,
                answer="not owed",
                sender="",
                source="billing",
            )
            s.delivery(
                c,
                waiting,
                "claims_out",
                "clearway",
                "837P",
                X12,
                "queued",
                name=f"B00000089{number}.837",
                reason="The server does not accept our key.",
                tries=[("transient", "The server does not accept our key.")] * 4,
            )
        s.ids["ambiguous_message"] = s.message(
            c,
            "results_to_ehr",
            "payment",
            "RES00000318",
            json.dumps({"event": "payment", "account": "A-104421", "mrn": "00718821", "paid": "120.00"}),
            "held",
            600_000,
            answer="not owed",
            sender="",
            source="billing",
            reason="The EHR may already have it.",
        )
        s.ids["ambiguous"] = s.delivery(
            c,
            s.ids["ambiguous_message"],
            "results_to_ehr",
            "ehr",
            "DFT^P03",
            HL7.format(control="RES00000318"),
            "ambiguous",
            name="RES00000318",
            reason="The EHR closed the connection after the last byte and before its answer.",
            tries=[("ambiguous", "The EHR closed the connection after the last byte and before its answer.")],
        )
        s.ids["835"] = s.message(
            c,
            "responses_in",
            "835",
            "EFT00012345",
            X12_835,
            "done",
            20_000,
            answer="not owed",
            sender="",
            source="EFT12345.835",
        )
        s.counters(c)
        for minute in range(60):
            s.put(
                c,
                "rate",
                channel="ehr_visits",
                minute=now // 60_000 - minute,
                received=3 + minute * 7 % 11,
                done=5,
                latency_ms=91,
            )
            s.put(
                c,
                "rate",
                channel="claims_out",
                minute=now // 60_000 - minute,
                received=0 if minute < 40 else 4,
                done=1,
                latency_ms=900,
            )
        _money(s, c, vault, now)
    return s.ids


def _money(s: Seeder, c: Connection, vault: Vault, now: int) -> None:
    patient, visit = s.ids["patient"], s.ids["visit"]
    charges = []
    for number, (code, cents) in enumerate((("99213", 15_000), ("83036", 6_500)), 1):
        charges.append(
            s.put(
                c,
                "charge",
                digest=f"c{number}".encode(),
                visit_id=visit,
                patient_id=patient,
                service_on="2026-11-10",
                code=code,
                modifiers="25" if number == 1 else "",
                units_milli=1000,
                amount_cents=cents,
                state="claimed",
                message_id=s.ids["message"],
                source_path=f"FT1[{number}]",
                source_channel="ehr_visits",
                body={},
            )
        )
    batch = s.put(
        c,
        "batch",
        partner="clearway",
        reference="B000000884",
        interchange_number=884,
        group_number=884,
        usage="T",
        claims=1,
        total_cents=21_500,
        payload_digest=b"p",
        message_id=s.ids["batch_message"],
        state="acknowledged",
        created_business_at=now - 86_400_000,
    )
    states = [
        ("H7K2M9Q4A1", "partly paid", 21_500),
        ("K4T9X2B7M1", "denied", 31_200),
        ("P8W3N6D5R2", "held", 12_000),
        ("S8L3P6W2Y9", "sent", 98_050),
        ("G5R1M7X4D2", "accepted payer", 143_000),
        ("U2C9B4F8K6", "rejected", 21_500),
        ("Y6J3T8N1H5", "accepted clearinghouse", 64_500),
        ("C2R8P5K9D6", "paid", 8_500),
    ]
    for number, (control, state, cents) in enumerate(states):
        s.ids[control] = s.put(
            c,
            "claim",
            control_number=control,
            chain_id=number + 1,
            frequency="1",
            form="837P",
            payer_id=("60054", "71412", "88023")[number % 3],
            partner="clearway",
            environment="test",
            patient_id=patient,
            visit_id=visit,
            rendering_npi="1234567893",
            place_of_service="11",
            service_on=f"2026-11-{10 - number:02}",
            total_cents=cents,
            state=state,
            state_business_at=now - number * 90_000_000,
            created_business_at=now - 10 * 86_400_000,
            batch_id=batch if number == 0 else None,
            payer_claim_number="LH-26-4410937" if number == 0 else None,
            body={},
        )
    claim = s.ids["H7K2M9Q4A1"]
    for ordinal, (charge, code, cents) in enumerate(zip(charges, ("99213", "83036"), (15_000, 6_500), strict=True), 1):
        s.put(
            c,
            "claim_line",
            claim_id=claim,
            ordinal=ordinal,
            control_number=f"H7K2M9Q4A1-{ordinal}",
            charge_id=charge,
            code=code,
            modifiers="25" if ordinal == 1 else "",
            units_milli=1000,
            charge_cents=cents,
            service_on="2026-11-10",
        )
    for number, (kind, after, detail) in enumerate(
        (
            ("created", "ready", {"lines": 2}),
            ("batched", "batched", {"batch": "B000000884"}),
            ("delivered", "sent", {}),
            ("ack999", "accepted 999", {"sentence": "The clearinghouse took the group in."}),
            (
                "claim_ack",
                "accepted payer",
                {"sentence": "Larkspur Health took the claim up.", "payer_claim_number": "LH-26-4410937"},
            ),
            ("remit", "partly paid", {"trace": "EFT00012345", "paid": "120.00"}),
        )
    ):
        s.put(
            c,
            "claim_event",
            claim_id=claim,
            event_key=f"{claim}/{kind}",
            kind=kind,
            business_at=now - (6 - number) * 40_000_000,
            recorded_at=now,
            actor="hub",
            message_id=s.ids["message"],
            state_after=after,
            detail=json.dumps(detail),
        )
    s.ids["remittance"] = s.put(
        c,
        "remittance",
        message_id=s.ids["835"],
        ordinal=1,
        content_digest=b"r",
        trace="EFT00012345",
        payer_id="60054",
        payer_name="Larkspur Health",
        amount_cents=11_500,
        method="ACH",
        paid_on="2026-11-20",
        claims=1,
        claims_posted=1,
        claims_cents=12_000,
        provider_cents=500,
        state="posted",
        created_business_at=now - 3_600_000,
        body={
            "originator": "LARKSPUR",
            "provider_adjustments": [{"provider": "1234567893", "reason": "WO", "reference": "OLD1", "amount": "5.00"}],
        },
    )
    s.ids["held_remittance"] = s.put(
        c,
        "remittance",
        message_id=s.ids["835"],
        ordinal=2,
        content_digest=b"h",
        trace="CM-88120",
        payer_id="71412",
        payer_name="Cedar Mutual",
        amount_cents=211_840,
        method="CHK",
        paid_on="2026-11-20",
        claims=1,
        claims_held=1,
        claims_cents=214_340,
        provider_cents=0,
        state="held",
        reason="The claims come to 25.00 more than the payment.",
        created_business_at=now - 9_000_000,
        body={},
    )
    s.ids["payment"] = s.put(
        c,
        "remittance_claim",
        remittance_id=s.ids["remittance"],
        ordinal=1,
        control_number="H7K2M9Q4A1",
        payer_claim_number="LH-26-4410937",
        status="1",
        charge_cents=21_500,
        paid_cents=12_000,
        patient_cents=3_500,
        claim_id=claim,
        matched_by="control number",
        state="posted",
        body={},
    )
    paid = {charges[0]: (9_000, 3_500, 2_500), charges[1]: (3_000, 2_500, 1_000)}
    for charge, cents in zip(charges, (15_000, 6_500), strict=True):
        to_payer, contract, own = paid[charge]
        _post(s, c, "charge", [("unbilled", cents, None), ("revenue", -cents, None)], patient, charge, "2026-11-10")
        _post(
            s,
            c,
            "claim",
            [("receivable payer", cents, claim), ("unbilled", -cents, claim)],
            patient,
            charge,
            "2026-11-12",
        )
        shares = [("clearing", to_payer, claim), ("contractual", contract, claim), ("receivable patient", own, claim)]
        _post(
            s,
            c,
            "payment",
            [*shares, ("receivable payer", -cents, claim)],
            patient,
            charge,
            "2026-11-20",
            s.ids["remittance"],
        )
    remittance = s.ids["remittance"]
    _post(s, c, "deposit", [("cash", 11_500, None), ("clearing", -11_500, None)], None, None, "2026-11-20", remittance)
    _post(
        s,
        c,
        "provider adjustment",
        [("provider level", 500, None), ("clearing", -500, None)],
        None,
        None,
        "2026-11-20",
        remittance,
    )
    sentences = (
        (
            "denials",
            "Cedar Mutual did not pay line 1, because the authorization number is missing.",
            31_200,
            "K4T9X2B7M1",
            "2026-11-28",
        ),
        ("denials", "The payer asks for the visit note before it pays.", 98_050, "S8L3P6W2Y9", "2026-11-29"),
        ("denials", "Paid as out of network; the provider is in the network since June.", 143_000, "G5R1M7X4D2", ""),
        ("approval", "The first claim to this payer waits for approval.", 12_000, "P8W3N6D5R2", ""),
        (
            "rejections",
            "The clearinghouse did not know the member number. Correct it in the EHR and send the claim anew.",
            21_500,
            "U2C9B4F8K6",
            "",
        ),
        ("charge review", "The charge names a department that the practice does not have.", 6_500, None, ""),
    )
    for number, (queue, sentence, cents, control, due) in enumerate(sentences):
        s.ids[f"item{number}"] = s.put(
            c,
            "work_item",
            queue=queue,
            item_key=f"k{number}",
            kind="payer decision",
            sentence=sentence,
            rule="CO-197" if number == 0 else "",
            money_cents=cents,
            claim_id=s.ids[control] if control else None,
            patient_id=patient,
            message_id=s.ids["message"],
            source_path="FT1[1]",
            opened_business_at=now - (number + 1) * 86_400_000,
            due_on=due,
            state="open",
            body={"line": "1", "reason": "CO 197", "member_id": "MEM778812", "charge": "245.00"},
        )

    _undecided(s, c, now)


def _undecided(s: Seeder, c: Connection, now: int) -> None:
    """What waits for a decision: a held charge, a payment that nothing matches, a patient whose records were merged."""
    patient = s.ids["patient"]
    s.ids["held_charge"] = s.put(
        c,
        "charge",
        digest=b"held",
        visit_id=s.ids["visit"],
        patient_id=patient,
        service_on="2026-11-11",
        code="99213",
        units_milli=1000,
        amount_cents=15_000,
        state="held",
        message_id=s.ids["message"],
        source_path="FT1[1]",
        source_channel="ehr_visits",
        body={},
    )
    s.ids["held_item"] = s.put(
        c,
        "work_item",
        queue="charge review",
        item_key="held",
        kind="charge held: duplicate",
        sentence="The same service was charged twice on one day.",
        money_cents=15_000,
        charge_id=s.ids["held_charge"],
        patient_id=patient,
        opened_business_at=now - 1,
        state="open",
        body={},
    )
    s.ids["stray"] = stray = s.put(
        c,
        "remittance_claim",
        remittance_id=s.ids["remittance"],
        ordinal=2,
        control_number="C2R8P5K9",
        status="1",
        charge_cents=8_500,
        paid_cents=0,
        patient_cents=0,
        state="unmatched",
        body={},
    )
    reasons = ["the control number begins alike", "the charge is the same"]
    number = "C2R8P5K9D6"
    near = {"claim_id": s.ids[number], "control_number": number, "score": 45, "reasons": reasons}
    s.ids["payment_item"] = s.put(
        c,
        "work_item",
        queue="unmatched payments",
        item_key="stray",
        kind="unmatched payment",
        sentence="A payment of 85.00 by Larkspur Health is not posted. One claim comes close.",
        money_cents=8_500,
        remittance_id=s.ids["remittance"],
        remittance_claim_id=stray,
        opened_business_at=now - 1,
        state="open",
        body={"control_number": "C2R8P5K9", "candidates": [near]},
    )
    s.ids["merged_patient"] = s.put(c, "patient", updated_at=now - 5, merged_into=patient, body={})


def _post(
    s: Seeder,
    c: Connection,
    kind: str,
    sides: list[tuple[str, int, int | None]],
    patient: int | None,
    charge: int | None,
    day: str,
    remittance: int | None = None,
) -> None:
    first = next((claim for _, _, claim in sides if claim), None)
    entry = s.put(
        c,
        "ledger_entry",
        claim_id=first,
        entry_key=f"{kind}/{charge}",
        kind=kind,
        business_at=1,
        posted_on=day,
        recorded_at=1,
        actor="hub",
        remittance_id=remittance,
    )
    for ordinal, (account, cents, claim) in enumerate(sides, 1):
        s.put(
            c,
            "ledger_posting",
            entry_id=entry,
            ordinal=ordinal,
            account=account,
            amount_cents=cents,
            patient_id=patient,
            claim_id=claim,
            charge_id=charge,
        )


def build_world(folder: Path, **changes: Any) -> World:
    vault = Vault({1: b"k" * 32}, b"i" * 32)
    store = open_store(f"sqlite:///{folder / 'hub.db'}")
    tables.metadata.create_all(store)
    ids = seed(store, vault)
    engine = FakeEngine(folder / "c.sock", store, vault)
    engine.start()
    settings = WebSettings(
        title="Alder Street Family Clinic",
        organisation="alder",
        environment=changes.pop("environment", "test"),
        zone="America/Chicago",
        control_socket=engine.path,
        clock=BusinessClock(ZoneInfo("America/Chicago")),
        bundle="8f3c1a2b9d00",
        channels=(
            ChannelInfo(
                "ehr_visits",
                "Visits and charges",
                "integration@hub.example",
                "mllp",
                (DestinationInfo("billing", "billing"),),
            ),
            ChannelInfo(
                "claims_out",
                "Claims to payers",
                "billing@alder.example",
                "billing",
                (
                    DestinationInfo("clearway", "sftp", order="any", ambiguous="ask"),
                    DestinationInfo("granite", "sftp", order="any", ambiguous="ask"),
                ),
            ),
            ChannelInfo(
                "responses_in",
                "Answers and remittances",
                "billing@alder.example",
                "sftp",
                (DestinationInfo("billing", "billing"),),
            ),
            ChannelInfo(
                "results_to_ehr",
                "Results to the EHR",
                "integration@hub.example",
                "billing",
                (DestinationInfo("ehr", "mllp", order="account", ambiguous="ask"),),
            ),
        ),
        payer_infos={
            "60054": PayerInfo(
                "Larkspur Health",
                "clearway",
                "its guide, section 4",
                120,
                45,
                True,
                (180,),
                30,
                "5",
                (RuleInfo("npi-taxonomy", "payer", "require", "error", "It wants the taxonomy.", "", "always"),),
            )
        },
        payers={"60054": "Larkspur Health", "71412": "Cedar Mutual", "88023": "Harbor State Medicaid"},
        live_seconds=0.2,
        **changes,
    )
    return World(store, vault, engine, settings, ids)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded store, made once per module and copied for each test."""
    folder = tmp_path_factory.mktemp("seeded")
    world = build_world(folder)
    world.engine.stop()
    (folder / "ids.json").write_text(json.dumps(world.ids))
    with world.store.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    world.store.dispose()
    return folder


@pytest.fixture
def world(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh practice per test."""
    shutil.copy(seeded / "hub.db", tmp_path / "hub.db")
    ids = json.loads((seeded / "ids.json").read_text())
    monkeypatch.setitem(build_world.__globals__, "seed", lambda store, vault: ids)
    made = build_world(tmp_path)
    yield made
    made.engine.stop()
    made.store.dispose()


@pytest.fixture
def at_work(world: World, tmp_path: Path) -> World:
    """The world with the files of a site, and a stored charge that its mapping knows."""
    site = tmp_path / "site"
    for folder in ("channels", "transforms", "config"):
        shutil.copytree(REPOSITORY / folder, site / folder)
    create_key_file(site / "var" / "keys.json")
    take_files(site)
    raw = (REPOSITORY / "tests/channels/ehr_visits/two_lines/in.hl7").read_bytes()
    raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    content_id = 7_000_001
    with world.store.begin() as connection:
        connection.execute(tables.content.insert(), content_rows(world.vault, content_id, raw))
        of_it = tables.message.c.id == world.ids["message"]
        connection.execute(update(tables.message).where(of_it).values(raw_id=content_id, kind="DFT^P03"))
    world.settings = replace(world.settings, folder=site, files=read_bundle(site).files)
    return world


@pytest.fixture
def served(world: World) -> Iterator[str]:
    """The pages behind a real socket; the address."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(world.store, world.vault, world.settings), port=0, log_level="error", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


FOUND: dict[str, Any] = {
    "rule": "ID-12", "severity": "error", "line": 2, "snip": 6, "loop": "2310A", "segment": "NM1", "element": "09",
    "qualifier": "", "value_hash": "", "sentence": "A service needs a referring provider and none is named.",
    "fix": "Enter the referring provider of the visit in the EHR.", "stc": ["A6:562:DN"],
}  # fmt: skip


def keep_findings(world: World, *found: dict[str, Any]) -> None:
    """Have the item ``item3`` and the claim that it is about keep *found*."""
    item, event, claim_id = tables.work_item, tables.claim_event, world.ids["K4T9X2B7M1"]
    sealed = world.vault.seal_json({"findings": found}, "work_item.body")
    row = {
        "id": 2**62, "claim_id": claim_id, "event_key": f"{claim_id}/found", "kind": "edit_result", "actor": "hub",
        "state_after": "needs fix", "business_at": 0, "recorded_at": 0, "detail": json.dumps({"found": found}),
    }  # fmt: skip
    with world.store.begin() as connection:
        connection.execute(update(item).where(item.c.id == world.ids["item3"]).values(body=sealed, claim_id=claim_id))
        connection.execute(insert(event).values(**row))


def every_page(world: World) -> list[str]:
    """The address of every page, with something on it."""
    ids = world.ids
    message, claim = f"/messages/{ids['message']}", f"/claims/{ids['H7K2M9Q4A1']}"
    return [
        "/",
        "/messages?since=any",
        "/messages/bulk?since=any&onward=held",
        *(
            f"{message}{tab}"
            for tab in ("", "/raw", "/parsed", "/mapped", "/outgoing", "/answer", "/diff", "/log", "/mapping")
        ),
        f"/messages/{ids['ambiguous_message']}/replay",
        "/claims",
        claim,
        f"{claim}/837",
        f"/claims/{ids['P8W3N6D5R2']}",
        "/queues/denials",
        "/queues/claim-edits",
        *(f"/queues/items/{ids[item]}" for item in ("item3", "held_item", "payment_item")),
        "/accounts",
        f"/accounts/{ids['patient']}",
        "/payers",
        "/payers/60054",
        "/remittances",
        "/remittances/new",
        f"/payments/{ids['payment']}",
        f"/payments/{ids['stray']}",
        f"/remittances/{ids['remittance']}",
        f"/remittances/{ids['held_remittance']}",
        "/figures",
        "/figures/acceptance/accepted",
        "/reconcile",
        "/channels",
        "/channels/claims_out",
        "/audit",
        f"/audit?patient={ids['patient']}",
        "/audit/emergencies",
        "/alerts?key=queue/denials",
        "/users",
        "/me",
        "/me/tokens",
        "/reveal",
    ]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests."""
    found = os.environ.get("HUB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("Chromium is absent: apt-get install chromium, or name it in HUB_CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield launched
        launched.close()


def signed_in(page: Page, address: str, user: str = "everything") -> Page:
    """*page* on the status page, signed in as *user*."""
    page.goto(f"{address}/login")
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("a person")
    page.wait_for_load_state()  # keys are heard from then on
    return page
