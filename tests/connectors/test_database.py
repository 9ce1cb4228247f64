from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from hub.connectors.database import CONNECTOR, access, destination, open_destination, open_source
from hub.connectors.database.settings import DatabaseDestinationSettings, DatabaseSourceSettings, parameters
from hub.connectors.database.source import Rows, read_key, write_key
from hub.connectors.reach import UnreachedError
from hub.engine.contracts import EndpointState, Outcome
from hub.site.describe import describer
from tests.connectors.behaviour import delivered, free_port, serving
from tests.connectors.peers import Surroundings, failure_of, parcel, within

TABLES = (
    "CREATE TABLE charge (id INTEGER PRIMARY KEY, account VARCHAR(20), amount NUMERIC(10,2), sent INTEGER DEFAULT 0)",
    "CREATE TABLE status (claim VARCHAR(20) PRIMARY KEY, amount NUMERIC(10,2), details VARCHAR(200))",
    "CREATE TABLE hub_receipts (name VARCHAR(255) PRIMARY KEY, digest CHAR(64) NOT NULL)",
)
QUERY = "SELECT id, account, amount FROM charge"
UNSENT = f"{QUERY} WHERE sent = 0"
DONE = "UPDATE charge SET sent = 1 WHERE id = :id"
INSERT = "INSERT INTO status (claim, amount, details) VALUES (:claim, :amount, :details)"


class Database:
    """A database of a test with a few tables, by the URL that a channel file would name."""

    def __init__(self, url: str) -> None:
        whole = make_url(url)
        self.url = whole._replace(password=None).render_as_string()
        self.password = whole.password
        self.engine: Engine = create_engine(whole, poolclass=NullPool)
        self.run(*TABLES)

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def charge(self, *ids: int) -> None:
        self.run(*(f"INSERT INTO charge (id, account, amount) VALUES ({each}, 'AC{each}', {each}.50)" for each in ids))

    def login(self, around: Surroundings, **settings: Any) -> dict[str, Any]:
        if self.password:
            around.secret("db", self.password)
            settings["password"] = {"secret": "db"}
        return {"url": self.url, **settings}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Database(f"sqlite:///{tmp_path}/practice.db")
    else:
        yield Database(request.getfixturevalue("postgresql_url"))
    access.close_databases()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Database]:
    yield Database(f"sqlite:///{tmp_path}/practice.db")
    access.close_databases()


def source(around: Surroundings, database: Database, **options: Any) -> Rows:
    settings = database.login(around, **{"query": QUERY, "key": ["id"], "poll": "20ms", **options})
    context = around.source(CONNECTOR, describe=describer("json", "account"))
    opened = open_source(DatabaseSourceSettings.model_validate(settings), context)
    assert isinstance(opened, Rows)
    return opened


def accounts(around: Surroundings) -> list[str]:
    return [json.loads(item.raw)["account"] for item in around.intake.received]


# ---------------------------------------------------------------- reading


@pytest_twisted.ensureDeferred
async def test_rows_become_messages_in_the_order_of_their_key(around: Surroundings, database: Database) -> None:
    database.charge(3, 1, 2)
    polling = source(around, database, batch=2, kind="charge event")
    polling.start()
    await around.intake.arrived(3)
    database.charge(4)
    await around.intake.arrived(4)
    await within(polling.stop())
    assert accounts(around) == ["AC1", "AC2", "AC3", "AC4"]
    (first, *_) = around.intake.received
    assert json.loads(first.raw) == {"account": "AC1", "amount": 1.5, "event": "charge event", "id": 1}
    assert (first.description.kind, first.description.control_id) == ("charge event", "1")
    assert first.source == "database rows"


