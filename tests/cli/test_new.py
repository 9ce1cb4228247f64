from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.site.new import new_site

PAIRS = [
    ("mllp", "sftp"), ("mllp", "billing"), ("mllp", "mllp"), ("sftp", "billing"), ("files", "http"),
    ("http", "billing"), ("fhir", "files"), ("database", "email"), ("schedule", "database"), ("channel", "channel"),
]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    new_site(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_a_new_channel_checks_clean_and_does_what_its_sample_says(
    site: Path, source: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "channel", "outside", "--source", source, "--to", to, "--site", str(site)]) == 0
    capsys.readouterr()
    assert main(["check", "--json", "--site", str(site)]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {finding["code"] for finding in findings} <= {"H310"}  # secrets are for a person to set
    assert main(["test", "outside", "--site", str(site)]) == 0
    expected = json.loads((site / "tests/channels/outside/first/expected.json").read_text())
    assert "error" not in expected
    assert len(expected["deliveries"]) == 1


def test_a_new_channel_takes_a_port_of_its_own_and_writes_over_nothing(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["new", "channel", "second", "--source", "mllp", "--to", "files", "--site", str(site)]
    assert main(words) == 0
    assert 'listen = "tcp:127.0.0.1:2576"' in (site / "channels/second.toml").read_text()
    capsys.readouterr()
    assert main(words) == 1
    assert "H229" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "source"), [("Second", "mllp"), ("second", "mlp")])
def test_what_cannot_be_written_is_refused_with_a_suggestion(
    site: Path, name: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "channel", name, "--source", source, "--to", "files", "--site", str(site)]) == 1
    assert '"second"' in (said := capsys.readouterr().err) or '"mllp"' in said
    assert not (site / "channels/second.toml").exists()


def test_a_path_that_the_samples_leave_empty_is_told_with_the_place_that_they_fill(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = site / "tests/channels/ehr_visits/one_charge/in.hl7"
    sample.write_text(sample.read_text().replace("OV3^^CDM", "99213^^C4").replace("|99213^^C4|25", "||"))
    assert main(["check", "--deny", "warnings", "--site", str(site)]) == 1
    said = capsys.readouterr().out
    assert "transforms/clinic/charges.py:13:13  H406" in said
    assert "FT1-25.1 is empty in 1 of 1 samples; FT1-7.1 is not." in said


def test_paths_into_declared_z_segments_are_checked(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = site / "transforms/clinic/charges.py"
    script.write_text(script.read_text().replace('"credits": "FT1-31"', '"credits": "ZCH-4"'))
    assert main(["check", "--site", str(site)]) == 0  # nothing is declared: it may be right
    assert "Declare it in config/segments.toml" in capsys.readouterr().out
    (site / "config/segments.toml").write_text(
        'schema = 1\n[segments.ZCH]\ntitle = "Charge details"\nfields = { 1 = "charge number", 3 = "modality" }\n'
    )
    assert main(["check", "--site", str(site)]) == 1
    said = capsys.readouterr().out
    assert "ZCH-4: ZCH has no field 4." in said
    assert "ZCH-3 modality" in said
    assert main(["explain", "ZCH-3", "--site", str(site)]) == 0
    assert "modality" in capsys.readouterr().out
