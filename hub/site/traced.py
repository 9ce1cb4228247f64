"""The ``trace`` task: one message through a channel's steps with the values beside the lines that made them.

For previews alone: it is many times slower than mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from hub.engine.contracts import Reply, Task, TaskCall
from hub.site.channels import Channel
from hub.site.mapping import results_of
from hub.site.scripts import Scripts
from hub.site.shown_values import value_parts
from hub.site.trace import Seen, tracing

MOST = 2_000
"""Values that are told; a message of hundreds of lines would fill the page with the same ones again."""


def trace_messages(channels: Mapping[str, Channel], scripts: Scripts, zone: ZoneInfo) -> Task:
    """The task for *channels*, with *scripts* of the same bundle. Its reply is that of ``map``, and ``trace``."""

    def run(call: TaskCall) -> Reply:
        channel = channels[call.header["channel"]]
        messages = list(zip(call.header["messages"], call.parts, strict=True))
        with tracing(scripts.folder, scripts.shown) as seen:
            results, parts = results_of(channel, scripts, zone, messages)
        return Reply({"results": results, "trace": [_plain(each) for each in seen[:MOST]]}, tuple(parts))

    return run


def _plain(seen: Seen) -> dict[str, Any]:
    value = [[part.text, part.hidden] for part in value_parts(seen.value, seen.name)]
    return {"file": seen.file, "line": seen.line, "name": seen.name, "value": value, "paths": list(seen.paths)}
