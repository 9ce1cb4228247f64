"""``hub restore``: puts a backup back, so that nothing is sent or numbered twice by accident."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from hub.cli.common import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `hub backup` wrote")
    parser.add_argument(
        "--site", type=Path, required=True, metavar="DIR", help="a stopped site, or a folder for a new one"
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="its key file, where it was kept apart")
    parser.add_argument("--force", action="store_true", help="move a store that holds something aside")


def run(arguments: argparse.Namespace) -> int:
    """Restore, and say what to look at before the hub runs."""
    from hub.site.restore import restore

    done = restore(arguments.file, arguments.site, keys=arguments.keys, force=arguments.force, actor=getpass.getuser())
    if arguments.json:
        print_json(
            {
                "made_at": done.manifest.made_at,
                "site_files": done.site_files,
                "aside": str(done.aside) if done.aside else None,
                "margin": done.margin,
                "counters": done.counters,
                "in_flight": done.in_flight,
                "paused": list(done.paused),
            }
        )
        return 0
    print(f"Restored the store of {done.manifest.made_at} into {arguments.site}.")
    if done.site_files:
        print(f"  {done.site_files} files of the site were written; secrets (var/secrets/) must be set again.")
    else:
        print("  The site's own files were left as they are.")
    if done.aside:
        print(f"  The store that was there stands in {done.aside}.")
    print(f"  {done.counters} control numbers jumped {done.margin:,} ahead: none that was given is given again.")
    if done.in_flight:
        print(f"  {done.in_flight} deliveries that waited count as perhaps sent; the queue deliveries will ask.")
    for place in done.paused:
        print(f"  {place} is paused. Compare with the partner what was sent since, then resume it.")
    return 0
