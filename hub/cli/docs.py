"""``hub docs``: the reference of the connectors, from their own declarations."""

from __future__ import annotations

import argparse
from pathlib import Path

from hub.cli.common import UsageError, print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("connector", nargs="?", help="only this one")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write connectors.md into this folder")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the page. Raises `UsageError` for a connector that does not exist."""
    from hub.connectors import connectors
    from hub.site.declared import connector_page, connector_section

    known = connectors()
    text = connector_page(known)
    if arguments.connector:
        lines = connector_section(arguments.connector, known)
        if len(lines) < 3:
            raise UsageError(
                "There is no such connector.", expected=f"one of {', '.join(known)}", found=arguments.connector
            )
        text = "\n".join(lines) + "\n"
    if arguments.write is not None:
        (arguments.write / "connectors.md").write_text(text, encoding="utf-8")
        print(f"  wrote {arguments.write / 'connectors.md'}")
    elif arguments.json:
        print_json({"markdown": text})
    else:
        print(text, end="")
    return 0
