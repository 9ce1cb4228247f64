"""``hub bench``: how many messages per second the durable path carries on this machine, and what they wait.

With ``--remittance`` how fast a large 835 is posted instead; ``start``: from ``hub run`` to the first answer;
``loaded``: what senders wait while a large 835 is posted, a mapping never ends and pages are browsed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json

if TYPE_CHECKING:
    from hub.bench.backlog import Backlog
    from hub.bench.loaded import Waits
    from hub.bench.measure import Figures

CONNECTIONS = (1, 8, 32)
STARTS = 5
LOADED_RATE = 100.0
"""Messages per second that are offered while there is much else to do: a busy practice's day in an hour."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("path", "claims", "start", "loaded", "backlog"),
        default="path",
        help="the durable path; claims; the start; the path with much else to do, or with a dead destination",
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", metavar="N", help="claims: how many workers (1 and one a core)"
    )
    parser.add_argument("--thorough", action="store_true", help="windows of 60 s instead of 9 s")
    parser.add_argument(
        "--connections", type=int, nargs="+", metavar="N", help="how many senders, one or several numbers (1 8 32)"
    )
    parser.add_argument(
        "--remittance", type=int, metavar="CLAIMS", help="post an 835 of so many claims instead of sending messages"
    )
    parser.add_argument("--messages", type=int, metavar="N", help="backlog: how many messages wait (20000)")
    parser.add_argument("--kill", action="store_true", help="with --remittance: kill every process twice meanwhile")
    parser.add_argument("--folder", type=Path, help="keep site, stores and log in this new folder")


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0 when every message arrived."""
    if arguments.remittance is not None and arguments.remittance < 1:
        raise UsageError("A remittance has at least one claim.")
    if arguments.connections and not 1 <= min(arguments.connections) <= max(arguments.connections) <= 128:
        raise UsageError("A benchmark has 1 to 128 connections.")
    if arguments.what == "claims":
        return _claims(arguments)
    measure = {"path": _path, "start": _start, "loaded": _loaded, "backlog": _backlog}[arguments.what]
    if arguments.what == "path" and arguments.remittance is not None:
        measure = _remittance
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True)
        return measure(arguments, arguments.folder)
    with tempfile.TemporaryDirectory(prefix="claimhub-bench-", ignore_cleanup_errors=True) as folder:
        return measure(arguments, Path(folder))


def _claims(arguments: argparse.Namespace) -> int:
    """Measure building, scrubbing, writing and judging claims."""
    from hub.bench.claims import measure_claims

    workers = arguments.workers or sorted({1, os.cpu_count() or 1})
    if min(workers) < 1 or max(workers) > 64:
        raise UsageError("A benchmark has 1 to 64 workers.")
    figures = [measure_claims(number, 20 if arguments.thorough else 5) for number in workers]
    if arguments.json:
        print_json(
            [
                {**dataclasses.asdict(one), "per_second": one.per_second, "judge_share": one.judge_share}
                for one in figures
            ]
        )
        return 0
    from hub.cli.text import columns

    rows = [
        (
            str(one.workers),
            f"{one.per_second:,.0f}",
            *(f"{1000 * took / one.claims:.2f} ms" for took in (one.built, one.scrubbed, one.written, one.judged)),
            f"{one.judge_share:.0%}",
        )
        for one in figures
    ]
    print(columns(("WORKERS", "CLAIMS/S", "BUILD", "SCRUB", "WRITE", "JUDGE", "SHARE"), rows))
    return 0


def _path(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure the durable path for each number of connections."""
    from hub.bench.bench import benchmark
    from hub.bench.measure import QUICK, THOROUGH

    figures: list[Figures] = []
    windows = THOROUGH if arguments.thorough else QUICK
    connections = arguments.connections or CONNECTIONS
    with _progress() as show:
        _on_the_reactor(lambda reactor: benchmark(reactor, folder, connections, windows, show, figures.append))
    if arguments.json:
        print_json([dataclasses.asdict(one) for one in figures])
    else:
        _print_table(figures)
    return 0


