"""``hub upgrade``: brings a site's store to this version's schema, after a backup."""

from __future__ import annotations

import argparse

from hub.cli.common import print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--no-backup", action="store_true", help="without the copy of the embedded store")


def run(arguments: argparse.Namespace) -> int:
    """Say the steps, copy the store, take them. Raises `AlreadyRunningError` while the hub runs."""
    from hub.site.load import load_site
    from hub.site.lock import lock_site
    from hub.site.places import store_url
    from hub.site.upgrading import copy_before, is_embedded
    from hub.store.database import open_store, reading
    from hub.store.schema import newest, pending, revision, upgrade

    site = load_site(site_folder(arguments))
    if site.settings is None:
        site.require_sound()
    with lock_site(site.folder):
        store = open_store(store_url(site))
        with reading(store) as connection:
            steps, found = pending(connection), revision(connection)
        copy = None
        if steps and not arguments.json:
            print(f"From schema {found or 'none'} to {newest()}:")
            for step in steps:
                print(f"  {step.revision}  {step.sentence}")
        if steps and not arguments.dry_run:
            if found and is_embedded(site) and not arguments.no_backup:
                copy = copy_before(site)
                if not arguments.json:
                    print(f"The store as it was stands in {copy}.")
            upgrade(store)
        store.dispose()
    if arguments.json:
        print_json(
            {
                "from": found,
                "to": newest(),
                "steps": [{"revision": step.revision, "sentence": step.sentence} for step in steps],
                "copy": str(copy) if copy else None,
                "done": bool(steps) and not arguments.dry_run,
            }
        )
    elif not steps:
        print(f"The store has schema {found}, the newest. Nothing to do.")
    elif arguments.dry_run:
        print("Nothing was done.")
    else:
        print(f"The store has schema {newest()} now.")
    return 0
