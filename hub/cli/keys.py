"""``hub keys``: which keys the store is sealed with, a new one, and sealing old values anew."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_json, site_argument, site_folder

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite

_SECONDS_BETWEEN = 0.005


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|rotate|reseal")
    for name, summary in (
        ("list", "the ids of the keys, and how many values each has sealed"),
        ("rotate", "add a new key; new values are sealed with it"),
        ("reseal", "seal old values with the newest key, beside the work"),
    ):
        action = actions.add_parser(name, help=summary, description=summary)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
        site_argument(action)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    from hub.cli.opened import open_site

    opened = open_site(site_folder(arguments))
    done = {"list": _list, "rotate": _rotate, "reseal": _reseal}[arguments.action](opened)
    if arguments.json:
        print_json(done)
        return 0
    _print(arguments.action, done)
    return 0


def _list(opened: OpenedSite) -> dict[str, Any]:
    from hub.core.secret import sealed_secrets
    from hub.store.database import reading
    from hub.store.reseal import key_uses

    vault = opened.vault()
    with reading(opened.store) as connection:
        uses = key_uses(connection) + Counter(sealed_secrets(opened.site.var).key_ids())
    ids = sorted({*vault.key_ids, *uses})
    return {
        "newest": vault.key_id,
        "keys": [{"id": key, "values": uses[key], "present": key in vault.key_ids} for key in ids],
    }


def _rotate(opened: OpenedSite) -> dict[str, Any]:
    from hub.core.vault import add_key
    from hub.site.places import key_file

    added = add_key(key_file(opened.site))
    opened.audit("rotate keys", "key", str(added), detail={})
    return {"added": added, "file": str(key_file(opened.site))}


def _reseal(opened: OpenedSite) -> dict[str, Any]:
    """Slice by slice through the engine's journal while it runs, which puts everything urgent first; here otherwise."""
    from hub.core.secret import sealed_secrets
    from hub.engine.control import EngineAwayError
    from hub.store.database import reading
    from hub.store.reseal import reseal, sealed_tables

    vault = opened.vault()
    with reading(opened.store) as connection:
        names = [table.name for table in sealed_tables(connection)]
    resealed = sealed_secrets(opened.site.var).reseal()
    for name in names:
        after: Any = None
        while True:
            try:
                wanted = {"table": name, "after": after, "key_id": vault.key_id}
                done = opened.ask("write", {"name": "reseal", "args": wanted})
            except EngineAwayError:
                with opened.store.connect().execution_options(writes=True) as connection, connection.begin():
                    part = reseal(connection, vault, name, after)
                done = {"resealed": part.resealed, "after": part.after}
            resealed += done["resealed"]
            after = done["after"]
            if after is None:
                break
            time.sleep(_SECONDS_BETWEEN)  # others have the store in between
    opened.audit("reseal", "key", str(vault.key_id), detail={"resealed": resealed})
    return {"resealed": resealed, **_list(opened)}


def _print(action: str, done: dict[str, Any]) -> None:
    from hub.cli.text import columns

    if action == "rotate":
        print(f"Key {done['added']} was added to {done['file']}. Keep a copy of the file, apart from the backups.")
        print(
            "Processes that run use it from the first value of it that they meet, at the latest from their next start."
        )
        print("Old values stay readable with their old keys; `hub keys reseal` seals them anew.")
        return
    if action == "reseal":
        print(f"{done['resealed']:,} values were sealed anew with key {done['newest']}.")
    rows = [
        (key["id"], f"{key['values']:,}", "newest" if key["id"] == done["newest"] else _state(key))
        for key in done["keys"]
    ]
    print(columns(("KEY", "VALUES", ""), rows, right=frozenset({0, 1})))
    print("The key of the blind indexes never rotates: what it made could not be searched any more. It opens nothing.")


def _state(key: dict[str, Any]) -> str:
    if not key["present"]:
        return "MISSING: its values cannot be read; restore the key file"
    return "" if key["values"] else "unused; backups may still need it"
