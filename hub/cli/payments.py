"""``hub payments``: what a person does with payments: match, undo, mend, type in from paper, bill the next insurance.

``FILE`` is JSON with the words of docs/billing.md; a claim in it has its lines with charge, paid and adjustments.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.core.money import from_cents, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.cli.opened import OpenedSite

MOST_SHOWN = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str, *places: str, reason: bool = False) -> None:
        added = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        for place in places:
            added.add_argument(place.lower(), metavar=place, type=Path if place == "FILE" else str)
        if reason:
            added.add_argument("--reason", required=True, help="why; the ledger keeps it")

    action("list", "the payments of a check or transfer (TRN02), with their ids", "TRACE")
    action("waiting", "the payments that wait for a person")
    action("match", "post a payment to one of our claims", "PAYMENT", "CLAIM")
    action("unmatch", "take a posted payment off its claim", "PAYMENT", reason=True)
    action("restate", "post a payment whose figures do not add up, as FILE says it", "PAYMENT", "FILE", reason=True)
    action("enter", "take in a remittance on paper, as JSON (docs/billing.md says how)", "FILE")
    action("next", "bill what was left to the patient's next insurance", "CLAIM")
    action("rules", "what payers put before or after our control numbers")
    action("use-rule", "match by such a rule from now on", "RULE")
    action("drop-rule", "match by it no longer", "RULE")


def run(arguments: argparse.Namespace) -> int:
    """Read the store, or have the engine, which must run, do it."""
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(site_folder(arguments))
    if arguments.action in {"list", "waiting", "rules"}:
        with reading(opened.store) as connection:
            rows = _rules(connection) if arguments.action == "rules" else _payments(connection, arguments)
        _print(arguments, rows)
        return 0
    answer = _do(opened, arguments)
    if arguments.json:
        print_json(answer)
    else:
        said = {name: value for name, value in answer.items() if name != "ok"}
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items()) or "Done.")
    return 0


def _do(opened: OpenedSite, arguments: argparse.Namespace) -> dict[str, Any]:
    """Have billing do the command; the versions are those that the store has now."""
    match arguments.action:
        case "match":
            ours = _claim(opened, arguments.claim)["claim_id"]
            payment = {"remittance_claim_id": _number(arguments.payment)}
            return opened.billing("match_payment", {**payment, "claim_id": ours})
        case "unmatch":
            return opened.billing("unmatch_payment", {**_payment(opened, arguments), "reason": arguments.reason})
        case "restate":
            asked = {"reason": arguments.reason, "claim": _document(arguments.file)}
            return opened.billing("restate_payment", {**_payment(opened, arguments), **asked})
        case "enter":
            return opened.billing("enter_payment", _document(arguments.file))
        case "next":
            return opened.billing("bill_next_payer", _claim(opened, arguments.claim))
        case other:
            from hub.store.tables import number_rule

            rule = _versioned(opened, number_rule, number_rule.c.id == _number(arguments.rule), "rule")
            command = "release_normalisation" if other == "use-rule" else "withdraw_normalisation"
            return opened.billing(command, {"number_rule_id": rule["id"], "version": rule["version"]})


def _payment(opened: OpenedSite, arguments: argparse.Namespace) -> dict[str, Any]:
    from hub.store.tables import remittance_claim

    wanted = remittance_claim.c.id == _number(arguments.payment)
    row = _versioned(opened, remittance_claim, wanted, "payment")
    return {"remittance_claim_id": row["id"], "version": row["version"]}


def _claim(opened: OpenedSite, control_number: str) -> dict[str, Any]:
    from hub.store.tables import claim

    row = _versioned(opened, claim, claim.c.control_number == control_number.upper(), "claim")
    return {"claim_id": row["id"], "version": row["version"]}


def _versioned(opened: OpenedSite, table: Any, wanted: Any, what: str) -> dict[str, int]:
    from sqlalchemy import select

    from hub.store.database import reading

    with reading(opened.store) as connection:
        row = connection.execute(select(table.c.id, table.c.version).where(wanted)).first()
    if row is None:
        raise UsageError(f"There is no such {what}.")
    return {"id": row.id, "version": row.version}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageError("An id is a number.", found=text, fix="`hub payments waiting` and `list` say the ids.")
    return int(text)


def _document(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError("There is no such file.", where=str(file)) from None
    except ValueError as error:
        raise UsageError("This file is no JSON.", where=f"{file}: {error}") from None
    if not isinstance(said, dict):
        raise UsageError("This file holds no payment.", where=str(file), expected="an object")
    return said


def _payments(connection: Connection, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from hub.store.tables import claim, remittance, remittance_claim

    wanted = (
        remittance.c.trace == arguments.trace
        if arguments.action == "list"
        else remittance_claim.c.state.in_(("unmatched", "held"))
    )
    rows = connection.execute(
        select(
            remittance_claim.c.id,
            remittance.c.trace,
            remittance.c.payer_id,
            remittance_claim.c.control_number.label("their_number"),
            claim.c.control_number.label("claim"),
            remittance_claim.c.status,
            remittance_claim.c.paid_cents,
            remittance_claim.c.state,
            remittance_claim.c.reason,
        )
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .outerjoin(claim, claim.c.id == remittance_claim.c.claim_id)
        .where(wanted)
        .order_by(remittance_claim.c.id)
        .limit(MOST_SHOWN)
    ).mappings()
    return [dict(row) for row in rows]


def _rules(connection: Connection) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from hub.store.tables import number_rule

    names = ("id", "payer_id", "place", "text", "state", "seen", "proposed_by", "released_by")
    rows = connection.execute(select(*(number_rule.c[name] for name in names)).order_by(number_rule.c.id)).mappings()
    return [dict(row) for row in rows]


def _print(arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if "paid_cents" in row:
            row["paid"] = f"{from_cents(row.pop('paid_cents')):f}"
    if arguments.json:
        print_json(rows)
    elif not rows:
        print("Nothing.")
    else:
        names = [name for name in rows[0] if name != "reason"]
        table = [[_word(name, row[name]) for name in names] for row in rows]
        print(columns([name.replace("_", " ").upper() for name in names], table))


def _word(name: str, value: Any) -> str:
    if name == "paid":
        from decimal import Decimal

        return shown(Decimal(value))
    return "-" if value is None else str(value)
