"""``hub alerts``: what is wrong now, one line per cause. `hub run` watches it all the time and tells people."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.cli.values import duration

if TYPE_CHECKING:
    from hub.web.needs import Need


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    does = parser.add_mutually_exclusive_group()
    does.add_argument(
        "--send", action="store_true", help="tell people now, as `hub run` does: for a timer of its own, elsewhere"
    )
    does.add_argument("--take", metavar="CAUSE", help="look after it yourself")
    does.add_argument("--snooze", metavar="CAUSE", help="keep it quiet for a while, with --for and --reason")
    parser.add_argument("--for", dest="quiet", type=duration, metavar="4h", help="how long, a week at most")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why it may be quiet")


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 1 when something is."""
    from hub.cli.opened import open_site
    from hub.web.watch import Watch

    opened = open_site(site_folder(arguments))
    opened.site.require_sound()
    watch = Watch(opened.site, opened.store)
    if arguments.send:
        for error in watch.look():
            print(error, file=sys.stderr)
    needs = [need for need in watch.needs() if not need.work]
    if key := arguments.take or arguments.snooze:
        _require_known(key, needs)
        if arguments.take:
            opened.write("alert_own", {"key": key, "owner": opened.actor})
        else:
            minutes = int((arguments.quiet or 0) // 60)
            opened.write("alert_snooze", {"key": key, "minutes": minutes, "reason": arguments.reason})
        needs = [need for need in watch.needs() if not need.work]
    _print(needs, as_json=arguments.json)
    return int(any(not need.snoozed_until for need in needs))


def _require_known(key: str, needs: list[Need]) -> None:
    """Raise `AlertError` unless *key* is the cause of one of *needs*."""
    from hub.security.alerts import AlertError

    known = [need.key for need in needs]
    if key not in known:
        raise AlertError(
            f'There is no alert "{key}" now.', expected=", ".join(known), fix="`hub alerts` lists the causes."
        )


def _print(needs: list[Need], *, as_json: bool) -> None:
    rows = [(need.key, need.since, _whose(need), need.sentence, need.first) for need in needs]
    if as_json:
        names = ("key", "for", "whose", "what", "first")
        print_json({"issues": [dict(zip(names, row, strict=True)) for row in rows]})
    elif rows:
        print(columns(("CAUSE", "FOR", "WHOSE", "WHAT", "FIRST"), rows), flush=True)
    else:
        print("Nothing is wrong.", flush=True)


def _whose(need: Need) -> str:
    if need.snoozed_until:
        return f"quiet: {need.snooze_reason}"
    return need.owner
