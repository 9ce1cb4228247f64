"""``hub bank load FILE``: what the bank says of deposits, held against the remittances."""

from __future__ import annotations

import argparse
from pathlib import Path

from hub.cli.common import UsageError, print_json, site_argument, site_folder

MOST_BYTES = 900_000  # what the engine's control socket takes in one line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("action", choices=("load",))
    parser.add_argument("file", type=Path, help="NACHA with CCD+ addenda, BAI2, or CSV, as the bank gave it")


def run(arguments: argparse.Namespace) -> int:
    """Hand the file to the engine, which must run, and say what was in it."""
    from hub.cli.opened import open_site

    file: Path = arguments.file
    if not file.is_file():
        raise UsageError("There is no such file.", where=str(file))
    if file.stat().st_size > MOST_BYTES:
        raise UsageError("This file is too large.", where=str(file), fix="Load it day by day.")
    opened = open_site(site_folder(arguments))
    text = file.read_text(encoding="utf-8", errors="replace")
    answer = opened.billing("load_bank_file", {"text": text})
    if arguments.json:
        print_json(answer)
    else:
        print(f"{answer['entries']} claim payments, {answer['new']} of them new; {answer['others']} other entries.")
    return 0
