"""``hub tap CHANNEL``: messages as they come in, or outputs as they leave, masked, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from hub.cli.common import channel_of, site_argument, site_folder
from hub.cli.text import content_lines, moment, printable
from hub.cli.values import positive
from hub.store.tables import delivery, message

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite

LOOK_SECONDS = 0.5
_AT_ONCE = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("channel")
    parser.add_argument("--stage", choices=("in", "out"), default="in", help="what comes in, or what goes out")
    parser.add_argument("--count", type=positive, metavar="N", help="end after so many")
    parser.add_argument("--quiet", action="store_true", help="one line for each, without what it says")


def run(arguments: argparse.Namespace) -> int:
    """Print what comes from now on."""
    from hub.cli.opened import open_site

    opened = open_site(site_folder(arguments))
    channel = channel_of(opened.site, arguments.channel).name
    opened.audit("tap", "channel", channel, detail={"stage": arguments.stage})
    table: Any = message if arguments.stage == "in" else delivery
    after = _newest(opened, table)
    left = arguments.count
    while left is None or left > 0:
        rows = _rows(opened, table, channel, after)
        for row, body in rows[:left]:
            after = row.sequence
            _print(opened, arguments, row, body)
            left = left - 1 if left is not None else None
        if not rows:
            time.sleep(LOOK_SECONDS)
    return 0


def _newest(opened: OpenedSite, table: Any) -> int:
    from hub.store.database import reading

    with reading(opened.store) as connection:
        return int(connection.execute(select(func.max(table.c.sequence))).scalar() or 0)


def _rows(opened: OpenedSite, table: Any, channel: str, after: int) -> list[tuple[Any, bytes]]:
    """What came to *channel* after the row *after*, with what it says."""
    from hub.store.contents import read_content
    from hub.store.database import reading

    vault = opened.vault()
    with reading(opened.store) as connection:
        rows = connection.execute(
            select(table)
            .where(table.c.sequence > after, table.c.channel == channel)
            .order_by(table.c.sequence)
            .limit(_AT_ONCE)
        ).all()
        return [(row, read_content(connection, vault, row.raw_id if table is message else row.body_id)) for row in rows]


def _print(opened: OpenedSite, arguments: argparse.Namespace, row: Any, body: bytes) -> None:
    coming = arguments.stage == "in"
    at = moment(row.received_at if coming else row.created_at, opened.site.zone)
    lines = [] if arguments.quiet else content_lines(body, show=False)
    name = row.control_id if coming else f"{row.destination} {row.name}"
    if arguments.json:
        print(json.dumps({"id": row.id, "at": at, "kind": row.kind, "name": name, "lines": lines}), flush=True)
        return
    print(printable(f"{at}  {row.id}  {row.kind}  {name}  {len(body)} bytes"))
    for line in lines:
        print(f"  {line}")
    print(end="", flush=True)
