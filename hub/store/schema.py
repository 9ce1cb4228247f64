"""Bringing a store to the schema of this version: Alembic, from the first table on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from hub.core.errors import HubError

_MIGRATIONS = Path(__file__).parent / "migrations"


class NewerSchemaError(HubError):
    """The store was written by a newer version of the hub. Nothing is read or written."""

    code = "H131"


class OlderSchemaError(HubError):
    """The store holds something and has the schema of an earlier version."""

    code = "H132"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of an upgrade: its number, and what it does in a sentence."""

    revision: str
    sentence: str


def upgrade(store: Engine) -> None:
    """Bring *store*, empty or of any earlier version, to the newest schema. Does nothing when it is there already.

    Raises :class:`NewerSchemaError`; a store never goes back.
    """
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        pending(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def make_ready(store: Engine) -> None:
    """Make the tables of an empty *store*. Raises :class:`NewerSchemaError`, or :class:`OlderSchemaError`.

    What an engine calls: it never changes a schema that holds data, because that wants a backup first.
    """
    with store.connect() as connection:
        steps, empty = pending(connection), revision(connection) is None
    if steps and not empty:
        raise OlderSchemaError(
            "The store has the schema of an earlier version.",
            expected=f"schema {newest()}",
            found=f"{len(steps)} steps to go",
            fix="`hub upgrade` shows them, makes a backup and takes them.",
        )
    if steps:
        upgrade(store)


def is_current(connection: Connection) -> bool:
    """Whether the store has the schema of this version."""
    return revision(connection) == newest()


def revision(connection: Connection) -> str | None:
    """The number of the store's schema; None when it has none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The number of this version's schema."""
    return _scripts().get_current_head() or ""


def pending(connection: Connection) -> list[Migration]:
    """What an upgrade would do, in its order. Raises :class:`NewerSchemaError`."""
    steps = [
        Migration(script.revision, script.doc) for script in reversed(list(_scripts().walk_revisions("base", "heads")))
    ]
    found = revision(connection)
    if found is None:
        return steps
    known = [step.revision for step in steps]
    if found not in known:
        raise NewerSchemaError(
            "The store was written by a newer version of the hub.",
            expected=f"schema {known[-1]} or earlier",
            found=f"schema {found}",
            fix="Install that version again, or restore the backup that it made before its upgrade.",
        )
    return steps[known.index(found) + 1 :]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
