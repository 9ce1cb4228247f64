"""``hub init DIR``: a new site with one channel, a mapping, samples and a key, ready to run."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from hub.cli.common import print_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is absent or empty")


def run(arguments: argparse.Namespace) -> int:
    """Write the site and say what to do next. Raises `NotEmptyError` rather than write over anything."""
    from hub.site.new import new_site
    from hub.site.samples import FOLDER

    written = new_site(arguments.folder)
    if arguments.json:
        print_json({"folder": str(arguments.folder.resolve()), "files": written})
        return 0
    for name in written:
        print(f"  wrote {name}")
    sample = f"{FOLDER}/ehr_visits/one_charge/in.hl7"
    print(f"""
A new site stands in {arguments.folder}. Next:

  cd {shlex.quote(str(arguments.folder))}
  hub check                              find what is wrong; nothing, so far
  hub try ehr_visits {sample}
  hub test                               the samples, against what is expected
  hub run                                listen on port 2575; pages at https://127.0.0.1:8080

Keep a copy of var/keys.json in a safe place: without it nothing in the store can be read.""")
    return 0
