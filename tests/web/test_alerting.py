from __future__ import annotations

import io
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import main
from hub.core.log import Log
from hub.core.secret import site_secrets
from hub.security.alerts import AlertState, states
from hub.site.bundle import take_files
from hub.site.certificate import ensure_certificate
from hub.site.load import load_site
from hub.site.places import store_url
from hub.site.settings import AlertSettings
from hub.store.database import open_store, reading
from hub.web.alerting import Alert, News, follow, news, settled, told
from hub.web.needs import Need
from hub.web.telling import NotSentError, mail, post
from hub.web.watch import Watch, Watching
from tests.cli.at_work import WAIT, Kept, until

DOWN = Need(
    "connection/ehr_visits/ehr", "retrying", "ehr_visits: ehr: retrying.", "hub connect says how far one comes.",
    "", "/channels/ehr_visits", "Open ehr_visits",
)  # fmt: skip
MINUTE = 60_000
SETTINGS = AlertSettings.model_validate(
    {
        "smtp": "tcp:mail.clinic.example:25",
        "email_to": ["ops@clinic.example"],
        "escalation": [
            {"after": "10m", "email_to": ["lead@clinic.example"]},
            {"after": "1h", "email_to": ["head@clinic.example"]},
        ],
    }
)


NEWS = News((Alert(AlertState(DOWN.key, sentence=DOWN.sentence, first=DOWN.first), DOWN, 1),))


class Course:
    """What people are told while one cause comes and goes, minute by minute."""

    def __init__(self) -> None:
        self.known: dict[str, AlertState] = {}

    def at(self, minute: int, *needs: Need) -> tuple[int, int, int]:
        """How many were told of as opened, escalated and closed at *minute*."""
        found = follow(needs, self.known, SETTINGS, minute * MINUTE)
        said = news(found, "mailed", SETTINGS, minute * MINUTE)
        self.known = settled(told(found, "mailed", said))
        return len(said.opened), len(said.escalated), len(said.closed)

    def change(self, **values: Any) -> None:
        """A person did something."""
        self.known = {DOWN.key: replace(self.known[DOWN.key], **values)}


def test_a_cause_is_told_once_when_it_has_lasted_and_once_when_it_is_over() -> None:
    course = Course()
    assert [course.at(minute, DOWN, DOWN) for minute in (1, 2, 3, 4)] == [(0,) * 3, (0,) * 3, (1, 0, 0), (0,) * 3]
    assert [course.at(minute) for minute in (5, 6, 7, 8)] == [(0,) * 3, (0,) * 3, (0, 0, 1), (0,) * 3]


def test_what_was_over_before_anybody_was_told_is_told_to_nobody() -> None:
    course = Course()
    assert [course.at(1, DOWN), course.at(2), course.at(3), course.at(9, DOWN)] == [(0,) * 3] * 4


def test_what_comes_and_goes_is_one_alert() -> None:
    course = Course()
    course.at(1, DOWN)
    assert course.at(4, DOWN) == (1, 0, 0)
    assert [course.at(5), course.at(6, DOWN), course.at(7), course.at(8, DOWN)] == [(0,) * 3] * 4
    assert course.known[DOWN.key].opened_at == MINUTE


def test_what_nobody_takes_is_told_to_the_next_and_what_is_taken_is_not() -> None:
    course = Course()
    course.at(1, DOWN)
    assert [course.at(m, DOWN) for m in (3, 12, 13, 14)] == [(1, 0, 0), (0,) * 3, (0, 1, 0), (0,) * 3]
    course.change(owner="nora")
    assert course.at(90, DOWN) == (0,) * 3
    course.change(owner="")
    assert course.at(91, DOWN) == (0, 1, 0)


def test_what_is_snoozed_is_not_told_until_it_wakes() -> None:
    course = Course()
    course.at(1, DOWN)
    course.change(snoozed_until_at=2**62, reason="known")
    assert course.at(5, DOWN) == (0,) * 3
    course.change(snoozed_until_at=0)
    assert course.at(6, DOWN) == (1, 0, 0)


