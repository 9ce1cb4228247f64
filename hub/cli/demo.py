"""`hub demo`: a working practice with its EHR, clearinghouse and payers, reconciled to the cent."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react

from hub.core.errors import HubError
from hub.core.money import from_cents, shown
from hub.demo.performance import Performance, Scene
from hub.demo.reconcile import Reconciliation
from hub.demo.stage import plan_play, set_stage
from hub.demo.year import visits_of

CURTAIN_SECONDS = 6.0  # the business day begins when everybody is on stage


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--visits", type=int, help="how many visits the practice has (80; with --days up to 20 a day)")
    parser.add_argument("--days", type=int, help="play so many days of a larger practice: 8 providers, 12 payers")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other people and events (1)")
    parser.add_argument("--faults", action="store_true", help="have the partners misbehave")
    parser.add_argument("--once", action="store_true", help="end by itself: exit 0, or 1 with the differences")
    parser.add_argument("--day-seconds", type=float, help="real seconds that a business day takes")
    parser.add_argument("--store", metavar="URL", help="keep the store there instead of in an embedded one")
    parser.add_argument("--folder", type=Path, help="keep everything in this new folder")


def run(options: argparse.Namespace) -> int:
    """Play; the exit code says whether everything agreed."""
    days = options.days or 0
    if days < 0 or (options.visits is not None and options.visits < 1):
        raise HubError("A demonstration needs at least one visit.")
    if options.visits is None:
        options.visits = visits_of(days) if days else 80
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        return _play(options, options.folder)
    with tempfile.TemporaryDirectory(prefix="claimhub-demo-", ignore_cleanup_errors=True) as folder:
        return _play(options, Path(folder))


def _play(options: argparse.Namespace, folder: Path) -> int:
    outcome: dict[str, Any] = {"code": 1}
    with suppress(SystemExit):  # react() ends the process when its Deferred has fired; there is more to do
        react(_main, (options, folder, outcome))
    if (error := outcome.get("error")) is not None:
        raise error
    return int(outcome["code"])


@inlineCallbacks
def _main(reactor: Any, options: argparse.Namespace, folder: Path, outcome: dict[str, Any]) -> Any:
    play = plan_play(
        options.visits,
        options.seed,
        faults=options.faults,
        day_seconds=options.day_seconds,
        started=time.time() + CURTAIN_SECONDS,
        store=options.store or "embedded",
        days=options.days or 0,
    )
    display = _Display(quiet=options.json)
    log_file = (folder / "hub.log").open("w")
    performance = Performance(set_stage(folder), play, reactor, log_file, display.show)
    interrupted: Deferred[None] = Deferred()

    def interrupt(_signal: int, _frame: object) -> None:
        if not interrupted.called:
            reactor.callFromThread(interrupted.callback, None)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield performance.start()
        display.opened(performance)
        played = performance.until_quiet(play.longest_seconds)
        yield _first(played, interrupted)
        reconciliation = yield performance.reconciled()
        display.closed(reconciliation, as_json=options.json)
        outcome["code"] = 0 if reconciliation.ok else 1
        if not options.once and not interrupted.called:
            display.stays(performance)
            yield interrupted
    except Exception as error:
        outcome["error"] = error  # raised again outside the reactor, which would print a traceback
    finally:
        display.ending()
        yield performance.stop()
        log_file.close()


def _first(*waited: Deferred[Any]) -> Deferred[Any]:
    """Fires as the first of *waited* does."""
    either: Deferred[Any] = Deferred()

    def pass_on(result: Any) -> Any:
        if not either.called:
            either.callback(result)
            return None
        return result

    for one in waited:
        one.addBoth(pass_on)
    return either


class _Display:
    """What the terminal shows: one line that is written over, or plain lines where there is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stdout.isatty()
        self._last = ""

    def opened(self, performance: Performance) -> None:
        """The pages are there."""
        if self._quiet:
            return
        play = performance.play
        print(f"claimhub plays {play.visits} visits of {_title(performance)}, a day in {play.day_seconds:g} s.")
        print(f"\n  Pages      {performance.address}")
        if performance.login is not None:
            name, password = performance.login
            print(f"  Sign in    {name}  {password}")
        print(f"  Files      {performance.stage.site}\n", flush=True)

    def show(self, scene: Scene) -> None:
        """How far it has come."""
        line = (
            f"{scene.business_day}  visits {scene.visits}/{scene.visits_total}  messages {scene.messages}  "
            f"charges {scene.charges}  claims {scene.claims}, answered {scene.claims_answered}  "
            f"remittances {scene.remittances}  paid {shown(from_cents(scene.paid_cents))}  in queues {scene.items}"
        )
        if self._quiet or line == self._last:
            return
        if self._is_terminal:
            print(f"\r\x1b[2K{line}", end="", flush=True)
        elif line[:10] != self._last[:10]:
            print(line, flush=True)
        self._last = line

    def closed(self, reconciliation: Reconciliation, *, as_json: bool) -> None:
        """The books are compared."""
        if as_json:
            print(json.dumps(_plain(reconciliation), indent=2))
            return
        print(f"{chr(10) if self._is_terminal else ''}\nReconciliation against the simulators' own books\n")
        for check in reconciliation.checks:
            sign = "=" if check.ok else "≠"
            print(f"  {sign} {check.sentence}\n      {check.theirs}  {sign}  {check.ours}")
            for part in check.parts:
                print(f"        {part.count:>8,}  {shown(from_cents(part.cents)):>14}  {part.where}")
            for difference in check.differences:
                print(f"        {difference}")
        money = reconciliation.money
        parts = " + ".join(
            f"{name} {shown(amount)}"
            for name, amount in (
                ("contractual", money.contractual),
                ("paid", money.paid),
                ("patient", money.patient),
                ("written off", money.written_off),
                ("other", money.other),
                ("open", money.open),
            )
        )
        print(f"\n  Charged {shown(money.charged)} = {parts}")
        print(f"  Difference {shown(reconciliation.difference)}\n", flush=True)

    def stays(self, performance: Performance) -> None:
        """It keeps running."""
        if not self._quiet:
            print(f"The hub keeps running at {performance.address}. Ctrl-C stops it.", flush=True)

    def ending(self) -> None:
        """It is being stopped."""
        if not self._quiet:
            print("Stopping: listeners close, what is in hand is finished.", flush=True)


def _title(performance: Performance) -> str:
    return f"seed {performance.play.seed}{' with faults' if performance.play.faults else ''}"


def _plain(reconciliation: Reconciliation) -> dict[str, Any]:
    money = reconciliation.money
    return {
        "ok": reconciliation.ok,
        "difference": str(reconciliation.difference),
        "money": {name: str(getattr(money, name)) for name in type(money).__dataclass_fields__},
        "checks": [
            {
                "sentence": check.sentence,
                "theirs": check.theirs,
                "ours": check.ours,
                "ok": check.ok,
                "differences": list(check.differences),
                **(
                    {
                        "parts": [
                            {"where": part.where, "count": part.count, "amount": f"{from_cents(part.cents):f}"}
                            for part in check.parts
                        ]
                    }
                    if check.parts
                    else {}
                ),
            }
            for check in reconciliation.checks
        ],
    }
