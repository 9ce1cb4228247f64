"""``hub run``: checks a site, makes its store ready, and keeps its processes running until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from hub.cli.common import print_findings, print_json, site_argument, site_folder
from hub.cli.text import printable
from hub.core.errors import HubError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from twisted.internet.defer import Deferred

    from hub.site.load import Site
    from hub.site.supervisor import Supervisor
    from hub.web.watch import Watching

DRAIN_SECONDS = 60.0
"""How long the engine may take to end what is in hand."""
PAGES_SECONDS = 15.0
WATCH_LATER_SECONDS = 3.0
_POLL_SECONDS = 0.1
_LAST_LINES_SECONDS = 2.0
_INTERRUPTED = 130


class PortTakenError(HubError):
    """Another program listens where the pages should be."""

    code = "H652"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument(
        "--as-deployed", action="store_true", help="start the version that ran last, whatever the files say now"
    )
    parser.add_argument("--no-web", action="store_true", help="without the pages")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop: 0 when that was in order, 1 when the site or the engine refused."""
    folder = site_folder(arguments)
    how = _How(web=not arguments.no_web, as_deployed=arguments.as_deployed, as_json=arguments.json)
    started = _Run(folder, how)  # first of all: while the site is checked here, the engine reads its code
    from hub.site.check import check_site
    from hub.site.load import load_running, load_site
    from hub.site.lock import lock_run

    site = load_running(folder) if arguments.as_deployed else load_site(folder)
    findings = [finding for finding in check_site(site) if finding.level == "error"]
    if findings:
        if arguments.json:
            print_json({"ok": False, "findings": [finding.plain() for finding in findings]})
        else:
            print_findings(findings)
            print("\nThe hub was not started.  `hub check` shows everything.", file=sys.stderr)
        return 1
    _refuse_second(site)
    held = lock_run(site.home)
    if not arguments.no_web:
        _require_free_port(site)
    with held:
        return started.go(site, prepare(site))


def prepare(site: Site) -> tuple[str, str] | None:
    """Bring the store to this version's schema and make its key file and first user where there are none.

    Returns the name and password of the user that was made, None when there was one already. Raises `VaultError` when
    a store that holds something has lost its keys, `NewerSchemaError` for one of a later version, and
    `OlderSchemaError` for a server's database of an earlier one. An embedded store is copied before it is upgraded.
    """
    from hub.core.vault import open_vault
    from hub.security.users import ensure_first_user
    from hub.site.places import key_file, store_url
    from hub.site.upgrading import bring_up_to_date
    from hub.store.database import open_store

    site.var.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = bring_up_to_date(site)
    if copy is not None:
        print(f"The store was brought to this version's schema. As it was it stands in {copy}.", file=sys.stderr)
    store = open_store(store_url(site))
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        if not key_file(site).exists():
            _create_keys(site, connection)
        open_vault(key_file(site))
        made = ensure_first_user(connection)
    store.dispose()
    return made


def _create_keys(site: Site, connection: Connection) -> None:
    """Make the key file of a store that holds nothing; one that holds something needs the keys that it had."""
    from hub.core.vault import create_key_file
    from hub.engine.engine import highest_id
    from hub.site.places import key_file

    if not highest_id(connection):
        create_key_file(key_file(site))


def _refuse_second(site: Site) -> None:
    from hub.engine.control import EngineAwayError, ask_engine
    from hub.site.lock import AlreadyRunningError
    from hub.site.places import control_socket

    with suppress(EngineAwayError):
        ask_engine(control_socket(site), "status", {}, actor="hub run", timeout=5.0)
        raise AlreadyRunningError("Another hub is running this site.", where=str(site.home), fix="Stop it first.")


def _require_free_port(site: Site) -> None:
    """Raise :class:`PortTakenError` when the pages' port is somebody else's: starting again would not help."""
    host, port = _pages(site)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortTakenError(
                f"Port {port} is taken, so the pages cannot be shown there.",
                where="config/hub.toml, [web] listen",
                fix="End the program that has it, or name another port.",
            ) from None


@dataclass(frozen=True, slots=True)
class _How:
    """What was asked for on the command line."""

    web: bool
    as_deployed: bool
    as_json: bool


