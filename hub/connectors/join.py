"""Joining: what a channel has received since the last time becomes one message of another, at set times.

How far that came moves in the transaction that stores the message: over a crash nothing is left out or joined twice.
The messages themselves stay as they are; the one made of them holds their contents and ids.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pydantic import Field
from sqlalchemy import select

from hub.connectors.polling import TimedPolling
from hub.connectors.times import Polls
from hub.core.exact_json import canonical_json
from hub.core.units import Size
from hub.engine.contracts import (
    Connector,
    EndpointState,
    Mark,
    Received,
    Reply,
    Source,
    SourceContext,
    TaskCall,
)
from hub.store.contents import read_content
from hub.store.database import reading
from hub.store.tables import message


class JoinSettings(Polls):
    """Messages of another channel, joined into one: `{"event", "id", "count", "messages": [ids], "items": [contents]}`.

    An item is an object where the message is JSON, else its text.
    """

    channel: str = Field(min_length=1, description="Whose messages are joined.", examples=["lab_items"])
    kinds: tuple[str, ...] = Field((), description="Only these kinds. Empty: every kind.", examples=[["charge event"]])
    name: str = Field(
        "joined",
        pattern=r"^[a-z][a-z0-9_]{0,29}$",
        description="The kind of the message. Another name begins anew, with all that the channel still holds.",
        examples=["daily_charges"],
    )
    at_least: int = Field(1, ge=1, description="Fewer messages wait for the next time.", examples=[10])
    batch: int = Field(1000, ge=1, le=10_000, description="How many to join into one message at most.", examples=[500])
    max_message: Size = Field(16 << 20, description="More goes into a further message.", examples=["16MB"])

    @property
    def mark(self) -> str:
        """What the newest joined message is kept under."""
        return f"join {self.name}"


class Join(TimedPolling):
    """Collects by the task ``join.collect`` and hands what it brings to intake."""

    def __init__(self, settings: JoinSettings, context: SourceContext) -> None:
        super().__init__("join", f"channel {settings.channel}", context, settings)
        self._settings = settings

    async def look(self) -> float:
        """Join what has come; returns how long to wait for the next look."""
        context, settings = self._context, self._settings
        while self.goes_on:
            place = await context.intake.place(context.channel, settings.mark)
            header = {"settings": settings.model_dump(mode="json"), "after": int(place or 0)}
            reply = await context.workers.call("join.collect", header)
            self.stand(EndpointState.CONNECTED)
            if not reply.parts:
                break
            (raw,) = reply.parts
            await context.intake.receive(
                Received(
                    channel=context.channel,
                    raw=raw,
                    description=context.describe(raw),
                    source=f"join {settings.name}",
                    mark=Mark(settings.mark, str(reply.header["last"])),
                )
            )
            if not reply.header["more"]:
                break
        return self.wait()


def open_source(settings: JoinSettings, context: SourceContext) -> Source:
    """A source that joins."""
    return Join(settings, context)


def collect(call: TaskCall) -> Reply:
    """Task ``join.collect``: the messages behind the sequence ``after`` as one; no part when they are too few.

    What was refused, and what is no longer kept, is left out.
    """
    settings = JoinSettings.model_validate(call.header["settings"])
    where = [
        message.c.channel == settings.channel,
        message.c.sequence > call.header["after"],
        message.c.onward != "rejected",
    ]
    if settings.kinds:
        where.append(message.c.kind.in_(settings.kinds))
    with reading(call.site.store) as connection:
        rows = connection.execute(
            select(message.c.sequence, message.c.id, message.c.raw_id, message.c.size)
            .where(*where)
            .order_by(message.c.sequence)
            .limit(settings.batch + 1)
        ).all()
        if len(rows) < settings.at_least:
            return Reply({})
        items: list[Any] = []
        ids: list[int] = []
        room, last = settings.max_message, 0
        for row in rows[: settings.batch]:
            if ids and row.size > room:
                break
            last, room = row.sequence, room - row.size
            try:
                items.append(_item(read_content(connection, call.site.vault, row.raw_id)))
                ids.append(row.id)
            except KeyError:
                continue
    span = {"event": settings.name, "id": f"{settings.name}-{last}", "count": len(items)}
    joined = canonical_json({**span, "messages": [str(each) for each in ids], "items": items})
    return Reply({"last": last, "more": last < rows[-1].sequence}, (joined,))


def _item(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_float=Decimal)
    except ValueError:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("cp1252", "replace")


CONNECTOR = Connector(
    name="join",
    summary="Messages of another channel, joined into one at set times.",
    source_settings=JoinSettings,
    open_source=open_source,
    tasks={"join.collect": collect},
)
