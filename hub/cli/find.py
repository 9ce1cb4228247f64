"""``hub find``: messages by control id, kind, outcome, patient, account or claim. Masked and audited."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.searching import found, search_options
from hub.cli.text import columns, moment
from hub.cli.values import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    search_options(parser)
    parser.add_argument("--before", type=int, metavar="SEQUENCE", help="the next page: older than this row")
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="at most so many rows (default 50)")


def run(arguments: argparse.Namespace) -> int:
    """Print what is found, newest first; 1 when there is nothing."""
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(site_folder(arguments))
    with reading(opened.store) as connection:
        rows = found(opened, connection, arguments, arguments.limit + 1, before=arguments.before)
    more, rows = len(rows) > arguments.limit, rows[: arguments.limit]
    if arguments.json:
        print_json({"messages": [asdict(row) for row in rows], "next": rows[-1].sequence if more else None})
        return 0 if rows else 1
    if not rows:
        print("No message fits.")
        return 1
    zone = opened.site.zone
    table = [
        (
            row.id,
            moment(row.received_at, zone),
            row.channel,
            row.kind,
            row.control_id,
            row.onward,
            row.answer,
            row.reason,
        )
        for row in rows
    ]
    print(columns(("ID", "RECEIVED", "CHANNEL", "KIND", "CONTROL ID", "OUTCOME", "ANSWER", "REASON"), table))
    if more:
        print(f"\nThere are more: add --before {rows[-1].sequence}")
    return 0
