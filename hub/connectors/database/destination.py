"""Writing: the statements of an output in one transaction, once where receipts are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from hub.connectors.database.access import in_words, is_gone, open_database, passes, state_of
from hub.connectors.database.settings import DatabaseDestinationSettings, parameters
from hub.connectors.database.source import SLACK
from hub.connectors.working import Working, failed
from hub.core.errors import HubError
from hub.core.exact_json import canonical_json
from hub.engine.contracts import Destination, DestinationContext, EndpointState, Failure, Reply, TaskCall


class UnwritableError(HubError):
    """An output is not what the statements can be given."""

    code = "H416"


def open_destination(settings: DatabaseDestinationSettings, context: DestinationContext) -> Destination:
    """A destination that runs the statements for each output."""
    return Working(
        "database",
        make_url(settings.url).render_as_string(),
        settings,
        context,
        steps=("write",),
        may_be="It may have been written.",
        is_not="",
        knows_repeats=settings.receipts is not None,
        within=settings.connect_within + settings.answer_within + SLACK,
    )


def write(call: TaskCall) -> Reply:
    """Task ``database.write``: one output in one transaction.

    What fails before the commit was requested has not happened; what fails in it may have, if the connection was
    lost, and has not if the database said no.
    """
    settings = DatabaseDestinationSettings.model_validate(call.header["settings"])
    (body,) = call.parts
    requested = False
    try:
        objects = _objects(body, settings.statements)
        engine = open_database(settings, call.site.secrets, call.site.folder)
        with engine.connect() as connection:
            written = 0
            if settings.receipts is None or _noted(connection, settings.receipts, str(call.header["name"]), body):
                written = _run(connection, settings.statements, objects)
            requested = True
            _commit(connection)
    except UnwritableError as error:
        return failed(Failure.PERMANENT, f"{error.what} {error.found}".strip())
    except HubError as error:
        return failed(Failure.TRANSIENT, f"{error.what} {error.fix}".strip(), EndpointState.RETRYING)
    except SQLAlchemyError as error:
        return _judged(error, requested=requested)
    answer = {"name": call.header["name"], "rows": written}
    return Reply({"failure": None}, (json.dumps(answer).encode(),))


def _commit(connection: Connection) -> None:
    connection.commit()


def _judged(error: SQLAlchemyError, *, requested: bool) -> Reply:
    what = f"The database did not take it: {in_words(error)}."
    if is_gone(error) and requested:
        return failed(Failure.AMBIGUOUS, f"{what} The connection was lost during the commit.", EndpointState.RETRYING)
    return failed(Failure.TRANSIENT if passes(error) else Failure.PERMANENT, what, state_of(error))


def _objects(body: bytes, statements: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The objects of an output. Raises :class:`UnwritableError` when it is none, or lacks a name."""
    try:
        document = json.loads(body, parse_float=Decimal)
    except ValueError:
        raise UnwritableError("The output is not JSON.") from None
    objects = document if isinstance(document, list) else [document]
    wanted = frozenset[str]().union(*(parameters(statement) for statement in statements))
    for each in objects:
        if not isinstance(each, dict):
            raise UnwritableError("The output is neither an object nor a list of objects.")
        if missing := sorted(wanted - each.keys()):
            raise UnwritableError("The output lacks what the statements name:", found=f"{', '.join(missing)}.")
    return objects


def _noted(connection: Connection, table: str, name: str, body: bytes) -> bool:
    """Note the output *name*; False when it is written already. Raises :class:`UnwritableError` for another one."""
    digest = hashlib.sha256(body).hexdigest()
    found = connection.execute(text(f"SELECT digest FROM {table} WHERE name = :name"), {"name": name}).scalar()  # noqa: S608
    if found is not None:
        if found.strip() != digest:
            raise UnwritableError("Another output of this name was written before, with other content.")
        return False
    connection.execute(
        text(f"INSERT INTO {table} (name, digest) VALUES (:name, :digest)"),  # noqa: S608  the site's own table
        {"name": name, "digest": digest},
    )
    return True


def _run(connection: Connection, statements: tuple[str, ...], objects: list[Mapping[str, Any]]) -> int:
    """Run every statement for every object; the number of rows that they changed."""
    changed = 0
    sqlite = connection.dialect.name == "sqlite"
    for each in objects:
        for statement in statements:
            values = {name: _value(each[name], decimals_as_text=sqlite) for name in parameters(statement)}
            changed += max(connection.execute(text(statement), values).rowcount, 0)
    return changed


def _value(value: Any, *, decimals_as_text: bool) -> Any:
    match value:
        case dict() | list():
            return canonical_json(value).decode()
        case Decimal() if decimals_as_text:  # its driver takes none; the column's affinity makes a number of it
            return str(value)
        case _:
            return value
