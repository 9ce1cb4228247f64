"""A store, a vault, a standing clock and the smallest engine that can apply what billing decides."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, func, insert, select

from hub.billing.batches import initial_work
from hub.billing.config import (
    BillingConfig,
    BillingPolicy,
    Department,
    Partner,
    Payer,
    PostalAddress,
    Practice,
    Provider,
)
from hub.billing.decide import decide
from hub.billing.values import Address, BillingValue, Charge, Coverage, Name, PartnerFile, Patient, Visit
from hub.core.clock import BusinessClock, at, real_ms
from hub.core.codec import to_plain
from hub.core.ids import IdMaker
from hub.core.secret import Secrets
from hub.core.vault import Vault
from hub.engine.contracts import TaskCall, WorkerSite
from hub.store import tables
from hub.store.changes import Changes, Emit, StaleDecisionError, apply, from_json
from hub.store.contents import content_rows
from hub.store.database import open_store
from tests.billing.payer import Desk

ZONE = ZoneInfo("America/Chicago")
DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class StandingClock(BusinessClock):
    """A business clock that moves only when a test moves it."""

    def now_ms(self) -> int:
        return self.business_epoch_ms


def billing_config(**policy: Any) -> BillingConfig:
    """A practice with two providers, a clearinghouse and a payer with a door of its own."""
    partners = {
        name: Partner(
            schema=1,
            name=name,
            title=title,
            submitter_id="ALDERST01",
            receiver_id=receiver,
            receiver_name=title.upper(),
            environment="test",
        )
        for name, title, receiver in (
            ("clearway", "Clearway", "CLEARWAY01"),
            ("granite", "Granite Employers Trust", "GRANITE01"),
        )
    }
    payers = {
        payer_id: Payer(
            schema=1, payer_id=payer_id, name=name, partner=partner, claim_filing=filing, member_id=member_id
        )
        for payer_id, name, partner, filing, member_id in (
            ("90001", "Cedar Mutual", "clearway", "CI", r"W\d{9}"),
            ("90003", "Northwind Health Plan", "clearway", "CI", ""),
            ("90005", "Granite Employers Trust", "granite", "CI", ""),
        )
    }
    return BillingConfig(
        environment="test",
        practice=Practice(
            schema=1,
            organisation="alder",
            name="Alder Street Family Clinic",
            npi="1999000015",
            tax_id="371990001",
            taxonomy="207Q00000X",
            address=PostalAddress(line="214 ALDER STREET", city="SPRINGFIELD", state="IL", postal_code="627014410"),
            phone="2175550142",
            time_zone="America/Chicago",
            provider=(
                Provider(npi="1999000114", taxonomy="207Q00000X", family="OKAFOR", given="MARIN"),
                Provider(npi="1999000221", taxonomy="363LF0000X", family="LINDQVIST", given="TESS"),
            ),
            department=(
                Department(code="FM", title="Family medicine", place_of_service="11"),
                Department(code="TEL", title="Telehealth", place_of_service="10"),
            ),
        ),
        policy=BillingPolicy(schema=1, bill_hold="1d", **policy),
        partners=partners,
        payers=payers,
        fees={},
    )


@dataclass
class World:
    """One site in a temporary folder. ``decide_*`` decide, apply and, where billing asks for it, decide on."""

    store: Engine
    vault: Vault
    config: BillingConfig
    clock: StandingClock
    folder: Path
    ids: IdMaker = field(default_factory=IdMaker)
    emitted: list[Emit] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    # ------------------------------------------------------------ values to say things with

    def patient(self, mrn: str = "M1", **fields: Any) -> Patient:
        """A patient with everything that a claim needs."""
        given: dict[str, Any] = {
            "mrn": mrn,
            "authority": "ALDER",
            "name": Name(family="Examplar", given="Wren"),
            "birth_date": date(1980, 2, 14),
            "sex": "F",
            "address": Address(line="42 Elm Avenue", city="Springfield", state="IL", postal_code="62702"),
        }
        return Patient(**{**given, **fields})

    def coverage(self, payer_id: str = "90001", member_id: str = "W123456789", **fields: Any) -> Coverage:
        """The patient's own insurance."""
        return Coverage(**{"priority": 1, "payer_id": payer_id, "member_id": member_id, **fields})

    def visit(self, account: str = "A1", **fields: Any) -> Visit:
        """An insured visit today."""
        given: dict[str, Any] = {
            "account": account,
            "visit_number": f"V-{account}",
            "patient": self.patient(),
            "as_of": self.clock.now().isoformat(),
            "visit_date": self.clock.today(),
            "department": "FM",
            "coverages": (self.coverage(),),
        }
        return Visit(**{**given, **fields})

    def charge(self, transaction: str = "T1", account: str = "A1", **fields: Any) -> Charge:
        """An office visit at 150.00 by the first provider."""
        given: dict[str, Any] = {
            "transaction": transaction,
            "account": account,
            "mrn": "M1",
            "authority": "ALDER",
            "service_date": self.clock.today(),
            "code": "99213",
            "amount": Decimal("150.00"),
            "diagnoses": ("E119",),
            "performing_npi": "1999000114",
            "department": "FM",
            "source_path": "FT1[1]",
        }
        return Charge(**{**given, **fields})

    # ------------------------------------------------------------ deciding

    def decide_values(self, values: list[BillingValue], *, raw: bytes = b"", channel: str = "ehr_visits") -> int:
        """Have billing take the values of one message, whose raw bytes are *raw*. Returns the message's id."""
        message_id = self.add_message(channel=channel, kind="message", raw=raw)
        plain = json.dumps([[type(value).__name__, to_plain(value)] for value in values]).encode()
        header = {
            "work": "values",
            "delivery_id": 1,
            "message_id": message_id,
            "channel": channel,
            "kind": "message",
        }
        self._decide(header, (plain,))
        return message_id

    def decide_file(self, raw: bytes, partner: str = "clearway", kinds: tuple[str, ...] = ()) -> int:
        """Have billing read an X12 file of *partner*. Returns the message's id."""
        return self.decide_values([PartnerFile(partner=partner, kinds=kinds)], raw=raw, channel="responses_in")

    def command(self, name: str, actor: str = "biller", **args: Any) -> dict[str, Any]:
        """Run a command and return its answer."""
        return self._decide({"work": "command", "name": name, "args": args, "actor": actor})["answer"]

    def run_due(self, *kinds: str) -> int:
        """Do everything that is due by now (of *kinds*, where given), and what comes due by it. Returns how many."""
        ran = 0
        seen: set[tuple[int, int]] = set()
        while True:
            due = [
                row
                for row in self.rows(tables.due)
                if not row["done"]
                and row["business_at"] <= self.clock.now_ms()
                and (not kinds or row["kind"] in kinds)
                and (row["id"], row["version"]) not in seen
            ]
            if not due:
                return ran
            for row in sorted(due, key=lambda row: (row["business_at"], row["id"])):
                seen.add((row["id"], row["version"]))
                self._decide({"work": "due", "due_id": row["id"], **self._due_header(row)})
                ran += 1

    def start(self) -> None:
        """Insert what the engine inserts when it starts."""
        known = {row["due_key"] for row in self.rows(tables.due)}
        with self.writing() as connection:
            for row in initial_work(self.config):
                if row["due_key"] not in known:
                    connection.execute(insert(tables.due).values(id=self.ids.next(), version=1, **row))

    def advance(self, **time: float) -> None:
        """Let business time pass: ``advance(days=2)``, ``advance(hours=1)``."""
        passed = int((time.get("days", 0) * 24 + time.get("hours", 0)) * 3_600_000)
        self.clock = replace(self.clock, business_epoch_ms=self.clock.business_epoch_ms + passed)

    def deliver(self, emit: Emit, outcome: str = "delivered") -> int:
        """Do what the engine does when an emitted message's delivery ends. Returns the delivery's id."""
        message_id = self.add_message(channel="claims_out", kind=emit.kind, raw=emit.body, control_id=emit.name)
        delivery_id = self.ids.next()
        with self.writing() as connection:
            connection.execute(
                insert(tables.delivery).values(
                    sequence=delivery_id,
                    id=delivery_id,
                    organisation="alder",
                    message_sequence=message_id,
                    message_id=message_id,
                    channel="claims_out",
                    destination="clearway",
                    kind=emit.kind,
                    name=emit.name,
                    lane_digest=b"lane",
                    state=outcome,
                    created_at=0,
                    body_id=0,
                )
            )
            connection.execute(
                insert(tables.due).values(
                    id=self.ids.next(),
                    due_key=f"delivered/{delivery_id}/{outcome}",
                    kind="delivered",
                    business_at=0,
                    subject_id=delivery_id,
                    subject=outcome,
                    done=False,
                    version=1,
                )
            )
        return delivery_id

    def bill_and_batch(self, outcome: str = "delivered") -> list[Emit]:
        """Let the bill hold pass and a batch be made; return the 837s that came of it, whose deliveries end so."""
        self.start()
        self.advance(days=1.1)
        before = len(self.emitted)
        self.run_due("bill", "orphan")
        self.advance(hours=1)
        self.run_due("batch")
        made = [emit for emit in self.emitted[before:] if emit.kind in {"837P", "837I"}]
        for emit in made:
            self.deliver(emit, outcome)
        self.run_due("delivered")
        return made

    # ------------------------------------------------------------ looking

    def rows(self, table: Any, **equals: Any) -> list[dict[str, Any]]:
        """The rows of *table*, by primary key, in which the columns named have the values given."""
        statement = select(table).where(*(table.c[name] == value for name, value in equals.items()))
        with self.store.connect() as connection:
            found = connection.execute(statement.order_by(*table.primary_key.columns)).mappings().all()
        return [dict(row) for row in found]

    def one(self, table: Any, **equals: Any) -> dict[str, Any]:
        """The only such row."""
        found = self.rows(table, **equals)
        assert len(found) == 1, f"{len(found)} rows of {table.name}"
        return found[0]

    def items(self, queue: str = "") -> list[dict[str, Any]]:
        """The open work items (of *queue*)."""
        return [row for row in self.rows(tables.work_item, state="open") if not queue or row["queue"] == queue]

    def open(self, table: Any, row: dict[str, Any]) -> Any:
        """The sealed body of *row*."""
        return self.vault.open_json(row["body"], f"{table.name}.body")

    def balances(self, **equals: Any) -> dict[str, int]:
        """Ledger accounts to cents, zeros left out, over the postings that have the values given."""
        posting = tables.ledger_posting
        statement = (
            select(posting.c.account, func.sum(posting.c.amount_cents))
            .where(*(posting.c[name] == value for name, value in equals.items()))
            .group_by(posting.c.account)
        )
        with self.store.connect() as connection:
            return {account: total for account, total in connection.execute(statement) if total}

    def check_ledger(self) -> None:
        """Every entry sums to zero, and every charge is wholly accounted for."""
        by_entry: dict[int, int] = {}
        for row in self.rows(tables.ledger_posting):
            by_entry[row["entry_id"]] = by_entry.get(row["entry_id"], 0) + row["amount_cents"]
        assert not any(by_entry.values())
        for charge in self.rows(tables.charge):
            balances = self.balances(charge_id=charge["id"])
            revenue = balances.pop("revenue", 0)
            assert sum(balances.values()) == -revenue
            assert -revenue == (0 if charge["state"] == "void" else charge["amount_cents"])
            if charge["state"] in {"open", "held"}:
                assert balances.get("unbilled", 0) == charge["amount_cents"]
            else:
                assert "unbilled" not in balances

    # ------------------------------------------------------------ the smallest engine

    def writing(self) -> Any:
        """A transaction that writes."""
        return self.store.execution_options(writes=True).begin()

    def add_message(self, *, channel: str, kind: str, raw: bytes = b"", control_id: str = "") -> int:
        """Put a message into the store, as intake would."""
        message_id = self.ids.next()
        with self.writing() as connection:
            connection.execute(insert(tables.content), content_rows(self.vault, message_id, raw))
            connection.execute(
                insert(tables.message).values(
                    sequence=message_id,
                    id=message_id,
                    organisation="alder",
                    channel=channel,
                    kind=kind,
                    control_id=control_id,
                    received_at=real_ms(),
                    received_on=self.clock.today().isoformat(),
                    size=len(raw),
                    lane_digest=b"lane",
                    onward="in progress",
                    answer="not owed",
                    raw_id=message_id,
                )
            )
        return message_id

    def decided(self, header: dict[str, Any], parts: tuple[bytes, ...] = ()) -> tuple[Changes, dict[str, Any]]:
        """What billing decides, without applying it."""
        site = WorkerSite(
            folder=self.folder,
            var=self.folder,
            secrets=Secrets((self.folder / "secrets",)),
            vault=self.vault,
            clock=self.clock,
            store=self.store,
        )
        reply = decide(self.config, TaskCall(header, parts, site, self.ids.block()))
        return from_json(reply.header["changes"]), reply.header

    def apply(self, changes: Changes) -> None:
        """Write *changes* as the journal does. Raises `StaleDecisionError`."""
        with self.writing() as connection:
            apply(connection, changes)
        self.emitted += changes.emits
        for name, value in changes.counts.items():
            self.counts[name] = self.counts.get(name, 0) + value

    def _decide(self, header: dict[str, Any], parts: tuple[bytes, ...] = ()) -> dict[str, Any]:
        for _ in range(500):
            changes, reply = self.decided(header, parts)
            self.apply(changes)
            if reply["complete"]:
                return reply
        raise AssertionError("billing does not come to an end")

    @staticmethod
    def _due_header(row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in ("kind", "subject", "subject_id")}