def _start(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure from ``hub run`` to the first answer."""
    from statistics import median

    from hub.bench.start import first_answers

    with _progress() as show:
        seconds = first_answers(folder, STARTS, show)
    if arguments.json:
        print_json({"start_to_first_ack_s": [round(one, 2) for one in seconds]})
    else:
        print(f"first answer {median(seconds):.2f} s after `hub run` ({min(seconds):.2f} to {max(seconds):.2f} s)")
    return 0


def _loaded(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure what senders wait, idle and loaded."""
    from hub.bench.loaded import benchmark_loaded
    from hub.cli.text import columns

    found: list[list[Waits]] = []
    claims = arguments.remittance or (100_000 if arguments.thorough else 20_000)
    seconds = 60.0 if arguments.thorough else 20.0
    with _progress() as show:
        _on_the_reactor(
            lambda reactor: benchmark_loaded(reactor, folder, claims, LOADED_RATE, seconds, show).addCallback(
                found.append
            )
        )
    [waits] = found
    if arguments.json:
        print_json([dataclasses.asdict(one) for one in waits])
        return 0
    rows = [
        (one.state, f"{one.answers:,}", f"{one.ack_p50_ms:.1f} ms", f"{one.ack_p99_ms:.1f} ms", f"{one.pages}")
        for one in waits
    ]
    print(f"{LOADED_RATE:.0f} messages per second offered; an 835 of {claims:,} claims posting")
    print(columns(("", "ANSWERS", "ACK P50", "ACK P99", "PAGES"), rows))
    return 0


def _backlog(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure a destination that is dead, and its return."""
    from hub.bench.backlog import benchmark_backlog

    found: list[Backlog] = []
    count = arguments.messages or (500_000 if arguments.thorough else 20_000)
    with _progress() as show:
        _on_the_reactor(lambda reactor: benchmark_backlog(reactor, folder, count, show).addCallback(found.append))
    [one] = found
    if arguments.json:
        print_json(dataclasses.asdict(one))
        return 0
    print(f"{one.messages:,} messages waited for a dead destination; engine {one.rss_mb:.0f} MB at most")
    print(f"the oldest for {one.oldest_s:,.0f} s: {one.reason}")
    print(
        f"acked {one.acked_per_s:,.0f}/s; p99 {one.first_p99_ms} ms in the first tenth, {one.last_p99_ms} ms at the end"
    )
    print(f"tried again {one.retried_s:.0f} s after its return: {one.drained_per_s:,.0f}/s, each patient's in order")
    return 0


def _on_the_reactor(work: Callable[[Any], Any]) -> None:
    """Run the reactor until the Deferred of *work* has fired. Raises what it failed with."""
    from twisted.internet.task import react
    from twisted.python.failure import Failure

    errors: list[BaseException] = []

    def failed(failure: Failure) -> None:
        assert failure.value is not None
        errors.append(failure.value)

    with suppress(SystemExit):  # react() ends the process when its Deferred has fired
        react(lambda reactor: work(reactor).addErrback(failed))
    if errors:
        raise errors[0]


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done.

    To standard error, so that the figures can be piped; drawn seldom, because drawing costs, too.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda what: progress.update(task, description=what)


def _remittance(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure the posting of a remittance."""
    from hub.bench.posting import measure

    with _progress() as show:
        posted = measure(folder, arguments.remittance, show, kill=arguments.kill)
    if arguments.json:
        print_json(dataclasses.asdict(posted))
        return 0
    print(f"{posted.claims:,} claims, {posted.file_mb} MB: posted to the cent")
    print(f"{posted.lines_per_s:,.0f} lines/s (read {posted.read_seconds:,.0f} s, posted {posted.post_seconds:,.0f} s)")
    print(f"largest process {posted.largest_process_mb:,.0f} MB, all {posted.all_processes_mb:,.0f} MB")
    print(
        f"{posted.answered:,} messages answered meanwhile: p50 {posted.ack_p50_ms:g} ms, p99 {posted.ack_p99_ms:g} ms"
        f" (before: {posted.idle_p50_ms:g}, {posted.idle_p99_ms:g})"
    )
    if posted.killed:
        print(f"every process killed {posted.killed} times meanwhile")
    return 0


def _print_table(figures: list[Figures]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("connections", box=None, pad_edge=False)
    for title in ("acked/s", "ack p50", "p99", "delivered/s", "p99", "memory", "bare acked/s", "ratio", "cpu/message"):
        table.add_column(title, justify="right")
    for one in figures:
        table.add_row(
            str(one.connections),
            f"{one.acked_per_s:,.0f}",
            f"{one.ack_p50_ms:.1f} ms",
            f"{one.ack_p99_ms:.1f} ms",
            f"{one.delivered_per_s:,.0f}",
            f"{one.rate_p99_ms:.1f} ms",
            f"{one.rss_mb:.0f} MB",
            f"{one.bare_acked_per_s:,.0f}",
            f"{one.ratio:.2f}",
            f"{one.engine_cpu_us:.0f} + {one.workers_cpu_us:.0f} µs",
        )
    Console().print(table)
