"""The tutorial is typed, line by line, on a fresh site: what a reader sees is what it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.site.load import load_site
from tests.cli.at_work import Running, hub, until

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
THE_ID = "912844215451385856"
"""The message's id as the tutorial prints it."""
SAID_BY_CHANCE = re.compile(
    r"\d{4}-\d\d-\d\d|\b[0-9a-f]{12}\b|\d{18}|\d+\.\d ms|\S*\d\d:\d\d:\d\d\S*|\.\.\.|\d+\.\d s, \d+/s|\d+ bytes, not"
)


def steps() -> Iterator[tuple[str, list[str]]]:
    """Each command of the tutorial, with the lines that it promises."""
    for block in re.findall(r"^```console\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, _, rest = command.partition("\n")
            if "<<'END'" in typed:
                text, _, rest = rest.partition("\nEND\n")
                typed = f"{typed}\n{text}\nEND\n"
            yield typed, [line for line in rest.splitlines() if line.strip() and line.strip() != "..."]


def promised(line: str) -> list[str]:
    """The words of a line that do not depend on the day."""
    return SAID_BY_CHANCE.sub(" ", line).split()


@pytest.mark.e2e
def test_the_tutorial_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    message_id = ""
    running: Running | None = None
    with closing(_Closing()) as ending:
        for typed, lines in steps():
            words = shlex.split(typed) if typed.startswith("hub ") else [typed]
            if words[:2] == ["hub", "run"]:
                running = ending.running = Running(Path.cwd(), "--no-web")
                running.event("running")
                continue
            if typed.startswith("cd "):
                monkeypatch.chdir(typed.removeprefix("cd "))
                _any_port(Path.cwd())
                continue
            if words[0] != "hub":
                subprocess.run(["sh", "-c", typed], check=True)
                continue
            if words[1] in {"find", "status", "diff"}:
                message_id = message_id or _first_charge(capsys)
                until(lambda: _all_done(capsys))
            words = [message_id if word == THE_ID else word for word in words[1:]]
            if words[0] == "send":  # it runs a reactor of its own
                sent = hub(*words)
                code, out, err = sent.returncode, sent.stdout, sent.stderr
            else:
                code, (out, err) = main(words), capsys.readouterr()
            assert code == 0, (typed, out, err)
            for line in lines:
                assert set(promised(line)) <= set(promised(out)), (typed, line, out)
    assert running is not None
    assert not (load_site(Path.cwd()).errors)


class _Closing:
    """Ends the hub that was started, whatever happens."""

    running: Running | None = None

    def close(self) -> None:
        if self.running is not None:
            self.running.close()


def _any_port(site: Path) -> None:
    """What else listens on this machine, at the ports that a new site chooses, is not what the tutorial is about."""
    for name, chosen in (("channels/ehr_visits.toml", "2575"), ("config/hub.toml", "8080")):
        file = site / name
        file.write_text(file.read_text().replace(f"tcp:127.0.0.1:{chosen}", "tcp:127.0.0.1:0"))


def _messages(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    main(["find", "--json"])
    return list(json.loads(capsys.readouterr().out)["messages"])


def _first_charge(capsys: pytest.CaptureFixture[str]) -> str:
    return str(next(row["id"] for row in _messages(capsys) if row["kind"] == "DFT^P03"))


def _all_done(capsys: pytest.CaptureFixture[str]) -> bool:
    return all(row["onward"] == "done" for row in _messages(capsys))
