"""The engine process of a site: ``python -m hub.site.running --site DIR``. `hub run` starts and watches it."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react

from hub.billing.batches import initial_work
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.parent import stop_with_parent
from hub.core.secret import site_secrets
from hub.core.twisted_log import watch_twisted
from hub.core.vault import open_vault
from hub.engine.control import ControlFactory
from hub.engine.engine import HubEngine, highest_id
from hub.engine.workers import WorkerPool, WorkerPools
from hub.security.writes import WRITES
from hub.site.load import Site, load_site
from hub.site.places import control_socket, key_file, store_url
from hub.site.plans import site_plan
from hub.store.database import open_store, reading
from hub.store.schema import upgrade


class AlreadyRunningError(HubError):
    """Another engine works on this site."""

    code = "H601"


def main() -> None:
    """Run the engine until it is told to stop; exit 3 when the store failed, so that it is started again."""
    parser = argparse.ArgumentParser(description="The engine process of a site.")
    parser.add_argument("--site", type=Path, required=True)
    arguments = parser.parse_args()
    log = Log(part="engine")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for `hub run`, which ends us in order
    stop_with_parent()
    watch_twisted(log)
    try:
        site = load_site(arguments.site).require_sound()
        lock = _lock(site)
    except HubError as error:
        log.failure("engine.refused", error)
        sys.exit(1)
    with lock:
        react(_run, (site, log))


def _lock(site: Site) -> TextIO:
    """The site's lock, held until the process ends: one node per store until many nodes work together."""
    site.var.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (site.var / "engine.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise AlreadyRunningError(
            "Another hub is running this site.", where=str(site.folder), fix="Stop it first, or run another site."
        ) from None
    return file


@inlineCallbacks
def _run(reactor: Any, site: Site, log: Log) -> Any:
    store = open_store(store_url(site))
    upgrade(store)
    ended: Deferred[None] = Deferred()

    def store_failed(error: BaseException) -> None:
        log.failure("store.failed", error)
        workers.kill()
        os._exit(3)  # an orderly stop would wait for the store

    ids = IdMaker(floor=_floor(store))
    workers = _workers(reactor, site, ids, log)
    engine = HubEngine(
        site_plan(site),
        store=store,
        vault=open_vault(key_file(site)),
        clock=site.clock,
        secrets=site_secrets(site.var),
        workers=workers,
        ids=ids,
        var=site.var,
        log=log,
        reactor=reactor,
        writes=WRITES,
        first_work=_first_work(site),
        on_failure=store_failed,
    )
    try:
        yield engine.start()
    except HubError as error:
        log.failure("engine.refused", error)
        workers.kill()
        os._exit(1)
    port = _serve_control(reactor, site, engine, log)
    reactor.addSystemEventTrigger("before", "shutdown", _stop, engine, port)
    yield ended


@inlineCallbacks
def _stop(engine: HubEngine, port: Any) -> Any:
    yield port.stopListening()
    yield engine.stop()


def _floor(store: Engine) -> int:
    with reading(store) as connection:
        return highest_id(connection)


def _first_work(site: Site) -> list[dict[str, Any]]:
    assert site.billing is not None
    return initial_work(site.billing)


def _workers(reactor: Any, site: Site, ids: IdMaker, log: Log) -> WorkerPools:
    assert site.settings is not None
    sizes = site.settings.workers
    command = [sys.executable, "-m", "hub.site.worker", "--site", str(site.folder), "--pool"]
    return WorkerPools(
        {
            pool: WorkerPool(pool, size, [*command, pool], reactor, ids, log)
            for pool, size in (
                ("mapping", sizes.mapping),
                ("billing", sizes.billing),
                ("transfer", sizes.transfer),
            )
        }
    )


def _serve_control(reactor: Any, site: Site, engine: HubEngine, log: Log) -> Any:
    path = control_socket(site)
    path.unlink(missing_ok=True)
    return reactor.listenUNIX(str(path), ControlFactory(engine.commands(), log), mode=0o600)


if __name__ == "__main__":
    main()
