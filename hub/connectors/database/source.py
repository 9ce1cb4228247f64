"""Reading: rows in the order of their key become messages, and how far that came is kept with them.

With the highest key, the mark moves in the transaction that stores the message: over a crash no row is lost or read
twice. With a statement that marks rows, they are marked after their messages are stored; a row that a crash left
unmarked is read again, and intake knows its message by the content.
"""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, column, literal, make_url, or_, select, text
from sqlalchemy.exc import SQLAlchemyError

from hub.connectors.database.access import in_words, open_database, state_of
from hub.connectors.database.settings import DatabaseSourceSettings, parameters
from hub.connectors.polling import TimedPolling
from hub.core.errors import HubError
from hub.core.exact_json import canonical_json
from hub.engine.contracts import (
    Description,
    EndpointState,
    Mark,
    Received,
    Reply,
    Source,
    SourceContext,
    TaskCall,
)

SLACK = 30.0
"""Seconds that a task may take beyond the limits of its connection and statement."""


def open_source(settings: DatabaseSourceSettings, context: SourceContext) -> Source:
    """A source that reads the rows."""
    return Rows(settings, context)


class Rows(TimedPolling):
    """Polls a query by the tasks ``database.read`` and ``database.done``."""

    def __init__(self, settings: DatabaseSourceSettings, context: SourceContext) -> None:
        super().__init__("database", make_url(settings.url).render_as_string(), context, settings)
        self._settings = settings
        self._unmarked: list[str] = []
        """The keys of rows whose messages are stored and which are not marked as read yet."""

    async def look(self) -> float:
        """Read until no row is left; returns how long to wait for the next look."""
        while self.goes_on:
            if self._unmarked and not await self._mark_done():
                break
            after = None if self._settings.done else await self._place()
            reply = await self._call("read", {"after": after})
            if self.failed(reply):
                break
            self.stand(EndpointState.CONNECTED)
            for key, raw in zip(reply.header["keys"], reply.parts, strict=True):
                await self._receive(key, raw)
            if self._unmarked and not await self._mark_done():
                break
            if len(reply.parts) < self._settings.batch:
                break
        return self.wait()

    async def _place(self) -> str | None:
        return await self._context.intake.place(self._context.channel, self._settings.mark)

    async def _receive(self, key: str, raw: bytes) -> None:
        """Store one row. What fails here ends the look: the rows behind it must not go first."""
        context, refusal, code = self._context, None, ""
        try:
            description = context.describe(raw)
        except HubError as error:
            description, refusal, code = Description(kind="unreadable"), error.what, error.code
        filtered = None
        if refusal is None and context.accepts and description.kind not in context.accepts:
            filtered = f"The channel does not take {description.kind}."
        by_key = self._settings.done is None
        await context.intake.receive(
            Received(
                channel=context.channel,
                raw=raw,
                # Rows above the mark are new ones by their key, whatever they say.
                description=description._replace(duplicate_basis=None) if by_key else description,
                source=f"database {self._settings.name}",
                refusal=refusal,
                refusal_code=code,
                filtered=filtered,
                unheard=True,
                mark=Mark(self._settings.mark, key) if by_key else None,
            )
        )
        if not by_key:
            self._unmarked.append(key)

    async def _mark_done(self) -> bool:
        reply = await self._call("done", {"keys": self._unmarked})
        if self.failed(reply):
            return False
        self._unmarked.clear()
        return True

    async def _call(self, task: str, header: Mapping[str, Any]) -> Reply:
        settings = self._settings
        within = settings.connect_within + settings.answer_within + SLACK
        header = {"settings": settings.model_dump(mode="json"), **header}
        return await self._context.workers.call(f"database.{task}", header, timeout=within)


# ---------------------------------------------------------------- tasks


