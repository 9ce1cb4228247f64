from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from hub.cli.run import prepare
from hub.core.vault import VaultError
from hub.site.load import load_site
from tests.cli.at_work import DFT, WAIT, Kept, Running, hub, quiet_site, until


def has_ended(pid: int) -> bool:
    """Gone, or only waiting for whoever inherited it to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.e2e
def test_a_new_site_runs_takes_a_message_shows_it_and_stops_in_order(site: Path, running: Running) -> None:
    up = running.event("running")
    assert up["sources"][0]["state"] == "listening"
    message = site.parent / "charge.hl7"
    message.write_bytes(DFT)
    sent = hub("send", "--site", site, "ehr_visits", message)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "AA       CHG-1" in sent.stdout

    def finished() -> int | None:
        rows = json.loads(hub("find", "--site", site, "--mrn", "100007", "--json").stdout)["messages"]
        return rows[0]["id"] if rows and rows[0]["onward"] != "in progress" else None

    message_id = until(finished)
    shown = hub("show", "--site", site, str(message_id))
    assert shown.returncode == 0, shown.stderr
    assert "SAMPLETON" not in shown.stdout
    status = hub("status", "--site", site, "--json")
    assert status.returncode == 0, status.stdout
    channel = json.loads(status.stdout)["channels"][0]
    assert (channel["received"], channel["difference"]) == (1, 0)
    again = hub("replay", "--site", site, str(message_id), "--reason", "to see it again", "--json")
    assert json.loads(again.stdout)["replayed"][0]["became"] > message_id
    stopped = hub("stop", "--site", site)
    assert stopped.returncode == 0, stopped.stderr
    assert running.process.wait(WAIT) == 0, running.log.read_text()
    assert "No hub runs this site" in hub("stop", "--site", site).stderr
    log = running.log.read_text()
    assert "engine.stopped" in log
    assert '"level": "error"' not in log
    assert "SAMPLETON" not in log


@pytest.mark.e2e
def test_a_second_hub_is_refused_while_the_first_goes_on(site: Path, running: Running) -> None:
    running.event("running")
    second = hub("run", "--site", site, "--no-web")
    assert second.returncode == 1
    assert "Another hub is running this site" in second.stderr
    assert running.process.poll() is None


@pytest.mark.e2e
def test_a_port_that_is_taken_is_said_and_ends_the_run(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        channel = site / "channels" / "ehr_visits.toml"
        channel.write_text(channel.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        done = hub("run", "--site", site, "--no-web")
    assert done.returncode == 1
    assert "H410 The hub cannot listen on" in done.stderr.splitlines()[-1]


@pytest.mark.e2e
def test_a_second_ctrl_c_ends_what_does_not_end(running: Running) -> None:
    running.event("running")
    pid = running.process.pid
    (engine,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(engine), signal.SIGSTOP)
    running.process.send_signal(signal.SIGINT)
    running.event("stopping")
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(WAIT) == 130
    until(lambda: has_ended(int(engine)))


def test_a_site_with_errors_is_not_started(site: Path) -> None:
    channel = site / "channels" / "ehr_visits.toml"
    channel.write_text(channel.read_text().replace("[source]", "[sauce]"))
    done = hub("run", "--site", site)
    assert done.returncode == 1
    assert "channels/ehr_visits.toml" in done.stdout
    assert "The hub was not started." in done.stderr


@pytest.mark.e2e
def test_the_first_password_never_reaches_what_may_be_a_log(tmp_path: Path) -> None:
    site = quiet_site(tmp_path / "site")
    for file in (site / "var").glob("hub.db*"):
        file.unlink()
    process = Running(site, "--no-web")
    try:
        told = process.event("first user")
        process.event("running")
        process.interrupt()
        assert process.process.wait(WAIT) == 0
    finally:
        process.close()
    name, password = Path(told["file"]).read_text().splitlines()
    assert name == "admin"
    assert Path(told["file"]).stat().st_mode & 0o077 == 0
    assert password not in process.log.read_text() + json.dumps(told)


def test_a_store_that_lost_its_keys_gets_no_new_ones(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "site")
    (kept.folder / "var" / "keys.json").unlink()
    with pytest.raises(VaultError):
        prepare(load_site(kept.folder))
    assert not (kept.folder / "var" / "keys.json").exists()


def test_a_copy_of_a_site_without_its_working_folder_gets_keys_of_its_own(tmp_path: Path) -> None:
    site = quiet_site(tmp_path / "site")
    shutil.rmtree(site / "var")
    made = prepare(load_site(site))
    assert made is not None
    assert (site / "var" / "keys.json").exists()
    assert prepare(load_site(site)) is None


@pytest.mark.e2e
def test_the_pages_answer_at_the_address_that_is_printed(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = site / "config" / "hub.toml"
    settings.write_text(settings.read_text().replace("tcp:127.0.0.1:8080", f"tcp:127.0.0.1:{port}"))
    process = Running(site)
    try:
        up = process.event("running")
        assert up["pages"] == f"https://127.0.0.1:{port}/"
        trusted = ssl.create_default_context(cafile=str(site / "var" / "tls" / "web.crt"))
        with urlopen(f"{up['pages']}login", timeout=WAIT, context=trusted) as page:
            assert page.headers["strict-transport-security"]
            assert "Secure" in page.headers["set-cookie"]
            assert "Example Clinic" in page.read().decode()
        process.interrupt()
        assert process.process.wait(WAIT) == 0, process.log.read_text()
    finally:
        process.close()


HOOK = """
schema = 1
name = "hook"
title = "A hook"
owner = "you@clinic.example"

[source]
type = "fhir"
listen = "tcp:127.0.0.1:0"
token = { secret = "hook_token" }
accepts = ["Bundle/*"]

[[step]]
name = "look"
on = ["Bundle/*"]
run = "clinic.hook:look"

[destination.billing]
type = "billing"
"""
LOOK = '''
"""Looks at bundles."""

from hub.scripting import Event, Skip, Visit, mapping


@mapping(accepts="Bundle/*", returns=Visit)
def look(event: Event) -> Skip:
    """Take nothing."""
    return Skip(event, "nothing to take")
'''


@pytest.mark.e2e
def test_a_hook_of_the_site_is_sent_to_with_its_own_token_and_certificate(site: Path) -> None:
    (site / "channels" / "hook.toml").write_text(HOOK)
    (site / "transforms" / "clinic" / "hook.py").write_text(LOOK)
    (site / "var" / "secrets").mkdir(exist_ok=True)
    (site / "var" / "secrets" / "hook_token").write_text("open-sesame")
    bundle = site.parent / "bundle.json"
    bundle.write_text('{"resourceType": "Bundle", "type": "collection", "entry": []}')
    process = Running(site, "--no-web")
    try:
        process.event("running")
        sent = hub("send", "--site", site, "hook", bundle)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "1 accepted" in sent.stdout
        rows = json.loads(hub("find", "--site", site, "--channel", "hook", "--json").stdout)["messages"]
        assert [row["kind"] for row in rows] == ["Bundle/collection"]
    finally:
        process.close()


@pytest.mark.e2e
def test_a_port_that_somebody_else_has_is_refused_before_anything_starts(site: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (site / "config" / "local.toml").write_text(f'"hub.web.listen" = "tcp:127.0.0.1:{port}"\n')
        done = hub("run", "--site", site)

    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "engine.started" not in done.stderr
    assert not (site / "var" / "control.sock").exists()


@pytest.mark.e2e
def test_an_engine_that_never_gets_the_word_ends_without_a_trace(site: Path) -> None:
    command = [sys.executable, "-m", "hub.site.running", "--site", str(site), "--at-word"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
