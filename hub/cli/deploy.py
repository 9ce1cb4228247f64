"""``hub deploy -m WHY``: have the running hub go over to the files as they are now, all of them or none.

First a plan, which changes nothing: the files are checked, the samples run, ports that are new are tried. Then the
engine has workers load the new version and goes over to it, connector by connector; what is the same keeps its sockets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_findings, print_json, site_argument, site_folder
from hub.core.errors import HubError
from hub.core.units import seconds as seconds_of

if TYPE_CHECKING:
    from hub.cli.deploy_watch import DeployWatch
    from hub.cli.opened import OpenedSite
    from hub.site.compare import Part
    from hub.site.load import Site

DEPLOY_SECONDS = 900.0
WATCH_SECONDS = 60.0


class NotAsExpectedError(HubError):
    """Samples differ from what is expected of them."""

    code = "H273"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("-m", "--reason", metavar="WHY", help="why; it is kept in the history")
    parser.add_argument("--to", type=Path, metavar="DIR", help="the running site, when --site is a working copy of it")
    parser.add_argument("--plan", action="store_true", help="only say what would change")
    parser.add_argument(
        "--watch", type=_length, metavar="1m", help="look for so long what it does; a minute on a terminal, 0s: not"
    )
    parser.add_argument("--or-back", action="store_true", help="when that is worse than before, roll back at once")


def run(arguments: argparse.Namespace) -> int:
    """Deploy, or say what is in the way: 1 when it is findings, samples, a port, or another version that runs.

    Also 1 when the new version does worse than the one before while it is watched.
    """
    from hub.cli import deploy_watch
    from hub.cli.common import UsageError
    from hub.cli.opened import open_site
    from hub.site.bundle import base_of, bundle_folder, keep, read_bundle, remember_base
    from hub.site.compare import compare, connector_changes
    from hub.site.load import load_running, load_site

    if not arguments.plan and not (arguments.reason or "").strip():
        raise UsageError("A deploy needs a reason.", expected="-m WHY", fix="It is kept in the history.")
    folder = site_folder(arguments)
    to: Path = arguments.to or folder
    site = load_site(folder)
    if findings := _errors(site):
        if arguments.json:
            print_json({"ok": False, "findings": [finding.plain() for finding in findings]})
        else:
            print_findings(findings)
            print("\nNothing was deployed.", file=sys.stderr)
        return 1
    count = _require_samples(site)
    opened = open_site(to)
    running = str(opened.ask("status", {})["bundle"])
    before = load_running(to, running) if bundle_folder(to, running).is_dir() else None
    parts = compare(before, site) if before else []
    _require_ports(before, site)
    if not arguments.json:
        print(f"plan       {running} -> {site.bundle}: 0 errors, {count} samples as expected")
        print("\n".join(f"  {line}" for line in connector_changes(parts)))
    if site.bundle == running:
        _say(arguments, {"deployed": False, "bundle": running}, f"Nothing to deploy: {running} runs already.")
        remember_base(folder, running)
        return 0
    if arguments.plan:
        _say(arguments, {"deployed": False, "parts": _plain(parts)}, "Nothing was changed (--plan).")
        return 0
    bundle = read_bundle(folder)
    if bundle.name != site.bundle:
        raise HubError("The files changed while they were checked.", fix="Deploy again.")
    keep(to, bundle)
    watch = deploy_watch.DeployWatch(opened, running)
    deploy(opened, site.bundle, base_of(folder) or running, arguments.reason.strip(), "deploy")
    remember_base(folder, site.bundle)
    document = {"deployed": True, "bundle": site.bundle, "previous": running, "parts": _plain(parts)}
    line = f"deployed   {site.bundle} runs.  hub rollback {running} goes back."
    if seconds := _watch_seconds(arguments):
        if not arguments.json:
            print(f"{line}\nwatching   for {seconds:g} s; Ctrl-C ends the watching, not the version", flush=True)
        return _watch(arguments, watch, document, seconds)
    _say(arguments, document, line)
    return 0


def _watch(arguments: argparse.Namespace, watch: DeployWatch, document: dict[str, Any], seconds: float) -> int:
    """Look on, and say what came of it; with ``--or-back`` go back where that is worse than before, which is 1."""
    bundle, before = document["bundle"], document["previous"]
    try:
        now, found = watch.watch(bundle, seconds)
    except KeyboardInterrupt:
        print(f"\n{bundle} runs on, unwatched.")
        return 0
    ended = "1 message" if now.tally.ended == 1 else f"{now.tally.ended} messages"
    counted = f"{ended} ended, {now.tally.outcomes.get('errored', 0)} in an error"
    if not found:
        _say(arguments, {**document, "worse": []}, f"watched    {counted}; connections are as before.")
        return 0
    ends = f"hub rollback {before} goes back."
    if arguments.or_back:
        from hub.site.bundle import remember_base

        deploy(watch.opened, before, bundle, f"it did worse: {found[0]}"[:200], "rollback")
        remember_base(site_folder(arguments), before)
        ends = f"{before} runs again.  The files on disk are as they were."
    lines = [f"worse      {counted}", *(f"  {each}" for each in found), ends]
    _say(arguments, {**document, "deployed": not arguments.or_back, "worse": found}, "\n".join(lines))
    return 1


def _watch_seconds(arguments: argparse.Namespace) -> float:
    """For how long to watch: as asked, and a minute where a person sits before it or a rollback hangs on it."""
    if arguments.watch is not None:
        return float(arguments.watch)
    seen = sys.stdout.isatty() and not arguments.json
    return WATCH_SECONDS if seen or arguments.or_back else 0.0


def _length(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def deploy(opened: OpenedSite, bundle: str, expected: str, reason: str, kind: str) -> None:
    """Have the engine go over to *bundle*. Raises what it refuses with."""
    from hub.engine.control import ask_engine
    from hub.site.places import control_socket

    arguments = {"bundle": bundle, "expected": expected, "reason": reason, "kind": kind}
    socket_path = control_socket(opened.site)
    ask_engine(socket_path, "deploy", arguments, actor=opened.actor, timeout=DEPLOY_SECONDS)


def _errors(site: Site) -> list[Any]:
    from hub.site.check import check_site

    return [finding for finding in check_site(site) if finding.level == "error"]


def _require_samples(site: Site) -> int:
    """How many samples there are. Raises :class:`NotAsExpectedError` when one differs."""
    from hub.site import samples

    cases = [case for name in site.channels for case in samples.cases(site.folder, name)]
    differing = [case.shown for case in cases if samples.differences(site, case)]
    if differing:
        raise NotAsExpectedError(
            f"{len(differing)} of {len(cases)} samples differ, so nothing was deployed.",
            where=", ".join(differing[:5]),
            fix="`hub test` shows every difference.",
        )
    return len(cases)


def _require_ports(before: Site | None, after: Site) -> None:
    """Raise `HubError` when a port at which *after* alone listens is somebody else's."""
    from hub.site.ports import listening, refusal

    if before is None:  # what is new cannot be told
        return
    known = {one.address for one in listening(before)}
    for one in listening(after):
        if one.address not in known and (why := refusal(one.address)):
            raise HubError(f"{one.address} {why}, so nothing was deployed.", fix="Name another port.")


def _plain(parts: list[Part]) -> list[dict[str, str]]:
    return [{"name": part.name, "change": part.change} for part in parts]


def _say(arguments: argparse.Namespace, document: dict[str, Any], line: str) -> None:
    if arguments.json:
        print_json(document)
    else:
        print(line)
