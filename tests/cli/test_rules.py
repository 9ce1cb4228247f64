from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import Kept

SITE_RULE = """
schema = 1

[[rule]]
id = "wants-note"
require = "note"
say = "The practice wants a note on every claim."
"""


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    made = Kept(tmp_path / "site")
    (made.folder / "config" / "rules").mkdir()
    (made.folder / "config" / "rules" / "own.toml").write_text(SITE_RULE)
    return made


def test_a_payers_rules_are_listed_with_what_they_say(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "90001", "--site", str(kept.folder)]) == 0
    out = capsys.readouterr().out
    assert "site/wants-note" in out
    assert "The practice wants a note on every claim." in out


def test_an_unknown_payer_or_claim_is_a_mistake_in_usage(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "99999", "--site", str(kept.folder)]) == 2
    assert main(["rules", "90001", "--claim", "H0", "--site", str(kept.folder)]) == 2
    assert main(["rules", "try", "90001", "--site", str(kept.folder)]) == 2
    assert "no such claim" in capsys.readouterr().err


def test_a_back_test_over_no_claims_finds_nothing_and_is_audited(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "backtest", "90001", "--days", "30", "--site", str(kept.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["claims"] == 0
    assert [rule["rule"] for rule in found["rules"]] == ["site/wants-note"]
    assert kept.audited()[-1]["action"] == "backtest"


def test_a_rule_without_samples_is_a_warning_with_its_line(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--site", str(kept.folder)]) == 0
    out = capsys.readouterr().out
    assert "config/rules/own.toml:5:1" in out
    assert "H520" in out


def test_reference_data_is_loaded_listed_and_audited(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "codes.txt"
    file.write_text("A000    Cholera\nE119    Type 2 diabetes mellitus\n")
    load = ["refdata", "load", "icd10", str(file), "--version", "2027", "--effective", "2026-10-01"]
    assert main([*load, "--site", str(kept.folder)]) == 0
    assert "2 rows of icd10 2027, for dates of service from 2026-10-01 on." in capsys.readouterr().out
    assert kept.audited()[-1]["action"] == "load"
    assert main(["refdata", "list", "--site", str(kept.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"kind": "icd10", "edition": "2027", "effective": "2026-10-01", "rows": "2", "state": "ready"}
    ]
    assert main([*load, "--site", str(kept.folder)]) == 1
    assert main(["refdata", "load", "icd10", "--site", str(kept.folder)]) == 2


def test_the_kinds_name_the_edits_that_need_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refdata", "kinds", "--json"]) == 0
    kinds = {kind["kind"]: kind["edits"] for kind in json.loads(capsys.readouterr().out)}
    assert kinds["ncci"] == ["LN-03"]
    assert [name for name, edits in kinds.items() if not edits] == ["rarc"]
