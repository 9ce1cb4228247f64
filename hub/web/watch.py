"""The watch: looks at a site again and again, keeps its alerts in the store, and tells people of them.

It runs in a thread of ``hub run``, beside the processes that work, so that it also sees when they do not, and a mail
server that is slow delays nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.log import Log
from hub.core.secret import Secrets, site_secrets
from hub.engine.control import EngineAwayError
from hub.security import alerts as kept_alerts
from hub.security.writes import WRITES
from hub.site.bundle import noted
from hub.site.load import Site, load_running
from hub.site.places import control_socket, store_url
from hub.site.settings import AlertSettings
from hub.store.database import open_store, reading
from hub.web import telling
from hub.web.alerting import Alert, News, Way, changed, follow, look_at, news, settled, told
from hub.web.causes import UNTOLD
from hub.web.channel_view import ask_engine
from hub.web.control import Control
from hub.web.needs import Need
from hub.web.told import web_settings

LOOK_SECONDS = 20.0
_ACTOR = "hub"
_SEND: dict[Way, Callable[[AlertSettings, Secrets, str, News], None]] = {
    "mailed": telling.mail,
    "posted": telling.post,
}
_WORDS: dict[Way, str] = {"mailed": "mail", "posted": "webhook"}


class Watch:
    """Looks after the alerts of the *site*, whose *store* is there."""

    def __init__(self, site: Site, store: Engine) -> None:
        assert site.settings is not None
        self._store = store
        self._title = site.settings.title
        self._settings = site.settings.alerts
        self._secrets = site_secrets(site.var)
        self._control = Control(control_socket(site))
        self._pages = web_settings(site)

    def needs(self) -> list[Need]:
        """What needs a person now."""
        engine, problem = ask_engine(self._control, _ACTOR)
        with reading(self._store) as connection:
            return look_at(connection, self._pages, engine, problem)

    def look(self, now: int | None = None) -> list[HubError]:
        """Look once, tell what is to be told, keep how everything stands. What could not be sent is returned.

        People are told before that is kept: after a crash in between they hear it twice rather than never. What one way
        cannot send holds up no other, is tried again with the next look, and is an alert of its own.
        """
        now = real_ms() if now is None else now
        needs = self.needs()
        with reading(self._store) as connection:
            known = kept_alerts.states(connection)
        found = follow(needs, known, self._settings, now)
        failed: list[HubError] = []
        for way in _SEND:
            said = news(found, way, self._settings, now)
            if not self._is_set(way):
                said = News(closed=said.closed)  # it was once; whoever is told from now on hears of the others
            error = self._send(way, said)
            if error is not None:
                failed.append(error)
            else:
                found = told(found, way, said)
            found = _untold(found, way, error, bool(said), now)
        writes = changed(settled(found), known)
        if writes:
            self._write("alert_note", {"alerts": [asdict(state) for state in writes]})
        return failed

    def _is_set(self, way: Way) -> bool:
        return bool(self._settings.smtp if way == "mailed" else self._settings.webhook)

    def _send(self, way: Way, said: News) -> HubError | None:
        if not said or not self._is_set(way):
            return None
        try:
            _SEND[way](self._settings, self._secrets, self._title, said)
        except HubError as error:
            return error
        return None

    def _write(self, name: str, args: dict[str, Any]) -> None:
        """By the engine, or here while no engine runs: that it does not is what people must hear."""
        try:
            self._control.write(name, {"actor": _ACTOR, **args}, _ACTOR)
        except EngineAwayError:
            with self._store.connect().execution_options(writes=True) as connection, connection.begin():
                WRITES[name](connection, {"actor": _ACTOR, **args})


def _untold(found: dict[str, Alert], way: Way, error: HubError | None, tried: bool, now: int) -> dict[str, Alert]:
    """With *error* it is itself an alert that people cannot be told by *way*, until that works again."""
    key = f"{UNTOLD}{_WORDS[way]}"
    if error is not None:
        state = kept_alerts.AlertState(key) if key not in found else found[key].state
        sentence = f"{error.what} {error.found}".strip()
        state = replace(state, sentence=sentence, first=error.fix, opened_at=state.opened_at or now, gone_at=0)
        alert = replace(found[key], state=state) if key in found else Alert(state, None, 0)
        return {**found, key: alert}
    if tried and key in found:
        return {**found, key: replace(found[key], state=replace(found[key].state, gone_at=now), level=0)}
    return found


class Watching(threading.Thread):
    """Has a :class:`Watch` look at the site at *home* every few seconds, as the version that runs says."""

    def __init__(self, home: Path, log: Log, every: float = LOOK_SECONDS) -> None:
        super().__init__(name="watch", daemon=True)
        self._home = home
        self._log = log
        self._every = every
        self._over = threading.Event()
        self._bundle = ""
        self._watch: Watch | None = None
        self._store: Engine | None = None
        self._said = ""

    def stop(self) -> None:
        """Begin no further look. One that is sending is left to end, or to end with the process."""
        self._over.set()

    def run(self) -> None:
        """Look again and again; what goes wrong is logged once and tried again."""
        while not self._over.wait(self._every):
            failed: list[Exception] = []
            try:
                failed += self._current().look()
            except Exception as error:  # whatever it is, the watch goes on
                failed.append(error)
            said = "; ".join(f"{type(error).__name__} {error}" for error in failed)
            for each in failed if said != self._said else ():
                self._log.failure("alerts.failed", each)
            self._said = said

    def _current(self) -> Watch:
        """The watch of the version that runs now."""
        bundle = noted(self._home)
        if self._watch is None or bundle != self._bundle:
            site = load_running(self._home).require_sound()
            if self._store is not None:
                self._store.dispose()
            self._store = open_store(store_url(site))
            self._watch, self._bundle = Watch(site, self._store), bundle
        return self._watch
