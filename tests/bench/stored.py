"""What a store that is full costs: ``python -m tests.bench.stored [COUNT] [--connections N] [--rounds N]``.

Measures the durable path as `hub bench` does, in turn over an empty store and over one with COUNT
messages that are done. Nothing of it is a test; `docs/benchmarks.md` keeps the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, gatherResults, inlineCallbacks
from twisted.internet.task import react

from hub.bench.bench import benchmark
from hub.bench.measure import QUICK, Figures
from hub.core.vault import open_vault
from hub.site.load import load_site
from hub.site.places import key_file, store_url
from hub.store.database import open_store
from hub.store.schema import upgrade
from tests.bench.fill import fill


def fill_site(folder: Path, count: int) -> None:
    """Put *count* messages into the store of the site at *folder*, and make it first."""
    site = load_site(folder).require_sound()
    store = open_store(store_url(site))
    upgrade(store)
    database = Path(str(store.url.database))
    store.dispose()
    fill(database, open_vault(key_file(site)), count, _say)


@inlineCallbacks
def _measure(reactor: Any, count: int, connections: int, rounds: int) -> Any:
    """Both stores' hubs are up at once and are measured in turn: what else the machine does meets both alike."""
    turns: Any = DeferredLock()
    figures: dict[int, list[Figures]] = {count: [], 0: []}

    def measure(stored: int, folder: Path) -> Deferred[Any]:
        folder.mkdir()

        def prepare(site: Path) -> None:
            if stored:
                fill_site(site, stored)

        def measured(found: Figures) -> None:
            figures[stored].append(found)
            _say(f"{stored:,} stored: {found}")
            turns.release()

        numbers = [connections] * rounds
        return benchmark(reactor, folder, numbers, QUICK, lambda _: None, measured, prepare, turns.acquire)

    with tempfile.TemporaryDirectory(prefix="hub-stored-", ignore_cleanup_errors=True) as folder:
        yield gatherResults([measure(stored, Path(folder) / f"{stored}") for stored in figures], consumeErrors=True)
    for name in ("acked_per_s", "delivered_per_s"):
        full, empty = ([getattr(one, name) for one in figures[stored]] for stored in (count, 0))
        each = ", ".join(f"{one / other:.2f}" for one, other in zip(full, empty, strict=True))
        _say(f"{name}: {sum(full) / sum(empty):.2f} of what the empty store carries ({each})")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    react(_measure, (options.count, options.connections, options.rounds))


if __name__ == "__main__":
    main()
