"""The engine process of a site: ``python -m hub.site.running --site DIR``. `hub run` starts and watches it."""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import LoopingCall, react

from hub.billing.batches import initial_work
from hub.connectors import connectors
from hub.core.cores import stay_on_one_core
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.parent import stop_with_parent
from hub.core.secret import site_secrets
from hub.core.twisted_log import watch_twisted
from hub.core.twisted_time import live_by_monotonic_time
from hub.core.vault import Vault, open_vault
from hub.engine.control import ControlFactory
from hub.engine.engine import HubEngine, highest_id
from hub.engine.swap import DeployError, Deployment, Prepared
from hub.engine.workers import WorkerPool, WorkerPools
from hub.security.audit import add_checkpoint
from hub.security.writes import WRITES
from hub.site.bundle import bundle_folder, make_current, read_bundle
from hub.site.deployments import record
from hub.site.load import Site, load_running
from hub.site.lock import lock_site
from hub.site.places import control_socket, key_file, store_url
from hub.site.plans import site_plan
from hub.store.database import StoreAwayError, open_store, reading
from hub.store.reseal import reseal
from hub.store.retention import Retention
from hub.store.schema import make_ready

CHECKPOINT_SECONDS = 3600.0
"""How often the head of the audit log is signed; also at the start and at the end."""
SWITCH_SECONDS = 0.0005
"""How long the reactor or the journal may keep the interpreter while the other waits for it.

Every statement of the journal lets go of it; with Python's own 5 ms both threads would wait in turn.
"""


COLLECT = (20_000, 20, 20)
"""How many new objects call for a collection: the engine makes few cycles, and hundreds of objects for each message."""
AGAIN = 3
"""The exit code that says: start me again, the store may be back by then."""


def main() -> None:
    """Run the engine until it is told to stop, or until the store fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for `hub run`, which ends us in order
    parser = argparse.ArgumentParser(description="The engine process of a site.")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--at-word", action="store_true", help="wait until standard input says a byte")
    arguments = parser.parse_args()
    connectors()
    gc.collect()
    gc.freeze()  # what is here now stays: no collection need look at it again
    if arguments.at_word and not os.read(0, 1):
        return
    log = Log(part="engine")
    sys.setswitchinterval(SWITCH_SECONDS)
    cores = stay_on_one_core()
    stop_with_parent()
    watch_twisted(log)
    try:
        site = load_running(arguments.site).require_sound()
        lock = lock_site(site.home)
    except HubError as error:
        log.failure("engine.refused", error)
        sys.exit(1)
    with lock:
        react(_run, (site, log, cores))


@inlineCallbacks
def _run(reactor: Any, site: Site, log: Log, cores: Collection[int]) -> Any:
    live_by_monotonic_time(reactor)
    store = open_store(store_url(site))
    try:
        make_ready(store)
        floor = _floor(store)
    except StoreAwayError as error:
        log.failure("store.away", error)
        os._exit(AGAIN)
    except HubError as error:
        log.failure("engine.refused", error)
        os._exit(1)
    ended: Deferred[None] = Deferred()

    def store_failed(error: BaseException) -> None:
        log.failure("store.failed", error)
        workers.kill()
        os._exit(AGAIN)  # an orderly stop would wait for the store

    ids = IdMaker(floor=floor)
    vault = open_vault(key_file(site))
    host = _Host(reactor, ids, log, cores)
    workers = _workers(host, site)
    engine = HubEngine(
        site_plan(site),
        store=store,
        vault=vault,
        clock=site.clock,
        secrets=site_secrets(site.var),
        workers=workers,
        ids=ids,
        var=site.var,
        log=log,
        reactor=reactor,
        writes={**WRITES, "reseal": partial(_reseal, vault), "audit_checkpoint": partial(_checkpoint, vault)},
        first_work=_first_work(site),
        on_failure=store_failed,
        retention=_retention(site),
        prepare=partial(_prepare, host, site),
        record=partial(_record, site.home),
        owner=_node_name(site.home),
    )
    try:
        yield engine.start()
    except HubError as error:
        log.failure("engine.refused", error)
        workers.kill()
        os._exit(1)
    port = _serve_control(reactor, site, engine, log)
    gc.freeze()
    gc.set_threshold(*COLLECT)
    signing = LoopingCall(_sign, engine, log)
    signing.clock = reactor
    signing.start(CHECKPOINT_SECONDS)
    reactor.addSystemEventTrigger("before", "shutdown", _stop, engine, port, signing, log)
    yield ended


@inlineCallbacks
def _stop(engine: HubEngine, port: Any, signing: LoopingCall, log: Log) -> Any:
    yield port.stopListening()
    signing.stop()
    yield _sign(engine, log)
    yield engine.stop()


@inlineCallbacks
def _sign(engine: HubEngine, log: Log) -> Any:
    """Have the head of the audit log signed; the next time does what this one could not."""
    try:
        yield engine.commands()["write"]({"name": "audit_checkpoint", "args": {}}, "hub")
    except HubError as error:
        log.failure("audit.checkpoint failed", error)


def _node_name(home: Path) -> str:
    """What this node is called in its store: the same whenever it is started, at most 64 characters."""
    name = f"{socket.gethostname()}:{home}"
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return name if len(name) <= 64 else f"{name[:51]}~{digest}"


def _floor(store: Engine) -> int:
    with reading(store) as connection:
        return highest_id(connection)


def _reseal(vault: Vault, connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Seal a slice of a table anew. *args*: table, after, key_id (the newest that whoever asks knows)."""
    if args["key_id"] not in vault.key_ids:
        vault.refresh()
    done = reseal(connection, vault, args["table"], args["after"])
    return {"resealed": done.resealed, "after": done.after}


