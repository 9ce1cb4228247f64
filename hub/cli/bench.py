"""``hub bench``: how many messages per second the durable path carries on this machine, and what they wait.

With ``--remittance`` how fast a large 835 is posted instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json

if TYPE_CHECKING:
    from hub.bench.measure import Figures

CONNECTIONS = (1, 8, 32)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("path", "claims"),
        default="path",
        help="the durable path, or claims (default: path)",
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
    parser.add_argument("--kill", action="store_true", help="with --remittance: kill every process twice meanwhile")
    parser.add_argument("--folder", type=Path, help="keep site, stores and log in this new folder")


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0 when every message arrived."""
    if arguments.remittance is not None and arguments.remittance < 1:
        raise UsageError("A remittance has at least one claim.")
    if arguments.what == "claims":
        return _claims(arguments)
    connections = tuple(arguments.connections or CONNECTIONS)
    if min(connections) < 1 or max(connections) > 128:
        raise UsageError("A benchmark has 1 to 128 connections.")
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True)
        return _measure(arguments, connections, arguments.folder)
    with tempfile.TemporaryDirectory(prefix="claimhub-bench-", ignore_cleanup_errors=True) as folder:
        return _measure(arguments, connections, Path(folder))


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


def _measure(arguments: argparse.Namespace, connections: tuple[int, ...], folder: Path) -> int:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from twisted.internet.task import react
    from twisted.python.failure import Failure

    from hub.bench.bench import benchmark
    from hub.bench.measure import QUICK, THOROUGH

    if arguments.remittance is not None:
        return _measure_remittance(arguments, folder)
    figures: list[Figures] = []
    errors: list[BaseException] = []
    # To standard error, so that the figures can be piped; drawn seldom, because drawing costs, too.
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=2,
        transient=True,
    )
    task = progress.add_task("starting", total=None)

    def show(what: str) -> None:
        progress.update(task, description=what)

    def failed(failure: Failure) -> None:
        assert failure.value is not None
        errors.append(failure.value)

    def main(reactor: Any) -> Any:
        windows = THOROUGH if arguments.thorough else QUICK
        done = benchmark(reactor, folder, connections, windows, show, figures.append)
        return done.addErrback(failed)

    with progress, suppress(SystemExit):  # react() ends the process when its Deferred has fired
        react(main)
    if errors:
        raise errors[0]
    if arguments.json:
        print_json([dataclasses.asdict(one) for one in figures])
    else:
        _print_table(figures)
    return 0


def _measure_remittance(arguments: argparse.Namespace, folder: Path) -> int:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from hub.bench.posting import measure

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        posted = measure(
            folder,
            arguments.remittance,
            lambda what: progress.update(task, description=what),
            kill=arguments.kill,
        )
    if arguments.json:
        print_json(dataclasses.asdict(posted))
        return 0
    print(f"{posted.claims:,} claims, {posted.file_mb} MB: posted to the cent")
    print(f"{posted.lines_per_s:,.0f} lines/s (read {posted.read_seconds:,.0f} s, posted {posted.post_seconds:,.0f} s)")
    print(f"largest process {posted.largest_process_mb:,.0f} MB, all {posted.all_processes_mb:,.0f} MB")
    if posted.killed:
        print(f"every process killed {posted.killed} times meanwhile")
    return 0


def _print_table(figures: list[Figures]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("connections", box=None, pad_edge=False)
    for title in ("acked/s", "delivered/s", "ack p50", "ack p99", "memory", "bare acked/s", "ratio"):
        table.add_column(title, justify="right")
    for one in figures:
        table.add_row(
            str(one.connections),
            f"{one.acked_per_s:,.0f}",
            f"{one.delivered_per_s:,.0f}",
            f"{one.ack_p50_ms:.1f} ms",
            f"{one.ack_p99_ms:.1f} ms",
            f"{one.rss_mb:.0f} MB",
            f"{one.bare_acked_per_s:,.0f}",
            f"{one.ratio:.2f}",
        )
    Console().print(table)
