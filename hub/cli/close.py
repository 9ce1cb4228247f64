"""``hub close 2026-03``: freeze a month's figures, and see what was corrected of it later."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns, moment
from hub.core.money import shown

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from hub.billing.closing import Closed, Correction


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("month", nargs="?", metavar="2026-03", help="the month; without one, every closed month")
    parser.add_argument("--note", default="", metavar="TEXT", help="what the auditor should know")
    parser.add_argument("--show", action="store_true", help="show a closed month again; change nothing")


def run(arguments: argparse.Namespace) -> int:
    """Close the month (the engine must run), or show what is closed; 1 when a closed month has changed."""
    from hub.billing import closing
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(site_folder(arguments))
    if arguments.month and not arguments.show:
        opened.billing("close_month", {"month": arguments.month, "note": arguments.note})
    with reading(opened.store) as connection:
        found = closing.months(connection)
        if arguments.month:
            found = [each for each in found if each.month == arguments.month]
            if not found:
                raise UsageError("This month is not closed.", where=arguments.month)
        later = closing.corrections(connection, arguments.month) if arguments.month else []
    if arguments.json:
        print_json([_document(each, later) for each in found])
    elif arguments.month:
        _print(found[0], later, opened.site.clock.zone)
    else:
        _list(found, opened.site.clock.zone)
    return 0 if all(each.unchanged for each in found) else 1


def _list(found: list[Closed], zone: ZoneInfo) -> None:
    rows = [
        (
            each.month,
            f"{each.entries:,}",
            moment(each.closed_at, zone)[:16],
            each.closed_by,
            "as it was closed" if each.unchanged else "CHANGED SINCE",
        )
        for each in found
    ]
    print(
        columns(("MONTH", "ENTRIES", "CLOSED", "BY", "LEDGER"), rows, frozenset({1})) if rows else "Nothing is closed."
    )


def _print(closed: Closed, later: list[Correction], zone: ZoneInfo) -> None:
    state = "the ledger says the same" if closed.unchanged else "THE LEDGER HAS CHANGED SINCE"
    print(f"{closed.month} closed by {closed.closed_by} at {moment(closed.closed_at, zone)[:16]}; {state}.")
    if closed.note:
        print(closed.note)
    rows = [
        (each.account, shown(each.brought_forward), shown(each.moved), shown(each.carried_forward))
        for each in closed.figures
    ]
    headings = ("ACCOUNT", "BROUGHT FORWARD", "IN THE MONTH", "CARRIED FORWARD")
    print(f"\n{columns(headings, rows, frozenset({1, 2, 3}))}")
    if later:
        table = [
            (each.posted_on, each.kind, shown(each.amount), each.actor, each.entry_id, each.reverses_id)
            for each in later
        ]
        print("\nCorrected later, in the months of these days:")
        print(columns(("ON", "KIND", "AMOUNT", "BY", "ENTRY", "TAKES BACK"), table, frozenset({2})))


def _document(closed: Closed, later: list[Correction]) -> dict[str, Any]:
    figures = [{**_plain(each), "carried_forward": f"{each.carried_forward:.2f}"} for each in closed.figures]
    kept = {**_plain(closed), "figures": figures}
    return {**kept, "corrections": [_plain(each) for each in later]} if later else kept


def _plain(row: Any) -> dict[str, Any]:
    return {name: f"{value:.2f}" if isinstance(value, Decimal) else value for name, value in asdict(row).items()}
