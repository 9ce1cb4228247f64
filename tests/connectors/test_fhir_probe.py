"""`hub connect` with a FHIR server: it discovers, logs in with a signature, and says what the server can do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from hub.connectors.client_keys import new_key, published
from hub.connectors.errors import TokenError
from hub.connectors.fhir_probe import probe
from hub.connectors.fhir_write import FhirDestinationSettings
from tests.connectors.peers import Surroundings
from tests.connectors.test_oauth import verified

ABLE = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [{"mode": "server", "resource": [{"type": "Patient", "interaction": [{"code": "read"}]}]}],
}


@contextmanager
def server(refuses: bool = False) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    asked: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, b""))
            if self.path.endswith("smart-configuration"):
                self.say(200, {"token_endpoint": f"http://127.0.0.1:{self.server.server_port}/token"})  # type: ignore[attr-defined]
            else:
                self.say(200 if self.headers["Authorization"] == "Bearer t1" else 401, ABLE)

        def do_POST(self) -> None:
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            if refuses:
                self.say(400, {"error": "invalid_client", "error_description": "hub:1 is unknown"})
            else:
                self.say(200, {"access_token": "t1", "expires_in": 300})

        def say(self, status: int, body: dict[str, Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    peer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=peer.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield peer.server_port, asked
    finally:
        peer.shutdown()
        thread.join()
        peer.server_close()


def settings(port: int) -> FhirDestinationSettings:
    base = f"http://127.0.0.1:{port}/fhir"
    oauth = {"discover": base, "client_id": "hub:1", "keys": [{"key": {"secret": "signer"}}]}
    return FhirDestinationSettings.model_validate({"base": base, "resource": "ClaimResponse", "oauth": oauth})


def test_it_discovers_logs_in_and_says_what_is_missing(around: Surroundings) -> None:
    around.secret("signer", new_key().decode())
    with server() as (port, asked):
        wanted = settings(port)
        said = list(probe(wanted, around.folder, around.secrets))
    assert said[1:] == [
        f"tokens are given out at http://127.0.0.1:{port}/token",
        "logged in as hub:1, the token lives 300 s",
        "FHIR 4.0.1, 1 resource types",
        "reads and searches Patient",
        "it does not say that it lets anybody create a ClaimResponse",
    ]
    assert wanted.oauth is not None
    (proof,) = parse_qs(dict(asked)["/token"].decode())["client_assertion"]
    assert verified(proof, published(wanted.oauth.signing_keys, around.secrets)[0])


def test_a_refused_login_says_the_error_s_code_and_no_more(around: Surroundings) -> None:
    around.secret("signer", new_key().decode())
    with server(refuses=True) as (port, _), pytest.raises(TokenError) as refused:
        list(probe(settings(port), around.folder, around.secrets))
    assert refused.value.found == "HTTP 400, invalid_client"
