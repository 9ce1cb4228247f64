"""``hub entries``: the entries that a balance is made of, each cent with the segment of the 835 that says it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns, printable
from hub.core.errors import masked
from hub.core.money import shown

if TYPE_CHECKING:
    from hub.billing.tracing import Traced
    from hub.formats.x12.segments import Segment


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    from hub.billing.ledger import ACCOUNTS

    site_argument(parser)
    parser.add_argument("--claim", default="", metavar="NUMBER", help="of the claim with this control number")
    parser.add_argument("--account", default="", choices=("", *ACCOUNTS), metavar="NAME", help="of this ledger account")
    parser.add_argument("--payer", default="", metavar="ID", help="with this payer")
    parser.add_argument("--payment", default="", metavar="NUMBER", help="of the payment with this number (TRN02)")
    parser.add_argument("--month", default="", metavar="2026-03", help="posted in this month")
    parser.add_argument("--entry", type=int, metavar="ID", help="of this entry, with the segments of its amounts")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="at most so many (1000)")
    parser.add_argument("--after", default="", metavar="ID.N", help="go on behind this posting, as the last page said")


def run(arguments: argparse.Namespace) -> int:
    """Print the postings with their running balance; of one entry also where its amounts stand."""
    from hub.billing.tracing import segments_of, traced
    from hub.cli.opened import open_site
    from hub.store.database import reading

    asked = (arguments.claim, arguments.account, arguments.payer, arguments.payment, arguments.month, arguments.entry)
    if not any(asked):
        raise UsageError(
            "All entries are too many.", expected="--claim, --account, --payer, --payment, --month or --entry"
        )
    if arguments.limit < 1:
        raise UsageError("A page has at least one posting.", where="--limit")
    opened = open_site(site_folder(arguments))
    segments: dict[str, str] = {}
    with reading(opened.store) as connection:
        page = traced(
            connection,
            control_number=arguments.claim,
            account=arguments.account,
            payer_id=arguments.payer,
            month=arguments.month,
            trace=arguments.payment,
            entry_id=arguments.entry,
            after=_place(arguments.after),
            limit=arguments.limit,
        )
        found = page.postings
        if arguments.entry is not None:
            read = segments_of(connection, opened.vault(), found)
            segments = {place: _text(segment) for place, segment in read.items()}
    further = ".".join(map(str, page.further)) if page.further else ""
    if arguments.json:
        plain = [_plain(each) for each in found]
        balance = f"{page.balance:.2f}"
        print_json({"postings": plain, "segments": segments, "balance": balance, "further": further})
    elif not found:
        print("Nothing.")
    else:
        print(columns(_HEADINGS, [_row(each) for each in found], frozenset({4, 5})))
        for place, text in segments.items():
            print(f"\n{place}\n  {text}")
        if further:
            print(f"\nThere is more, up to a balance of {shown(page.balance)}: go on with --after {further}")
    return 0


def _place(text: str) -> tuple[int, int]:
    """The posting that ``--after`` names."""
    entry, _, ordinal = text.partition(".")
    if not text:
        return (0, 0)
    if not (entry.isdecimal() and ordinal.isdecimal()):
        raise UsageError("A page begins behind a posting.", where="--after", expected="as the last page said it")
    return int(entry), int(ordinal)


_HEADINGS = ("ENTRY", "ON", "KIND", "ACCOUNT", "AMOUNT", "BALANCE", "CODE", "CLAIM", "BY", "FROM")


def _row(each: Traced) -> tuple[str, ...]:
    by = f"{each.actor}: {each.rule}" if each.rule else each.actor
    source = ", ".join(filter(None, (each.trace, each.place)))
    if each.reverses_id:
        source = f"{source} (takes back {each.reverses_id})".strip()
    return (
        str(each.entry_id),
        each.posted_on,
        each.kind,
        each.account,
        shown(each.amount),
        shown(each.balance),
        each.code,
        each.control_number,
        by,
        source,
    )


def _text(segment: Segment) -> str:
    """The segment with what may name somebody masked: amounts and codes are what it is shown for."""
    from hub.web.masking import X12Masks

    return "".join(printable(masked(piece.text) if piece.what else piece.text) for piece in X12Masks().pieces(segment))


def _plain(each: Any) -> dict[str, Any]:
    return {name: f"{value:.2f}" if isinstance(value, Decimal) else value for name, value in asdict(each).items()}