def test_work_that_lies_in_a_queue_calls_nobody() -> None:
    course = Course()
    queue = replace(DOWN, key="queue/denials", work=True)
    assert [course.at(minute, queue) for minute in (1, 5, 90)] == [(0,) * 3] * 3


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
    assert "The hub is not running, or does not answer." in capsys.readouterr().out
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
            post(settings, site_secrets(tmp_path), "Clinic", NEWS)
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
        if with_password:
            with pytest.raises(NotSentError):
                mail(settings, site_secrets(tmp_path), "Clinic", NEWS)
        else:
            mail(settings, site_secrets(tmp_path), "Clinic", NEWS)
        server.shutdown()
    assert not [line for line in server.clear + server.sealed if line.startswith("AUTH")]
    assert [line.split()[0] for line in server.clear][-1].upper() == "STARTTLS"
    assert any(line.upper().startswith("RCPT") for line in server.sealed) is not with_password


def site_with(folder: Path, alerts: str) -> Path:
    """A site whose engine does not run, with these settings for alerts."""
    site = Kept(folder).folder
    settings = site / "config/hub.toml"
    settings.write_text(f'{settings.read_text()}\n[alerts]\nopen_after = "0s"\n{alerts}\n')
    return site


def watch_of(folder: Path) -> Watch:
    site = load_site(folder)
    return Watch(site, open_store(store_url(site)))


def test_a_way_that_fails_holds_up_no_other_repeats_nothing_and_is_an_alert_itself(
    tmp_path: Path, pager: tuple[str, list[dict[str, Any]]]
) -> None:
    address, came = pager
    site = site_with(
        tmp_path / "site",
        f'webhook = "{address}"\nwebhook_token = {{ secret = "pager" }}\n'
        'smtp = "tcp:127.0.0.1:1"\nemail_to = ["ops@clinic.example"]',
    )
    (site / "var/secrets/pager").write_text("page-me\n")
    watch = watch_of(site)
    assert [[error.code for error in watch.look()] for _ in range(3)] == [["H724"]] * 3
    assert [[issue["key"] for issue in each["opened"]] for each in came] == [
        ["engine", "ambiguous/claims_out/clearinghouse"],
        ["not sent/mail"],
    ]
    assert "not sent/mail" in {need.key for need in watch.needs()}


def test_the_watch_of_a_running_hub_tells_with_the_version_that_runs_and_outlives_its_failures(
    tmp_path: Path, pager: tuple[str, list[dict[str, Any]]]
) -> None:
    address, came = pager
    site = site_with(tmp_path / "site", f'webhook = "{address}"\nwebhook_token = {{ secret = "pager" }}')
    logged = io.StringIO()
    watching = Watching(site, Log(logged, part="alerts"), every=0.01)
    watching.start()
    until(lambda: "alerts.failed" in logged.getvalue())
    take_files(site)
    until(lambda: "H310" in logged.getvalue())
    (site / "var/secrets/pager").write_text("page-me\n")
    until(lambda: came)
    watching.stop()
    watching.join(WAIT)
    assert [issue["key"] for each in came for issue in each["opened"]].count("engine") == 1
    assert logged.getvalue().count("H310") == 1
    with reading(open_store(store_url(load_site(site)))) as connection:
        assert states(connection)["engine"].posted == 1


def test_an_alert_is_taken_and_snoozed_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = str(site_with(tmp_path / "site", ""))
    assert main(["alerts", "--take", "nothing/at all", "--site", site]) == 1
    assert "There is no alert" in capsys.readouterr().err
    assert main(["alerts", "--take", "engine", "--site", site, "--json"]) == 1
    whose = {issue["key"]: issue["whose"] for issue in json.loads(capsys.readouterr().out)["issues"]}
    assert whose["engine"]
    assert not whose["ambiguous/claims_out/clearinghouse"]
    main(["alerts", "--snooze", "engine", "--for", "4h", "--reason", "they move house", "--site", site])
    assert "quiet: they move house" in capsys.readouterr().out
