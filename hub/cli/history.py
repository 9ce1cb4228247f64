"""``hub history``: which version of the site's files ran from when on, who deployed it, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import columns, moment
from hub.cli.values import positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--limit", type=positive, default=20, metavar="N", help="at most so many (default 20)")


def run(arguments: argparse.Namespace) -> int:
    """Print the deployments, newest first, and whether the files on disk are what runs."""
    from hub.cli.opened import open_site
    from hub.site.deployments import files_differ, history
    from hub.store.database import reading

    folder = site_folder(arguments)
    opened = open_site(folder)
    with reading(opened.store) as connection:
        deployed = history(connection, arguments.limit)
    differ = bool(deployed) and files_differ(folder, deployed[0].bundle)
    if arguments.json:
        print_json({"deployments": [asdict(each) for each in deployed], "files_differ": differ})
        return 0
    rows = [
        (each.bundle, moment(each.at, opened.site.zone)[:19], each.kind, each.actor, each.reason) for each in deployed
    ]
    print(columns(("VERSION", "FROM", "BY", "WHO", "WHY"), rows))
    if differ:
        print("\nThe files on disk are others than those that run.  hub deploy --plan shows what differs.")
    return 0