@pytest_twisted.ensureDeferred
async def test_after_a_crash_reading_goes_on_behind_the_last_stored_row(
    around: Surroundings, database: Database
) -> None:
    database.charge(1, 2, 3)
    around.intake.held = True
    polling = source(around, database)
    polling.start()
    await around.intake.arrived(1)
    around.intake.let_go()
    await around.intake.arrived(2)  # the second one is not stored when everything ends
    around.intake.held = False
    around.intake.marks["database rows"] = write_key({"id": 1})
    again = source(around, database)
    again.start()
    await around.intake.arrived(4)
    await within(again.stop())
    assert accounts(around)[2:] == ["AC2", "AC3"]
    around.intake.let_go()
    await within(polling.stop())


@pytest_twisted.ensureDeferred
async def test_a_row_is_marked_as_read_only_once_its_message_is_stored(
    around: Surroundings, database: Database
) -> None:
    database.charge(1, 2)
    around.intake.held = True
    polling = source(around, database, query=UNSENT, done=DONE)
    polling.start()
    await around.intake.arrived(1)
    assert database.rows("SELECT sum(sent) FROM charge") == [(0,)]
    around.intake.held = False
    around.intake.let_go()
    await around.intake.arrived(2)
    await within(polling.stop())
    assert database.rows("SELECT sum(sent) FROM charge") == [(2,)]
    assert accounts(around) == ["AC1", "AC2"]
    assert around.intake.marks == {}


@pytest_twisted.ensureDeferred
async def test_a_row_that_a_crash_left_unmarked_is_known_by_its_content(around: Surroundings, small: Database) -> None:
    small.charge(1)
    for _ in range(2):  # as if the first had crashed before the statement ran
        polling = source(around, small, query=UNSENT, done=DONE)
        polling._running = True
        await polling.look()
        small.run("UPDATE charge SET sent = 0")
    first, second = around.intake.received
    assert first.description.duplicate_basis == second.description.duplicate_basis == first.raw


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_stored_holds_up_the_rows_behind_it(around: Surroundings, small: Database) -> None:
    small.charge(1, 2)
    around.intake.failing = RuntimeError("no store")
    polling = source(around, small)
    polling.start()
    await around.intake.arrived(3)
    assert polling.health()[0].state == EndpointState.RETRYING
    around.intake.failing = None
    seen = len(around.intake.received)
    await around.intake.arrived(seen + 2)
    await within(polling.stop())
    assert accounts(around)[:3] == ["AC1"] * 3
    assert accounts(around)[-2:] == ["AC1", "AC2"]


