"""Page times over very many messages: ``python -m tests.web.millions [COUNT ...] [--folder DIR]``.

Fills the store of a small site with rows as the engine and billing would write them (contents are shared, which no list
reads), starts ``hub run`` on it with a destination that cannot be reached, and asks for pages as a browser does: over
HTTP, signed in, the look recorded. Nothing of it is a test; `docs/benchmarks.md` keeps the figures.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import httpx

from hub.bench.site import CHANNEL, make_site
from hub.core.clock import real_ms
from hub.core.vault import Vault, open_vault
from hub.security.passwords import hash_password
from hub.security.users import ROLES
from hub.site.load import load_site
from hub.site.places import key_file, store_url
from hub.store.contents import content_tuples
from hub.store.database import open_store
from hub.store.identifiers import STRETCH
from hub.store.schema import upgrade

PASSWORD = "correct horse battery"
CHANNELS = ("admissions", "charges", "results", "notes", "forward")
DAYS = 20  # less than any retention: what is pruned would change the figures
RARE = 1000
WAITING, OPEN_ITEMS, CLAIMS = 10, 250, 10
"""One in so many messages waits to be sent, and there are so many messages for each open item and each claim."""
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


def fill(database: Path, vault: Vault, count: int, say: Callable[[str], None]) -> None:
    """Put *count* messages, and what belongs to them, into the empty store *database*."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.create_function("digest", 2, vault.digest, deterministic=True)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000", "temp_store=FILE"):
        connection.execute(f"PRAGMA {pragma}")
    patient = {"mrn": "00718821", "patient": {"name": {"family": "SAMPLE", "given": "PAT"}}}
    given = {
        "count": count, "now": real_ms(), "apart": DAYS * 86_400_000 // count, "people": max(100, count // 25),
        "rare": RARE, "waiting": WAITING, "items": OPEN_ITEMS, "claims": CLAIMS,
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
    connection.execute(
        "INSERT INTO user_account (name, title, password_hash, roles, channels, organisations, disabled,"
        " must_change_password, failures, locked_until_at, created_at, version)"
        " VALUES ('bench', '', ?, ?, '', '', 0, 0, 0, 0, 0, 1)",
        (hash_password(PASSWORD), " ".join(ROLES)),
    )
    connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)
    say(f"{database.stat().st_size / 2**30:.2f} GB")
    connection.close()


@contextmanager
def served(folder: Path, count: int, say: Callable[[str], None]) -> Iterator[httpx.Client]:
    """``hub run`` over *count* messages in *folder*; a client that is signed in."""
    site_folder = folder / f"site-{count}"
    fresh = not site_folder.exists()
    if fresh:
        make_site(site_folder, 1)  # nothing listens there
        channel = (site_folder / "channels" / f"{CHANNEL}.toml").read_text()
        for name in CHANNELS:
            (site_folder / "channels" / f"{name}.toml").write_text(
                channel.replace(f'name = "{CHANNEL}"', f'name = "{name}"', 1)
            )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = site_folder / "config" / "hub.toml"
    settings.write_text(re.sub(r'(?m)^listen = "tcp:.*?"', f'listen = "tcp:127.0.0.1:{port}"', settings.read_text()))
    site = load_site(site_folder).require_sound()
    store = open_store(store_url(site))
    upgrade(store)
    database = Path(str(store.url.database))
    store.dispose()
    if fresh:
        fill(database, open_vault(key_file(site)), count, say)
    with (folder / "run.log").open("w") as log:
        command = [sys.executable, "-m", "hub.cli.main", "run", "--site", str(site_folder)]
        hub = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        client = httpx.Client(base_url=f"https://127.0.0.1:{port}", timeout=120, follow_redirects=True, verify=False)
        _sign_in(client, hub)
        yield client
    finally:
        hub.send_signal(signal.SIGTERM)
        hub.wait(60)


