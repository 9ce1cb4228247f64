"""Very many messages, put into a store directly, as the engine and billing would write them.

Contents are shared by all messages: no list and no benchmark reads them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from hub.core.clock import real_ms
from hub.core.vault import Vault
from hub.store.contents import content_tuples
from hub.store.identifiers import STRETCH

CHANNELS = ("admissions", "charges", "results", "notes", "forward")
DAYS = 20  # less than any retention: what is pruned would change the figures
RARE = 1000
OPEN_ITEMS, CLAIMS = 250, 10
"""There are so many messages for each open item and each claim."""
HL7 = (
    "MSH|^~\\&|ACME|MAIN|HUB|ALDER|20261112110955||ADT^A04|M1|P|2.5.1\rEVN|A04|20261112110954\r"
    "PID|1||00718821^^^ALDER^MR||QUINTERO^MARISOL||19710214|F|||12 ELM ST^^MADISON^WI^53703|||||||A-1\r"
    "PV1|1|O|FM^^^ALDER||||1234567893^OKAFOR^N\r"
)

_NUMBERS = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
_AT = ":now - (:count - i) * :apart"
_ID = f"((({_AT} - 1577836800000) << 22) | (i & 4095))"
_CHANNEL_OF = "CASE i % 16 WHEN 0 THEN 'notes' WHEN 1 THEN 'results' WHEN 2 THEN 'charges' ELSE 'admissions' END"
_KIND = (
    "CASE i % 16 WHEN 0 THEN 'MDM^T02' WHEN 1 THEN 'ORU^R01' WHEN 2 THEN 'DFT^P03'"
    " ELSE CASE i % 5 WHEN 0 THEN 'ADT^A04' ELSE 'ADT^A08' END END"
)
_WAITS = "i % :waiting = 0"
_ONWARD = (
    f"CASE WHEN {_WAITS} THEN 'in progress' WHEN i % :rare = 1 THEN 'held' WHEN i % :rare = 3 THEN 'errored' "
    "WHEN i % :rare = 7 THEN 'rejected' WHEN i % 7 = 0 THEN 'filtered' ELSE 'done' END"
)
_FILLS = {
    "messages": f"""{_NUMBERS} INSERT INTO message (sequence, id, organisation, "partition", fence, channel, bundle,
        kind,
        control_id, sender, source, received_at, received_on, finished_at, size, lane_digest, onward, mapped,
        steps_outcome,
        answer, reason, flags, raw_id, answer_id, version)
        SELECT i, {_ID}, 'default', i % 64, 0, {_CHANNEL_OF}, 'bench', {_KIND}, printf('MSG%09d', i), 'ACME|MAIN',
        '10.1.4.20:51422', {_AT}, date(({_AT}) / 1000, 'unixepoch'),
        CASE WHEN {_WAITS} THEN NULL ELSE {_AT} + 40 END, 1830,
        randomblob(16), {_ONWARD}, 1, CASE WHEN {_WAITS} THEN 'done' ELSE {_ONWARD} END,
        CASE WHEN i % (:rare * 10) = 7 THEN 'undelivered' ELSE 'delivered' END,
        CASE WHEN i % :rare IN (1, 3, 7) THEN 'The department is not in the table.' END, '', 1, 2, 3 FROM n""",
    "deliveries": f"""{_NUMBERS} INSERT INTO delivery (sequence, id, organisation, "partition", fence, message_sequence,
        message_id, channel, destination, kind, name, lane_digest, state, attempts, due_at, reason, created_at,
        finished_at,
        body_id, intent, version)
        SELECT i, {_ID} + 4096, 'default', i % 64, 0, i, {_ID}, {_CHANNEL_OF}, 'receiver', 'ADT^A08',
        printf('F%09d', i),
        randomblob(16), CASE WHEN {_WAITS} THEN 'queued' ELSE 'delivered' END,
        CASE WHEN {_WAITS} THEN 0 ELSE 1 END, 0, NULL,
        {_AT} + 5, CASE WHEN {_WAITS} THEN NULL ELSE {_AT} + 40 END, 1, 0, 1 FROM n""",
    "attempts": f"""{_NUMBERS} INSERT INTO attempt
        (delivery_id, number, started_at, ended_at, outcome, actor, answer_id)
        SELECT {_ID} + 4096, 1, {_AT} + 20, {_AT} + 40, 'delivered', 'hub', 2 FROM n WHERE NOT {_WAITS}""",
    **{
        f"identifiers: {kind}": f"""{_NUMBERS} INSERT INTO identifier (stretch, kind, digest, message_sequence)
        SELECT i / {STRETCH}, '{kind}', digest('{kind}', {text}), i FROM n ORDER BY 1, 3, 4"""
        for kind, text in (
            ("mrn", "printf('%08d', i % :people)"),
            ("account", "printf('A-%d', i / 3)"),
            ("name", "printf('SAMPLE%d^PAT', i % :people)"),
            ("visit", "printf('V%d', i / 3)"),
            ("member", "printf('MEM%d', i % :people)"),
        )
    },
    "duplicates": f"""{_NUMBERS} INSERT INTO duplicate
        (channel, sender, control_id, content_digest, message_id, repeats, expires_at)
        SELECT {_CHANNEL_OF}, 'ACME|MAIN', printf('MSG%09d', i), randomblob(32), {_ID}, 0, {_AT} + 86400000 * 30
        FROM n""",
    "counters": f"""{_NUMBERS} INSERT INTO counter (channel, day, name, value)
        SELECT {_CHANNEL_OF}, date(({_AT}) / 1000, 'unixepoch'), 'received', count(*) FROM n GROUP BY 1, 2""",
    "counters by outcome": f"""{_NUMBERS} INSERT INTO counter (channel, day, name, value)
        SELECT {_CHANNEL_OF}, date(({_AT}) / 1000, 'unixepoch'), {_ONWARD}, count(*) FROM n GROUP BY 1, 2, 3""",
    "rates": f"""{_NUMBERS} INSERT INTO rate (channel, minute, received, done, latency_ms)
        SELECT {_CHANNEL_OF}, ({_AT}) / 60000, count(*), count(*), 40 * count(*) FROM n GROUP BY 1, 2""",
    "patients": """WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :people)
        INSERT INTO patient (id, organisation, "partition", fence, as_of, name_digest, updated_at, body, version)
        SELECT 1000 + i, 'default', 0, 0, '', digest('name', printf('SAMPLE%d^PAT', i)), :now, :patient, 1 FROM n""",
    "claims": f"""{_NUMBERS} INSERT INTO claim (id, organisation, "partition", fence, control_number, chain_id,
        frequency,
        sequence, form, payer_id, partner, environment, patient_id, visit_id, rendering_npi, place_of_service,
        service_on,
        total_cents, state, state_business_at, created_business_at, hold_until_business_at, body, version)
        SELECT {_ID}, 'default', 0, 0, printf('H%09d', i), {_ID}, '1', 'P', '837P', 'PAYER' || i % 40, 'clearinghouse',
        'production', 1000 + i % :people, 1, '1234567893', '11', date(({_AT}) / 1000, 'unixepoch'), 12500,
        CASE i % 40 WHEN 0 THEN 'denied' WHEN 1 THEN 'rejected' WHEN 2 THEN 'sent' WHEN 3 THEN 'ready' ELSE 'paid' END,
        {_AT}, {_AT}, 0, :claim, 1 FROM n WHERE i % :claims = 0""",
    "work items": f"""{_NUMBERS} INSERT INTO work_item (id, organisation, "partition", fence, queue, item_key, kind,
        sentence,
        rule, money_cents, claim_id, patient_id, source_path, opened_business_at, due_on, state, resolution,
        snoozed_until,
        body, version)
        SELECT {_ID}, 'default', 0, 0, CASE i % 3 WHEN 0 THEN 'charge review' ELSE 'denials' END,
        'bench/' || i, 'denied',
        'The payer did not pay line 1, because the authorization number is missing.', 'bench', i % 90000,
        CASE WHEN i % :claims = 0 THEN {_ID} END, 1000 + i % :people, '', {_AT},
        date(:now / 1000 + i % 7776000, 'unixepoch'),
        'open', '', '', :item, 1 FROM n WHERE i % :items = 0""",
}


def fill(database: Path, vault: Vault, count: int, say: Callable[[str], None], *, waiting: int = 0) -> None:
    """Put *count* messages, and what belongs to them, into the empty SQLite store *database*.

    One in *waiting* messages waits to be sent; with 0 all are done.
    """
    connection = sqlite3.connect(database, isolation_level=None)
    connection.create_function("digest", 2, vault.digest, deterministic=True)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000", "temp_store=FILE"):
        connection.execute(f"PRAGMA {pragma}")
    patient = {"mrn": "00718821", "patient": {"name": {"family": "SAMPLE", "given": "PAT"}}}
    given = {
        "count": count, "now": real_ms(), "apart": DAYS * 86_400_000 // count, "people": max(100, count // 25),
        "rare": RARE, "waiting": waiting or count + 1, "items": OPEN_ITEMS, "claims": CLAIMS,
        "patient": vault.seal_json(patient, "patient.body"),
        "claim": vault.seal_json({}, "claim.body"), "item": vault.seal_json({}, "work_item.body"),
    }  # fmt: skip
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        " AND tbl_name IN ('message', 'identifier', 'delivery', 'claim')"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("BEGIN")
    for content_id, text in enumerate((HL7, "MSA|AA|M1\r", '{"values": []}'), start=1):
        connection.executemany(
            "INSERT INTO content (id, ordinal, key_id, body) VALUES (?, ?, ?, ?)",
            content_tuples(vault, content_id, text.encode()),
        )
    for what, statement in _FILLS.items():
        began = time.monotonic()
        connection.execute(statement, given)
        say(f"{what}: {time.monotonic() - began:.0f} s")
    for name in ("message", "delivery"):
        connection.execute("INSERT OR REPLACE INTO sequence (name, value) VALUES (?, ?)", (name, count + 1))
    connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)
    say(f"{database.stat().st_size / 2**30:.2f} GB")
    connection.close()
