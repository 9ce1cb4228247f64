"""``hub audit verify|checkpoint|patient``: whether the audit log is whole, and who saw a patient."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.text import columns
from hub.core.clock import at

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("action", choices=("verify", "checkpoint", "patient"))
    parser.add_argument("number", nargs="?", type=int, help="the account, as its page is numbered (patient)")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="checkpoints that were kept elsewhere, one a line (verify)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from hub.cli.opened import open_site

    opened = open_site(site_folder(arguments))
    if arguments.action == "verify":
        return _verify(opened, arguments)
    if arguments.action == "checkpoint":
        return _checkpoint(opened, arguments)
    return _patient(opened, arguments)


def _verify(opened: OpenedSite, arguments: argparse.Namespace) -> int:
    from hub.security.audit import parse_checkpoint, verify
    from hub.store.database import reading

    lines = arguments.against.read_text().splitlines() if arguments.against else []
    kept = [parse_checkpoint(line) for line in lines if line.strip()]
    with reading(opened.store) as connection:
        found = verify(connection, opened.vault().signing_key("audit").public_key(), kept)
    if arguments.json:
        print_json(
            {"records": found.records, "checkpoints": found.checkpoints, "broken": found.broken, "why": found.why}
        )
    elif found.broken is None:
        print(f"{found.records} records, each fits the one before it; {found.checkpoints} signed checkpoints hold.")
    else:
        print(f"Record {found.broken} is the first that is not right: {found.why}.")
        print("Keep the store as it is, and compare with a backup.")
    return 0 if found.broken is None else 1


def _checkpoint(opened: OpenedSite, arguments: argparse.Namespace) -> int:
    """Sign the head now, and print the newest checkpoint to be kept where nobody of this machine can change it."""
    from hub.engine.control import EngineAwayError
    from hub.security.audit import add_checkpoint, checkpoints
    from hub.store.database import reading

    try:
        opened.ask("write", {"name": "audit_checkpoint", "args": {}})
    except EngineAwayError:
        with opened.store.connect().execution_options(writes=True) as connection, connection.begin():
            add_checkpoint(connection, opened.vault().signing_key("audit"))
    with reading(opened.store) as connection:
        newest = checkpoints(connection)[-1:]
    line = str(newest[0]) if newest else ""
    if arguments.json:
        print_json({"checkpoint": line})
    else:
        print(line or "Nothing was recorded yet.")
    return 0


def _patient(opened: OpenedSite, arguments: argparse.Namespace) -> int:
    from sqlalchemy import select

    from hub.store.database import reading
    from hub.store.tables import audit

    if arguments.number is None:
        raise UsageError("Whose account?", expected="hub audit patient NUMBER")
    opened.audit("who saw", "account", str(arguments.number), detail={})
    with reading(opened.store) as connection:
        found = connection.execute(
            select(audit).where(audit.c.patient_id == arguments.number).order_by(audit.c.sequence)
        ).all()
    rows = [
        (
            at(row.at, opened.site.zone).strftime("%Y-%m-%d %H:%M:%S"),
            row.actor,
            row.action,
            f"{row.object_type} {row.object_id}".strip(),
            row.reason,
        )
        for row in found
    ]
    if arguments.json:
        print_json([dict(zip(("at", "who", "did", "what", "reason"), row, strict=True)) for row in rows])
    else:
        print(columns(("TIME", "WHO", "DID", "WHAT", "REASON"), rows))
    return 0
