"""``hub refdata load KIND FILE``, ``hub refdata list``, ``hub refdata kinds``: the code sets that edits look up."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("action", choices=("load", "list", "kinds"))
    parser.add_argument("kind", nargs="?", default="", help="what the file holds (`hub refdata kinds` lists them)")
    parser.add_argument("file", nargs="?", type=Path, help="the file as its publisher made it, or gzipped (.gz)")
    parser.add_argument("--version", default="", metavar="NAME", help="what the publisher calls this edition: 2026Q4")
    parser.add_argument(
        "--effective", type=_day, metavar="YYYY-MM-DD", help="the first date of service that this edition is for"
    )


def run(arguments: argparse.Namespace) -> int:
    """Load a file, or show what is loaded. Loading does not stop the engine; claims see a set when it is whole."""
    from hub.cli.opened import open_site

    if arguments.action == "kinds":
        return _kinds(as_json=arguments.json)
    opened = open_site(site_folder(arguments))
    if arguments.action == "list":
        return _list(opened, as_json=arguments.json)
    if not arguments.kind or arguments.file is None or not arguments.version or arguments.effective is None:
        raise UsageError(
            "It must be said what is loaded.",
            expected="hub refdata load KIND FILE --version NAME --effective YYYY-MM-DD",
        )
    return _load(opened, arguments)


def _load(opened: OpenedSite, arguments: argparse.Namespace) -> int:
    from hub.billing.refdata.store import load_set

    loaded = load_set(
        opened.store,
        arguments.kind,
        arguments.file,
        edition=arguments.version,
        effective=arguments.effective,
        actor=opened.actor,
    )
    opened.audit(
        "load",
        "refdata",
        f"{loaded.kind} {loaded.edition}",
        detail={"rows": loaded.rows, "effective": loaded.effective},
    )
    if arguments.json:
        print_json({"kind": loaded.kind, "edition": loaded.edition, "effective": loaded.effective, "rows": loaded.rows})
    else:
        print(
            f"{loaded.rows:,} rows of {loaded.kind} {loaded.edition}, for dates of service from {loaded.effective} on."
        )
    return 0


def _list(opened: OpenedSite, *, as_json: bool) -> int:
    from hub.billing.refdata.store import loaded_sets
    from hub.store.database import reading

    with reading(opened.store) as connection:
        found = loaded_sets(connection)
    rows = [(each.kind, each.edition, each.effective, f"{each.rows:,}", each.state) for each in found]
    names = ("kind", "edition", "effective", "rows", "state")
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    elif rows:
        print(columns([name.upper() for name in names], rows, right=frozenset({3})))
    else:
        print("Nothing is loaded: edits that need reference data say so and find nothing.")
    return 0


def _kinds(*, as_json: bool) -> int:
    from hub.billing.edits.table import EDITS
    from hub.billing.refdata.kinds import KINDS

    used = {name: [edit.id for edit in EDITS.values() if name in edit.needs] for name in KINDS}
    if as_json:
        print_json(
            [{"kind": k.name, "title": k.title, "source": k.source, "edits": used[k.name]} for k in KINDS.values()]
        )
    else:
        rows = [(kind.name, kind.title, kind.source, " ".join(used[kind.name])) for kind in KINDS.values()]
        print(columns(("KIND", "WHAT", "FROM", "EDITS"), rows))
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day is written 2026-10-01") from None
