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
from hub.core.vault import open_vault
from hub.security.passwords import hash_password
from hub.security.users import ROLES
from hub.site.load import load_site
from hub.site.places import key_file, store_url
from hub.store.database import open_store
from hub.store.schema import upgrade
from tests.bench.fill import CHANNELS, CLAIMS, fill

PASSWORD = "correct horse battery"
WAITING = 10
"""One message in so many waits to be sent."""


def _add_user(database: Path) -> None:
    """Somebody who may see everything."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO user_account (name, title, password_hash, roles, channels, organisations, disabled,"
            " must_change_password, failures, locked_until_at, created_at, version)"
            " VALUES ('bench', '', ?, ?, '', '', 0, 0, 0, 0, 0, 1)",
            (hash_password(PASSWORD), " ".join(ROLES)),
        )


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
        fill(database, open_vault(key_file(site)), count, say, waiting=WAITING)
        _add_user(database)
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