class _Run:
    """One run of the processes of the site at *folder* on the reactor. The engine's begins at once."""

    _site: Site
    _first_user: tuple[str, str] | None

    def __init__(self, folder: Path, how: _How) -> None:
        from twisted.internet import reactor

        from hub.core.log import Log
        from hub.core.twisted_time import live_by_monotonic_time
        from hub.site.supervisor import Supervisor

        self._reactor: Any = reactor
        live_by_monotonic_time(reactor)
        self._how = how
        out, self._log_end = os.pipe()
        self._relaying = threading.Thread(target=self._relay, args=(os.fdopen(out, "rb"),), daemon=True)
        self._supervisor: Supervisor = Supervisor(folder, reactor, Log(part="supervisor"), self._log_end)
        self._watching: Watching | None = None
        self._refusal = ""
        self._signals = 0
        self._exit_code = 0
        self._over = False
        self._supervisor.warm_up()

    def go(self, site: Site, first_user: tuple[str, str] | None) -> int:
        """Start *site*, wait, drain; the exit code. Whoever reads the log is told of *first_user*."""
        self._site = site
        self._first_user = first_user
        self._relaying.start()
        self._reactor.callWhenRunning(self._start)
        self._reactor.run()
        os.close(self._log_end)
        self._relaying.join(_LAST_LINES_SECONDS)
        if self._exit_code == 1:
            print(self._refusal or "The engine did not start; its log says why.", file=sys.stderr)
        return self._exit_code

    def _start(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # in place of the reactor's, which would not wait
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._told_to_stop))
        if self._first_user is not None:
            self._tell_first_user(*self._first_user)
        self._supervisor.gave_up.addCallback(lambda _: self._refused())
        self._supervisor.start(web=self._how.web, as_deployed=self._how.as_deployed)
        self._reactor.callLater(WATCH_LATER_SECONDS, self._watch)
        self._ask()

    def _watch(self) -> None:
        """Begin to look after alerts: later, because that takes much code to be read, and the engine comes first."""
        from hub.core.log import Log
        from hub.web.watch import Watching

        if not self._over and not self._signals:
            self._watching = Watching(self._site.home, Log(part="alerts"))
            self._watching.start()

    def _tell_first_user(self, name: str, password: str) -> None:
        """Show the password on a terminal; what is no terminal may be a log, where no password belongs."""
        if sys.stdout.isatty():
            print(f"First user: {name}   password, shown this once: {password}", flush=True)
            return
        file = self._site.var / "first_user"
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(f"{name}\n{password}\n")
        self._say({"event": "first user", "file": str(file)}, [f"First user: read {file}, then delete it."])

    def _relay(self, lines: IO[bytes]) -> None:
        """The processes' log goes on to standard error; why the engine refused is kept to be said last."""
        for line in lines:
            event = _event(line)
            if event.get("event") == "engine.refused":
                self._refusal = _refusal(event)
            shown = line.decode("utf-8", "replace").rstrip()
            with suppress(OSError):  # a terminal that was closed must not stop the processes
                print(_for_people(event) if event and sys.stderr.isatty() else shown, file=sys.stderr, flush=True)

    # ------------------------------------------------------------ the beginning

    def _ask(self) -> None:
        """Ask the engine how it stands, away from the reactor's thread, until it answers."""
        from twisted.internet.threads import deferToThread

        from hub.engine.control import ask_engine
        from hub.site.places import control_socket

        if self._over or self._signals:
            return
        socket = control_socket(self._site)
        asked: Deferred[dict[str, Any]] = deferToThread(ask_engine, socket, "status", {}, actor="hub run", timeout=5.0)
        asked.addCallbacks(self._up, lambda _: self._reactor.callLater(_POLL_SECONDS, self._ask))

    def _up(self, status: dict[str, Any]) -> None:
        if not self._how.web:
            self._tell(status, "")
            return
        self._wait_for_pages(status, self._reactor.seconds() + PAGES_SECONDS)

    def _wait_for_pages(self, status: dict[str, Any], until: float) -> None:
        from twisted.internet.endpoints import HostnameEndpoint
        from twisted.internet.protocol import Factory, Protocol

        def came(protocol: Any) -> None:
            protocol.transport.loseConnection()
            self._tell(status, pages_address(self._site))

        def not_yet(_failure: object) -> None:
            if self._reactor.seconds() < until:
                self._reactor.callLater(_POLL_SECONDS, self._wait_for_pages, status, until)
            else:
                self._tell(status, "not yet there; the log says why")

        if self._over or self._signals:
            return
        host, port = _pages(self._site)
        pages: Any = HostnameEndpoint(self._reactor, host, port)
        pages.connect(Factory.forProtocol(Protocol)).addCallbacks(came, not_yet)

    def _tell(self, status: dict[str, Any], pages: str) -> None:
        if self._over or self._signals:
            return
        assert self._site.settings is not None
        sources = [
            (name, source["state"], source["address"])
            for name, channel in status["channels"].items()
            for source in channel["sources"]
        ]
        lines = [f"{self._site.settings.title} runs ({self._site.settings.environment}, bundle {status['bundle']})."]
        if pages:
            lines.append(f"  pages  {pages}{self._certificate()}")
        lines += [f"  {name}  {state} {address}" for name, state, address in sources]
        lines.append("Ctrl-C stops it; what waits stays on disk.")
        listeners = [dict(zip(("channel", "state", "address"), source, strict=True)) for source in sources]
        self._say({"event": "running", "pages": pages, "sources": listeners}, lines)

    def _certificate(self) -> str:
        """What a browser shows of a certificate that only signs itself, so that a person can compare."""
        from hub.site.certificate import fingerprint
        from hub.site.places import web_certificate

        assert self._site.settings is not None
        files = web_certificate(self._site)
        if files is None or self._site.settings.web.certificate:
            return ""
        return f"\n         own certificate, SHA-256 {fingerprint(files[0].read_bytes())}"

    def _say(self, document: dict[str, Any], lines: list[str]) -> None:
        print(json.dumps(document) if self._how.as_json else "\n".join(lines), flush=True)

    # ------------------------------------------------------------ the end

    def _told_to_stop(self) -> None:
        self._signals += 1
        if self._signals > 1:
            self._kill(_INTERRUPTED)
            return
        self._say({"event": "stopping"}, ["Stopping: what is in hand is finished first. Ctrl-C again ends it at once."])
        self._stop(0)

    def _refused(self) -> None:
        self._stop(1)

    def _stop(self, exit_code: int) -> None:
        from twisted.internet.defer import TimeoutError as DeferredTimeout

        def too_late(failure: Any) -> None:
            failure.trap(DeferredTimeout)
            self._refusal = f"The engine did not end within {DRAIN_SECONDS:g} seconds. Everything answered is on disk."
            self._kill(1)

        self._exit_code = exit_code
        if self._watching is not None:
            self._watching.stop()
        done = self._supervisor.stop().addTimeout(DRAIN_SECONDS, self._reactor)
        done.addErrback(too_late)
        done.addCallback(lambda _: self._end())

    def _kill(self, exit_code: int) -> None:
        for name in ("engine", "web"):
            pid = self._supervisor.pid(name)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._exit_code = exit_code
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._reactor.stop()


