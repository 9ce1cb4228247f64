"""Every pack is what docs/packs.md says: it goes into a fresh site, checks clean, and its samples hold."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.site.load import load_site
from hub.site.new import new_site
from hub.site.packs import packs
from hub.site.samples import cases

PACKS = packs()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    new_site(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_goes_into_a_fresh_site_checks_clean_and_its_samples_hold(
    site: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.site.ports.refusal", lambda _address: "")  # whatever else runs on this machine
    assert main(["new", "pack", name, "--site", str(site), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["files"]
    assert f"docs/{name}.md" in written
    assert main(["check", "--json", "--site", str(site)]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {finding["code"] for finding in findings} <= {
        "H310",
        "H239",
    }  # secrets are a person's to set, and claims leave by no EHR's channel
    assert main(["test", "--site", str(site)]) == 0


@pytest.mark.parametrize("name", PACKS)
def test_every_channel_of_a_pack_bears_its_name_and_has_samples_that_say_why(name: str) -> None:
    channels = [path.stem for path in (PACKS[name] / "channels").glob("*.toml")]
    assert channels
    assert [channel for channel in channels if not channel.startswith(f"{name}_")] == []
    for channel in channels:
        found = cases(PACKS[name], channel)
        assert found, channel
        assert [case.shown for case in found if not (case.folder / "note.md").read_text().strip()] == []


def test_all_packs_fit_into_one_site(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in PACKS:
        assert main(["new", "pack", name, "--site", str(site)]) == 0
    capsys.readouterr()
    loaded = load_site(site)
    assert loaded.errors == ()
    ports = [
        settings.listen.port
        for channel in loaded.channels.values()
        for _, settings in channel.sources
        if hasattr(settings, "listen")
    ]
    assert len(ports) == len(set(ports))


def test_a_simulator_imports_nothing_of_the_hub() -> None:
    imported = set()
    for path in (pack / "simulator.py" for pack in PACKS.values() if (pack / "simulator.py").exists()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert not imported & {"hub", "tests"}


def test_a_pack_writes_over_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "pack", "epic", "--site", str(site)]) == 0
    script = site / "transforms/epic/interface.py"
    script.write_text("# ours\n")
    assert main(["new", "pack", "epic", "--site", str(site)]) == 1
    assert "H257" in capsys.readouterr().err
    assert script.read_text() == "# ours\n"


def test_an_unknown_pack_is_refused_with_a_suggestion(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "pack", "epik", "--site", str(site)]) == 1
    assert '"epic"' in capsys.readouterr().err
