"""Bringing a store to the schema of this version: Alembic, from the first table on.

Alembic is only imported where there is something to do: every start asks, and it takes longer to read than to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from hub.core.errors import HubError

if TYPE_CHECKING:
    from alembic.config import Config

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
    from alembic import command

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
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


@cache
def newest() -> str:
    """The number of this version's schema: a migration's file begins with its own."""
    return max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def pending(connection: Connection) -> list[Migration]:
    """What an upgrade would do, in its order. Raises :class:`NewerSchemaError`."""
    found = revision(connection)
    if found == newest():
        return []
    steps = _migrations()
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


def _migrations() -> list[Migration]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config()).walk_revisions("base", "heads")
    return [Migration(script.revision, script.doc) for script in reversed(list(scripts))]


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
