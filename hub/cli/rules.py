"""``hub rules PAYER --claim ID`` and ``hub rules backtest PAYER --days N``: what rules do to claims, and would do."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns, printable
from hub.cli.values import positive

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.billing.config import BillingConfig
    from hub.cli.opened import OpenedSite
    from hub.site.load import Site


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("words", nargs="+", metavar="[backtest] PAYER", help="a payer's id, as in config/payers")
    parser.add_argument(
        "--claim", default="", metavar="ID", help="a claim's id or control number: what applied, and why"
    )
    parser.add_argument("--days", type=positive, default=90, metavar="N", help="how old services may be (backtest)")


def run(arguments: argparse.Namespace) -> int:
    """Print the payer's rules, what they did to a claim, or what they would have done to recorded ones."""
    from hub.site.load import load_site

    action, payer_id = ("", *arguments.words) if len(arguments.words) == 1 else tuple(arguments.words[:2])
    if len(arguments.words) > 2 or action not in {"", "backtest"}:
        raise UsageError("It is not clear what is asked.", expected="hub rules PAYER, or hub rules backtest PAYER")
    site = load_site(site_folder(arguments))
    billing = _billing(site)
    if payer_id not in billing.payers:
        raise UsageError("There is no payer of that id.", found=payer_id, expected=", ".join(billing.payers))
    if action:
        return _backtest(arguments, billing, payer_id)
    if arguments.claim:
        return _claim(arguments, billing, payer_id)
    return _list(billing, payer_id, as_json=arguments.json)


def _billing(site: Site) -> BillingConfig:
    from hub.site.rules import rule_functions

    if site.billing is None:
        site.require_sound()
    assert site.billing is not None
    return replace(site.billing, checks=rule_functions(site.billing, site.scripts))


def _list(billing: BillingConfig, payer_id: str, *, as_json: bool) -> int:
    from hub.billing.rules.layers import rule_book

    rows = [
        (
            each.name,
            each.rule.verbs[0] if each.rule.verbs else f"replaces {each.rule.replaces}",
            each.rule.severity,
            f"{each.rule.effective or ''}..{each.rule.ends or ''}"
            if each.rule.effective or each.rule.ends
            else "always",
            each.rule.say,
        )
        for each in rule_book(billing, payer_id).rules
    ]
    if as_json:
        print_json([dict(zip(("rule", "verb", "severity", "in_force", "say"), row, strict=True)) for row in rows])
    else:
        print(columns(("RULE", "VERB", "SEVERITY", "IN FORCE", "SAYS"), rows) if rows else "This payer has no rules.")
    return 0


def _claim(arguments: argparse.Namespace, billing: BillingConfig, payer_id: str) -> int:
    """What was recorded when the claim was examined, and what the rules of this folder say of it now."""
    from hub.billing import findings
    from hub.billing.claim_body import ClaimBody
    from hub.billing.edits.context import Context
    from hub.billing.rules.examine import examine
    from hub.billing.rules.layers import rule_book
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened = open_site(arguments.site)
    with reading(opened.store) as connection:
        row, events = _found(connection, arguments.claim)
    if row is None or row.payer_id != payer_id:
        raise UsageError("There is no such claim to this payer.", found=arguments.claim, fix="`hub find` shows claims.")
    opened.audit("view", "claim", str(row.id), detail={"rules": True})
    body = ClaimBody.from_plain(opened.vault().open_json(row.body, "claim.body"))
    context = Context(billing.payers[payer_id], opened.site.clock.today(), billing.practice)
    now = examine(body.decided(), context, rule_book(billing, payer_id), body.undone)
    traces = [
        {"rule": t.name, "result": "hit" if t.hit else "passed" if t.applied else "did not apply", "why": t.why}
        for t in now.traces
    ]
    if arguments.json:
        print_json({"claim": row.control_number, "recorded": events, "now": traces, "bundle": billing.bundle})
        return 0
    print(f"claim {row.control_number}, {row.state}")
    for event in events:
        unchecked = f"; {event['unchecked']} edits without data" if event.get("unchecked") else ""
        print(f"\nexamined with bundle {event.get('bundle') or '-'}{unchecked}")
        for each in event.get("found", ()):
            print(printable(f"  {each['severity']:<8} {_found_in_words(each)}"))
            if fix := findings.told(each).fix:
                print(printable(f"           {fix}"))
        for each in event.get("repairs", ()):
            print(printable(f"  set      {each['rule']}, {each['place']}: {each['before']!r} to {each['after']!r}"))
        if not event.get("found") and not event.get("repairs"):
            print("  nothing was found")
    print(f"\nthe rules of this folder, bundle {billing.bundle}:")
    rows = [(trace["rule"], trace["result"], trace["why"]) for trace in traces]
    print(columns(("RULE", "RESULT", "WHY"), rows) if rows else "This payer has no rules.")
    return 0


def _found_in_words(found: dict[str, Any]) -> str:
    """``ID-15, 2010BA NM109, SNIP 7``; claims that were examined by an earlier version kept no place."""
    from hub.billing import findings

    told = findings.told(found)
    parts = (told.rule, f"line {told.line}" if told.line else "", told.place, f"SNIP {told.snip}" if told.snip else "")
    return ", ".join(part for part in parts if part)


def _found(connection: Connection, text: str) -> tuple[Any, list[dict[str, Any]]]:
    from sqlalchemy import select

    from hub.store.tables import claim, claim_event

    condition = claim.c.control_number == text
    if text.isascii() and text.isdecimal():
        condition |= claim.c.id == int(text)
    row = connection.execute(select(claim).where(condition)).one_or_none()
    if row is None:
        return None, []
    events = connection.execute(
        select(claim_event.c.detail)
        .where(claim_event.c.claim_id == row.id, claim_event.c.kind == "edit_result")
        .order_by(claim_event.c.id)
    )
    return row, [json.loads(detail) for (detail,) in events]


def _backtest(arguments: argparse.Namespace, billing: BillingConfig, payer_id: str) -> int:
    from hub.billing.rules.backtest import backtest
    from hub.cli.opened import open_site
    from hub.store.database import reading

    opened: OpenedSite = open_site(arguments.site)
    vault = opened.vault()
    opened.audit("backtest", "payer", payer_id, detail={"days": arguments.days})
    with reading(opened.store) as connection:
        found = backtest(
            connection,
            billing,
            lambda sealed: vault.open_json(sealed, "claim.body"),
            payer_id,
            opened.site.clock.today(),
            arguments.days,
        )
    rows = [(each.name, each.hits, each.caught, each.new) for each in found.rules.values()]
    if arguments.json:
        names = ("rule", "hits", "caught", "newly_stopped")
        print_json(
            {
                "claims": found.claims,
                "known_denials": found.known_denials,
                "rules": [dict(zip(names, row, strict=True)) for row in rows],
                "uncovered": dict(found.uncovered),
            }
        )
        return 0
    print(f"{found.claims:,} claims of the last {arguments.days} days, {found.known_denials:,} denied or sent back.\n")
    right = frozenset({1, 2, 3})
    print(columns(("RULE", "HITS", "WOULD HAVE CAUGHT", "WOULD NEWLY STOP"), rows, right) if rows else "no rules")
    if found.uncovered:
        print("\nno rule covers:")
        print(columns(("REASON", "CLAIMS"), found.uncovered.most_common(20), frozenset({1})))
    return 0
