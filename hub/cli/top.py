"""``hub top``: the status, live, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time

from hub.cli.common import site_argument
from hub.cli.status import run as status
from hub.cli.values import duration, positive

_CLEAR = "\x1b[2J\x1b[H"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--every", type=duration, default=2.0, metavar="2s", help="how often (default 2s)")
    parser.add_argument("--count", type=positive, metavar="N", help="end after so many looks")


def run(arguments: argparse.Namespace) -> int:
    """Show the status again and again; what it came to the last time."""
    looks = 0
    while True:
        if sys.stdout.isatty():
            print(_CLEAR, end="")
        came_to = status(arguments)
        sys.stdout.flush()
        looks += 1
        if looks == arguments.count:
            return came_to
        time.sleep(arguments.every)