def pages_address(site: Site) -> str:
    """Where a browser on this machine finds the pages."""
    assert site.settings is not None
    host, port = _pages(site)
    scheme = "https" if site.settings.web.speaks_tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def _pages(site: Site) -> tuple[str, int]:
    assert site.settings is not None
    host, _, port = site.settings.web.listen.removeprefix("tcp:").rpartition(":")
    is_every_address = host in {"", "0.0.0.0"}  # noqa: S104  nothing is bound here
    return "127.0.0.1" if is_every_address else host.strip("[]"), int(port)


def _event(line: bytes) -> dict[str, Any]:
    """A line of the log; empty for anything else that a process writes."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "event" in found else {}


def _refusal(event: dict[str, Any]) -> str:
    """Why the engine refused, in its own words."""
    where = f" (at {event['where']})" if event.get("where") else ""
    return f"{event.get('code', '')} {event.get('what') or event.get('error', '')}{where}".strip()


def _for_people(event: dict[str, Any]) -> str:
    """A log line on a terminal: ``08:15:02 engine warning store.slow seconds=3``."""
    clock = str(event.get("at", ""))[11:19]
    rest = {name: value for name, value in event.items() if name not in {"at", "level", "part", "event"}}
    fields = " ".join(f"{name}={value}" for name, value in rest.items() if value not in (None, ""))
    return printable(f"{clock} {event.get('part', '')} {event.get('level', '')} {event['event']} {fields}".rstrip())
