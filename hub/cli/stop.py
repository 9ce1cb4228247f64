"""``hub stop``: have the `hub run` of a site end in order, as Ctrl-C does; what waits stays on disk."""

from __future__ import annotations

import argparse
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from hub.cli.common import print_json, site_argument, site_folder
from hub.core.errors import HubError

WITHIN_SECONDS = 75.0
"""Longer than the engine may take to end what is in hand."""
_LOOK_SECONDS = 0.1


class NotStoppedError(HubError):
    """A hub that should have ended goes on, or there is none."""

    code = "H653"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask it to end, and wait until it has. Raises :class:`NotStoppedError`."""
    from hub.site.lock import running_pid

    folder = site_folder(arguments).resolve()
    pid = running_pid(folder)
    if pid is None:
        what = "A hub answers, and how it was started is not known." if _answers(folder) else "No hub runs this site."
        raise NotStoppedError(what, where=str(folder), fix="Where one runs elsewhere, end it there.")
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + WITHIN_SECONDS
    while running_pid(folder) == pid:
        if time.monotonic() > until:
            raise NotStoppedError(
                "It does not end.",
                where=f"process {pid}",
                fix="Its log says what it waits for; a second Ctrl-C there ends it.",
            )
        time.sleep(_LOOK_SECONDS)
    if arguments.json:
        print_json({"stopped": pid})
    else:
        print("Stopped. What waits stays on disk.")
    return 0


def _answers(folder: Path) -> bool:
    """Whether an engine answers at the site's socket."""
    from hub.engine.control import EngineAwayError, ask_engine
    from hub.site.load import load_site
    from hub.site.places import control_socket

    try:
        ask_engine(control_socket(load_site(folder)), "status", {}, actor="hub stop", timeout=5.0)
    except EngineAwayError:
        return False
    return True
