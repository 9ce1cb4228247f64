"""Live updates by server-sent events: texts that change in place, and how many newer rows a list could show.

A stream is no activity: it does not keep a session alive, and it ends with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from hub.web.call import Call
from hub.web.overview import overview
from hub.web.pages import messages, status
from hub.web.queries import messages as message_queries

MOST_COUNTED = 500


def status_values(call: Call) -> Response:
    """The status page's figures, whenever they change."""
    period = call.query.get("period", "today")

    def read() -> dict[str, Any]:
        return dict(status.live_values(overview(call, period)))

    return _stream(call, read)


def newer_messages(call: Call) -> Response:
    """How many messages came that the list's search would show."""
    search = replace(messages.search_of(call), before=None, after=call.number("newest") or 0)
    digests = messages.digests_for(call, search)

    def read() -> dict[str, Any]:
        with call.reading() as connection:
            return {"newer": message_queries.count_newer(connection, search, digests, MOST_COUNTED)}

    return _stream(call, read)


def _stream(call: Call, read: Callable[[], dict[str, Any]]) -> Response:
    async def events() -> AsyncIterator[str]:
        yield "retry: 5000\n\n"
        last: dict[str, Any] = {}
        while await run_in_threadpool(call.still_signed_in):
            values = await run_in_threadpool(read)
            changed = {key: value for key, value in values.items() if last.get(key) != value}
            yield f"data: {json.dumps(changed)}\n\n" if changed else ": still here\n\n"
            last = values
            await asyncio.sleep(call.site.settings.live_seconds)
        yield 'data: {"over": true}\n\n'

    return StreamingResponse(events(), media_type="text/event-stream")
