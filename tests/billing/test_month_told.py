"""A month of messages through the site's own mapping: 8 providers, 12 payers, every edit that an EHR can provoke.

Each claim ends with its payer or in a queue for what was wrong; what the clearinghouse lost is found; and what it read
is what the EHR said. The clearinghouse is the simulators', which share no code with the hub.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from hub.billing.edits import EDITS
from hub.billing.refdata.store import load_set
from hub.billing.values import Charge, Document, Visit
from hub.demo.unchanged import changed_facts, transactions_of_lines
from hub.simulators.acknowledgements import Source, Verdict, ack_999, claim_acknowledgement
from hub.simulators.hl7 import Message
from hub.simulators.x12 import Claim837, read_claims, read_interchange
from hub.site.load import load_site
from hub.site.mapping import run_steps
from hub.store import tables
from hub.store.database import reading
from tests.billing.month import (
    BY_DESIGN,
    CLEAN,
    EARLIER_STILL,
    WRONG,
    Told,
    messages,
    month_config,
    write_tables,
)

ROOT = Path(__file__).parents[2]
STOPPING = {name for name in WRONG if EDITS[name].severity == "error"}
DOOR = Source("CLEARWAY01", "AY", "CLEARWAY", "CLEARWAY01")
LOST_EVERY, REFUSED_EVERY = 9, 11


class Month:
    """The site, its EHR's messages, and what the EHR's books say of them."""

    def __init__(self, world, folder: Path) -> None:
        self.world = world
        self.site = load_site(ROOT).require_sound()
        self.config = world.config = month_config(self.site.billing)
        for kind, file in write_tables(folder):
            load_set(world.store, kind, file, edition="month", effective=date(2020, 1, 1), actor="test")
        self.books: list[dict] = []
        self.said = 0

    def tell(self, name: str, told: Told) -> None:
        """Send one visit's messages, and bill it with the site's files as they are then."""
        if told.before is not None:
            self.tell(f"{name}B", replace(told.before, pid={3: f"MR{name}^^^ALDER^MR"}))
        self.said += 1
        self.world.config = told.site(self.config)
        for kind, raw in messages(name, self.said, told):
            about = {"kind": kind, "received_on": "2026-11-10T09:30:00-06:00", "control_id": name, "id": 0}
            channel = self.site.channels["ehr_visits"]
            mapped = run_steps(channel, self.site.scripts, self.site.zone, about, raw)
            assert mapped.error is None, (name, mapped.error)
            self.world.decide_values([made.thing for made in mapped.of(Visit, Charge, Document)], raw=raw)
            self.book(raw)
        self.world.run_due("bill")
        self.world.config = self.config

    def book(self, raw: bytes) -> None:
        """What the EHR's own books say of a message, read with the simulators' own reader."""
        message = Message.read(raw)
        person = {
            "person": message.field("PID", 3),
            "patient": [*message.all("PID")[0][5].split("^")[:2], message.field("PID", 7), message.field("PID", 8)],
            "members": [segment[36] for segment in message.all("IN1")],
        }
        self.books.append({"kind": "registration", **person})
        for segment in message.all("FT1"):
            line = [*segment, *[""] * 30]
            self.books.append(
                {
                    "kind": "charge",
                    "transaction": line[2],
                    "code": line[25].partition("^")[0],
                    "revenue": ([*line[7].split("^"), "", "", ""])[3],
                    "modifiers": [each for each in line[26].split("~") if each],
                    "units": line[10],
                    "amount_cents": round(float(line[11].partition("^")[0]) * 100),
                    "service_date": line[4].partition("^")[0],
                    "diagnoses": [each.partition("^")[0].replace(".", "") for each in line[19].split("~") if each],
                    "performer": line[20].partition("^")[0],
                    **person,
                }
            )


def read_by_clearinghouse(batches) -> list[tuple[object, str, list[Claim837]]]:
    return [
        (transaction, *read_claims(transaction))
        for emit in batches
        for transaction in read_interchange(emit.body.decode()).transactions
    ]


def entry_of(claim: Claim837) -> dict:
    """A claim as the clearinghouse's books have it."""
    lines = [
        {
            "control": line.control, "code": line.code, "revenue": line.revenue, "modifiers": line.modifiers,
            "units": line.units, "date": line.date, "charge_cents": line.charge,
        }
        for line in claim.lines
    ]  # fmt: skip
    patient = [*claim.patient[:2], claim.birth, claim.sex]
    about = {"member": claim.member_id, "patient": patient, "diagnoses": claim.diagnoses}
    return {"kind": "claim", "pcn": claim.pcn, "frequency": claim.frequency, "lines": lines, **about} | {
        "rendering": claim.rendering_npi
    }