def _sign_in(client: httpx.Client, hub: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            page = client.get("/login")
            csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
            assert csrf is not None
            answer = client.post("/login", data={"csrf": csrf[1], "name": "bench", "password": PASSWORD, "next": "/me"})
            if "bench" in answer.text and answer.status_code == 200:
                return
        except httpx.TransportError:
            pass
        if hub.poll() is not None:
            break
        time.sleep(1)
    raise SystemExit("hub run does not serve; see run.log")


def pages(count: int) -> dict[str, str]:
    """What is asked for, by what it is called in the table."""
    people, some = max(100, count // 25), count // 2
    return {
        "status": "/",
        "channel": "/channels/admissions",
        "messages, newest": "/messages?since=any",
        "messages, last day": "/messages",
        "messages, deep": f"/messages?since=any&before={count // 100}",
        "by control id": f"/messages?since=any&q=MSG{some:09d}",
        "by start of a control id": f"/messages?since=any&q=MSG{some // 1000:06d}",
        "by medical record number": f"/messages?since=any&q={some % people:08d}",
        "by account": f"/messages?since=any&q=A-{some // 3}",
        "by name": f"/messages?since=any&q=SAMPLE{some % people}, PAT",
        "by member number": f"/messages?since=any&q=MEM{some % people}",
        "by a text that is nowhere": "/messages?since=any&q=NOWHERE",
        "by channel": "/messages?since=any&channel=notes",
        "by channel, deep": f"/messages?since=any&channel=notes&before={count // 100}",
        "by type": "/messages?since=any&kind=ORU%5ER01",
        "by outcome": "/messages?since=any&onward=held",
        "by outcome, deep": f"/messages?since=any&onward=errored&before={count // 10}",
        "by channel and outcome": "/messages?since=any&channel=results&onward=held",
        "by channel and type": "/messages?since=any&channel=admissions&kind=ADT%5EA04",
        "by channel and a type it never had": "/messages?since=any&channel=admissions&kind=ORU%5ER01",
        "by type and outcome": "/messages?since=any&kind=ADT%5EA08&onward=held",
        "by answer": "/messages?since=any&answer=undelivered",
        "by channel without messages": "/messages?since=any&channel=forward",
        "by record number in a channel": f"/messages?since=any&q={some % people:08d}&channel=admissions",
        "claims": "/claims",
        "claims by state": "/claims?state=denied",
        "claims by payer": "/claims?payer=PAYER7",
        "claim by number": f"/claims?q=H{some // CLAIMS * CLAIMS:09d}",
        "queue": "/queues/denials",
        "accounts": "/accounts",
        "metrics": "/metrics",
    }


def measure(client: httpx.Client, count: int, times: int) -> dict[str, float]:
    """The middle time of each page in milliseconds, asked for *times* times."""
    found = {}
    one = re.search(r'href="(/messages/\d+)"', client.get("/messages?since=any").text)
    assert one is not None
    for name, path in {**pages(count), "one message": one[1]}.items():
        took = []
        for _ in range(times):
            began = time.perf_counter()
            answer = client.get(path)
            took.append(1000 * (time.perf_counter() - began))
            if answer.status_code not in {200, 503}:
                raise SystemExit(f"{name}: {answer.status_code} {path}")
        found[name] = statistics.median(took)
    return found


def main() -> None:
    """Measure each count and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[50_000, 5_000_000])
    parser.add_argument("--folder", type=Path, help="keep the sites there, and use those that are there")
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-millions-", ignore_cleanup_errors=True) as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        table: dict[str, list[float]] = {}
        for count in options.counts:
            with served(folder, count, lambda line: _say(f"  {line}", sys.stderr)) as client:
                for name, took in measure(client, count, options.times).items():
                    table.setdefault(name, []).append(took)
    _say("| page | " + " | ".join(f"{count:,}" for count in options.counts) + " |")
    _say("| --- |" + " ---: |" * len(options.counts))
    for name, times in table.items():
        _say(f"| {name} | " + " | ".join(f"{each:,.0f} ms" for each in times) + " |")


def _say(line: str, to: TextIO = sys.stdout) -> None:
    to.write(f"{line}\n")
    to.flush()


if __name__ == "__main__":
    main()
