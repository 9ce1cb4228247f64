"""``hub connect`` to servers that speak HTTP or TLS: it logs in as the channel would, and writes nothing."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.connectors.http import HttpDestinationSettings
from hub.connectors.mllp.destination import MllpDestinationSettings
from hub.connectors.reach import UnreachedError, client_tls
from hub.connectors.web_probe import probe
from tests.connectors.authority import Authority
from tests.connectors.peers import Surroundings


@contextmanager
def server(context: ssl.SSLContext | None = None, takes: str = "") -> Iterator[tuple[int, list[str]]]:
    """A server that gives out tokens and answers HEAD to whoever shows *takes*; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(f"HEAD {self.path}")
            self._say(405 if not takes or self.headers["Authorization"] == f"Bearer {takes}" else 401, b"")

        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(200, json.dumps({"access_token": "fresh", "expires_in": 300}).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as peer:
        peer.daemon_threads = True
        if context is not None:
            peer.socket = context.wrap_socket(peer.socket, server_side=True)
        thread = threading.Thread(target=peer.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield peer.server_port, asked
        peer.shutdown()
        thread.join()


def settings(port: int, scheme: str = "http", **more: Any) -> HttpDestinationSettings:
    return HttpDestinationSettings.model_validate({"url": f"{scheme}://127.0.0.1:{port}/charges", **more})


def test_it_gets_a_token_shows_it_and_writes_nothing(around: Surroundings) -> None:
    around.secret("client", "a password")
    with server(takes="fresh") as (port, asked):
        oauth = {
            "token_url": f"http://127.0.0.1:{port}/token",
            "client_id": "hub",
            "client_secret": {"secret": "client"},
        }
        said = list(probe(settings(port, oauth=oauth), around.folder, around.secrets))
    assert said[1:] == [
        f"tokens are given out at http://127.0.0.1:{port}/token",
        "logged in as hub, the token lives 300 s",
        "HEAD, which changes nothing, is answered with HTTP 405",
    ]
    assert asked == ["POST /token", "HEAD /charges"]


def test_a_token_that_is_not_taken_is_said_so_and_not_shown(around: Surroundings) -> None:
    around.secret("ehr_token", "stale-token")
    with server(takes="fresh") as (port, _), pytest.raises(UnreachedError) as refused:
        list(probe(settings(port, token={"secret": "ehr_token"}), around.folder, around.secrets))
    assert refused.value.found == "HTTP 401"
    assert "stale-token" not in str(refused.value)


@pytest.fixture
def mutual(tmp_path: Path) -> tuple[ssl.SSLContext, Authority]:
    """A server that wants a certificate of its own authority."""
    authority = Authority(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server.example"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context, authority


def test_a_client_s_certificate_is_shown(around: Surroundings, mutual: tuple[ssl.SSLContext, Authority]) -> None:
    context, authority = mutual
    certificate, key = authority.issue("hub.example")
    around.secret("hub_key", key.read_text())
    own = {"trust": str(authority.file), "certificate": str(certificate), "private_key": {"secret": "hub_key"}}
    with server(context) as (port, asked):
        said = list(probe(settings(port, "https", **own), around.folder, around.secrets))
    assert "its certificate is trusted until" in said[1]
    assert asked == ["HEAD /charges"]


def test_a_server_that_wants_a_certificate_of_ours_says_so_though_nothing_else_is_sent(
    around: Surroundings, mutual: tuple[ssl.SSLContext, Authority]
) -> None:
    context, authority = mutual
    with server(context) as (port, _):
        made = MllpDestinationSettings.model_validate(
            {"endpoint": f"tcp:127.0.0.1:{port}", "tls": True, "trust": str(authority.file)}
        )
        with pytest.raises(UnreachedError, match="certificate required") as refused:
            list(probe(made, around.folder, around.secrets))
    assert "Name it in certificate" in refused.value.fix


def test_a_certificate_that_is_not_there_is_named(around: Surroundings) -> None:
    around.secret("hub_key", "no key at all")
    made = settings(1, "https", certificate="config/absent.pem", private_key={"secret": "hub_key"})
    with pytest.raises(UnreachedError, match="cannot be used") as refused:
        client_tls(made, around.folder, around.secrets)
    assert refused.value.where == "config/absent.pem"