@pytest.fixture
def month(world, tmp_path) -> Month:
    made = Month(world, tmp_path)
    for name, told in {**CLEAN, **WRONG, **{name: told for name, (told, _) in EARLIER_STILL.items()}}.items():
        made.tell(name.replace("-", ""), told)
    return made


def test_every_edit_is_provoked_by_what_is_told_or_cannot_be_for_a_reason() -> None:
    assert {*WRONG, *EARLIER_STILL, *BY_DESIGN} == set(EDITS)
    assert len(WRONG) + len(EARLIER_STILL) + len(BY_DESIGN) == len(EDITS)


def test_every_claim_of_the_month_ends_accepted_or_in_a_queue_for_what_was_wrong(month) -> None:
    world = month.world
    batches = world.bill_and_batch()
    assert {emit.kind for emit in batches} == {"837P", "837I"}
    received = read_by_clearinghouse(batches)
    lost = answer(world, received)
    world.advance(days=4)
    world.run_due("silence")

    rows = by_account(world)
    items = {}
    for item in world.items():
        items.setdefault(item["claim_id"], []).append(item)
    missed, found_by = set(), said_by_edits(world)
    for name in (*CLEAN, *WRONG):
        row = rows[f"AC{name.replace('-', '')}"][-1]
        queues = {item["queue"]: item for item in items.get(row["id"], [])}
        if name in WRONG:
            assert name in found_by[row["id"]], (name, found_by[row["id"]])
        if name in STOPPING and found_by[row["id"]][name] == "error":
            assert (row["state"], set(queues)) == ("needs fix", {"claim edits"}), name
            assert queues["claim edits"]["rule"] == name
        elif "lost claims" in queues:
            missed.add(row["control_number"])
        elif row["state"] == "rejected":
            assert set(queues) == {"rejections"}, name
        else:
            assert (row["state"], queues) == ("accepted clearinghouse", {}), (name, row["state"], queues)
    assert missed <= lost
    assert missed_by(world) == lost
    assert len(lost) > 3
    for name, (_, queue) in EARLIER_STILL.items():
        where = {item["queue"] for item in world.items() if item["charge_id"] is not None}
        assert not queue or queue in where, name
    assert len(rows["ACCL19"]) == 2

    with reading(world.store) as connection:
        lines = transactions_of_lines(connection, world.vault)
    read = [entry_of(claim) for _, _, claims in received for claim in claims]
    count, differences = changed_facts(lines, month.books, read)
    assert differences == []
    assert count > 100
    world.check_ledger()


def answer(world, received) -> set[str]:
    """What a clearinghouse says that loses every ninth claim and refuses every eleventh; returns what it lost."""
    lost: set[str] = set()
    for number, (transaction, batch, claims) in enumerate(received, 1):
        gone = {claim.pcn for claim in claims[::LOST_EVERY]}
        lost |= gone
        kept = [claim for claim in claims if claim.pcn not in gone]
        verdicts = [
            Verdict(claim, "A7:500:85", False) if place % REFUSED_EVERY == 10 else Verdict(claim, "A2:20", True)
            for place, claim in enumerate(kept)
        ]
        when = datetime(2026, 11, 12, 9, number, tzinfo=UTC)
        world.decide_file(ack_999(DOOR, number * 2, when, [transaction], None).encode())
        world.decide_file(claim_acknowledgement(DOOR, number * 2 + 1, when, batch, verdicts).encode())
    return lost


def by_account(world) -> dict[str, list[dict]]:
    accounts = {row["id"]: world.open(tables.visit, row)["account"] for row in world.rows(tables.visit)}
    found: dict[str, list[dict]] = {}
    for row in world.rows(tables.claim):
        found.setdefault(accounts[row["visit_id"]], []).append(row)
    return found


def said_by_edits(world) -> dict[int, dict[str, str]]:
    """What each claim's edits found and repaired, by rule, with the severity."""
    found: dict[int, dict[str, str]] = {}
    for event in world.rows(tables.claim_event, kind="edit_result"):
        detail = json.loads(event["detail"])
        said = found.setdefault(event["claim_id"], {})
        said |= {each["rule"]: each["severity"] for each in detail.get("found", ())}
        said |= {each["rule"]: "repair" for each in detail.get("repairs", ())}
    return found


def missed_by(world) -> set[str]:
    numbers = {row["id"]: row["control_number"] for row in world.rows(tables.claim)}
    return {numbers[item["claim_id"]] for item in world.items("lost claims") if item["claim_id"]}
