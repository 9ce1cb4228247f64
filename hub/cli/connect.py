"""``hub connect DEST``: whether a destination, or a source that asks others, can be reached and logged in to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.core.errors import HubError

if TYPE_CHECKING:
    from hub.site.load import Site


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("end", metavar="DEST", help="a destination's name, or CHANNEL.NAME, or CHANNEL.source")


def run(arguments: argparse.Namespace) -> int:
    """Say how far one comes, step by step; 1 when it ends before the end."""
    from hub.connectors import connectors
    from hub.core.secret import site_secrets
    from hub.site.load import load_site

    site = load_site(site_folder(arguments))
    known = connectors()
    report = []
    for name, kind, settings in _ends(site, arguments.end):
        probe = known[kind].probe if kind in known else None
        steps: list[str] = []
        problem: HubError | None = None
        if not arguments.json:
            print(f"{name}  ({kind})")
        try:
            for step in probe(settings, site.home, site_secrets(site.var)) if probe else ("there is nothing to reach",):
                steps.append(step)
                if not arguments.json:
                    print(f"  {step}")
        except HubError as error:
            problem = error
            if not arguments.json:
                print(f"  {error}")
        report.append({"end": name, "connector": kind, "steps": steps, "error": problem.what if problem else None})
    if arguments.json:
        print_json(report)
    return int(any(each["error"] for each in report))


def _ends(site: Site, asked: str) -> list[tuple[str, str, Any]]:
    """The name, connector and settings of everything that *asked* means. Raises `UsageError` for nothing."""
    known: dict[str, tuple[str, Any]] = {}
    for channel in site.channels.values():
        for number, (kind, settings) in enumerate(channel.sources, 1):
            name = "source" if len(channel.sources) == 1 else f"source[{number}]"
            known[f"{channel.name}.{name}"] = (kind, settings)
        for plan in channel.destinations.values():
            known[f"{channel.name}.{plan.name}"] = (plan.connector, plan.settings)
    found = [(name, *end) for name, end in known.items() if asked in {name, name.partition(".")[2]}]
    if not found:
        raise UsageError("There is no such destination.", found=asked, expected=f"one of {', '.join(known)}")
    return found
