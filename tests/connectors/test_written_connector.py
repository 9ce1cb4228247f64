"""The connector of docs/writing-a-connector.md, taken from the page, installed beside the hub, and run."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from queue import Queue

import pytest
from sqlalchemy import select

from hub.connectors import GROUP, ForeignConnectorError, connectors
from hub.site.load import load_site
from hub.site.places import store_url
from hub.store.database import open_store, reading
from hub.store.tables import message
from tests.cli.at_work import WAIT, Running, hub, quiet_site, until

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-connector.md"
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
NAME = "lab_lines"


def install(folder: Path, pyproject: str, module: str) -> Path:
    """What pip makes of the package: its module, and its entry points beside it."""
    project = tomllib.loads(pyproject)
    groups = project["project"]["entry-points"].items()
    lines = [line for group, names in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in names.items()))]
    about = folder / f"{NAME}-{project['project']['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{project['tool']['setuptools']['py-modules'][0]}.py").write_text(module)
    return folder


class Archive(socketserver.BaseRequestHandler):
    """The archive of the page's channel: first it says later, then it takes what comes."""

    came: Queue[str]

    def handle(self) -> None:
        line = self.request.makefile().readline()
        first = self.came.empty()
        self.came.put(line.strip())
        self.request.sendall(b"LATER\n" if first else b"OK\n")


@contextmanager
def archive() -> Iterator[tuple[int, Queue[str]]]:
    came: Queue[str] = Queue()
    handler = type("Archive", (Archive,), {"came": came})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], came
        server.shutdown()


def site(folder: Path, port: int) -> Path:
    made = quiet_site(folder)
    for name, text in FILES.items():
        if name.startswith(("channels/", "transforms/")):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(text.replace("127.0.0.1:4321", "127.0.0.1:0").replace(":4322", f":{port}"))
    channel = made / "channels/lab.toml"
    channel.write_text(f'{channel.read_text()}backoff = "50ms"\n')
    return made


@pytest.mark.e2e
def test_the_connector_of_the_page_runs_a_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(FILES) == {"lab_lines.py", "pyproject.toml", "channels/lab.toml", "transforms/lab/results.py"}
    packages = install(tmp_path / "packages", FILES["pyproject.toml"], FILES["lab_lines.py"])
    monkeypatch.setenv("PYTHONPATH", str(packages))
    with archive() as (port, came):
        folder = site(tmp_path / "site", port)
        assert "| `max_message` | A longer line closes its connection. |" in hub("docs", NAME).stdout
        channel = folder / "channels/lab.toml"
        wrong = channel.read_text().replace("lane =", "max_mesage = 1\nlane =")
        right = channel.read_text()
        channel.write_text(wrong)
        assert 'did you mean "max_message"?' in hub("check", "--site", folder).stdout
        channel.write_text(right)
        with closing(Running(folder, "--no-web")) as running:
            running.event("running")
            address = until(lambda: _listening(folder))
            with socket.create_connection(address, WAIT) as sender:
                document = {"event": "result", "id": "R1", "account": "A1", "value": "7.4"}
                sender.sendall(json.dumps(document).encode() + b"\nno json\n")
                answers = sender.makefile()
                assert [answers.readline().strip() for _ in range(2)] == ["OK", "NO"]
            sent = [came.get(timeout=WAIT) for _ in range(2)]
            assert [json.loads(line) for line in sent] == [{"order": "R1", "value": "7.4"}] * 2
            until(lambda: _outcomes(folder) == ["done", "rejected"])


def _listening(folder: Path) -> tuple[str, int] | None:
    status = json.loads(hub("status", "--json", "--site", folder).stdout)
    (lab,) = (channel for channel in status["channels"] if channel["name"] == "lab")
    found = [address.rpartition(":") for address in lab["addresses"]]
    return next(((host, int(port)) for host, _, port in found if port not in {"", "0"}), None)


def _outcomes(folder: Path) -> list[str]:
    store = open_store(store_url(load_site(folder)))
    with reading(store) as connection:
        found = connection.execute(select(message.c.onward).where(message.c.channel == "lab")).scalars().all()
    store.dispose()
    return sorted(found)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import nothing_that_is_there\n", "cannot be loaded"),
        ("CONNECTOR = 1\n", "names no connector"),
        (
            "from hub.engine.contracts import Connector\nCONNECTOR = Connector(name='mllp', summary='')\n",
            "that name already",
        ),
    ],
)
def test_a_connector_that_cannot_be_used_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, said: str
) -> None:
    packages = install(tmp_path, FILES["pyproject.toml"], module)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    assert entry_points(group=GROUP)
    connectors.cache_clear()
    try:
        with pytest.raises(ForeignConnectorError, match=said) as caught:
            connectors()
    finally:
        connectors.cache_clear()
    assert caught.value.where.startswith("lab-lines: ")
