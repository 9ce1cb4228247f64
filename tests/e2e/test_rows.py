"""Rows of one database that become messages and rows of another, through a hub that is killed: each once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from hub.site.load import load_site
from hub.site.places import store_url
from hub.store.database import open_store, reading
from hub.store.tables import message
from tests.cli.at_work import Running, quiet_site
from tests.e2e.playing import eventually

ROWS = 200
HEAD = 'schema = 1\nname = "{name}"\ntitle = "Rows"\nowner = "integration@clinic.example"\n'
CHANNEL = (
    HEAD
    + """
[source]
type = "database"
url = "sqlite:///{file}"
query = "SELECT id, account, amount FROM {name}{unread}"
key = ["id"]
kind = "charge"
poll = "50ms"
batch = 20
{done}

[[step]]
name = "charge"
on = ["charge"]
run = "lab.rows:charge"

[destination.out]
type = "database"
url = "sqlite:///{file}"
statements = ["INSERT INTO out (channel, id, amount) VALUES ('{name}', :id, :amount)"]
receipts = "hub_receipts"
order = "strict"
ambiguous = "retry"
backoff = "50ms"
"""
)
MAPPING = '''"""Charges as they are."""

from hub.scripting import Event, Outgoing, mapping


@mapping(accepts="charge", returns=Outgoing)
def charge(event: Event) -> Outgoing:
    """One row for each."""
    body = {"id": event["id"], "amount": event["amount"]}
    return Outgoing(kind="row", name=event.required("id") + "-{name}", body=body)
'''


def site(folder: Path, file: Path) -> Path:
    """A site with two channels: one remembers the highest key, the other marks rows as read."""
    made = quiet_site(folder)
    (made / "channels/ehr_visits.toml").unlink()
    (made / "transforms/lab").mkdir(parents=True)
    for name, unread, done in (
        ("by_key", "", ""),
        ("by_mark", " WHERE sent = 0", 'done = "UPDATE by_mark SET sent = 1 WHERE id = :id"'),
    ):
        (made / f"channels/{name}.toml").write_text(
            CHANNEL.format(name=name, file=file, unread=unread, done=done).replace("lab.rows", f"lab.{name}")
        )
        (made / f"transforms/lab/{name}.py").write_text(MAPPING.replace("{name}", name))
    return made


def tables(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE out (number INTEGER PRIMARY KEY, channel TEXT, id INTEGER, amount NUMERIC)")
        database.execute("CREATE TABLE hub_receipts (name VARCHAR(255) PRIMARY KEY, digest CHAR(64) NOT NULL)")
        for name in ("by_key", "by_mark"):
            database.execute(
                f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, account TEXT, amount NUMERIC, sent INTEGER DEFAULT 0)"
            )
            rows = [(number, f"AC{number}", number + 0.5) for number in range(1, ROWS + 1)]
            database.executemany(f"INSERT INTO {name} (id, account, amount) VALUES (?, ?, ?)", rows)


@pytest.mark.e2e
def test_each_row_is_a_message_and_a_row_once_though_the_hub_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "practice.db"
    tables(file)
    folder = site(tmp_path / "site", file)

    def arrived(channel: str) -> list[int]:
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("SELECT id FROM out WHERE channel = ? ORDER BY number", (channel,))
            return [number for (number,) in found]

    def at_least(most: int) -> Callable[[], bool]:
        return lambda: all(len(arrived(channel)) >= most for channel in ("by_key", "by_mark"))

    for most in (60,):
        with closing(Running(folder, "--no-web")):  # which ends it with SIGKILL
            eventually(at_least(most), f"{most} rows")
    with closing(Running(folder, "--no-web")) as running:
        eventually(at_least(ROWS), "all rows")
        running.interrupt()
        running.process.wait(60)
    for channel in ("by_key", "by_mark"):
        assert arrived(channel) == list(range(1, ROWS + 1))
    store = open_store(store_url(load_site(folder)))
    with reading(store) as connection:
        counts = connection.execute(select(message.c.channel, func.count()).group_by(message.c.channel)).all()
    store.dispose()
    assert dict(map(tuple, counts)) == {"by_key": ROWS, "by_mark": ROWS}
