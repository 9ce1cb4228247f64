from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
TWO_LINES = "tests/channels/ehr_visits/two_lines/in.hl7"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: its exit code, what it printed, what it complained of."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for part in ("config", "channels", "transforms", "tests/channels"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "local.toml"))
    return folder


def patient_words() -> set[str]:
    """The patient's own words in the sample."""
    lines = (ROOT / TWO_LINES).read_text().splitlines()
    pid = next(line for line in lines if line.startswith("PID")).split("|")
    return {pid[3].split("^")[0], pid[18].split("^")[0], *pid[5].split("^")[:2]}


# ---------------------------------------------------------------- the front door


def test_without_a_command_the_commands_are_listed(run: Run) -> None:
    code, out, _ = run()
    assert code == 2
    assert all(name in out for name in COMMANDS)
    assert run("--help")[0] == 0


def test_an_unknown_command_or_option_is_a_usage_error(run: Run) -> None:
    assert run("chekc")[0] == 2
    assert run("check", "--nonsense")[0] == 2
    assert run("check", "--help")[0] == 0


def test_a_folder_that_is_no_site_is_a_usage_error_with_a_hint(run: Run, tmp_path: Path) -> None:
    code, _, err = run("check", "--site", str(tmp_path))
    assert code == 2
    assert "H216" in err
    assert "hub init" in err


