from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import main
from hub.security.alerts import AlertState
from hub.web.alerting import Cause, Issue, look
from tests.cli.at_work import Kept

DOWN = Cause("channel/ehr_visits/failed", "ehr_visits: retrying.", "hub connect says how far one comes.")
MINUTE = 60_000


def test_a_cause_is_told_once_when_it_has_lasted_and_once_when_it_is_over() -> None:
    first = look([DOWN, DOWN], {}, {}, 0, 2 * MINUTE)
    assert (len(first.issues), first.opened) == (1, ())
    second = look([DOWN], {DOWN.key: first.issues[0]}, {}, 2 * MINUTE, 2 * MINUTE)
    assert second.opened == (Issue(DOWN, 0, told=True),)
    third = look([DOWN], {DOWN.key: second.issues[0]}, {}, 3 * MINUTE, 2 * MINUTE)
    assert third.opened == ()
    assert look([], {DOWN.key: third.issues[0]}, {}, 4 * MINUTE, 0).closed == third.issues


def test_what_was_over_before_anybody_was_told_is_told_to_nobody() -> None:
    first = look([DOWN], {}, {}, 0, 2 * MINUTE)
    assert look([], {DOWN.key: first.issues[0]}, {}, MINUTE, 2 * MINUTE).closed == ()


def test_what_is_snoozed_is_not_told_until_it_wakes() -> None:
    asleep = AlertState(DOWN.key, snoozed_until_at=2**62, reason="known")
    assert look([DOWN], {}, {DOWN.key: asleep}, 0, 0).opened == ()
    assert look([DOWN], {}, {DOWN.key: AlertState(DOWN.key)}, 0, 0).opened != ()


@pytest.fixture
def pager() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            assert self.headers["Authorization"] == "Bearer page-me"
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hub", came
        server.shutdown()


def test_the_webhook_hears_of_a_hub_that_does_not_answer_once(
    tmp_path: Path, pager: tuple[str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    address, came = pager
    site = Kept(tmp_path / "site").folder
    (site / "var/secrets/pager").write_text("page-me\n")
    settings = site / "config/hub.toml"
    settings.write_text(
        f'{settings.read_text()}\n[alerts]\nopen_after = "0s"\nwebhook = "{address}"\n'
        'webhook_token = { secret = "pager" }\n'
    )
    for _ in range(2):
        assert main(["alerts", "--send", "--site", str(site)]) == 1
    assert "The hub does not answer." in capsys.readouterr().out
    assert [[issue["key"] for issue in each["opened"]].count("engine") for each in came] == [1]
