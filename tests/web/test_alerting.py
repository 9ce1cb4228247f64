from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import main
from hub.core.secret import site_secrets
from hub.security.alerts import AlertState
from hub.site.certificate import ensure_certificate
from hub.site.settings import AlertSettings
from hub.web.alerting import Cause, Issue, Look, NotSentError, look, tell
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


def test_the_token_for_the_pager_goes_nowhere_else_though_it_be_sent_there(
    tmp_path: Path, pager: tuple[str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", pager[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = AlertSettings(webhook=f"http://127.0.0.1:{server.server_address[1]}/hub")
        with pytest.raises(NotSentError):
            tell(settings, site_secrets(tmp_path), "Clinic", Look((), (Issue(DOWN, 0, told=True),), ()))
        server.shutdown()
    assert pager[1] == []


class MailServer(socketserver.ThreadingTCPServer):
    """Takes a mail; speaks TLS with a certificate that only signs itself. Keeps what was said *clear* and *sealed*."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*ensure_certificate(folder))
        self.clear: list[str] = []
        self.sealed: list[str] = []
        super().__init__(("127.0.0.1", 0), MailHandler)


class MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        heard, connection = self.server.clear, self.connection
        stream = connection.makefile("rwb", buffering=0)
        stream.write(b"220 here\r\n")
        while line := stream.readline().decode().strip():
            word = line.split()[0].upper()
            heard.append(line)
            if word == "STARTTLS":
                stream.write(b"220 go on\r\n")
                try:
                    connection = self.server.tls.wrap_socket(connection, server_side=True)
                except OSError:
                    return
                heard, stream = self.server.sealed, connection.makefile("rwb", buffering=0)
            elif word == "DATA":
                stream.write(b"354 say it\r\n")
                while stream.readline().strip() != b".":
                    pass
                stream.write(b"250 kept\r\n")
            elif word == "QUIT":
                stream.write(b"221 bye\r\n")
                return
            else:
                stream.write(b"250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n" if word == "EHLO" else b"250 ok\r\n")


@pytest.mark.parametrize("with_password", [True, False])
def test_mail_is_sealed_where_it_can_be_and_no_password_goes_to_a_server_that_cannot_prove_itself(
    tmp_path: Path, with_password: bool
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/smtp").write_text("mail-me\n")
    with MailServer(tmp_path / "tls") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = AlertSettings.model_validate(
            {
                "smtp": f"tcp:127.0.0.1:{server.server_address[1]}",
                "email_to": ["ops@clinic.example"],
                **({"smtp_password": {"secret": "smtp"}, "smtp_user": "hub"} if with_password else {}),
            }
        )
        found = Look((), (Issue(DOWN, 0, told=True),), ())
        if with_password:
            with pytest.raises(NotSentError):
                tell(settings, site_secrets(tmp_path), "Clinic", found)
        else:
            tell(settings, site_secrets(tmp_path), "Clinic", found)
        server.shutdown()
    assert not [line for line in server.clear + server.sealed if line.startswith("AUTH")]
    assert [line.split()[0] for line in server.clear][-1].upper() == "STARTTLS"
    assert any(line.upper().startswith("RCPT") for line in server.sealed) is not with_password


def test_who_watches_goes_on_watching_when_a_look_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Kept(tmp_path / "site").folder
    settings = site / "config/hub.toml"
    settings.write_text(
        f'{settings.read_text()}\n[alerts]\nopen_after = "0s"\nwebhook = "http://127.0.0.1:1/hub"\n'
        'webhook_token = { secret = "absent" }\n'
    )
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("hub.cli.alerts.time.sleep", sleep)
    assert main(["alerts", "--send", "--every", "1m", "--site", str(site)]) == 130
    assert capsys.readouterr().err.count("absent") == 2