def make_world(folder: Path, url: str = "", **policy: Any) -> World:
    """A new site in *folder* on the morning of 10 November 2026; *url* is that of a store with empty tables."""
    store = open_store(url or f"sqlite:///{folder / 'hub.db'}")
    if not url:
        tables.metadata.create_all(store)
    morning = int(datetime(2026, 11, 10, 9, tzinfo=ZONE).timestamp() * 1000)
    return World(
        store=store,
        vault=Vault({1: b"k" * 32}, b"i" * 32),
        config=billing_config(**policy),
        clock=StandingClock(zone=ZONE, business_epoch_ms=morning),
        folder=folder,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `both_stores`, or all if HUB_BOTH_STORES is set, have their world on PostgreSQL, too."""
    marked = metafunc.definition.get_closest_marker
    asked = not marked("sqlite") and (marked("both_stores") or os.environ.get("HUB_BOTH_STORES"))
    if asked and "world" in metafunc.fixturenames:
        on_postgresql = pytest.param("postgresql", marks=pytest.mark.postgresql)
        metafunc.parametrize("world", ["sqlite", on_postgresql], indirect=True)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A new site."""
    on_postgresql = getattr(request, "param", "") == "postgresql"
    made = make_world(tmp_path, request.getfixturevalue("postgresql_ready_url") if on_postgresql else "")
    yield made
    made.store.dispose()


@pytest.fixture
def postgresql_ready_url(postgresql: Any, postgresql_tables: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with the store's empty tables."""
    url = postgresql.new_database(postgresql_tables)
    yield url
    postgresql.drop(url)


__all__ = ["DAY", "StaleDecisionError", "World", "at", "make_world"]


@pytest.fixture
def desk(world: World) -> Desk:
    """Where remittances come in."""
    return Desk(world)
