"""``hub rollback VERSION -m WHY``: have the running hub go back to a version that ran before. Files are left alone."""

from __future__ import annotations

import argparse

from hub.cli.common import print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("version", help="its name, or an unmistakable beginning (`hub history` lists them)")
    parser.add_argument("-m", "--reason", default="rolled back", metavar="WHY", help="why; it is kept in the history")


def run(arguments: argparse.Namespace) -> int:
    """Go back. Raises `NoBundleError` for a version that never ran, and what the engine refuses with."""
    from hub.cli.deploy import deploy
    from hub.cli.opened import open_site
    from hub.site.bundle import keep
    from hub.site.deployments import stored_bundle
    from hub.store.database import reading

    folder = site_folder(arguments)
    opened = open_site(folder)
    with reading(opened.store) as connection:
        bundle = stored_bundle(connection, arguments.version)
    running = str(opened.ask("status", {})["bundle"])
    keep(folder.resolve(), bundle)
    deploy(opened, bundle.name, running, arguments.reason.strip() or "rolled back", "rollback")
    if arguments.json:
        print_json({"bundle": bundle.name, "previous": running})
    else:
        print(f"{bundle.name} runs, {running} no more.  The files on disk are as they were.")
    return 0
