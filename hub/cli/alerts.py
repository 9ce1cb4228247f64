"""``hub alerts``: what is wrong now, one line per cause; with ``--send``, people are told of it by mail and webhook."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import age, columns
from hub.cli.values import duration
from hub.core.clock import real_ms
from hub.core.errors import HubError

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite
    from hub.web.alerting import Look

ISSUES = "alerts.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--send", action="store_true", help="tell people what opened and what closed, once each")
    parser.add_argument("--every", type=duration, metavar="1m", help="look again and again until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 1 when something is."""
    from hub.cli.opened import open_site

    opened = open_site(site_folder(arguments))
    while True:
        try:
            found = _look(opened, send=arguments.send)
            _print(found, as_json=arguments.json)
            if arguments.every is None:
                return int(bool(found.issues))
        except HubError as error:
            if arguments.every is None:
                raise
            print(error, file=sys.stderr, flush=True)  # whoever watches goes on watching
        time.sleep(arguments.every)


def _look(opened: OpenedSite, *, send: bool) -> Look:
    from hub.core.secret import site_secrets
    from hub.engine.control import EngineAwayError
    from hub.security import alerts
    from hub.store.database import reading
    from hub.web.alerting import NotSentError, causes, look, remember, remembered, tell

    assert opened.site.settings is not None
    settings, now = opened.site.settings.alerts, real_ms()
    engine: dict[str, Any] | None = None
    with suppress(EngineAwayError):
        engine = opened.ask("status", {})
    file = opened.site.var / ISSUES
    with reading(opened.store) as connection:
        found = list(causes(connection, opened.site, engine, now))
        states = alerts.states(connection)
    made = look(found, remembered(file), states, now, int(settings.open_after * 1000) if send else 0)
    if not send:
        return made
    if made.opened or made.closed:
        try:
            tell(settings, site_secrets(opened.site.var), opened.site.settings.title, made)
        except NotSentError as error:
            print(error, file=sys.stderr)
            return made  # nothing is remembered as told: it is tried again
    remember(file, made.issues)
    return made


def _print(found: Look, *, as_json: bool) -> None:
    now = real_ms()
    rows = [(i.cause.key, age(now - i.since), i.cause.sentence, i.cause.first) for i in found.issues]
    if as_json:
        names = ("key", "for", "what", "first")
        print_json({"issues": [dict(zip(names, row, strict=True)) for row in rows]})
    elif rows:
        print(columns(("CAUSE", "FOR", "WHAT", "FIRST"), rows), flush=True)
    else:
        print("Nothing is wrong.", flush=True)
