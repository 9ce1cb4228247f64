"""``hub shadow FILE``: the 837 that another system sent, beside the claims that the hub made of the same services."""

from __future__ import annotations

import argparse
from pathlib import Path

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns, printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("file", type=Path, help="an 837P or 837I as the other system sent it")


def run(arguments: argparse.Namespace) -> int:
    """Print what the two say differently, values masked; exit with 1 when they do, or when a claim of theirs lacks."""
    from hub.billing.shadow import compare
    from hub.cli.opened import open_site
    from hub.core.errors import masked
    from hub.formats.x12.institutional import read_837i
    from hub.formats.x12.professional import read_837p
    from hub.store.database import reading

    file: Path = arguments.file
    if not file.is_file():
        raise UsageError("There is no such file.", where=str(file))
    raw = file.read_bytes()
    opened = open_site(site_folder(arguments))
    vault = opened.vault()
    opened.audit("compare", "claim", detail={"shadow": file.name})
    sent = read_837i(raw) if b"005010X223" in raw[:2000] else read_837p(raw)
    with reading(opened.store) as connection:
        pairs = compare(connection, lambda sealed: vault.open_json(sealed, "claim.body"), sent)
    rows = [
        (pair.theirs, pair.ours or "none", each.field, str(each.line or ""), masked(each.ours), masked(each.theirs))
        for pair in pairs
        for each in pair.differences
    ]
    rows += [(pair.theirs, "none", "", "", "", "") for pair in pairs if not pair.ours]
    same = sum(bool(pair.ours) and not pair.differences for pair in pairs)
    if arguments.json:
        names = ("theirs", "ours", "field", "line", "we_say", "they_say")
        print_json(
            {"claims": len(pairs), "same": same, "differences": [dict(zip(names, r, strict=True)) for r in rows]}
        )
    else:
        if rows:
            headings = ("THEIRS", "OURS", "FIELD", "LINE", "WE SAY", "THEY SAY")
            print(columns(headings, [tuple(printable(cell) for cell in row) for row in rows]))
        print(f"{len(pairs)} claims of theirs, {same} the same as ours.")
    return 1 if rows else 0