def test_an_error_for_programs_is_json(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", "--json", "--site", str(tmp_path))
    assert code == 2
    assert json.loads(out)["error"]["code"] == "H216"


def test_our_own_mistakes_are_told_without_a_traceback_and_without_content(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("MRN0001")

    monkeypatch.setattr("hub.cli.check.site_folder", fail)
    code, _, err = run("check")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "MRN0001" not in err
    assert "Traceback" not in err


# ---------------------------------------------------------------- init


def test_a_new_site_checks_clean_passes_its_tests_and_keeps_its_key_to_itself(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    code, out, _ = run("init", str(folder))
    assert code == 0
    assert "hub run" in out
    assert run("check", "--deny", "warnings", "--site", str(folder))[0] == 0
    assert run("test", "--site", str(folder))[0] == 0
    key = folder / "var/keys.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    ignored = (folder / ".gitignore").read_text()
    assert "/var/" in ignored
    assert "/config/local.toml" in ignored


def test_init_never_writes_over_anything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = run("init", str(tmp_path))
    assert code == 1
    assert "H217" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# ---------------------------------------------------------------- check


def test_check_prints_place_code_and_fix_and_fails(run: Run, site: Path) -> None:
    channel = site / "channels/ehr_visits.toml"
    channel.write_text(channel.read_text().replace(":charges", ":charge"))
    code, out, _ = run("check", "--site", str(site))
    assert code == 1
    lines = channel.read_text().splitlines()
    (place,) = (number for number, line in enumerate(lines, 1) if line.startswith("run = ") and ':charge"' in line)
    assert f"channels/ehr_visits.toml:{place}:1" in out
    assert 'did you mean "charges"?' in out
    assert "hub explain H204" in out


def test_check_looks_at_one_file_when_asked(run: Run, site: Path) -> None:
    channel = site / "channels/ehr_visits.toml"
    channel.write_text(channel.read_text().replace(":charges", ":charge"))
    assert run("check", "config", "--site", str(site))[0] == 0
    assert run("check", "channels/ehr_visits.toml", "--site", str(site))[0] == 1


def test_warnings_fail_only_where_they_are_denied(run: Run, site: Path) -> None:
    assert run("check", "--site", str(site))[0] == 0
    code, out, _ = run("check", "--json", "--deny", "warnings", "--site", str(site))
    document = json.loads(out)
    assert code == 1
    assert not document["ok"]
    assert {found["code"] for found in document["findings"]} == {"H310"}


# ---------------------------------------------------------------- try


def test_try_shows_values_beside_lines_and_hides_the_patient(run: Run) -> None:
    code, out, err = run("try", "ehr_visits", str(ROOT / TWO_LINES), "--site", str(ROOT))
    assert code == 0
    assert "received   DFT^P03" in out
    assert "PID-18.1" in out
    assert "charges.py:" in out
    assert "departments.csv:2" in out
    assert "not sent (try)" in out
    assert "lines      2: 2 mapped" in out
    assert not any(word in out + err for word in patient_words())


def test_try_shows_the_patient_only_when_asked_and_logs_who_asked(run: Run) -> None:
    code, out, err = run("try", "ehr_visits", str(ROOT / TWO_LINES), "--show-phi", "--site", str(ROOT))
    assert code == 0
    assert "AC07000003" in out
    logged = json.loads(err)
    assert logged["event"] == "phi shown"
    assert logged["user"]


def test_try_names_the_line_and_the_place_of_a_mistake(run: Run) -> None:
    path = ROOT / "tests/channels/ehr_visits/amount_that_is_none/in.hl7"
    code, out, _ = run("try", "ehr_visits", str(path), "--site", str(ROOT))
    assert code == 1
    assert "H223" in out
    assert "transforms/alder/charges.py:" in out
    assert "FT1[1]-11[1].1" in out


def test_try_masks_in_its_json_too(run: Run) -> None:
    code, out, _ = run("try", "ehr_visits", str(ROOT / TWO_LINES), "--json", "--site", str(ROOT))
    document = json.loads(out)
    assert code == 0
    assert [made["type"] for made in document["made"]] == ["Charge", "Charge"]
    assert not any(word in out for word in patient_words())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ehr_vists", TWO_LINES), "H218"),
        (("ehr_visits", "absent.hl7"), "H216"),
        (("ehr_visits", TWO_LINES, "--step", "nothing"), "H216"),
    ],
)
def test_try_says_what_it_cannot_find(run: Run, arguments: tuple[str, ...], code: str) -> None:
    words = [str(ROOT / word) if word.startswith("tests/") else word for word in arguments]
    exit_code, _, err = run("try", *words, "--site", str(ROOT))
    assert exit_code == 2
    assert code in err


def test_try_of_bytes_that_are_no_message_is_a_finding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.hl7").write_bytes(b"\xff\xfe nothing")
    code, _, err = run("try", "ehr_visits", str(tmp_path / "x.hl7"), "--site", str(ROOT))
    assert code == 1
    assert "H220" in err


# ---------------------------------------------------------------- test


def test_a_changed_mapping_shows_as_a_difference_by_field(run: Run, site: Path) -> None:
    table = site / "transforms/alder/departments.csv"
    table.write_text(table.read_text().replace("FM,Family medicine,11", "FM,Family medicine,22"))
    code, out, _ = run("test", "ehr_visits", "--site", str(site))
    assert code == 1
    assert "differs  ehr_visits/two_lines" in out
    assert "expected.json values[0] fields place_of_service" in out
    assert 'expected "11"' in out
    assert 'found    "22"' in out
    assert run("test", "ehr_visits", "--update", "--site", str(site))[0] == 0
    assert run("test", "--site", str(site))[0] == 0


def test_a_changed_message_shows_its_segment_and_field(run: Run, site: Path) -> None:
    script = site / "transforms/alder/results.py"
    script.write_text(script.read_text().replace('"PAYMENT"', '"PAID"'))
    code, out, _ = run("test", "results_to_ehr", "--json", "--site", str(site))
    differences = [d for case in json.loads(out)["samples"] for d in case["differences"]]
    assert code == 1
    assert {d["place"] for d in differences} == {"out_1_DFT_P03.hl7 line 4 FT1-7"}
    assert {(d["expected"], d["found"]) for d in differences} == {("PAYMENT", "PAID")}


def test_a_sample_without_expectations_fails_and_says_how_to_write_them(run: Run, site: Path) -> None:
    (site / "tests/channels/ehr_visits/two_lines/expected.json").unlink()
    code, out, _ = run("test", "ehr_visits", "--site", str(site))
    assert code == 1
    assert "--update" in out


# ---------------------------------------------------------------- explain


@pytest.mark.parametrize(
    ("subject", "text"),
    [("H204", "function"), ("h310", "var/secrets"), ("FT1-25", "Procedure code"), ("PID-3.4.2", "Universal ID")],
)
def test_explain_knows_codes_and_fields(run: Run, subject: str, text: str) -> None:
    code, out, _ = run("explain", subject)
    assert code == 0
    assert text in out
    assert json.loads(run("explain", subject, "--json")[1])


@pytest.mark.parametrize("subject", ["H999", "FT1-999", "XYZ-1", "nonsense"])
def test_explain_says_what_it_does_not_know(run: Run, subject: str) -> None:
    code, _, err = run("explain", subject)
    assert code == 2
    assert "H219" in err