def read(call: TaskCall) -> Reply:
    """Task ``database.read``: the next rows behind ``after``, each as canonical JSON, and their keys."""
    settings = DatabaseSourceSettings.model_validate(call.header["settings"])
    try:
        engine = open_database(settings, call.site.secrets, call.site.folder)
        with engine.connect() as connection:
            found = connection.execute(_page(settings, call.header["after"]))
            columns = list(found.keys())
            rows = [dict(zip(columns, row, strict=True)) for row in found]
    except (SQLAlchemyError, HubError) as error:
        return _failed(error)
    missing = [name for name in settings.key if name not in columns]
    if missing:
        sentence = f"The query gives no column {', '.join(missing)}, which the key names."
        return Reply({"failure": sentence, "state": EndpointState.RETRYING.value})
    needed = (*settings.key, *sorted(parameters(settings.done or "") - set(settings.key)))
    try:
        keys = [write_key({name: row[name] for name in needed}) for row in rows]
    except KeyError as error:
        sentence = f"The query gives no column {error.args[0]}, which done names."
        return Reply({"failure": sentence, "state": EndpointState.RETRYING.value})
    return Reply({"keys": keys}, tuple(canonical_json({"event": settings.kind, **row}) for row in rows))


def done(call: TaskCall) -> Reply:
    """Task ``database.done``: mark the rows with ``keys`` as read, all in one transaction."""
    settings = DatabaseSourceSettings.model_validate(call.header["settings"])
    assert settings.done is not None
    try:
        engine = open_database(settings, call.site.secrets, call.site.folder)
        with engine.begin() as connection:
            for key in call.header["keys"]:
                connection.execute(text(settings.done), read_key(key))
    except (SQLAlchemyError, HubError) as error:
        return _failed(error)
    return Reply({})


def _page(settings: DatabaseSourceSettings, after: str | None) -> Select[Any]:
    """The query with what is read of it: the rows behind the key *after*, in order, one batch."""
    rows = text(settings.query).columns(*(column(name) for name in settings.key)).subquery("found")
    keys = [rows.c[name] for name in settings.key]
    page = select(text("found.*")).select_from(rows).order_by(*keys).limit(settings.batch)
    if after is None:
        return page
    values = read_key(after)
    return page.where(_behind(keys, [values.get(name) for name in settings.key]))


def _behind(keys: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """``(a, b) > (x, y)``, spelled out: not every database compares rows."""
    return or_(
        *(
            and_(
                *(key == literal(value) for key, value in zip(keys[:place], values[:place], strict=True)),
                keys[place] > literal(values[place]),
            )
            for place in range(len(keys))
        )
    )


def _failed(error: Exception) -> Reply:
    if isinstance(error, HubError):
        return Reply({"failure": f"{error.what} {error.fix}".strip(), "state": EndpointState.RETRYING.value})
    state = state_of(error)
    # A query that the database refuses is tried again too: whoever corrects it may do so over there.
    shown = EndpointState.RETRYING if state == EndpointState.CONNECTED else state
    return Reply({"failure": f"The database cannot be read: {in_words(error)}.", "state": shown.value})


# ---------------------------------------------------------------- keys


def write_key(values: Mapping[str, Any]) -> str:
    """*values* by column as text from which :func:`read_key` gives equal ones, of the same types."""
    return json.dumps({name: _tagged(value) for name, value in values.items()})


def read_key(key: str) -> dict[str, Any]:
    """The values that :func:`write_key` was given."""
    return {name: _untagged(*tagged) for name, tagged in json.loads(key).items()}


def _tagged(value: Any) -> tuple[str, Any]:
    match value:
        case None | bool() | int() | float() | str():
            return "plain", value
        case Decimal():
            return "decimal", str(value)
        case dt.datetime():
            return "datetime", value.isoformat()
        case dt.date():
            return "date", value.isoformat()
        case UUID():
            return "uuid", str(value)
        case bytes() | bytearray() | memoryview():
            return "bytes", b64encode(bytes(value)).decode()
        case _:
            return "plain", str(value)


def _untagged(kind: str, value: Any) -> Any:
    match kind:
        case "decimal":
            return Decimal(value)
        case "datetime":
            return dt.datetime.fromisoformat(value)
        case "date":
            return dt.date.fromisoformat(value)
        case "uuid":
            return UUID(value)
        case "bytes":
            return b64decode(value)
        case _:
            return value
