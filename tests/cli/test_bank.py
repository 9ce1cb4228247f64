from __future__ import annotations

from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import Kept, engine_that_answers


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "bank.csv"
    made.write_text("date,amount,description\n2026-11-20,100.00,HCCLAIMPMT TRN*1*EFT1*1999999999~\n")
    return made


def test_a_banks_file_is_handed_to_the_engine_and_what_it_holds_is_told(
    kept: Kept, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"ok": True, "answer": {"ok": True, "entries": 1, "new": 1, "others": 0, "released": 0}}
    with engine_that_answers(kept.folder, answer) as requests:
        assert main(["bank", "load", str(file), "--site", str(kept.folder)]) == 0
    assert capsys.readouterr().out == "1 claim payments, 1 of them new; 0 other entries.\n"
    assert requests[0]["args"] == {"name": "load_bank_file", "args": {"text": file.read_text()}}


def test_what_billing_says_against_a_file_is_told(kept: Kept, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "H560", "what": "A date cannot be read", "where": "line 2", "expected": ""}
    with engine_that_answers(kept.folder, {"ok": True, "answer": {"ok": False, "error": error}}):
        assert main(["bank", "load", str(file), "--site", str(kept.folder)]) == 1
    said = capsys.readouterr().err
    assert said == "H560 A date cannot be read (at line 2).\n"


def test_a_file_that_is_not_there_is_a_matter_of_usage(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank", "load", "nowhere", "--site", str(kept.folder)]) == 2
    assert "There is no such file" in capsys.readouterr().err
