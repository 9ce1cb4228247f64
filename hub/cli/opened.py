"""A site as the commands see it: its store to read, and the engine to ask for whatever changes something."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect, make_url

from hub.core.vault import Vault, open_vault
from hub.engine.control import EngineAwayError, EngineRefusedError, ask_engine
from hub.security.writes import WRITES
from hub.site.load import Site, SiteError, load_site
from hub.site.places import control_socket, key_file, store_url
from hub.store.database import open_store
from hub.store.schema import is_current


@dataclass(frozen=True, slots=True)
class OpenedSite:
    """A site whose store is there and of this version. *actor* is the name of the person at the keyboard."""

    site: Site
    store: Engine
    actor: str

    def vault(self) -> Vault:
        """What opens the store's sealed values. Raises `VaultError` without the key file."""
        return open_vault(key_file(self.site))

    def ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Have the running engine do *command*. Raises `EngineAwayError`, or `HubError` with the engine's own words."""
        return ask_engine(control_socket(self.site), command, arguments, actor=self.actor)

    def billing(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Have billing decide the command *name*; its answer. Raises what :meth:`ask` does, and billing's own words."""
        answer: dict[str, Any] = self.ask("billing", {"name": name, "args": arguments})["answer"]
        if not answer["ok"]:
            raise EngineRefusedError(answer["error"])
        return answer

    def write(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do one of the small writes of `hub.security.writes`: by the engine, or here while no engine runs."""
        try:
            return self.ask("write", {"name": name, "args": arguments})
        except EngineAwayError:
            with self.store.connect().execution_options(writes=True) as connection, connection.begin():
                return WRITES[name](connection, {**arguments, "actor": self.actor})

    def audit(
        self, action: str, object_type: str, object_id: str = "", *, reason: str = "", detail: dict[str, Any]
    ) -> None:
        """Record that the person looks at something, before they see it. Raises `HubError` when that cannot be."""
        self.write(
            "audit",
            {
                "action": action,
                "object_type": object_type,
                "object_id": object_id,
                "reason": reason,
                "detail": {"by": "command line", **detail},
            },
        )


def open_site(folder: Path) -> OpenedSite:
    """The site at *folder*, whether its engine runs or not.

    Raises `SiteError` when its settings cannot be read, or when its store is absent or of another version.
    """
    site = load_site(folder)
    if site.settings is None:
        site.require_sound()
    url = make_url(store_url(site))
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise SiteError("This site has no store yet.", where=str(site.folder), fix="`hub run` makes it.")
    store = open_store(store_url(site))
    with store.connect() as connection:
        if not inspect(connection).has_table("message") or not is_current(connection):
            raise SiteError(
                "The store has the schema of another version.",
                where=str(site.folder),
                fix="`hub run` of this version brings it up to date.",
            )
    return OpenedSite(site, store, getpass.getuser())
