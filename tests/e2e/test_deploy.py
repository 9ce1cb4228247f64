"""A live hub goes over to other versions under load: nothing is lost, doubled or mapped by a mixture."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.engine.control import ask_engine
from hub.formats.hl7v2.mllp import Frame, FrameReader, frame
from hub.site.load import load_site
from hub.site.places import control_socket
from tests.cli.at_work import WAIT, Running, quiet_site, until
from tests.e2e.playing import rows

SCRIPT = '''"""Which version mapped a message, said by two scripts."""

from hub.scripting import Message, Outgoing, mapping

from .other import OTHER

MINE = "{version}"


@mapping(accepts="DFT^P03", returns=Outgoing)
def relay(message: Message) -> Outgoing:
    """Both of them."""
    return Outgoing(kind="said", name=f"{{message.control_id}}.json", body={{"mine": MINE, "other": OTHER}})
'''
OTHER = '"""The other script."""\n\nOTHER = "{version}"\n'


def write_version(site: Path, version: str) -> None:
    (site / "transforms/clinic/relay.py").write_text(SCRIPT.format(version=version))
    (site / "transforms/clinic/other.py").write_text(OTHER.format(version=version))
    assert main(["test", "relay", "--update", "--site", str(site)]) == 0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = quiet_site(tmp_path / "site")
    assert main(["new", "channel", "relay", "--source", "mllp", "--to", "files", "--site", str(folder)]) == 0
    file = folder / "channels/relay.toml"
    file.write_text(file.read_text().replace("tcp:127.0.0.1:2575", "tcp:127.0.0.1:0").replace('"lane"', '"any"'))
    (folder / "var/relay").mkdir()
    write_version(folder, "one")
    return folder


@pytest.fixture
def running(site: Path) -> Iterator[Running]:
    process = Running(site, "--no-web")
    yield process
    process.close()


class Sender(threading.Thread):
    """Sends messages on one connection, each when the one before was accepted, until told to stop."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.accepted: list[str] = []
        self.failed = ""
        self.enough = threading.Event()
        host, _, port = address.rpartition(":")
        self._connection = socket.create_connection((host, int(port)), timeout=WAIT)

    def run(self) -> None:
        reader = FrameReader()
        while not self.enough.is_set():
            control_id = f"{self.name}-{len(self.accepted)}"
            self._connection.sendall(
                frame(f"MSH|^~\\&|EHR|CLINIC|HUB|HUB|20261109100000||DFT^P03|{control_id}|T|2.5.1\r".encode())
            )
            answers: list[bytes] = []
            while not answers:
                data = self._connection.recv(65_536)
                if not data:
                    self.failed = "the connection was closed"
                    return
                answers = [event.raw for event in reader.feed(data) if isinstance(event, Frame)]
            if f"MSA|AA|{control_id}".encode() not in answers[0]:
                self.failed = "not accepted"
                return
            self.accepted.append(control_id)
            self.enough.wait(0.05)  # no more than a crowded machine keeps up with

    def has_sent(self, more: int) -> bool:
        return bool(self.failed) or len(self.accepted) >= more


@pytest.mark.e2e
def test_versions_change_under_load_and_nothing_is_lost_doubled_or_mapped_by_a_mixture(
    site: Path, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    def hub(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return (main([*words, "--site", str(site)]), *capsys.readouterr())

    up = running.event("running")
    address = next(source["address"] for source in up["sources"] if source["channel"] == "relay")
    socket_path = control_socket(load_site(site))
    first = ask_engine(socket_path, "status", {}, actor="test")["bundle"]
    ask_engine(socket_path, "pause", {"channel": "ehr_visits", "reason": "the EHR is being moved"}, actor="test")
    senders = [Sender(f"S{number}", address) for number in range(3)]
    for sender in senders:
        sender.start()

    def let_them_send() -> None:
        so_far = [len(sender.accepted) for sender in senders]
        until(lambda: all(s.has_sent(n + 10) for s, n in zip(senders, so_far, strict=True)))

    let_them_send()
    write_version(site, "two")
    code, out, err = hub("deploy", "-m", "two is better", "--json")
    assert code == 0, out + err
    deployed = json.loads(out)
    second = deployed["bundle"]
    assert {part["change"] for part in deployed["parts"] if "/" not in part["name"]} == {"unchanged"}
    let_them_send()

    with socket.socket() as occupied:  # a port that is somebody else's
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        file = site / "channels/ehr_visits.toml"
        text = file.read_text()
        file.write_text(text.replace("tcp:127.0.0.1:0", f"tcp:127.0.0.1:{occupied.getsockname()[1]}"))
        code, out, err = hub("deploy", "-m", "another port")
        assert code == 1
        assert "is taken, so nothing was deployed" in err
        file.write_text(text)
    let_them_send()
    code, out, err = hub("rollback", first[:6], "-m", "one was right")
    assert code == 0, err
    let_them_send()
    for sender in senders:
        sender.enough.set()
    for sender in senders:
        sender.join(WAIT)
    assert [sender.failed for sender in senders] == ["", "", ""]  # none was refused, none lost its connection

    accepted = sorted(control_id for sender in senders for control_id in sender.accepted)
    until(lambda: len(list((site / "var/relay").glob("*.json"))) >= len(accepted))
    said = {file.stem: json.loads(file.read_text()) for file in (site / "var/relay").glob("*.json")}
    assert sorted(said) == accepted
    stored = rows(site, "SELECT control_id, bundle, onward FROM message WHERE channel = 'relay'")
    assert sorted(row[0] for row in stored) == accepted  # none is there twice
    version = {first: "one", second: "two"}
    mixed = [row for row in stored if said[row[0]] != dict.fromkeys(("mine", "other"), version[row[1]])]
    assert mixed == []
    assert {row[1] for row in stored} == {first, second}
    until(lambda: {row[0] for row in rows(site, "SELECT onward FROM message WHERE channel = 'relay'")} == {"done"})
    status = ask_engine(socket_path, "status", {}, actor="test")
    assert status["bundle"] == first
    assert status["channels"]["ehr_visits"]["paused"]  # what a person has paused stays so
    told = json.loads(hub("history", "--json")[1])["deployments"]
    assert [(each["kind"], each["reason"]) for each in told] == [
        ("rollback", "one was right"), ("deploy", "two is better"), ("start", ""),
    ]  # fmt: skip
    audited = rows(site, "SELECT action, object_id, reason FROM audit WHERE object_type = 'version' ORDER BY sequence")
    assert audited == [("deploy", second, "two is better"), ("rollback", first, "one was right")]