@pytest_twisted.ensureDeferred
async def test_a_key_of_several_columns_is_followed_column_by_column(around: Surroundings, small: Database) -> None:
    small.run(
        "CREATE TABLE log (day VARCHAR(10), number INTEGER)",
        *(f"INSERT INTO log VALUES ('2026-11-{day}', {number})" for day in (28, 29) for number in (2, 1)),
    )
    polling = source(around, small, query="SELECT day, number FROM log", key=["day", "number"], batch=1)
    polling._running = True
    await polling.look()
    read = [tuple(json.loads(item.raw)[name] for name in ("day", "number")) for item in around.intake.received]
    assert read == [("2026-11-28", 1), ("2026-11-28", 2), ("2026-11-29", 1), ("2026-11-29", 2)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "SELECT * FROM nothing"}, "cannot be read"),
        ({"query": "SELECT account FROM charge", "key": ["account", "id"]}, "cannot be read"),
        ({"done": "UPDATE charge SET sent = 1 WHERE id = :number"}, "no column number"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_query_is_said_and_tried_again(
    around: Surroundings, small: Database, options: dict[str, Any], said: str
) -> None:
    small.charge(1)
    polling = source(around, small, **options)
    polling._running = True
    await polling.look()
    (health,) = polling.health()
    assert health.state == EndpointState.RETRYING
    assert said in health.detail
    assert around.intake.received == []


@given(
    st.dictionaries(
        st.sampled_from(["a", "b"]),
        st.none()
        | st.integers()
        | st.text()
        | st.decimals(allow_nan=False, allow_infinity=False)
        | st.datetimes(timezones=st.none() | st.just(dt.UTC))
        | st.dates()
        | st.uuids()
        | st.binary(),
    )
)
def test_a_key_comes_back_as_it_was_written(values: dict[str, Any]) -> None:
    back = read_key(write_key(values))
    assert back == values
    assert [type(value) for value in back.values()] == [type(value) for value in values.values()]


# ---------------------------------------------------------------- writing


def writer(around: Surroundings, database: Database, **options: Any) -> Any:
    settings = database.login(around, **{"statements": [INSERT], **options})
    made = DatabaseDestinationSettings.model_validate(settings)
    return open_destination(made, around.destination(CONNECTOR))


def body(claim: str = "C1", amount: str = "12.50", **more: Any) -> bytes:
    return json.dumps({"claim": claim, "details": {"b": 1, "a": [2]}, **more, "amount": 0}).replace(
        '"amount": 0', f'"amount": {amount}'
    ).encode()  # fmt: skip


async def sent(around: Surroundings, database: Database, *bodies: bytes, **options: Any) -> list[Outcome]:
    return await delivered(writer(around, database, **options), *(parcel(each, "S1") for each in bodies))


@pytest_twisted.ensureDeferred
async def test_an_output_is_written_with_its_amounts_exact_and_its_objects_as_json(
    around: Surroundings, database: Database
) -> None:
    (outcome,) = await sent(around, database, body())
    assert failure_of(outcome) == "delivered"
    assert outcome.answer == b'{"name": "S1", "rows": 1}'
    ((claim, amount, details),) = database.rows("SELECT * FROM status")
    assert (claim, Decimal(str(amount)), details) == ("C1", Decimal("12.50"), '{"a":[2],"b":1}')


@pytest_twisted.ensureDeferred
async def test_all_objects_of_an_output_are_written_or_none(around: Surroundings, database: Database) -> None:
    one, same = json.loads(body()), json.loads(body())
    (outcome,) = await sent(around, database, json.dumps([one, same]).encode())
    assert failure_of(outcome) == "permanent"
    assert "C1" not in outcome.reason
    assert database.rows("SELECT * FROM status") == []


@pytest_twisted.ensureDeferred
async def test_with_receipts_an_output_is_written_once(around: Surroundings, database: Database) -> None:
    outcomes = await sent(around, database, body(), body(), body("C2"), receipts="hub_receipts")
    assert [failure_of(each) for each in outcomes] == ["delivered", "delivered", "permanent"]
    assert "other content" in outcomes[2].reason
    assert database.rows("SELECT claim FROM status") == [("C1",)]
    assert database.rows("SELECT name FROM hub_receipts") == [("S1",)]


@pytest.mark.parametrize(
    ("given_body", "said"),
    [(b"no json", "not JSON"), (b'"text"', "neither an object"), (b'{"claim": "C1"}', "amount, details")],
)
@pytest_twisted.ensureDeferred
async def test_what_the_statements_cannot_be_given_is_refused(
    around: Surroundings, small: Database, given_body: bytes, said: str
) -> None:
    (outcome,) = await sent(around, small, given_body)
    assert failure_of(outcome) == "permanent"
    assert said in outcome.reason


@pytest.mark.parametrize(("receipts", "expected"), [(None, "ambiguous"), ("hub_receipts", "transient")])
@pytest_twisted.ensureDeferred
async def test_a_connection_lost_in_the_commit_leaves_it_unknown_unless_repeats_are_known(
    around: Surroundings,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    receipts: str | None,
    expected: str,
) -> None:
    database = Database(postgresql_url)

    def lost(connection: Any) -> None:
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        database.run(f"SELECT pg_terminate_backend({number}), pg_sleep(0.1)")
        connection.commit()

    with monkeypatch.context() as patched:
        patched.setattr(destination, "_commit", lost)
        (outcome,) = await sent(around, database, body(), receipts=receipts)
    assert failure_of(outcome) == expected
    assert database.rows("SELECT * FROM status") == []
    (outcome,) = await sent(around, database, body(), receipts=receipts)  # the lost connection is not used again
    assert failure_of(outcome) == "delivered"
    access.close_databases()


@pytest_twisted.ensureDeferred
async def test_a_lock_passes_and_a_server_that_ends_the_statement_has_written_nothing(
    around: Surroundings, database: Database
) -> None:
    with database.engine.connect() as other:
        other.execute(text("INSERT INTO status (claim) VALUES ('C1')"))
        (outcome,) = await sent(around, database, body(), answer_within="100ms")
        other.rollback()
    assert failure_of(outcome) == "transient"
    (outcome,) = await sent(around, database, body(), answer_within="100ms")
    assert failure_of(outcome) == "delivered"


@pytest_twisted.ensureDeferred
async def test_a_worker_that_died_leaves_it_unknown(around: Surroundings, small: Database) -> None:
    opened = writer(around, small)
    opened._context.workers.dying.add("database.write")
    (outcome,) = await delivered(opened, parcel(body()))
    assert failure_of(outcome) == "ambiguous"


@pytest.mark.parametrize("situation", ["nobody there", "never answers", "hangs up at once", "wrong password"])
@pytest_twisted.ensureDeferred
async def test_a_server_that_lets_nobody_in_has_surely_written_nothing(
    around: Surroundings, postgresql_url: str, situation: str
) -> None:
    async with serving(
        lambda peer, _: peer.drop() if situation == "hangs up at once" else None,
    ) as silent:
        port = await free_port() if situation == "nobody there" else silent.port
        url = f"postgresql+psycopg://hub@127.0.0.1:{port}/practice"
        if situation == "wrong password":
            url = make_url(postgresql_url)._replace(username="nobody", password=None).render_as_string()
        settings = {"url": url, "statements": [INSERT], "connect_within": "2s"}
        opened = open_destination(DatabaseDestinationSettings.model_validate(settings), around.destination(CONNECTOR))
        (outcome,) = await delivered(opened, parcel(body()))
    assert failure_of(outcome) == "transient"
    access.close_databases()


# ---------------------------------------------------------------- settings and the probe


def test_the_probe_says_what_the_query_gives_and_writes_nothing(around: Surroundings, database: Database) -> None:
    database.charge(1)
    settings = DatabaseSourceSettings.model_validate(database.login(around, query=UNSENT, key=["id"], done=DONE))
    said = list(access.probe(settings, around.folder, around.secrets))
    assert said[-1] == "the query gives the columns id, account, amount"
    assert database.rows("SELECT sent FROM charge") == [(0,)]
    made = DatabaseDestinationSettings.model_validate(database.login(around, statements=[INSERT], receipts="missing"))
    with pytest.raises(UnreachedError):
        list(access.probe(made, around.folder, around.secrets))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "postgresql://hub:secret@host/x"}, "password is a setting apart"),
        ({"url": "not a url"}, "SQLAlchemy URL"),
        ({"key": ["id", "id"]}, "twice"),
        ({"key": ["id; DROP"]}, "pattern"),
        ({"done": "UPDATE charge SET sent = 1"}, "which row"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_without_a_password(change: dict[str, Any], said: str) -> None:
    settings = {"url": "sqlite:///x.db", "query": QUERY, "key": ["id"], **change}
    with pytest.raises(ValidationError, match=said) as caught:
        DatabaseSourceSettings.model_validate(settings)
    assert "secret@" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named(around: Surroundings) -> None:
    settings = DatabaseDestinationSettings.model_validate({"url": "oracle+oracledb://x/y", "statements": [INSERT]})
    with pytest.raises(access.DriverError):
        access.open_database(settings, around.secrets, around.folder)


def test_a_name_in_a_statement_is_no_cast_and_no_time_of_day() -> None:
    assert parameters("SELECT :a, b::text, '12:30', :b_2") == {"a", "b_2"}


def test_a_key_can_be_a_uuid() -> None:
    key = write_key({"id": UUID(int=7)})
    assert read_key(key) == {"id": UUID(int=7)}
