"""A worker process of a site: ``python -m hub.site.worker --site DIR --pool mapping|billing|transfer``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from hub.core.log import Log
from hub.core.secret import site_secrets
from hub.core.vault import open_vault
from hub.engine.contracts import Task, WorkerSite
from hub.engine.worker_loop import limit_memory, serve
from hub.site.load import Site, load_running, map_messages
from hub.site.places import key_file, store_url
from hub.site.purity import lock_down
from hub.site.traced import trace_messages
from hub.store.database import open_store

MEMORY = 2 << 30
NICE = 5
"""A script that is busy shall delay no acknowledgement."""


def main() -> None:
    """Serve the tasks of one pool until the engine closes our input."""
    parser = argparse.ArgumentParser(description="A worker process of the hub.")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--bundle", default="", help="the version to load; the current one when not given")
    parser.add_argument("--pool", choices=("mapping", "billing", "transfer"), required=True)
    arguments = parser.parse_args()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle; it ends us in order
    limit_memory(MEMORY)
    try:
        _serve(arguments.site, arguments.bundle, arguments.pool)
    except Exception as error:
        Log(part="worker", pool=arguments.pool).failure("worker.failed", error)
        sys.exit(1)


def _serve(home: Path, bundle: str, pool: str) -> None:
    site = load_running(home, bundle).require_sound()
    assert site.settings is not None
    worker_site = WorkerSite(
        folder=site.home,
        var=site.var,
        secrets=site_secrets(site.var),
        vault=open_vault(key_file(site)),
        clock=site.clock,
        store=open_store(store_url(site)),
    )
    lock = partial(lock_down, site.folder / "transforms") if pool == "mapping" else None
    serve(_tasks(site, pool), worker_site, lock)


def _tasks(site: Site, pool: str) -> dict[str, Task]:
    if pool == "mapping":
        return {"map": map_messages(site), "trace": trace_messages(site.channels, site.scripts, site.zone)}
    if pool == "billing":
        from hub.billing.decide import decide
        from hub.site.rules import rule_functions

        assert site.billing is not None
        billing = replace(site.billing, checks=rule_functions(site.billing, site.scripts))
        return {"billing.decide": partial(decide, billing)}
    from hub.connectors import connectors

    return {name: task for connector in connectors().values() for name, task in (connector.tasks or {}).items()}


if __name__ == "__main__":
    main()