def _checkpoint(vault: Vault, connection: Connection, _args: dict[str, Any]) -> dict[str, Any]:
    """Sign the head of the audit log; the checkpoint as a line, empty when the newest record is signed already."""
    made = add_checkpoint(connection, vault.signing_key("audit"))
    return {"checkpoint": str(made) if made else ""}


def _retention(site: Site) -> Retention:
    assert site.settings is not None
    kept = site.settings.retention
    return Retention(
        done_ms=int(kept.done * 1000),
        filtered_ms=int(kept.filtered * 1000),
        rejected_ms=int(kept.rejected * 1000),
        evidence_ms=int(kept.evidence * 1000),
        metadata_ms=int(kept.metadata * 1000),
    )


def _first_work(site: Site) -> list[dict[str, Any]]:
    assert site.billing is not None
    return initial_work(site.billing)


@dataclass(frozen=True, slots=True)
class _Host:
    """What worker processes are started with, whatever they run."""

    reactor: Any
    ids: IdMaker
    log: Log
    cores: Collection[int]

    def pool(self, name: str, size: int, site: Site) -> WorkerPool:
        """A pool of *size* processes of *site*'s version."""
        command = [sys.executable, "-m", "hub.site.worker", "--site", str(site.home), "--bundle", site.bundle]
        command += ["--pool", name]
        return WorkerPool(name, size, command, self.reactor, self.ids, self.log, self.cores)


def _workers(host: _Host, site: Site) -> WorkerPools:
    assert site.settings is not None
    transfer = host.pool("transfer", site.settings.workers.transfer, site)
    return WorkerPools({**_thinking_workers(host, site), "transfer": transfer})


def _thinking_workers(host: _Host, site: Site) -> dict[str, WorkerPool]:
    """The pools whose work depends on the version of the site."""
    assert site.settings is not None
    sizes = (("mapping", site.settings.workers.mapping), ("billing", site.settings.workers.billing))
    return {pool: host.pool(pool, size, site) for pool, size in sizes}


def _prepare(host: _Host, running: Site, name: str) -> Prepared:
    """The bundle *name*, ready to take the place of *running*. Raises `HubError` when it cannot run here."""
    site = load_running(running.home, name).require_sound()
    if site.bundle != name:
        raise DeployError("The files of this version were changed after it was made.", found=site.bundle)
    assert site.settings is not None
    assert running.settings is not None
    for part in ("environment", "store", "clock", "web", "retention"):
        if getattr(site.settings, part) != getattr(running.settings, part):
            raise DeployError(
                f"{part} in config/hub.toml is another one.",
                where="config/hub.toml",
                fix="That takes a restart: stop the hub and start it with `hub run`.",
            )
    if (site.organisation, site.zone) != (running.organisation, running.zone):
        raise DeployError(
            "The practice's organisation or time zone is another one.",
            where="config/practice.toml",
            fix="That takes a restart: stop the hub and start it with `hub run`.",
        )
    return Prepared(site_plan(site), _thinking_workers(host, site), _first_work(site))


def _record(home: Path, connection: Connection, deployment: Deployment) -> None:
    """Write a deployment down, and have the processes that are started from now on begin with it."""
    record(connection, read_bundle(bundle_folder(home, deployment.bundle)), deployment)
    make_current(home, deployment.bundle)


def _serve_control(reactor: Any, site: Site, engine: HubEngine, log: Log) -> Any:
    path = control_socket(site)
    path.unlink(missing_ok=True)
    return reactor.listenUNIX(str(path), ControlFactory(engine.commands(), log), mode=0o600)


if __name__ == "__main__":
    main()
