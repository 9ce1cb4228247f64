"""``hub backup``: a consistent, checked copy of store and site, while the hub works."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hub.cli.common import print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("target", type=Path, metavar="FILE|DIR", help="a new file, or a folder to make one in")
    parser.add_argument(
        "--with-keys",
        action="store_true",
        help="put the keys into it too; whoever has the file can then read every patient's record",
    )
    site_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the backup, check it, and say what is in it. The making is recorded in the audit log."""
    from hub.cli.opened import open_site
    from hub.site.backup import make_backup
    from hub.site.places import key_file

    opened = open_site(site_folder(arguments))
    shows = sys.stderr.isatty() and not arguments.json

    def progress(done: int, pages: int) -> None:
        if shows:
            print(
                f"\r{done * 100 // max(pages, 1):3d} %", end="" if done < pages else "\n", file=sys.stderr, flush=True
            )

    file, manifest = make_backup(opened.site, arguments.target, with_keys=arguments.with_keys, progress=progress)
    opened.audit("backup", "store", manifest.bundle, detail={"with_keys": arguments.with_keys})
    size = file.stat().st_size
    if arguments.json:
        print_json(
            {
                "file": str(file.resolve()),
                "bytes": size,
                "made_at": manifest.made_at,
                "schema": manifest.schema,
                "with_keys": arguments.with_keys,
                "key_ids": manifest.key_ids,
                "counts": manifest.counts,
            }
        )
        return 0
    print(f"{file}  {size:,} bytes, schema {manifest.schema}, made {manifest.made_at}")
    if manifest.counts:
        named = ("message", "delivery", "claim", "remittance", "ledger_entry", "audit")
        print("  holds   " + ", ".join(f"{manifest.counts.get(name, 0):,} {name}" for name in named))
        print(f"  checked read again whole, its database sound, {manifest.opened} sealed values opened")
    else:
        print("  a dump by pg_dump; its table of contents was read again")
    if arguments.with_keys:
        print("  The keys are in it: whoever has this file can read every patient's record. Guard it so.")
    else:
        print(f"  The keys are not in it. Keep {key_file(opened.site)} apart from it; without it nothing can be read.")
    print("  Secrets (var/secrets/) are in no backup.")
    return 0
