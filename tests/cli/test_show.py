from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def test_a_message_is_shown_masked_with_its_structure_kept(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--site", str(kept.folder), str(kept.charges)]) == 0
    out = capsys.readouterr().out
    assert "DFT^P03 CHG-1" in out
    assert "PID|1||999999^^^xxxxxx^xx||" in out
    assert "SAMPLETON" not in out
    assert "100007" not in out


def test_patient_data_is_shown_for_a_reason_that_the_audit_log_keeps(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", "--site", str(kept.folder), str(kept.charges), "--show-phi"]
    assert main(words) == 2
    assert "SAMPLETON" not in capsys.readouterr().out
    assert kept.audited() == []
    assert main([*words, "--reason", "the name looks wrong"]) == 0
    assert "SAMPLETON^ALVA" in capsys.readouterr().out
    (record,) = kept.audited()
    assert (record["action"], record["object_id"]) == ("reveal", str(kept.charges))
    assert record["reason"] == "the name looks wrong"


def test_every_look_is_audited(kept: Kept) -> None:
    main(["show", "--site", str(kept.folder), str(kept.charges)])
    assert [record["action"] for record in kept.audited()] == ["view"]


def test_the_timeline_tells_attempts_and_reasons(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--site", str(kept.folder), str(kept.claims), "--stage", "outgoing"]) == 0
    out = capsys.readouterr().out
    assert "queued for clearinghouse: 837P B0001.837" in out
    assert "clearinghouse, attempt 1: ambiguous" in out
    assert "The connection was lost while the file was sent." in out
    assert "ISA*00*" in out


def test_programs_get_the_same_masked(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--site", str(kept.folder), "--json", str(kept.charges)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["message"]["kind"] == "DFT^P03"
    assert "SAMPLETON" not in json.dumps(document)


def test_an_unknown_id_is_a_sentence(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--site", str(kept.folder), "17"]) == 2
    assert "There is no message of that id" in capsys.readouterr().err
