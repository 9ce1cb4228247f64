"""What a store that is full costs: ``python -m tests.bench.stored [COUNT] [--connections N]``.

Measures the durable path as `hub bench` does, first over an empty store, then over one with COUNT
messages that are done. Nothing of it is a test; `docs/benchmarks.md` keeps the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import inlineCallbacks
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
def _measure(reactor: Any, count: int, connections: int) -> Any:
    for stored in (0, count):
        with tempfile.TemporaryDirectory(prefix="hub-stored-", ignore_cleanup_errors=True) as folder:

            def prepare(site: Path, stored: int = stored) -> None:
                if stored:
                    fill_site(site, stored)

            def measured(figures: Figures, stored: int = stored) -> None:
                _say(f"{stored:,} stored: {figures}")

            yield benchmark(reactor, Path(folder), [connections], QUICK, lambda _: None, measured, prepare)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2_000_000)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    react(_measure, (options.count, options.connections))


if __name__ == "__main__":
    main()
