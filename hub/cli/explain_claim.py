"""``hub explain-claim ID [--element 2400/SV101-2]``: where each element of a claim's 837 came from, what is wrong."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.phi import phi_arguments, phi_reason
from hub.cli.text import columns, printable
from hub.core.errors import masked

if TYPE_CHECKING:
    from sqlalchemy import Row

    from hub.billing.explain import Explained
    from hub.billing.findings import Told
    from hub.cli.opened import OpenedSite


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("id", help="a claim's id or control number")
    parser.add_argument(
        "--element", default="", metavar="PLACE", help="one element, or a loop or segment: 2400/SV101-2, 2010BA, SV1"
    )
    parser.add_argument("--line", type=int, default=0, metavar="N", help="of one service line only")
    phi_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the elements that were asked for, masked, with all that they came from, and what was found there."""
    from hub.cli.opened import open_site

    reason = phi_reason(arguments)
    opened = open_site(site_folder(arguments))
    row = _claim(opened, arguments.id)
    action = "reveal" if arguments.show_phi else "view"
    opened.audit(action, "claim", str(row.id), reason=reason, detail={"explain": arguments.element})
    elements, findings = _explained(opened, row, arguments.element, arguments.line)
    if not elements and not findings:
        raise UsageError(
            "The claim has no such element.",
            found=arguments.element,
            expected="a loop, a segment or an element as in 2400/SV101-2",
        )
    shown = [_plain(each, show=arguments.show_phi) for each in elements]
    if arguments.json:
        found = [{**asdict(each), "where": each.place} for each in findings]
        print_json({"claim": row.control_number, "form": row.form, "elements": shown, "findings": found})
        return 0
    print(f"claim {row.control_number}, {row.form}, {row.state}")
    _print_elements(shown)
    _print_findings(findings)
    return 0


def _claim(opened: OpenedSite, name: str) -> Row[Any]:
    """The claim with the id or control number *name*. Raises :class:`UsageError`."""
    from sqlalchemy import select

    from hub.store.database import reading
    from hub.store.tables import claim

    condition = claim.c.control_number == name
    if name.isascii() and name.isdecimal():
        condition |= claim.c.id == int(name)
    with reading(opened.store) as connection:
        row = connection.execute(select(claim).where(condition)).one_or_none()
    if row is None:
        raise UsageError("There is no such claim.", found=name, fix="`hub find` shows claims.")
    return row


def _explained(opened: OpenedSite, row: Row[Any], element: str, line: int) -> tuple[list[Explained], list[Told]]:
    """The elements that were asked for, and what was found at them when the claim was last examined."""
    from sqlalchemy import select

    from hub.billing.explain import explain
    from hub.billing.findings import latest
    from hub.store.database import reading
    from hub.store.tables import claim_event

    vault = opened.vault()
    checked = select(claim_event.c.detail).where(claim_event.c.claim_id == row.id, claim_event.c.kind == "edit_result")
    with reading(opened.store) as connection:
        every = explain(connection, vault, row.id, vault.open_json(row.body, "claim.body"))
        details = [json.loads(detail) for (detail,) in connection.execute(checked.order_by(claim_event.c.id))]
    return (
        [e for e in every if _is_asked(e.element.loop, e.element.reference, e.element.line, element, line)],
        [f for f in latest(details) if _is_asked(f.where.loop, f.where.reference, f.line, element, line)],
    )


def _print_elements(shown: list[dict[str, Any]]) -> None:
    rows = [
        (
            str(each["line"] or ""),
            str(each["place"]),
            printable(str(each["value"])),
            printable("; ".join(_words(origin) for origin in each["origins"])),
        )
        for each in shown
    ]
    if rows:
        print(columns(("LINE", "ELEMENT", "VALUE", "FROM"), rows))


def _print_findings(findings: list[Told]) -> None:
    for each in findings:
        place = f"line {each.line}, {each.place}" if each.line else each.place
        print()
        print(printable(f"found by {each.rule}, {place or 'no place kept'}, SNIP {each.snip}: {each.sentence}"))
        print(printable(f"  {each.fix}"))


def _is_asked(loop: str, reference: str, of_line: int, asked: str, line: int) -> bool:
    """Whether the element *reference* of *loop* is one that was asked for."""
    if line and of_line != line:
        return False
    wanted_loop, slash, wanted = asked.partition("/")
    if not slash and asked != loop:
        wanted_loop, wanted = "", asked
    return (not wanted_loop or loop == wanted_loop) and reference.startswith(wanted)


def _plain(each: Explained, *, show: bool) -> dict[str, Any]:
    value = each.element.value
    return {
        "place": each.place,
        "line": each.element.line,
        "value": value if show or not each.element.paths else masked(value),
        "fields": list(each.element.paths),
        "origins": [
            {"kind": origin.kind, "place": origin.place, "message": origin.message_id} for origin in each.origins
        ],
    }


def _words(origin: dict[str, Any]) -> str:
    of = f" of message {origin['message']}" if origin["message"] else ""
    what = {"rule": "rule ", "guide": "", "hub": ""}.get(origin["kind"], "")
    return f"{what}{origin['place']}{of}"
