"""``hub reconcile``: where everything that came in stands, what differs by how much, and whose it is."""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.core.money import shown

if TYPE_CHECKING:
    from hub.billing.reconcile import Report
    from hub.billing.stages import Stage


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--day", type=_day, metavar="2026-11-23", help="only what was received on that day")


def run(arguments: argparse.Namespace) -> int:
    """Print every station and every difference; 1 when something is lost or the books differ."""
    from hub.billing.reconcile import report
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(site_folder(arguments))
    with reading(opened.store) as connection:
        found = report(connection, arguments.day or "")
    if arguments.json:
        print_json(document(found))
    else:
        _print(found)
    return 0 if found.ok else 1


def document(report: Report) -> dict[str, Any]:
    """*report* for ``--json``; money is text with two places."""
    return {
        "even": report.ok,
        "day": report.day or None,
        "stages": [
            {
                "name": stage.name,
                "unit": stage.unit,
                "count": stage.count,
                "amount": f"{stage.amount:.2f}",
                "on": {"count": stage.on_count, "amount": f"{stage.on_amount:.2f}"},
                "parts": [
                    {"what": part.what, "owner": part.owner, "count": part.count, "amount": f"{part.amount:.2f}"}
                    for part in stage.parts
                ],
                "lost": {"count": stage.lost, "amount": f"{stage.lost_amount:.2f}"},
            }
            for stage in report.stages
        ],
        "forwarded": [
            {"payer": each.payer_id, "provider": each.provider, "cents": each.cents, "since": each.since}
            for each in report.figures.forwarded
        ],
        "differences": [
            {
                "kind": each.kind,
                "subject": each.subject_id,
                "what": each.what,
                "expected": f"{each.expected:.2f}",
                "found": f"{each.found:.2f}",
            }
            for each in report.figures.differences
        ],
    }


def _print(report: Report) -> None:
    rows: list[tuple[str, ...]] = []
    for stage in report.stages:
        unit = stage.unit.removesuffix("s") if stage.count == 1 else stage.unit
        rows.append((stage.name.upper(), f"{stage.count:,} {unit}", _amount(stage), ""))
        rows += [
            (f"  {part.what}", f"{part.count:,}" if part.count else "", shown(part.amount), part.owner)
            for part in stage.parts
        ]
        if not stage.ok:
            rows.append(("  LOST", f"{stage.lost:,}", shown(stage.lost_amount), "nobody has it"))
    print(columns(("STATION", "COUNT", "AMOUNT", "WHOSE"), rows))
    for each in report.figures.forwarded:
        amount = shown(abs(each.amount))
        what = "will take back" if each.cents < 0 else "has taken in advance"
        print(f"\n{each.payer_id} {what} {amount} of provider {each.provider} (PLB FB, since {each.since}).")
    for difference in report.figures.differences:
        print(f"\n{difference}")
    print("\nEverything is accounted for." if report.ok else "\nThis does not add up.")


def _amount(stage: Stage) -> str:
    """The station's money; nothing for one that counts only."""
    has_money = stage.amount or any(part.amount for part in stage.parts)
    return shown(stage.amount) if has_money else ""


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("a day is written 2026-11-23") from None
