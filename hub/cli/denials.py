"""``hub denials``: what payers refused, what to work first, and which reasons no rule covers yet."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.core.money import shown

if TYPE_CHECKING:
    from hub.billing.denials.queries import Cause, DenialRow, RuleResult

STATES = ("open", "waiting", "corrected", "appealed", "won", "lost", "accepted", "patient", "withdrawn")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--causes", action="store_true", help="by payer and code, with what came of them")
    kind.add_argument("--uncovered", action="store_true", help="by payer and code, those that no rule covers")
    kind.add_argument("--rules", action="store_true", help="what automatic corrections came to")
    parser.add_argument("--state", choices=STATES, default="open", help="which denials (open)")
    parser.add_argument("--payer", default="", metavar="ID", help="only this payer's")
    parser.add_argument("--for", dest="owner", default="", metavar="DESK", help="only those of a desk: coder, biller")
    parser.add_argument("--limit", type=int, default=50, help="at most so many (50)")


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for; the list is in the order in which to work."""
    from hub.billing.denials import queries
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(site_folder(arguments))
    with reading(opened.store) as connection:
        if arguments.rules:
            results = queries.rules(connection)
            _out(arguments, results, _rules(results))
        elif arguments.causes or arguments.uncovered:
            causes = queries.causes(connection, uncovered=arguments.uncovered)
            _out(arguments, causes, _causes(causes))
        else:
            rows = queries.denials(
                connection,
                opened.site.clock.today(),
                states=(arguments.state,),
                payer_id=arguments.payer,
                owner=arguments.owner,
                limit=arguments.limit,
            )
            _out(arguments, rows, _denials(rows))
    return 0


def _out(arguments: argparse.Namespace, rows: list[Any], text: str) -> None:
    if arguments.json:
        print_json([{name: _plain(value) for name, value in asdict(row).items()} for row in rows])
    else:
        print(text if rows else "Nothing.")


def _plain(value: Any) -> Any:
    return f"{value:.2f}" if isinstance(value, Decimal) else value


def _denials(rows: list[DenialRow]) -> str:
    table = [
        (
            each.control_number,
            each.payer_id,
            f"{each.codes}{f' {each.remarks}' if each.remarks else ''}",
            shown(each.amount),
            f"{each.chance} %",
            each.deadline_on or "-",
            each.owner,
            each.action,
        )
        for each in rows
    ]
    headings = ("CLAIM", "PAYER", "CODES", "AMOUNT", "CHANCE", "DEADLINE", "FOR", "NEXT")
    return columns(headings, table, frozenset({3, 4}))


def _causes(causes: list[Cause]) -> str:
    table = [
        (
            each.payer_id,
            f"{each.codes}{f' {each.remarks}' if each.remarks else ''}",
            each.category if each.covered else f"{each.category}: no rule covers it",
            each.count,
            shown(each.amount),
            each.won,
            each.lost,
            " ".join(each.edits) or "none",
        )
        for each in causes
    ]
    headings = ("PAYER", "CODES", "CATEGORY", "COUNT", "AMOUNT", "WON", "LOST", "EDIT")
    return columns(headings, table, frozenset({3, 4, 5, 6}))


def _rules(results: list[RuleResult]) -> str:
    table = [(each.rule, each.state, each.made, each.won, each.lost, shown(each.recovered)) for each in results]
    return columns(("RULE", "STATE", "MADE", "WON", "LOST", "RECOVERED"), table, frozenset({2, 3, 4, 5}))
