"""The web process: ``python -m hub.web.main --site DIR``, started and watched by ``hub run``."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette

from hub.core.errors import HubError
from hub.core.vault import Vault, open_vault
from hub.site.bundle import noted
from hub.site.load import load_running
from hub.site.places import key_file, store_url, web_certificate
from hub.site.supervisor import AGAIN
from hub.store.database import open_store
from hub.web.app import create_app
from hub.web.settings import WebSettings
from hub.web.told import web_settings

LOOK_SECONDS = 1.0
"""How often the pages look whether another version runs."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the pages listen, with which certificate and key, and whether a proxy stands before them."""

    address: str
    certificate: tuple[Path, Path] | None = None
    behind_tls_proxy: bool = False


def load(folder: Path) -> tuple[Engine, Vault, WebSettings, Listening]:
    """What the pages of the site in *folder* stand on: store, vault, settings; and where they listen.

    Raises `HubError` when the site has errors or its keys are missing.
    """
    site = load_running(folder).require_sound()
    assert site.settings is not None
    return (
        open_store(store_url(site)),
        open_vault(key_file(site)),
        web_settings(site),
        Listening(
            site.settings.web.listen.removeprefix("tcp:"), web_certificate(site), site.settings.web.behind_tls_proxy
        ),
    )


def server_config(app: Starlette, listening: Listening) -> uvicorn.Config:
    """How the pages are served.

    What a proxy says of the browser (its address, that it spoke TLS) is believed only when the settings say that there
    is one, and only from this machine; anybody else could say what they like. No access lines: they would say who
    looked at what, which is the audit log's to keep.
    """
    host, _, port = listening.address.rpartition(":")
    certificate, key = listening.certificate or (None, None)
    return uvicorn.Config(
        app,
        host=host or "127.0.0.1",
        port=int(port),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
        proxy_headers=listening.behind_tls_proxy,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        forwarded_allow_ips=["127.0.0.1", "::1"],
    )


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="hub.web.main", description="The pages of one site.")
    parser.add_argument("--site", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        store, vault, settings, listening = load(options.site)
    except HubError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    app = create_app(store, vault, settings)
    server = uvicorn.Server(server_config(app, listening))
    threading.Thread(target=_end_with_version, args=(server, options.site, settings.bundle), daemon=True).start()
    server.run()
    return AGAIN if noted(options.site) != settings.bundle else 0


def _end_with_version(server: uvicorn.Server, site: Path, bundle: str) -> None:
    """Have the pages end when another version runs, so that they are started again with it."""
    while noted(site) == bundle:
        time.sleep(LOOK_SECONDS)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
